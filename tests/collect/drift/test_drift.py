"""A changed codec is noticed by the next probe and said in a sentence; an unchanged one is not."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image, JpegImagePlugin
from typer.testing import CliRunner

import comreadv
import params
from collect import fingerprint, sandbox
from collect.codecs import encode
from collect.drift import detect, probe, probe_images, wording
from params import UserError

BASE = "fit:400:lanczos+jpeg:85:444"
CHANGES = {
    "fit:400:lanczos+jpeg:75:444": ("header", "luma table: quality 85 → 75"),
    "fit:400:lanczos+jpeg:85:420": ("header", "sampling 4:4:4 → 4:2:0"),
    "fit:400:lanczos+webp:80": ("header", "format JPEG → WEBP"),
    "fit:300:lanczos+jpeg:85:444": ("header", "longest side of a large image: 400 → 300 pixels"),
    "fit:400:lanczos+jpeg:85:444:progressive": ("header", "baseline → progressive"),
    "fit:400:bicubic+jpeg:85:444": ("pixels", "images over the size limit look different: another resize kernel"),
    "fit:400:lanczos+sharpen:0.3+jpeg:85:444": ("pixels", "images come back sharper"),
}


def settings_for(folder: Path, **row: str) -> params.Params:
    text = (Path(__file__).parents[3] / "params.yaml").read_text()
    head, rest = text.split("platforms:", 1)
    tail = rest[rest.index("switched_off:") :]
    fields = ", ".join(f'{key}: "{value}"' for key, value in row.items())
    (folder / "params.yaml").write_text(f"{head}platforms:\n  site: {{{fields}}}\n{tail}")
    return params.load(folder / "params.yaml")


LESS_LARGE = {"LARGE": (560, 280), "_drawn": cache(probe_images._drawn.__wrapped__)}


@pytest.fixture
def less_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the large probe a quarter as large as for sites, as the codecs here have a size limit as much smaller."""
    for name, value in LESS_LARGE.items():
        monkeypatch.setattr(probe_images, name, value)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> detect.Drift:
    """Probe a local encoder that nobody has seen before."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in LESS_LARGE.items():
            patch.setattr(probe_images, name, value)
        found = detect.examine("site", settings_for(folder, adapter="codec", codec=BASE))
    assert (found.kind, found.is_change) == ("first", False)
    return found


@pytest.fixture
def seen(first: detect.Drift, less_large: None, workplace: Path) -> probe.Seen:
    """Keep that encoder's fingerprint."""
    detect.record_drift("site", first)
    return copy.deepcopy(first.seen)


@pytest.mark.parametrize("codec", CHANGES)
def test_a_change_is_noticed_by_the_next_probe_and_named(codec: str, seen: probe.Seen, workplace: Path) -> None:
    found = detect.examine("site", settings_for(workplace, adapter="codec", codec=codec))
    assert found.is_change and found.kind == CHANGES[codec][0]
    assert CHANGES[codec][1] in found.said
    if found.kind == "header":  # and nothing besides
        assert found.said.count(";") <= ("huffman" in found.said.lower()), found.said


def test_an_unchanged_codec_is_probed_once_and_written_down(seen: probe.Seen, workplace: Path) -> None:
    settings = settings_for(workplace, adapter="codec", codec=BASE)
    assert probe.last_probe(settings, "site") is None
    before = (workplace / "fingerprints/site.json").read_bytes()
    for _ in range(2):
        found = detect.examine("site", settings)
        assert (found.kind, found.said) == ("none", "unchanged")
        detect.record_drift("site", found)
    assert (workplace / "fingerprints/site.json").read_bytes() == before
    assert probe.without_tables(seen) == json.loads(before)["probes"]
    assert len(probe.earlier_probes(settings, "site", 1, seen)) == 2 and probe.last_probe(settings, "site")


def test_a_restored_fingerprint_is_compared_with_no_probe_of_another(seen: probe.Seen, workplace: Path) -> None:
    other = settings_for(workplace, adapter="codec", codec="webp:80")
    file = workplace / "fingerprints/site.json"
    restored = file.read_bytes()
    detect.record_drift("site", detect.examine("site", other))
    assert fingerprint.generation("site") == 2 and not detect.examine("site", other).is_change
    file.write_bytes(restored)
    detect.record_drift("site", detect.examine("site", settings_for(workplace, adapter="codec", codec="jpeg:60")))
    assert fingerprint.generation("site") == 2
    assert detect.examine("site", other).is_change  # its own headers were seen in that generation, of another branch


def test_there_and_back_is_three_generations_with_dates(seen: probe.Seen, workplace: Path) -> None:
    run = CliRunner()
    for codec, number in (("fit:400:lanczos+jpeg:60:444", 2), (BASE, 3)):
        settings_for(workplace, adapter="codec", codec=codec)
        answer = run.invoke(comreadv.app, ["drift", "--platform", "site"])
        assert answer.exit_code == 10, answer.output
        again = run.invoke(comreadv.app, ["drift", "--platform", "site", "--write"])
        assert again.exit_code == 10 and again.output == answer.output  # unwritten, it is still a change
        assert fingerprint.generation("site") == number
    assert run.invoke(comreadv.app, ["drift", "--platform", "site"]).exit_code == 0
    known = fingerprint.load("site")
    assert [each["generation"] for each in known["history"]] == [1, 2]
    assert [each["codec"]["quality"] for each in known["history"]] == [85, 60] and known["codec"]["quality"] == 85
    assert all(each["seen"] and each["said"] for each in [*known["history"], known])
    assert known["said"] == "luma table: quality 60 → 85"


def test_a_change_that_passes_is_none(seen: probe.Seen, workplace: Path) -> None:
    settings = settings_for(workplace, adapter="codec", codec=BASE)
    strange = copy.deepcopy(seen)
    strange["photo"]["header"]["quality"] = 10
    answers = iter([strange, seen])
    found = detect.examine("site", settings, take=lambda *_, **__: next(answers))
    assert found.kind == "none" and "not again" in found.said


def test_a_site_that_varies_by_itself_is_learned_from_the_first_day(seen: probe.Seen, workplace: Path) -> None:
    settings, random = settings_for(workplace, adapter="codec", codec=BASE), np.random.default_rng(3)

    def jittered(*_: object, **__: object) -> probe.Seen:
        found = copy.deepcopy(seen)
        for each in found.values():
            each["header"]["quality"] = int(random.choice([84, 85, 86]))
        return found

    assert not any(detect.examine("site", settings, take=jittered).is_change for _ in range(60))

    def other(*_: object, **__: object) -> probe.Seen:
        found = jittered()
        for each in found.values():
            each["header"]["quality"] -= 20
        return found

    assert detect.examine("site", settings, take=other).is_change


def test_qualities_drawn_at_random_are_no_change_once_they_were_seen(seen: probe.Seen) -> None:
    random = np.random.default_rng(0)

    def jittered() -> probe.Seen:
        found = copy.deepcopy(seen)
        for each in found.values():
            each["header"]["quality"] = int(random.choice([84, 85, 86]))
        return found

    history = [jittered() for _ in range(8)]
    assert all(detect.header_changes(history, jittered()) == "" for _ in range(365))
    other = jittered()
    for each in other.values():
        each["header"]["quality"] = 70
    assert "quality 84 to 86 → 70" in detect.header_changes(history, other)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_pixels_that_vary_by_themselves_raise_no_alarm_in_a_year_and_a_shift_does(spread: float, seen) -> None:
    random = np.random.default_rng(1)

    def varied(shift: float = 0.0) -> probe.Seen:
        found = copy.deepcopy(seen)
        for each in found.values():
            each["residual"] = [value + shift + random.normal(0, spread) for value in each["residual"]]
        return found

    history = [varied()]
    for _ in range(365):
        fresh = [varied(), varied()]
        assert not detect.pixel_changes(history, fresh, alarm=True)
        history = [*history, fresh[0]][-probe.COMPARED_PROBES :]
    shift = 0.1 + 8 * spread
    assert detect.pixel_changes(history, [varied(shift), varied(shift)], alarm=True)


def test_a_fingerprint_without_probes_gets_them_and_stays_in_its_generation(less_large: None, workplace: Path) -> None:
    settings = settings_for(workplace, adapter="codec", codec="jpeg:85:444")
    first = detect.examine("site", settings)
    fingerprint.save("site", {"codec": probe.codec_of(first.seen)["codec"]})
    found = detect.examine("site", settings)
    assert found.kind == "first" and not found.is_change
    detect.record_drift("site", found)
    assert fingerprint.generation("site") == 1 and fingerprint.load("site")["probes"]


def keep_sampling(image: Image.Image, codec: str) -> bytes:
    """Encode as a site does that keeps the chroma sampling of JPEG uploads."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        codec = codec.replace(":444", {0: ":444", 2: ":420"}[JpegImagePlugin.get_sampling(image)])
    return encode(image, codec)


def test_what_is_made_of_jpeg_uploads_is_told_beside_png_uploads(
    seen: probe.Seen, workplace: Path, monkeypatch
) -> None:
    assert fingerprint.load("site")["jpeg_upload"] == {"same_codec": True}
    settings_for(workplace, adapter="codec", codec=BASE)
    run, kept = CliRunner(), "A JPEG upload is served as JPEG 85, baseline: it keeps its sampling 4:4:4 or 4:2:0."
    answer = run.invoke(comreadv.app, ["drift", "--platform", "site"])
    assert answer.stdout == "site: unchanged. A JPEG upload is served as a PNG upload is.\n"
    monkeypatch.setattr("collect.codecs.encode", keep_sampling)
    answer = run.invoke(comreadv.app, ["drift", "--platform", "site", "--write"])
    assert answer.exit_code == 10
    assert answer.stdout == f"site: changed (header): JPEG uploads alone: sampling 4:4:4 → 4:2:0. {kept}\n"
    known = fingerprint.load("site")
    assert (known["generation"], known["history"][0]["jpeg_upload"]) == (2, {"same_codec": True})
    assert known["codec"] == known["history"][0]["codec"] and known["codec"]["sampling"] == "4:4:4"
    assert {up: codec["sampling"] for up, codec in known["jpeg_upload"]["codecs"].items()} == {
        "4:4:4": "4:4:4", "4:2:0": "4:2:0",
    }  # fmt: skip
    answer = run.invoke(comreadv.app, ["fingerprint", "--platform", "site", "--write"])
    assert json.loads(answer.stdout)["jpeg_upload"] == known["jpeg_upload"]
    assert answer.stderr.splitlines()[-2:] == [kept, "fingerprints/site.json: unchanged."]


def test_jpeg_uploads_that_are_kept_or_refused_are_told(seen: probe.Seen) -> None:
    for name, sampling in probe_images.JPEG_UPLOADS.items():
        seen[name]["header"] |= {"quality": probe_images.JPEG_QUALITY, "sampling": sampling}
    said = wording.describe_jpeg_uploads(probe.codec_of(seen))
    assert said.endswith(": it keeps its quality 95 and its sampling 4:4:4 or 4:2:0.")
    for name in probe_images.JPEG_UPLOADS:
        seen[name]["header"]["sampling"] = "4:2:0"
    seen["photo-jpeg"]["header"]["quality"] = 80
    said = wording.describe_jpeg_uploads(probe.codec_of(seen))
    assert said == "A JPEG upload is served as JPEG 80, 4:2:0, baseline or JPEG 95, 4:2:0, baseline."
    for name in probe_images.JPEG_UPLOADS:
        seen[name] = {"header": {"format": "refused"}}
    assert wording.describe_jpeg_uploads(probe.codec_of(seen)) == "A JPEG upload is refused."


@pytest.mark.parametrize("command", ["drift", "fingerprint"])
def test_a_fingerprint_without_jpeg_uploads_gets_them_and_stays_in_its_generation(
    command: str, seen: probe.Seen, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, file = settings_for(workplace, adapter="codec", codec=BASE), workplace / "fingerprints/site.json"
    old = fingerprint.load("site")
    del old["jpeg_upload"]
    old["probes"] = probe.png_uploads(old["probes"])
    old["probes"]["photo"]["residual"][0] += 0.001
    file.write_text(fingerprint.dumps(old))
    monkeypatch.setattr("collect.codecs.encode", keep_sampling)
    assert detect.examine("site", settings).kind == "none"  # and is remembered when the fingerprint has grown
    assert fingerprint.load("site") == old
    answer = CliRunner().invoke(comreadv.app, [command, "--platform", "site", "--write"])
    assert answer.exit_code == 0, answer.output
    known = fingerprint.load("site")
    assert known["generation"] == 1 and known["jpeg_upload"]["same_codec"] is False
    assert known | {"probes": probe.png_uploads(known["probes"])} == old | {"jpeg_upload": known["jpeg_upload"]}
    assert known["probes"].keys() == probe_images.PROBES.keys()
    assert len(probe.earlier_probes(settings, "site", 1, known["probes"])) == (2 if command == "drift" else 1)


def test_probes_show_the_same_and_are_never_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = (probe_images.make_probes(tmp_path / name) for name in ("one", "other"))
    assert len(one) >= 12
    for name in one:
        assert one[name].read_bytes() != other[name].read_bytes()
        with Image.open(one[name]) as first, Image.open(other[name]) as second:
            assert first.tobytes() == second.tobytes()
            assert first.format == ("JPEG" if name in probe_images.JPEG_UPLOADS else "PNG")


def shown(origin: str) -> list[object]:
    images: list[object] = requests.get(f"{origin}/sandbox/received", timeout=10).json()["images"]
    return images


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_why_probes_stay_on_a_site_is_told_to_the_letter(
    less_large: None, workplace: Path, monkeypatch, caplog
) -> None:
    def refuse(*_: object) -> None:
        raise UserError('no [/b] textarea[name^="desc_"]')

    monkeypatch.setattr("collect.platforms.codec.LocalSession.delete", refuse)
    detect.examine("site", settings_for(workplace, adapter="codec", codec=BASE))
    assert 'probes stay on the site (no [/b] textarea[name^="desc_"]);' in caplog.text


@pytest.mark.browser
@pytest.mark.slow
def test_a_site_is_probed_and_left_as_it_was(workplace: Path) -> None:
    settings = settings_for(workplace, adapter="weibo")
    state = workplace / "site"
    with sandbox.serve("weibo", state=state) as origin:
        detect.record_drift("site", detect.examine("site", settings, origin=origin))
        assert detect.examine("site", settings, origin=origin).kind == "none"
    with sandbox.serve("weibo", state=state, faults={"watermark": 1.0}) as origin:
        found = detect.examine("site", settings, origin=origin)
        assert (found.kind, found.said) == ("pixels", "a mark is put on images at the bottom right")
        assert not shown(origin)


@pytest.mark.browser
@pytest.mark.slow
def test_what_other_clients_get_is_noticed_and_a_killed_probe_is_deleted_by_the_next(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(workplace, adapter="weibo")
    state = workplace / "site"
    with sandbox.serve("weibo", state=state, negotiates="webp:80") as origin:
        first = detect.examine("site", settings, origin=origin)
        detect.record_drift("site", first)
    header = first.seen["photo"]["header"]
    assert (header["format"], header["negotiated"]) == ("WEBP", ["*/*: JPEG", "image/jpeg,image/png: JPEG"])
    with sandbox.serve("weibo", state=state, codec="fit:2048:lanczos+webp:80") as origin:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(probe, "_delete", stop)
            detect.examine("site", settings, origin=origin)
        assert len(shown(origin)) == len(probe_images.PROBES)
        found = detect.examine("site", settings, origin=origin)
        assert not shown(origin)
    assert found.kind == "header"
    assert found.said.startswith("for another Accept */*: JPEG, image/jpeg,image/png: JPEG → none")


def test_a_platform_that_can_not_be_reached_is_an_error_and_no_change(workplace: Path) -> None:
    settings = settings_for(workplace, adapter="weibo")
    with pytest.raises(UserError):
        detect.examine("site", settings, origin="http://127.0.0.1:9")
    answer = CliRunner().invoke(comreadv.app, ["drift", "--platform", "site", "--origin", "http://127.0.0.1:9"])
    assert answer.exit_code not in (0, 10)
