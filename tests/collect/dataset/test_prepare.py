"""Stage prepare: splits by photo, the manifest, what is set aside, and the same bytes every time."""

import errno
import hashlib
import json
import shutil
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_ilsvrc import CLASSES, SYNSETS, TRUTH, image_name, picture, write_devkit, write_images
from typer.testing import CliRunner

import params
from collect.command_line import command_line
from collect.commands import prepare as command
from collect.dataset.manifest import SPLITS, Prepared, read_manifest
from collect.dataset.photos import Photo, shape
from collect.dataset.prepare import prepare, share_out
from collect.images import decode
from params import UserError


def write_photo(file: Path, seed: int, width: int = 40, height: int = 30) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(10):
        write_photo(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path / "photos"


def settings(root: Path, **changes: object) -> params.Dataset:
    return params.Dataset.model_validate({"name": "folder", "root": root, "size": 24} | changes)


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]


def test_a_full_disk_is_a_user_error_and_leaves_what_was_there(photos: Path, small_disk: Path) -> None:
    out = small_disk / "images"
    prepare(settings(photos), out)
    before = tree(small_disk)
    with pytest.raises(UserError, match=r"images.part can't be read or written: No space left on device. Make room"):
        prepare(settings(photos, size=300), out)
    assert tree(small_disk) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_images_that_cannot_be_replaced_stay(
    number: int, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = tmp_path / "images", Path.rename
    prepare(settings(photos), out)
    before = tree(out)

    def failing(source: Path, target: Path) -> Path:
        if source.name == ".images.part":
            raise OSError(number, "so it is")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="so it is"):
        prepare(settings(photos, size=32), out)
    assert tree(out) == before


def test_images_and_manifest_agree(photos: Path, tmp_path: Path) -> None:
    write_photo(photos / "n02119789" / "fox.png", 77)
    out = tmp_path / "deep" / "images"
    summary = prepare(settings(photos), out)
    rows = read_manifest(out)
    assert rows == summary.images == sorted(rows, key=lambda row: row.name)
    assert {row.name for row in rows} == set(tree(out)) - {"manifest.jsonl"}
    assert Counter(row.split for row in rows) == {"train": 6, "validation": 1, "test": 4}
    for row in rows:
        file = out / row.name
        assert file.parent.name == row.split and row.crop is None
        assert hashlib.sha256(file.read_bytes()).hexdigest() == row.sha256
        with Image.open(file) as image, Image.open(photos / row.source) as photo:
            assert (image.format, image.mode, image.size, image.info) == ("PNG", "RGB", (24, 24), {})
            assert image.tobytes() == photo.resize((24, 24), Image.Resampling.BICUBIC).tobytes()
        assert row.label == (278 if row.source == "n02119789/fox.png" else None)
    assert {tuple(line) for line in lines(out)} == {("name", "split", "source", "label", "sha256", "crop")}


def test_two_runs_are_byte_identical_whatever_the_place_and_order(photos: Path, tmp_path: Path) -> None:
    prepare(settings(photos), tmp_path / "one")
    elsewhere = tmp_path / "elsewhere"
    for path in sorted(photos.iterdir(), reverse=True):
        elsewhere.mkdir(exist_ok=True)
        shutil.copy(path, elsewhere / path.name)
    prepare(settings(elsewhere), tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    prepare(settings(photos, seed=2013), tmp_path / "three")
    assert tree(tmp_path / "one").keys() != tree(tmp_path / "three").keys()


def test_the_split_of_a_seed_is_the_same_for_ever(photos: Path, tmp_path: Path) -> None:
    summary = prepare(settings(photos), tmp_path / "out")
    assert [row.name for row in summary.images if row.split != "train"] == [
        "test/2.png",
        "test/3.png",
        "test/4.png",
        "test/7.png",
        "validation/8.png",
    ]


def test_sample_crops_stay_with_their_photo(tmp_path: Path) -> None:
    sample = params.Dataset(size=32, crops=4)
    rows = prepare(sample, tmp_path / "one").images
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row.source, set()).add(row.split)
    assert len(splits) == 30 and all(len(found) == 1 for found in splits.values())
    assert Counter(row.split for row in rows) == {"train": 15 * 4, "validation": 3 * 4, "test": 12}
    assert all(row.crop is None for row in rows if row.split == "test")
    cut = next(row for row in rows if row.name.endswith("-c03.png"))
    assert cut.crop is not None
    package, _, path = cut.source.partition(":")
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    original = Path(spec.origin).parent / path
    left, top, width, height = cut.crop
    photo = decode(original.read_bytes())
    expected = photo.resize((32, 32), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    with Image.open(tmp_path / "one" / cut.name) as image:
        assert image.tobytes() == expected.tobytes()
    prepare(sample, tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_only_the_sample_is_multiplied(photos: Path, tmp_path: Path) -> None:
    assert len(prepare(settings(photos, crops=12), tmp_path / "out").images) == 10
    assert len(prepare(params.Dataset(size=16, crops=0), tmp_path / "sample").images) == 30


def test_bad_files_are_set_aside_with_the_reason(photos: Path, tmp_path: Path) -> None:
    whole = (photos / "0.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "notes.txt").write_text("not a photo")
    write_photo(photos / "tiny.png", 5, 8, 8)
    (photos / "gone.png").symlink_to("nowhere.png")
    (photos / "sub").mkdir()
    (photos / "sub" / "copy.png").write_bytes(whole)
    summary = prepare(settings(photos), tmp_path / "out")
    assert len(summary.images) == 10
    reasons = {row.source: row.set_aside for row in summary.set_aside}
    same = ({"0.png", "sub/copy.png"} & set(reasons)).pop()  # one of the two, whichever came first
    assert reasons.pop(same) == f"the same picture as {({'0.png', 'sub/copy.png'} - {same}).pop()}"
    expected = {
        "cut.png": "truncated",
        "empty.jpg": "empty",
        "notes.txt": "not a",
        "tiny.png": "small",
        "gone.png": "No such file",
    }
    assert reasons.keys() == expected.keys()
    assert all(expected[source] in reason for source, reason in reasons.items())
    assert [line for line in lines(tmp_path / "out") if "set_aside" in line] == [
        {"source": row.source, "set_aside": row.set_aside} for row in summary.set_aside
    ]


def test_same_names_in_other_folders_and_formats_stay_apart(tmp_path: Path) -> None:
    for place, name in enumerate(["a/cat.png", "b/cat.png", "b/CAT.bmp", "b/猫.png", "b/犬.png", "été 1.png"]):
        write_photo(tmp_path / "photos" / name, place)
    rows = prepare(settings(tmp_path / "photos"), tmp_path / "out").images
    assert len({row.name.casefold() for row in rows}) == 6
    assert {row.source for row in rows} >= {"a/cat.png", "b/CAT.bmp", "b/猫.png"}
    assert "ete-1.png" in {Path(row.name).name for row in rows}


def test_fit_crop_takes_the_centre(tmp_path: Path) -> None:
    image = Image.new("RGB", (90, 30), "black")
    image.paste("white", (30, 0, 60, 30))
    (tmp_path / "photos").mkdir()
    image.save(tmp_path / "photos" / "wide.png")
    (row,) = prepare(settings(tmp_path / "photos", fit="crop"), tmp_path / "out").images
    with Image.open(tmp_path / "out" / row.name) as cropped:
        resized = image.resize((72, 24), Image.Resampling.BICUBIC)
        assert cropped.tobytes() == resized.crop((24, 0, 48, 24)).tobytes()


def test_whole_numbers_read_no_more_photos_than_needed(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"bad")
    split = {"train": 3, "validation": 1, "test": 2}
    summary = prepare(settings(photos, split=split), tmp_path / "out")
    assert Counter(row.split for row in summary.images) == split
    everything = {"train": 7, "validation": 1, "test": 2}  # the bad one must not count
    assert len(prepare(settings(photos, split=everything), tmp_path / "all").images) == 10


def test_too_few_photos_tells_both_numbers(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"bad")
    for train, there in ((100, 11), (8, 10)):  # seen at once; seen once the bad photo is known
        split = {"train": train, "validation": 1, "test": 2}
        with pytest.raises(UserError, match=f"asks for {train + 3} photos and {there} can be used"):
            prepare(settings(photos, split=split), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_no_photos_or_none_that_is_good(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="No images found in"):
        prepare(settings(tmp_path / "photos"), tmp_path / "out")
    (tmp_path / "photos" / "bad.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"None of the 1 files.*bad\.png: an empty file"):
        prepare(settings(tmp_path / "photos"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@hypothesis.settings(deadline=None)
@given(st.integers(0, 60), st.lists(st.integers(0, 100), min_size=3, max_size=3))
def test_shares(photos: int, parts: list[int]) -> None:
    whole = max(sum(parts), 100)
    split = params.Split.model_validate({name: float(part) / whole for name, part in zip(SPLITS, parts, strict=True)})
    counts = share_out(split, photos)
    assert all(count >= 0 for count in counts.values()) and sum(counts.values()) <= photos
    for name, part in zip(SPLITS, parts, strict=True):
        assert abs(counts[name] - photos * part / whole) <= 2
        assert photos < 3 or (counts[name] > 0) == (part > 0) or photos * part / whole > 0.4


def test_shares_of_the_default_split() -> None:
    assert share_out(params.Split(), 800) == {"train": 400, "validation": 80, "test": 320}
    assert share_out(params.Split(), 3) == {"train": 1, "validation": 1, "test": 1}
    assert share_out(params.Split(train=0.1, validation=0.1, test=0.1), 3) == dict.fromkeys(SPLITS, 1)
    assert share_out(params.Split(train=0.25, validation=0.0, test=0.25), 8) == {
        "train": 2,
        "validation": 0,
        "test": 2,
    }


def test_failed_run_leaves_the_old_output(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    prepare(settings(photos), out)
    before = tree(out)

    def interrupted(*_: object) -> Image.Image:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("collect.dataset.prepare.shape", interrupted)
        prepare(settings(photos, size=16), out)
    assert tree(out) == before
    (tmp_path / ".out.part").mkdir()  # as kill -9 leaves it
    (tmp_path / ".out.part" / "stale.png").write_bytes(b"")
    prepare(settings(photos, size=16), out)
    assert tree(out).keys() == before.keys() and tree(out) != before
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "out"}


def test_never_replaces_what_it_did_not_make(photos: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    for out in (photos, photos / "out", tmp_path):
        with pytest.raises(UserError, match="overlap"):
            prepare(settings(photos), out)
    others = tmp_path / "others"
    write_photo(others / "train" / "one.png", 1)
    with pytest.raises(UserError, match="was not made by prepare"):
        prepare(settings(photos), others)
    (others / "manifest.jsonl").write_text("")
    (others / "round_trips").mkdir()
    with pytest.raises(UserError, match="was not made by prepare"):
        prepare(settings(photos), others)
    with pytest.raises(UserError, match="was not made by prepare"):
        prepare(settings(photos), others / "manifest.jsonl")
    shutil.rmtree(others)
    assert tree(tmp_path) == before


def test_ilsvrc_splits_the_same_from_archive_and_tree(tmp_path: Path) -> None:
    archives, prepared = tmp_path / "archives", tmp_path / "tree"
    archives.mkdir()
    write_images(archives)
    write_devkit(archives)
    for number, synset in enumerate(TRUTH, 1):
        file = prepared / "val" / SYNSETS[synset] / image_name(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
    split = {"train": 3, "validation": 1, "test": 1}
    rows = prepare(settings(archives, name="ilsvrc", split=split), tmp_path / "one").images
    assert [(row.name, row.label) for row in rows] == [
        (row.name, row.label)
        for row in prepare(settings(prepared, name="ilsvrc", split=split), tmp_path / "two").images
    ]
    for row in rows:
        number = int(row.name[-8 - 4 : -4])
        assert row.label == CLASSES[number - 1]
        with Image.open(tmp_path / "one" / row.name) as image:
            photo = decode(Photo("", "", prepared / "val" / SYNSETS[TRUTH[number - 1]] / image_name(number)).read())
            assert image.tobytes() == shape(photo, 24, "squash").tobytes()


APP = command_line(command.prepare)
GOOD = {"name": "test/a.png", "split": "test", "source": "a", "label": 3, "sha256": "0", "crop": [1, 2, 3, 4]}


def test_manifest_is_read_strictly(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="comreadv prepare"):
        read_manifest(tmp_path)
    file = tmp_path / "manifest.jsonl"
    aside = {"source": "b", "set_aside": "an empty file"}
    file.write_text(f"{json.dumps(GOOD)}\n{json.dumps(aside)}\n")
    assert read_manifest(tmp_path) == [Prepared("test/a.png", "test", "a", 3, "0", (1, 2, 3, 4))]
    for change in ({"label": "3"}, {"split": "tset"}, {"crop": [1, 2]}, {"crops": None}, {"set_aside": "x"}):
        file.write_text(f"{json.dumps(GOOD)}\n{json.dumps(GOOD | change)}\n")
        with pytest.raises(UserError, match="line 2"):
            read_manifest(tmp_path)


@hypothesis.settings(deadline=None)
@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode))
def test_no_manifest_crashes_its_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    good = json.dumps(GOOD).encode()
    for manifest in (data, good[: len(data)] + data + good[len(data) :]):
        (folder / "manifest.jsonl").write_bytes(good + b"\n" + manifest)
        try:
            rows = read_manifest(folder)
        except UserError as told:
            assert "line " in str(told)
        else:
            assert all(isinstance(row, Prepared) for row in rows)


@pytest.fixture
def params_file(tmp_path: Path) -> Path:
    file = tmp_path / "params.yaml"
    shipped = (Path(__file__).parents[3] / "params.yaml").read_text(encoding="utf-8")
    old = "  root: null          # where folder"
    assert shipped.count("  name: sample ") == shipped.count(old) == 1
    file.write_text(
        shipped.replace("  name: sample ", "  name: ilsvrc ").replace(old, "  root: nowhere  # where folder")
    )
    return file


def test_command_overrides_the_settings_and_sums_up(photos: Path, tmp_path: Path, params_file: Path) -> None:
    (photos / "bad.png").write_bytes(b"")
    out = tmp_path / "out"
    arguments = ["--params", params_file, "--dataset", "folder", "--root", photos, "--size", 16, "--out", out]
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "10 photos, 0 labelled; images: 5 train, 1 validation, 4 test; 1 photos set aside" in result.stdout
    assert "bad.png: an empty file" in result.stdout
    with Image.open(out / read_manifest(out)[0].name) as image:
        assert image.size == (16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nowhere is not a folder"),
        (["--dataset", "imagenet"], "name: Input should be 'sample', 'folder' or 'ilsvrc'"),
        (["--size", "3"], "size: Input should be greater than or equal to 16"),
        (["--params", "gone.yaml"], "gone.yaml is not here"),
    ],
)
def test_command_tells_what_is_wrong(params_file: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(APP, ["--params", str(params_file), *arguments])
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())
