"""The benchmark's distortions, on photos that stand in installed packages: match, place, mask, refuse."""

from pathlib import Path

import numpy as np
import pytest
from distorted import Distorted, corner_error, distort, on_original
from PIL import Image
from skimage import data

from pairing.alignment.align import measure_pair, read_aligned, read_pixels
from pairing.alignment.mask import mask_from_png
from pairing.matching import match
from params import Pairing

PHOTOS = {name: Image.fromarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distorted")
    for name, photo in PHOTOS.items():
        photo.save(folder / f"{name}.png", compress_level=1)
    return folder


def test_shuffled_and_distorted_files_find_their_originals_and_foreign_ones_none(folder: Path) -> None:
    made: dict[str, tuple[str | None, Distorted]] = {}
    for place, name in enumerate(("chelsea", "rocket", "astronaut", "coffee")):
        original = None if name == "coffee" else name  # no original of it is given
        made[f"{place}.jpg"] = (original, distort(PHOTOS[name], np.random.default_rng(place + 3)))
    for file, (_, distorted) in made.items():
        (folder / file).write_bytes(distorted.file)
    originals = [folder / f"{name}.png" for name in ("astronaut", "chelsea", "rocket")]
    marked = 0
    for each in match(originals, [folder / file for file in made], Pairing()):
        name, distorted = made[each.rendition.name]
        if name is None:
            assert each.original is None and each.reason and each.reason.startswith("another picture")
            continue
        assert each.original == folder / f"{name}.png" and each.measured and each.measured.alignment
        assert corner_error(each.measured.alignment.box, distorted.box) < 0.1
        assert each.measured.alignment.kernel == distorted.kernel
        assert bool(each.measured.watermark) == (distorted.stamped is not None)
        if distorted.stamped is not None:
            assert each.measured.mask
            stamped = on_original(distorted.stamped, distorted.box, PHOTOS[name].size)
            mask = mask_from_png(each.measured.mask)
            assert mask[stamped].mean() >= 0.99 and mask[~stamped].mean() <= 0.06
            marked += 1
    assert marked


def test_a_file_that_is_there_twice_is_a_duplicate(folder: Path) -> None:
    photo = PHOTOS["chelsea"]
    photo.save(folder / "once.jpg", quality=80)
    photo.save(folder / "twice.jpg", quality=60)
    Image.new("RGB", (300, 200), "grey").save(folder / "blank.jpg")
    (folder / "broken.jpg").write_bytes(b"<html>")
    files = [folder / f"{name}.jpg" for name in ("twice", "once", "blank", "broken")]
    found = match([folder / "chelsea.png", folder / "coffee.png"], files, Pairing())
    assert [each.original for each in found] == [None, folder / "chelsea.png", None, None]
    reasons = [each.reason.partition(":")[0] if each.reason else None for each in found]
    assert reasons == ["a duplicate", None, "a blank placeholder", "unreadable"]


@pytest.mark.parametrize(("eps", "name"), [(5, "photo"), (1, None)])
def test_a_variant_of_a_photo_is_told_apart_or_called_ambiguous(tmp_path: Path, eps: int, name: str | None) -> None:
    pixels = np.asarray(PHOTOS["chelsea"])
    signs = eps * np.random.default_rng(0).choice([-1, 1], pixels.shape)
    PHOTOS["chelsea"].save(tmp_path / "photo.png")
    PHOTOS["chelsea"].save(tmp_path / "served.jpg", quality=60)
    Image.fromarray((pixels + signs).clip(0, 255).astype(np.uint8)).save(tmp_path / "variant.png")
    originals = [tmp_path / "photo.png", tmp_path / "variant.png"]
    (found,) = match(originals, [tmp_path / "served.jpg"], Pairing())
    assert found.original == (tmp_path / f"{name}.png" if name else None)
    assert name or (found.reason and found.reason.startswith("ambiguous"))


@pytest.mark.parametrize("codec", [{"format": "JPEG", "quality": 20}, {"format": "WEBP", "quality": 40}])
def test_a_clean_rendition_has_no_mask_and_the_plain_residual(folder: Path, codec: dict) -> None:
    file = folder / "clean"
    PHOTOS["rocket"].save(file, **codec)
    measured = measure_pair(folder / "rocket.png", file, Pairing())
    assert measured.reason is None and measured.mask is None and measured.watermark == 0
    difference = np.abs(read_pixels(folder / "rocket.png").astype(int) - read_pixels(file))
    assert measured.residual == pytest.approx(difference.mean())


def test_an_aligned_rendition_lies_on_its_original(folder: Path) -> None:
    photo = PHOTOS["coffee"]  # 600x400
    photo.transpose(Image.Transpose.ROTATE_90).crop((2, 4, 400, 600)).save(folder / "turned.png")
    measured = measure_pair(folder / "coffee.png", folder / "turned.png", Pairing())
    assert measured.reason is None and measured.alignment and measured.mask
    laid, shown = read_aligned(folder / "turned.png", photo.size, measured.alignment), ~mask_from_png(measured.mask)
    assert np.array_equal(laid[shown], np.asarray(photo)[shown])
    assert shown.sum() == 398 * 596


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda photo: photo.crop((80, 0, 600, 400)), "cropped by more than 10% of a side"),
        (lambda photo: padded(photo, 90), "padded by more than 10% of a side"),
        (lambda photo: covered(photo), "too much is covered"),
        (lambda photo: photo.resize((500, 400)), "stretched"),
        (lambda photo: photo.point(lambda level: level // 3), "too far off"),
        (lambda _: PHOTOS["rocket"], "another picture"),
        (lambda photo: Image.new("RGB", photo.size, (238, 238, 238)), "a blank placeholder"),
    ],
)
def test_each_reason_is_told_apart(folder: Path, spoil, reason: str) -> None:
    spoil(PHOTOS["coffee"]).save(folder / "spoilt.jpg", quality=85)
    told = measure_pair(folder / "coffee.png", folder / "spoilt.jpg", Pairing()).reason
    assert told is not None and told.partition(":")[0] == reason


def padded(photo: Image.Image, edge: int) -> Image.Image:
    page = Image.new("RGB", (photo.width, photo.height + 2 * edge))
    page.paste(photo, (0, edge))
    return page


def covered(photo: Image.Image) -> Image.Image:
    photo = photo.copy()
    photo.paste((128, 128, 128), (40, 40, 390, 250))
    return photo


def test_a_blank_original_is_never_paired(folder: Path) -> None:
    Image.new("RGB", (64, 64), "navy").save(folder / "navy.png")
    told = measure_pair(folder / "navy.png", folder / "navy.png", Pairing()).reason
    assert told is not None and told.startswith("the original is blank")
