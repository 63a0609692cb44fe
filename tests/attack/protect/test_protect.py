"""A person's photos, protected: exact on disk, telling no more than they must, and the site confirms the verdict."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import foolbox
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo
from skimage.metrics import structural_similarity
from typer.testing import CliRunner

import comreadv
import params
from attack.evaluation import visibility
from attack.models import classifiers
from attack.protect import photo
from attack.protect.photo_model import FullResolution, Processing, respond, shrink, working_size
from attack.protect.protected import Protected
from attack.protect.protector import ProtectionRequest, Protector
from attack.protect.record import Record
from collect import images, sandbox
from collect.files import to_json
from collect.round_trip import Original, read_round_trips, round_trip
from train.emulator.model import Emulator
from train.models import checkpoint
from train.models.hybrid import Hybrid
from train.tensors import from_pixels, read_image

ROOT = Path(__file__).parents[3]
FOOLBOX = sorted((Path(foolbox.__file__).parent / "data").glob("imagenet_*.jpg"))
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def emulator(chain: str = "jpeg:85:444", *, identified: bool = True) -> Emulator:
    return Emulator(chain=chain, format="JPEG", identified=identified, mae=0, exact=1, pairs=9, why="the test's")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in a folder with the settings and a model of weibo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "params.yaml").symlink_to(ROOT / "params.yaml")
    emulator().save(tmp_path / "models" / "weibo.emulator.json")
    return tmp_path


def picture(number: int, size: tuple[int, int]) -> Image.Image:
    return Image.open(FOOLBOX[number]).convert("RGB").resize(size, Image.Resampling.LANCZOS)


def phone_photo(file: Path, size: tuple[int, int] = (360, 270)) -> None:
    """Save a photo as a phone does: lying, to be turned by EXIF, with place, camera, thumbnail and profile."""
    exif = Image.Exif()
    exif[0x112], exif[0x110] = 6, "Camera 1"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    lying = picture(3, size).transpose(Image.Transpose.ROTATE_90)
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><tiff:Orientation>6</tiff:Orientation>place</x:xmpmeta>"
    lying.save(file, quality=92, exif=exif, icc_profile=PROFILE, xmp=xmp, comment=b"at home")


def protect(command: str, exit_code: int = 0) -> str:
    answer = CliRunner().invoke(comreadv.app, ["protect", *shlex.split(command)])
    assert answer.exit_code == exit_code, answer.output
    assert exit_code == 0 or isinstance(answer.exception, SystemExit)
    return answer.stdout if exit_code == 0 else " ".join(answer.stderr.split())


def upright(file: Path) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_phones_photo_keeps_shape_and_profile_loses_place_and_changes_by_eps_at_most(here: Path, kind: str) -> None:
    phone_photo(here / "photo.jpg")
    before = (here / "photo.jpg").read_bytes()
    row = json.loads(protect(f"photo.jpg --platform weibo --eps 4 --format {kind} --json"))["photos"][0]
    with Image.open(row["output"]) as copy:
        assert copy.format == kind.upper()
        assert copy.size == (row["width"], row["height"]) == (360, 270)
        assert copy.info["icc_profile"] == PROFILE
        assert not copy.getexif() and not {"xmp", "comment", "exif"} & copy.info.keys()
        change = abs(np.asarray(copy.convert("RGB")).astype(int) - upright(here / "photo.jpg"))
        if kind == "jpeg":
            assert {step for table in copy.quantization.values() for step in table} == {1}
    assert 0 < change.max() == row["visibility"]["largest"] <= 4
    assert b"GPS" not in Path(row["output"]).read_bytes() and b"Camera" not in Path(row["output"]).read_bytes()
    assert row["survives"]
    verdict = row["verdicts"][0]
    assert verdict["before"]["label"] != verdict["after"]["label"]
    assert (here / "photo.jpg").read_bytes() == before


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_metadata_are_kept_when_asked_for_but_the_orientation_that_is_applied(tmp_path: Path, kind: str) -> None:
    phone_photo(tmp_path / "photo.jpg")
    source = photo.decode((tmp_path / "photo.jpg").read_bytes())
    (tmp_path / "copy").write_bytes(photo.encode(source, source.pixels, kind, 3, keep_metadata=True))
    with Image.open(tmp_path / "copy") as copy:
        exif = copy.getexif()
        assert exif[0x110] == "Camera 1" and exif.get_ifd(0x8825)[2] == (48.0, 51.0, 29.0)
        assert exif.get(0x112, 1) == 1
        assert b"Orientation>6" not in (tmp_path / "copy").read_bytes()
        assert "xmp" in {key.lower()[-3:] for key in copy.info}
        assert ImageOps.exif_transpose(copy).size == (360, 270)


def test_png_text_is_left_out(tmp_path: Path) -> None:
    text = PngInfo()
    text.add_text("Comment", "at home")
    picture(0, (64, 48)).save(tmp_path / "photo.png", pnginfo=text)
    source = photo.decode((tmp_path / "photo.png").read_bytes())
    assert b"at home" not in photo.encode(source, source.pixels, "png", 1, keep_metadata=False)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16"])
def test_any_kind_of_photo_is_read_and_a_profile_of_another_kind_dropped(tmp_path: Path, mode: str) -> None:
    image = picture(1, (50, 40))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    file = tmp_path / f"photo.{'tif' if mode in ('CMYK', 'I;16') else 'png'}"
    image.save(file, icc_profile=b"\0" * 16 + b"CMYK" + b"\0" * 120)
    source = photo.decode(file.read_bytes())
    assert source.pixels.shape == (40, 50, 3) and source.profile is None
    copy = photo.encode(source, source.pixels, "png", 1, keep_metadata=False)
    assert not (photo.pixels_of(copy) != source.pixels).any()


@given(seed=st.integers(0, 2**32), height=st.integers(16, 40), width=st.integers(16, 40), eps=st.integers(4, 16))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_jpeg_is_never_further_than_eps_however_wild_the_photo(
    tmp_path: Path, seed: int, height: int, width: int, eps: int
) -> None:
    random = np.random.default_rng(seed)
    pixels = random.choice(np.array([0, 3, 128, 255], np.uint8), (height, width, 3))
    source = photo.Source("", pixels, None, {})
    changed = (pixels + random.integers(-eps, eps + 1, pixels.shape)).clip(0, 255).astype(np.uint8)
    copy = photo.pixels_of(photo.encode(source, changed, "jpeg", eps, keep_metadata=False))
    assert abs(copy.astype(int) - pixels).max() <= eps


def test_a_jpeg_that_cannot_be_exact_says_so(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    source = photo.Source("", pixels, None, {})
    with pytest.raises(photo.Unwritable, match="--format png"):
        photo.encode(source, pixels, "jpeg", 1, keep_metadata=False)


def test_a_folder_goes_on_past_a_bad_file_and_what_is_done_is_skipped(here: Path) -> None:
    (here / "album" / "trip").mkdir(parents=True)
    picture(0, (224, 224)).save(here / "album" / "a.png")
    picture(1, (224, 224)).save(here / "album" / "a.webp", lossless=True)
    picture(2, (230, 224)).save(here / "album" / "trip" / "b.png")
    (here / "album" / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    (here / "album" / "notes.txt").write_text("no photo either")
    said = protect("album --platform weibo --out album/safe", exit_code=1)
    assert "bad.jpg: " in said and "Not protected" in said and "notes" not in said
    out = here / "album" / "safe"
    rows = [json.loads(line) for line in (out / "protected.jsonl").read_text().splitlines()]
    made = {str(Path(row["output"]).relative_to(out)) for row in rows}
    assert made == {"a.png", "a-1.png", "trip/b.png"}
    assert {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()} == made | {"protected.jsonl"}
    times = {row["output"]: Path(row["output"]).stat().st_mtime_ns for row in rows}

    (here / "album" / "bad.jpg").unlink()
    Path(rows[0]["output"]).write_bytes(b"cut off")
    again = json.loads(protect("album --platform weibo --out album/safe --json"))
    assert len(again["photos"]) == 3 and len(again["skipped"]) == 2 and rows[0]["source"] not in again["skipped"]
    assert [Path(each).stat().st_mtime_ns != times[each] for each in times].count(True) == 1
    other = json.loads(protect("album/a.png --platform weibo --out album/safe --json --eps 4"))
    assert not other["skipped"] and other["photos"][0]["output"] == str(out / "a.png")


def test_of_many_photos_a_table_tells_and_a_few_of_the_failures(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("attack.protect.output.FEW", 2)
    monkeypatch.setattr("attack.protect.output.MOST_FAILURES", 1)
    (here / "album").mkdir()
    for number in range(3):
        picture(number, (96, 96)).save(here / "album" / f"{number}.png")
    for number in range(2):
        (here / "album" / f"bad{number}.png").write_bytes(b"no photo")
    protect("album/0.png --platform weibo")
    answer = CliRunner().invoke(comreadv.app, ["protect", "album", "--platform", "weibo"])
    assert answer.exit_code == 1
    table = {line.split("  ")[0].strip(): line.split() for line in answer.stdout.splitlines() if "  " in line}
    assert (table["protected now"][-1], table["done before"][-1], table["not protected"][-1]) == ("2", "1", "2")
    assert table["survive weibo, efficientnet_lite0"][-2:] == ["3", "100.0%"]
    assert "protected.jsonl" in answer.stdout and "the model said" not in answer.stdout
    assert answer.stderr.count("Not protected: ") == 1 and "And 1 more" in answer.stderr


def test_a_record_keeps_no_rows_and_survives_damage(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    row = Protected(
        source=str(tmp_path / "a.png"),
        sha256=hashlib.sha256(b"a").hexdigest(),
        output=str(tmp_path / "out" / "a.png"),
        output_sha256=hashlib.sha256(b"copy").hexdigest(),
        bytes=4,
        width=1,
        height=1,
        eps=5,
        verdicts=(),
        visibility=visibility.Visibility(5, None, 1.0, None, "invisible"),
        settings={"eps": 5},
    )
    (tmp_path / "out").mkdir()
    record = Record(tmp_path / "out")
    record.add(row.model_copy(update={"eps": 1}), b"first")
    record.add(row, b"copy")
    with record.file.open("ab") as file:
        file.write(b'{"source": 7}\n[]\n{"source": "b.png", "out')  # cut off by a kill
    again = Record(tmp_path / "out")
    assert again.file.read_text() == to_json(Protected, row)
    assert again.done(tmp_path / "a.png", {"eps": 5}) == row and again.done(tmp_path / "a.png", {"eps": 6}) is None
    assert all(len(line) == 2 for line in again.lines.values())
    (tmp_path / "a.png").write_bytes(b"another")
    assert again.done(tmp_path / "a.png", {"eps": 5}) is None


def test_neither_the_source_nor_a_strangers_file_is_overwritten(here: Path) -> None:
    picture(0, (96, 96)).save(here / "a.png")
    picture(0, (96, 96)).save(here / "b.bmp")
    (here / "b.png").write_bytes(b"mine")
    before = (here / "a.png").read_bytes()
    rows = json.loads(protect("a.png b.bmp --platform weibo --out . --json"))["photos"]
    assert [Path(row["output"]).name for row in rows] == ["a-1.png", "b-1.png"]
    assert (here / "a.png").read_bytes() == before and (here / "b.png").read_bytes() == b"mine"


def test_the_words_tell_a_person_and_the_goal_and_the_bound_on_visibility_are_kept(here: Path) -> None:
    picture(0, (224, 224)).save(here / "a.png")
    said = protect("a.png --platform weibo --goal targeted --visibility 0.04")
    assert "the model said: “" in said and "by the real codec, identified" in said and "PSNR" in said
    row = json.loads((here / "protected" / "protected.jsonl").read_text())
    verdict = row["verdicts"][0]
    assert verdict["target"] == (verdict["before"]["label"] + 500) % 1000
    assert verdict["survives"] == (verdict["after"]["label"] == verdict["target"])
    assert 1 - row["visibility"]["ssim"] <= 0.04 and 1 <= row["eps"] <= 16
    assert "more than" not in said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("a.png --platform douban", "dvc repro train@douban"),
        ("a.png --platform nosuch", "No platform 'nosuch'"),
        ("a.png --platform weibo --eps 3 --visibility 0.02", "Give one of them"),
        ("a.png --platform weibo --visibility nan", "between 0 and 1"),
        ("a.png --platform weibo --visibility 1", "between 0 and 1"),
        ("a.png --platform weibo --classifier nosuch", "No classifier"),
        ("gone.png --platform weibo", "no photo or folder gone.png"),
        ("empty --platform weibo", "No photo in empty"),
        ("a.png --platform weibo --out a.png", "is a file"),
        ("a.png --platform weibo --models empty", "no model of weibo in empty"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(here: Path, command: str, said: str) -> None:
    picture(0, (64, 64)).save(here / "a.png")
    (here / "empty").mkdir()
    assert said in protect(command, exit_code=1)
    assert not (here / "protected").exists()


def test_a_platform_that_takes_no_png_gets_a_jpeg(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collect.platforms.weibo import Weibo

    picture(0, (96, 96)).save(here / "a.png")
    monkeypatch.setattr(Weibo, "takes", ("jpeg",))
    row = json.loads(protect("a.png --platform weibo --json"))["photos"][0]
    with Image.open(row["output"]) as copy:
        assert copy.format == "JPEG"
    assert "No kind of file suits all" in protect("a.png --platform weibo --format png", exit_code=1)


def test_several_classifiers_and_a_learned_model_are_told_apart(here: Path) -> None:
    guessed = emulator(identified=False)
    (here / "models" / "weibo.emulator.json").unlink()
    checkpoint.save(
        here / "models" / "weibo.safetensors",
        Hybrid(guessed.model_dump(mode="json"), residual=False),
        model="hybrid",
        config={"emulator": guessed.model_dump(mode="json"), "residual": False},
    )
    picture(4, (224, 224)).save(here / "a.png")
    answer = protect("a.png --platform weibo --json --classifier efficientnet_lite0 --classifier efficientnet_lite1")
    verdicts = json.loads(answer)["photos"][0]["verdicts"]
    assert [each["classifier"] for each in verdicts] == ["efficientnet_lite0", "efficientnet_lite1"]
    assert {each["how"] for each in verdicts} == {"by a learned model, not certain"}
    assert all(each["survives"] for each in verdicts)


def test_a_large_photo_survives_what_its_model_does_not_know_too(tmp_path: Path) -> None:
    picture(6, (1500, 1000)).save(tmp_path / "a.png")
    net = classifiers.load("efficientnet_lite0")
    request = ProtectionRequest(goal="untargeted", eps=5, visibility=None, kind="png", keep_metadata=False)
    through = [Processing("weibo", emulator(), torch.nn.Identity())]
    protector = Protector(request, through, {"efficientnet_lite0": net}, {})
    made, encoded = protector.protect((tmp_path / "a.png").read_bytes(), "a.png", "b.png")
    copy = photo.pixels_of(encoded)
    assert made.survives
    for chain in ("width:690+jpeg:75", "fit:1000+webp:75"):
        served = from_pixels(emulator(chain)(Image.fromarray(copy)))[None] / 255
        assert int(net(shrink(served, net)).argmax()) != made.verdicts[0].before.label


def test_the_small_images_change_is_added_within_its_bounds() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    net = classifiers.load("efficientnet_lite0")
    model = FullResolution(pixels, (224, 224), [], [net])
    moved = ((model.small * 255).round() + torch.randint(-5, 6, model.small.shape)).clamp(0, 255) / 255
    change = model.copy(moved).astype(int) - pixels
    assert 0 < abs(change).max() <= 5
    assert not (model.copy(model.small) != pixels).any()


def test_the_working_size_is_what_the_classifier_can_see() -> None:
    assert working_size([(300, 400)], (300, 400), 224) == (300, 400)
    assert working_size([(300, 400), (150, 200)], (3000, 4000), 224) == (300, 400)
    assert working_size([(1500, 2000)], (3000, 4000), 224) == (224, 224)
    assert working_size([(100, 2000)], (100, 2000), 224) == (100, 224)


@pytest.mark.parametrize("chain", ["width:300+sharpen:0.5+jpeg:60:420", "width:300+webp:40:m4", "jp2:20"])
def test_a_com_model_answers_large_images_in_tiles_as_it_would_whole(
    chain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = emulator(chain).model_dump(mode="json") | {"identified": False}
    model = Hybrid(known).eval().requires_grad_(False)
    assert model.residual is not None
    torch.nn.init.normal_(model.residual.net.head.weight, std=1e-3)
    image = from_pixels(picture(2, (330, 250)))[None] / 255
    whole = model(image)
    monkeypatch.setattr("attack.protect.photo_model.MAX_UNTILED_PIXELS", 0)
    monkeypatch.setattr("attack.protect.photo_model.TILE", 96)
    assert torch.allclose(respond(model, image), whole, atol=0.6 / 255)


@pytest.mark.parametrize("height", [16, 255, 256, 262, 263, 600])
def test_ssim_by_strips_is_scikit_images(height: int) -> None:
    random = np.random.default_rng(height)
    first = random.integers(0, 256, (height, 40, 3), dtype=np.uint8)
    second = (first + random.integers(0, 9, first.shape)).clip(0, 255).astype(np.uint8)
    assert visibility.ssim(first, second) == pytest.approx(structural_similarity(first, second, channel_axis=2))


def test_lpips_is_left_out_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert visibility.lpips(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)) is None


@pytest.mark.slow
def test_five_megapixels_need_little_memory(here: Path) -> None:
    phone_photo(here / "photo.jpg", (2600, 1950))
    program = [str(Path(sys.executable).parent / "comreadv"), "protect", "photo.jpg", "--platform", "weibo", "--json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        answer = json.loads(run.stdout.read())
        _, status, usage = os.wait4(run.pid, 0)  # of this child alone
    assert status == 0 and answer["photos"][0]["survives"]
    assert usage.ru_maxrss < 2 * 2**20  # KiB, of which libraries take 0.6 million


@pytest.mark.browser
def test_the_site_serves_what_the_verdict_says(here: Path) -> None:
    phone_photo(here / "photo.jpg", (900, 600))
    row = json.loads(protect("photo.jpg --platform weibo --json"))["photos"][0]
    copy = Path(row["output"])
    rows = params.load(here / "params.yaml")
    with sandbox.serve("weibo", state=here / "site") as origin:
        sent = [Original.of(copy, "test/photo.png")]
        round_trip("weibo", rows, sent, here / "trip", generation=1, origin=origin)
    downloaded = here / "trip" / read_round_trips(here / "trip")[0].file
    net = classifiers.load("efficientnet_lite0")
    answer = int(net(read_image(downloaded)[None] / 255).argmax())
    assert answer == row["verdicts"][0]["after"]["label"] != row["verdicts"][0]["before"]["label"]


def test_decoding_for_the_pipeline_is_as_it_was(tmp_path: Path) -> None:
    phone_photo(tmp_path / "photo.jpg")
    image = images.decode((tmp_path / "photo.jpg").read_bytes())
    assert image.info == {} and image.size == (360, 270)
