"""A served file is known by its look, through codecs, resizing and watermarks; another picture is not taken for it."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from collect.codecs.chain import encode
from collect.round_trip import Original
from collect.round_trip.thumbnail_index import ThumbnailIndex
from collect.thumbnails import (
    LOOKALIKE_DISTANCE,
    MAX_DISTANCE,
    Thumbnail,
    distance,
    match_thumbnails,
    read_thumbnail,
    shows,
)

Change = Callable[[Image.Image], Image.Image]


def of(image: Image.Image, folder: Path) -> Thumbnail:
    file = folder / "changed.png"
    image.save(file)
    return read_thumbnail(file)


def thumbnails(originals: Sequence[Original]) -> list[Thumbnail]:
    return [read_thumbnail(each.path) for each in originals]


def recoded(codec: str) -> Change:
    return lambda image: Image.open(io.BytesIO(encode(image, codec)))


def marked(image: Image.Image) -> Image.Image:
    """Write whose it is into a corner, as Weibo does."""
    image = image.resize((512, 512), Image.Resampling.BICUBIC)
    ImageDraw.Draw(image).text((340, 470), "@somebody", fill="white", font=ImageFont.load_default(32))
    return image


CHANGES: dict[str, Change] = {
    "JPEG": recoded("jpeg:25"),
    "WebP": recoded("webp:25"),
    "JPEG 2000": recoded("jp2:20"),
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "larger": lambda image: image.resize((150, 150), Image.Resampling.BICUBIC),
    "a pixel off": lambda image: image.crop((1, 1, image.width - 1, image.height - 1)),
    "watermark": marked,
    "small and recoded": lambda image: recoded("jpeg:50:420")(image.resize((40, 40), Image.Resampling.BICUBIC)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_platforms_do_to_an_image_does_not_hide_it(photos, workplace: Path, change: Change) -> None:
    originals = photos(12)
    known = thumbnails(originals)
    for at, each in enumerate(originals):
        with Image.open(each.path) as image:
            served = of(change(image.convert("RGB")), workplace)
        assert shows(served, known[at], known[:at] + known[at + 1 :])
        assert [shows(served, other, known) for other in known].count(True) == 1  # and no other is taken for it


FOREIGN: dict[str, Callable[[Image.Image], Image.Image]] = {
    "blank": lambda image: Image.new("RGB", image.size, (238, 238, 238)),
    "its mean colour": lambda image: image.resize((1, 1), Image.Resampling.BOX).resize(image.size),
    "upside down": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "negative": lambda image: image.point(lambda value: 255 - value),
    "another's": lambda image: Image.fromarray(
        np.random.default_rng(99).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    ).resize(image.size, Image.Resampling.BICUBIC),
    "its left half": lambda image: image.crop((0, 0, image.width // 2, image.height)).resize(image.size),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN.keys())
def test_another_picture_is_not_taken_for_it(photos, workplace: Path, change: Change) -> None:
    originals = photos(8)
    known = thumbnails(originals)
    for own, each in zip(known, originals, strict=True):
        with Image.open(each.path) as image:
            served = of(change(image.convert("RGB")), workplace)
        assert not shows(served, own, known)
        assert match_thumbnails([served], known) == {}


def test_a_near_likeness_is_told_from_the_image_by_being_nearer(photos, workplace: Path) -> None:
    own = read_thumbnail(photos(1)[0].path)
    like = own + np.float32(6)  # within what a codec may do
    assert shows(like, own, [])
    assert not shows(like, own, [like])
    barely = own + np.float32(1)
    assert shows(barely, own, [own, barely])  # nobody can tell


def test_a_grey_image_and_one_with_a_palette_have_looks_too(photos, workplace: Path) -> None:
    with Image.open(photos(1)[0].path) as image:
        grey, palette = image.convert("L"), image.convert("RGB").quantize(256)
        assert of(grey, workplace).shape == of(palette, workplace).shape == (16, 16, 3)
        assert distance(of(palette, workplace), of(image, workplace)) < MAX_DISTANCE


def test_a_large_jpeg_looks_as_its_small_copy(photos, workplace: Path) -> None:
    with Image.open(photos(1)[0].path) as image:
        large = image.convert("RGB").resize((1600, 1200), Image.Resampling.BICUBIC)
    large.save(workplace / "large.jpg", quality=90)  # read at a part of its size
    assert distance(read_thumbnail(workplace / "large.jpg"), of(large, workplace)) < 1


def test_files_are_matched_in_any_order_and_foreigners_left_out(photos, workplace: Path) -> None:
    originals = photos(20)
    known = thumbnails(originals)
    order = np.random.default_rng(5).permutation(20)
    served = []
    for at in order:
        with Image.open(originals[at].path) as image:
            served.append(of(recoded("jpeg:50")(image.convert("RGB")), workplace))
    assert match_thumbnails(served, known) == dict(enumerate(order.tolist()))
    foreign = [of(change(Image.open(originals[0].path).convert("RGB")), workplace) for change in FOREIGN.values()]
    mixed = [*foreign[:3], *served[:10], *foreign[3:], *served[10:]]
    places = [*range(3, 13), *range(13 + len(foreign) - 3, 13 + len(foreign) - 3 + 10)]
    assert match_thumbnails(mixed, known) == dict(zip(places, order.tolist(), strict=True))


def test_of_a_duplicate_one_is_matched_and_of_what_is_missing_none(photos, workplace: Path) -> None:
    known = thumbnails(photos(5))
    found = match_thumbnails([known[2], known[2], known[4]], known)
    assert found in ({0: 2, 2: 4}, {1: 2, 2: 4})
    assert match_thumbnails([known[3]], known) == {0: 3}


def test_images_made_at_random_are_not_alike(photos, workplace: Path) -> None:
    known = thumbnails(photos(10))
    assert min(distance(one, two) for at, one in enumerate(known) for two in known[:at]) > LOOKALIKE_DISTANCE


def test_hundreds_of_looks_are_kept_and_told_apart(workplace: Path) -> None:
    files = {f"{number:03}": workplace / f"{number:03}.png" for number in range(300)}
    for number, file in enumerate(files.values()):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((16, 16), Image.Resampling.BICUBIC).save(file)
    index = ThumbnailIndex(files)
    first = index.of("000")
    for each, file in files.items():
        assert index.shown_by(read_thumbnail(file), each)
        assert each == "000" or not index.shown_by(read_thumbnail(file), "000")
    assert np.array_equal(first, read_thumbnail(files["000"])) and np.array_equal(index.of("000"), first)
    assert np.array_equal(index.of("299"), read_thumbnail(files["299"]))
