"""The fingerprint is what the files say, and only a changed codec raises the generation."""

from pathlib import Path

import pytest
from PIL import Image

from collect import fingerprint
from collect.codecs import quantisation
from params import UserError


def pair(folder: Path, number: int, **how) -> tuple[Path, Path]:
    original = folder / f"{number}.png"
    Image.effect_noise((40, 24), 60).convert("RGB").save(original)
    served = folder / f"{number}.{how.get('format', 'jpeg').lower()}"
    with Image.open(original) as image:
        size = how.pop("size", image.size)
        image.resize(size).save(served, **{"quality": 80, **how})
    return original, served


@pytest.mark.parametrize("quality", [1, 25, 50, 75, 85, 92, 100])
def test_quality_sampling_and_scan_are_read_off_the_file(tmp_path: Path, quality: int) -> None:
    for subsampling, name in ((0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")):
        for progressive in (False, True):
            _, served = pair(tmp_path, 1, quality=quality, subsampling=subsampling, progressive=progressive)
            seen = quantisation.read_codec(served)
            assert (seen["format"], seen["quality"], seen["sampling"], seen["progressive"]) == (
                "JPEG", quality, name, progressive,
            )  # fmt: skip
            with Image.open(served) as image:
                assert seen["tables"] == [image.quantization[0], image.quantization[1]]


def test_the_commonest_codec_counts_so_that_a_busy_image_does_not_flip_it(tmp_path: Path) -> None:
    files = [pair(tmp_path, number, quality=92) for number in range(5)] + [pair(tmp_path, 9, quality=88)]
    seen = fingerprint.observe(files)
    assert seen["codec"]["quality"] == 92
    assert seen["qualities"] == {"88": 1, "92": 5}
    assert seen["codec"] == fingerprint.observe(files[:4])["codec"]


def test_a_size_limit_shows(tmp_path: Path) -> None:
    assert fingerprint.observe([pair(tmp_path, 1)])["codec"]["longest_side"] is None
    assert fingerprint.observe([pair(tmp_path, 2, size=(20, 12))])["codec"]["longest_side"] == 20


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "JPEG2000"])
def test_other_formats_are_named(tmp_path: Path, kind: str) -> None:
    assert fingerprint.observe([pair(tmp_path, 1, format=kind)])["codec"] == {"format": kind, "longest_side": None}


def test_only_a_changed_codec_raises_the_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = fingerprint.observe([pair(tmp_path, 1, quality=75)])
    second = fingerprint.observe([pair(tmp_path, 2, quality=60)])
    assert fingerprint.save("weibo", first)
    assert fingerprint.generation("weibo") == 1
    assert not fingerprint.save("weibo", first)
    assert fingerprint.save("weibo", second)
    assert fingerprint.save("weibo", first)
    assert fingerprint.generation("weibo") == 3
    assert fingerprint.load("weibo")["codec"] == first["codec"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"generation": "1"}', '{"generation": 0}'])
def test_a_damaged_or_missing_file_is_a_user_error(tmp_path: Path, monkeypatch, content: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="comreadv fingerprint --platform weibo --write"):
        fingerprint.generation("weibo")
    Path("fingerprints").mkdir()
    Path("fingerprints/weibo.json").write_text(content)
    with pytest.raises(UserError, match=r"fingerprints/weibo.json"):
        fingerprint.generation("weibo")


def test_every_platform_of_the_shipped_settings_has_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    import params

    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    settings = params.load()
    for name in [*settings.platforms, *settings.switched_off]:
        assert fingerprint.generation(name) >= 1


def test_a_collection_matches_its_fingerprint_as_far_as_it_can_tell(tmp_path: Path) -> None:
    known = fingerprint.observe([pair(tmp_path, 1, quality=92)])
    known["codec"]["longest_side"] = 2048
    assert fingerprint.matches(known, fingerprint.observe([pair(tmp_path, 2, quality=92)]))  # no image was so large
    assert not fingerprint.matches(known, fingerprint.observe([pair(tmp_path, 3, quality=92, size=(20, 12))]))
    busy = fingerprint.observe([pair(tmp_path, 4, quality=80)])
    assert not fingerprint.matches(known, busy)
    assert fingerprint.matches(known | {"qualities": {"75": 1, "92": 9}}, busy)
    assert not fingerprint.matches(known | {"qualities": {"83": 1, "92": 9}}, busy)
