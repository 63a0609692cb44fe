"""Decoding: every odd kind of image against known pixels, and nothing that crashes."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms

from collect.dataset.photos import Photo, crop_boxes, in_seeded_order, shape
from collect.images import Unusable, decode

RED, GREEN, BLUE, YELLOW = (220, 30, 20), (20, 180, 40), (30, 40, 200), (230, 220, 30)


def quadrants(width: int = 48, height: int = 32) -> Image.Image:
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def difference(one: Image.Image, other: Image.Image) -> int:
    assert (one.mode, one.size) == ("RGB", other.size)
    return int(np.abs(np.asarray(one, int) - np.asarray(other.convert("RGB"), int)).max())


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def reason(data: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        decode(data)
    return str(caught.value)


STORED = {  # EXIF orientation: how a camera stores the upright pixels
    1: lambda up: up,
    2: np.fliplr,
    3: lambda up: np.rot90(up, 2),
    4: np.flipud,
    5: lambda up: up.transpose(1, 0, 2),
    6: lambda up: np.rot90(up, 1),
    7: lambda up: np.rot90(up, 2).transpose(1, 0, 2),
    8: lambda up: np.rot90(up, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 100, "subsampling": 0}, 3),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 3),
    ],
)
def test_exif_orientation_is_applied_once(
    orientation: int, kind: str, options: dict[str, object], tolerance: int
) -> None:
    upright = quadrants()
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](np.asarray(upright))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert difference(decode(saved(stored, kind, exif=exif.tobytes(), **options)), upright) <= tolerance


@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0rubbish", b"Exif\0\0"])
def test_broken_exif_does_not_spoil_a_photo(exif: bytes) -> None:
    assert difference(decode(saved(quadrants(), "PNG", exif=exif)), quadrants()) == 0


def without_adobe_mark(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4]) :]


def test_cmyk_jpeg_of_adobe_is_inverted_back() -> None:
    cmyk = quadrants().convert("CMYK")
    assert difference(decode(saved(cmyk, "JPEG", quality=100)), quadrants()) <= 3


def test_cmyk_jpeg_without_adobe_mark_is_as_it_stands() -> None:
    stored = ImageChops.invert(quadrants().convert("CMYK"))  # Pillow inverts what it writes
    assert difference(decode(without_adobe_mark(saved(stored, "JPEG", quality=100))), quadrants()) <= 3


def test_ycck_jpeg() -> None:
    cmyk = quadrants().convert("CMYK")
    planes = Image.merge("RGB", cmyk.split()[:3]).convert("YCbCr").split()
    stored = Image.merge("CMYK", (*(ImageChops.invert(plane) for plane in planes), cmyk.getchannel("K")))
    jpeg = bytearray(saved(stored, "JPEG", quality=100))
    jpeg[jpeg.index(b"Adobe") + 11] = 2  # the transform: YCCK
    with Image.open(BytesIO(jpeg)) as opened:
        assert (opened.mode, opened.info["adobe_transform"]) == ("CMYK", 2)
    assert difference(decode(bytes(jpeg)), quadrants()) <= 4


def test_cmyk_tiff() -> None:
    assert difference(decode(saved(quadrants().convert("CMYK"), "TIFF")), quadrants()) <= 1


def test_palette_with_and_without_transparency() -> None:
    flat = quadrants().quantize(4)
    assert difference(decode(saved(flat, "PNG")), quadrants()) <= 1
    place = flat.getpixel((0, 0))
    expected = quadrants()
    expected.paste("white", (0, 0, 24, 16))
    for kind in ("PNG", "GIF"):
        assert difference(decode(saved(flat, kind, transparency=place)), expected) <= 1, kind
    alphas = bytes(0 if index == place else 255 for index in range(4))
    assert difference(decode(saved(flat, "PNG", transparency=alphas)), expected) <= 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    image = quadrants().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 128))
    expected = Image.fromarray(np.uint8(np.round(np.asarray(quadrants()) * (128 / 255) + 255 * (127 / 255))))
    assert difference(decode(saved(image, kind, lossless=True)), expected) <= 1


def test_grey_with_alpha_and_grey_with_a_transparent_value() -> None:
    grey = quadrants().convert("L")
    see_through = Image.merge("LA", (grey, Image.new("L", grey.size, 0)))
    assert difference(decode(saved(see_through, "PNG")), Image.new("RGB", grey.size, "white")) == 0
    expected = grey.point(lambda value: 255 if value == grey.getpixel((0, 0)) else value)
    assert difference(decode(saved(grey, "PNG", transparency=grey.getpixel((0, 0)))), expected) == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "PPM", "BMP", "JPEG2000", "AVIF"])
def test_grey(kind: str) -> None:
    grey = Image.linear_gradient("L").resize((32, 32))
    assert difference(decode(saved(grey, kind, quality=100, lossless=True)), grey) <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "GIF"])
def test_one_bit(kind: str) -> None:
    bits = Image.linear_gradient("L").resize((32, 32)).convert("1")
    assert difference(decode(saved(bits, kind)), bits) == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    wide = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    expected = Image.fromarray(np.uint8(np.round(wide / 257)))
    assert difference(decode(saved(Image.fromarray(wide), kind)), expected) == 0


def test_sixteen_bit_big_endian_tiff() -> None:
    wide = np.linspace(0, 65535, 32 * 32).astype(">u2").reshape(32, 32)
    image = Image.frombytes("I;16B", (32, 32), wide.tobytes())
    assert difference(decode(saved(image, "TIFF")), Image.fromarray(np.uint8(np.round(wide / 257)))) == 0


def test_sixteen_bit_colour() -> None:
    wide = np.asarray(quadrants(), np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    assert difference(decode(png(48, 32, 16, 2, rows)), quadrants()) == 0


@pytest.mark.parametrize("mode", ["F", "I"])
def test_thirty_two_bits_have_no_known_range(mode: str) -> None:
    assert "32-bit" in reason(saved(Image.new(mode, (32, 32), 1), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_first_frame_counts(kind: str) -> None:
    second = Image.new("RGB", (48, 32), "black")
    data = saved(quadrants(), kind, save_all=True, append_images=[second], lossless=True, quality=95)
    assert np.abs(np.asarray(decode(data), int) - np.asarray(quadrants(), int)).mean() < 5


def swapped_profile() -> bytes:
    """Make a real RGB profile whose red and blue primaries are swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def test_icc_profile_is_converted_to_srgb() -> None:
    red, green, blue = quadrants().split()
    expected = Image.merge("RGB", (blue, green, red))
    for kind in ("PNG", "TIFF"):
        decoded = decode(saved(quadrants(), kind, icc_profile=swapped_profile()))
        assert difference(decoded, expected) <= 2
        assert not decoded.info
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert difference(decode(saved(quadrants(), "PNG", icc_profile=srgb)), quadrants()) <= 1


# ids, for a profile holds the second it was made in, and every process of a run has to name its tests alike
@pytest.mark.parametrize("profile", [b"rubbish", swapped_profile()[:200], b"\0" * 128], ids=["rubbish", "cut", "zeros"])
def test_broken_profile_is_ignored(profile: bytes) -> None:
    assert difference(decode(saved(quadrants(), "PNG", icc_profile=profile)), quadrants()) == 0


def test_profile_of_another_kind_of_image_is_ignored() -> None:
    grey = quadrants().convert("L")
    assert difference(decode(saved(grey, "PNG", icc_profile=swapped_profile())), grey) == 0


def test_reasons_that_a_person_understands() -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    assert reason(b"") == "an empty file"
    assert "not a JPEG" in reason(b"Dear diary, there is no picture here.")
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "JPEG2000", "AVIF"):
        data = saved(noise, kind)
        assert "damaged" in reason(data[: len(data) // 2]), kind
    assert reason(saved(Image.new("RGB", (15, 400)), "PNG")).startswith("too small: 15×400")
    assert "too many pixels" in reason(png(10_000, 10_000, 8, 2, b""))
    assert "too many pixels" in reason(png(60_000, 60_000, 8, 2, b""))


def test_reads_a_part_of_a_file_and_says_why_it_cannot(tmp_path: Path) -> None:
    file = tmp_path / "many"
    file.write_bytes(b"abcdef")
    assert Photo("many:cd", "cd", file, offset=2, size=2).read() == b"cd"
    with pytest.raises(Unusable, match="No such file"):
        Photo("gone", "gone", tmp_path / "gone").read()
    with pytest.raises(Unusable, match="not a regular file"):
        Photo("folder", "folder", tmp_path).read()


def test_squash_resizes_both_sides_and_crop_keeps_the_centre() -> None:
    image = Image.new("RGB", (96, 32), "black")
    image.paste("white", (32, 0, 64, 32))
    squashed = np.asarray(shape(image, 24, "squash").convert("L"))
    assert squashed.shape == (24, 24)
    assert (squashed[:, :6] < 40).all() and (squashed[:, 10:14] > 215).all()
    assert np.asarray(shape(image, 24, "crop")).min() > 200


def test_box_is_what_is_cut() -> None:
    image = Image.effect_noise((96, 64), 80).convert("RGB")
    assert difference(shape(image, 32, "squash", (10, 20, 32, 32)), image.crop((10, 20, 42, 52))) == 0


@hypothesis.settings(deadline=None)
@given(st.integers(16, 900), st.integers(16, 900), st.integers(16, 300), st.integers(0, 20), st.text())
def test_crop_boxes_lie_in_the_photo(width: int, height: int, smallest: int, count: int, seed: str) -> None:
    boxes = crop_boxes(width, height, smallest, count, seed)
    assert boxes == crop_boxes(width, height, smallest, count, seed)
    assert len(set(boxes)) == len(boxes) <= count
    for left, top, box_width, box_height in boxes:
        assert left >= 0 and top >= 0 and left + box_width <= width and top + box_height <= height
        assert min(smallest, width, height) <= box_width == box_height <= min(width, height)
        assert box_width >= min(width, height) // 3


def test_crop_boxes_differ_in_scale_and_by_seed() -> None:
    boxes = crop_boxes(640, 480, 112, 11, "2012 one")
    assert len(boxes) == 11 and len({side for _, _, side, _ in boxes}) > 5
    assert boxes != crop_boxes(640, 480, 112, 11, "2013 one")


@hypothesis.settings(deadline=None)
@given(st.lists(st.text(max_size=100), max_size=8), st.integers())
def test_stems_are_unique_safe_and_ordered_whatever_the_listing(names: list[str], seed: int) -> None:
    photos = [Photo(f"{place}/{name}", name, Path()) for place, name in enumerate(names)]
    ordered = in_seeded_order(photos, seed)
    assert ordered == in_seeded_order(photos[::-1], seed)
    stems = {photo.stem.casefold() for photo in ordered}
    assert len(stems) == len(names)
    assert all(stem.isascii() and stem.replace("-", "x").replace("_", "x").isalnum() for stem in stems)


SOUND = [
    saved(quadrants(), "JPEG"),
    saved(quadrants(), "JPEG", progressive=True, icc_profile=swapped_profile()),
    saved(quadrants(), "PNG"),
    saved(quadrants().convert("CMYK"), "JPEG"),
    saved(quadrants(), "GIF"),
    saved(quadrants(), "TIFF"),
    saved(quadrants(), "WEBP"),
    saved(quadrants(), "BMP"),
    saved(quadrants(), "PPM"),
    saved(quadrants(), "JPEG2000"),
    saved(quadrants(), "AVIF", speed=10),
]


def decodes_or_tells(data: bytes) -> None:
    try:
        image = decode(data)
    except Unusable as told:
        assert str(told) and "\n" not in str(told)
    else:
        assert image.mode == "RGB" and min(image.size) >= 16 and not image.info


@hypothesis.settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    decodes_or_tells(data)


@hypothesis.settings(deadline=None)
@given(st.sampled_from(SOUND), st.data())
def test_mutated_and_truncated_images_never_crash(sound: bytes, data: st.DataObject) -> None:
    mutated = bytearray(sound[: data.draw(st.integers(8, len(sound)))])
    for _ in range(data.draw(st.integers(0, 6))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_tells(bytes(mutated))
