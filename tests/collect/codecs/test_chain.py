"""Codecs: each name gives the file it promises; wrong names are explained; nothing else ever comes out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, JpegImagePlugin

from collect import codecs
from collect.codecs.steps.backends import is_installed

RANDOM = np.random.default_rng(2012)
PIXELS = np.kron(RANDOM.integers(0, 256, (12, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
PHOTO = Image.fromarray(np.clip(PIXELS + RANDOM.normal(0, 6, PIXELS.shape), 0, 255).astype(np.uint8))

FOREIGN = [
    chain
    for chain, package in (
        ("mozjpeg:75", "pyvips"),
        ("jpegli:75", "pyjpegli"),
        ("vips_avif:75:e0", "pyvips"),
        ("webp:75:f9", "webp"),
    )
    if is_installed(package)
]


def opened(codec: str, image: Image.Image = PHOTO) -> Image.Image:
    result = Image.open(io.BytesIO(codecs.encode(image, codec)))
    result.load()
    return result


def pillow_tables(quality: int) -> dict[int, list[int]]:
    file = io.BytesIO()
    PHOTO.save(file, "JPEG", quality=quality)
    return Image.open(file).quantization  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("codec", "quality", "sampling", "progressive"),
    [
        ("jpeg:75", 75, 2, False),
        ("jpeg:50:444", 50, 0, False),
        ("jpeg:80:422", 80, 1, False),
        ("jpeg:92:420:progressive", 92, 2, True),
        ("jpeg:92:progressive:444", 92, 0, True),
        ("jpeg:85:444:optimised", 85, 0, False),
        ("jpeg:1", 1, 2, False),
        ("jpeg:100", 100, 2, False),
    ],
)
def test_jpeg_has_the_tables_sampling_and_scan_type_of_its_name(
    codec: str, quality: int, sampling: int, progressive: bool
) -> None:
    image = opened(codec)
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    assert image.quantization == pillow_tables(quality)
    assert JpegImagePlugin.get_sampling(image) == sampling
    assert bool(image.info.get("progressive")) == progressive


def test_optimised_changes_the_huffman_tables_and_no_pixel() -> None:
    plain, optimised = codecs.encode(PHOTO, "jpeg:85:444"), codecs.encode(PHOTO, "jpeg:85:444:optimised")
    assert len(optimised) < len(plain)
    assert Image.open(io.BytesIO(plain)).tobytes() == Image.open(io.BytesIO(optimised)).tobytes()


@pytest.mark.parametrize(
    ("codec", "kind", "media_type"),
    [
        ("jpeg:75", "JPEG", "image/jpeg"),
        ("webp:50", "WEBP", "image/webp"),
        ("jp2:10", "JPEG2000", "image/jp2"),
        ("avif:50", "AVIF", "image/avif"),
        ("resize:0.5+png", "PNG", "image/png"),
    ],
)
def test_each_encoder_names_and_makes_its_format(codec: str, kind: str, media_type: str) -> None:
    assert opened(codec).format == kind
    assert codecs.media_type(codec) == media_type
    assert codecs.encode(PHOTO, codec) == codecs.encode(PHOTO.copy(), codec)


def test_a_lower_quality_is_a_smaller_file() -> None:
    for high, low in (("jpeg:90", "jpeg:30"), ("webp:90", "webp:30"), ("avif:90", "avif:30"), ("jp2:5", "jp2:20")):
        assert len(codecs.encode(PHOTO, low)) < len(codecs.encode(PHOTO, high))


def test_png_keeps_every_pixel_and_only_the_profile_of_the_metadata() -> None:
    image = PHOTO.copy()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info = {"icc_profile": profile, "comment": b"private", "exif": b"Exif\0\0private", "xmp": b"private"}
    for codec in ("png", "jpeg:75", "jpeg:75:ifast", "go:75", *FOREIGN, "webp:80", "avif:80"):
        data = codecs.encode(image, codec)
        assert b"private" not in data
        assert Image.open(io.BytesIO(data)).info["icc_profile"] == profile
    assert opened("png", image).tobytes() == PHOTO.tobytes()
    assert "icc_profile" not in opened("jpeg:75").info


@pytest.mark.parametrize(
    ("codec", "size"),
    [
        ("resize:0.75+png", (96, 72)),
        ("resize:2:nearest+png", (256, 192)),
        ("fit:64+png", (64, 48)),
        ("fit:2048+png", (128, 96)),
        ("width:32:box+png", (32, 24)),
        ("width:500+png", (128, 96)),
        ("width:64+resize:0.5+png", (32, 24)),
        ("resize:0.01+png", (1, 1)),
    ],
)
def test_sizes(codec: str, size: tuple[int, int]) -> None:
    assert opened(codec).size == size


def test_kernels_are_pillows() -> None:
    for name in ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"):
        expected = PHOTO.resize((64, 48), Image.Resampling[name.upper()])
        assert opened(f"resize:0.5:{name}+png").tobytes() == expected.tobytes()
    assert opened("resize:0.5+png").tobytes() == opened("resize:0.5:lanczos+png").tobytes()


def test_sharpen_adds_the_difference_from_the_blurred_image() -> None:
    pixels = np.asarray(PHOTO, dtype=float)
    weights = np.outer((1, 2, 1), (1, 2, 1)) / 16
    blurred = sum(
        weights[row, column] * pixels[row : row + 94, column : column + 126] for row in range(3) for column in range(3)
    )
    inner = pixels[1:-1, 1:-1]
    expected = np.clip(inner + 0.4 * (inner - blurred), 0, 255)
    sharpened = np.asarray(opened("sharpen:0.4+png"))
    assert np.abs(sharpened[1:-1, 1:-1] - expected).max() < 0.501  # rounded; Pillow reckons with 32 bits
    assert np.array_equal(sharpened[0], np.asarray(PHOTO)[0])
    assert opened("sharpen:0+png").tobytes() == PHOTO.tobytes()


def test_steps_come_one_after_the_other() -> None:
    by_hand = opened("jpeg:71:420", opened("sharpen:0.4+png", opened("resize:0.75:lanczos+png")))
    assert opened("resize:0.75:lanczos+sharpen:0.4+jpeg:71:420").tobytes() == by_hand.tobytes()


def test_an_encoder_before_the_last_encodes_and_decodes() -> None:
    by_hand = opened("jpeg:60", opened("jpeg:90:444").resize((64, 48), Image.Resampling.BOX))
    assert opened("jpeg:90:444+resize:0.5:box+jpeg:60").tobytes() == by_hand.tobytes()
    before = codecs.before_encoding(PHOTO, "webp:40+sharpen:1+jpeg:60")
    assert before.tobytes() == opened("sharpen:1+png", opened("webp:40")).tobytes()
    assert opened("png+png").tobytes() == PHOTO.tobytes()


def test_a_profile_survives_every_step_on_the_way() -> None:
    image = PHOTO.copy()
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = codecs.encode(image, "jpeg:90+resize:0.5+webp:80")
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == image.info["icc_profile"]


TABLES = [[3 + row * column for row in range(8) for column in range(8)], [300] * 64]


@pytest.mark.parametrize(
    ("codec", "sampling", "progressive"),
    [("jpeg:tables:420", 2, False), ("jpeg:tables:444:progressive", 0, True), ("resize:0.5+jpeg:tables", 2, False)],
)
def test_jpeg_takes_tables_and_writes_them_back_exactly(codec: str, sampling: int, progressive: bool) -> None:
    image = Image.open(io.BytesIO(codecs.encode(PHOTO, codec, TABLES)))
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    assert [image.quantization[0], image.quantization[1]] == TABLES
    assert JpegImagePlugin.get_sampling(image) == sampling
    assert bool(image.info.get("progressive")) == progressive


@pytest.mark.parametrize("tables", [[], [[1] * 63], [[1] * 64] * 3, [[0] * 64], [[32768] * 64]])
def test_wrong_tables_are_refused(tables: list[list[int]]) -> None:
    for use in (codecs.check, lambda codec, tables: codecs.encode(PHOTO, codec, tables)):
        with pytest.raises(ValueError, match="jpeg:tables"):
            use("jpeg:tables", tables)


def test_methods_speeds_samplings_and_wavelets_reach_the_encoder() -> None:
    assert codecs.encode(PHOTO, "webp:50:m4") == codecs.encode(PHOTO, "webp:50") != codecs.encode(PHOTO, "webp:50:m0")
    assert codecs.encode(PHOTO, "avif:50:420:s6") == codecs.encode(PHOTO, "avif:50")
    assert len({codecs.encode(PHOTO, f"avif:50{option}") for option in ("", ":444", ":422", ":s9")}) == 4
    assert codecs.encode(PHOTO, "jp2:10:irreversible") != codecs.encode(PHOTO, "jp2:10")
    assert opened("webp:lossless").tobytes() == PHOTO.tobytes()


def test_jp2_aims_at_a_psnr() -> None:
    for decibels in (25, 35):
        noise = np.asarray(opened(f"jp2:{decibels}dB"), dtype=float) - np.asarray(PHOTO)
        assert 10 * np.log10(255**2 / np.mean(noise**2)) == pytest.approx(decibels, abs=1.5)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
@pytest.mark.parametrize("codec", ["jpeg:75", "webp:75", "jp2:10", "avif:50", "png"])
def test_every_mode_and_the_smallest_image_can_be_encoded(mode: str, codec: str) -> None:
    for size in ((1, 1), (3, 17)):
        result = opened(codec, Image.new(mode, size))
        assert (result.mode, result.size) == ("RGB", size)


@pytest.mark.parametrize(
    ("codec", "part"),
    [
        ("", "''"),
        ("gif:5", "'gif'"),
        ("jpeg", "quality is missing"),
        ("jpeg:0", "'0'"),
        ("jpeg:101", "'101'"),
        ("jpeg:7.5", "'7.5'"),
        ("jpeg:٧٥", "'٧٥'"),
        ("jpeg:75:411", "'411'"),
        ("jpeg:75:420:444", "'444'"),
        ("jpeg:75:progressive:progressive", "'progressive'"),
        ("webp:50:444", "'444'"),
        ("jp2:0", "'0'"),
        ("jp2:nan", "'nan'"),
        ("png:1", "'1'"),
        ("resize:0.5", "'resize'"),
        ("resize:0+png", "'0'"),
        ("resize:0.5:cubic+png", "'cubic'"),
        ("fit:2.5+png", "'2.5'"),
        ("fit:2048:box:box+png", "'box'"),
        ("sharpen:-1+png", "'-1'"),
        ("jpeg:0+png", "'0'"),
        ("jpeg:tables", "given beside"),
        ("webp:50:m7", "'m7'"),
        ("webp:lossless:m1", "'m1'"),
        ("webp:50:m1:m2", "'m2'"),
        ("avif:50:s11", "'s11'"),
        ("avif:50:411", "'411'"),
        ("jp2:9dB", "'9'"),
        ("jp2:dB", "''"),
        ("jp2:10:reversible", "'reversible'"),
        ("blur:1+png", "'blur'"),
    ],
)
def test_a_wrong_codec_is_named_with_the_forms_that_exist(codec: str, part: str) -> None:
    for use in (codecs.check, codecs.media_type, lambda codec: codecs.encode(PHOTO, codec)):
        with pytest.raises(ValueError, match="sharpen:AMOUNT") as error:
            use(codec)
        assert part in str(error.value)


@pytest.mark.parametrize("size", [(4000, 1), (1, 4000), (2000, 1500)])
def test_an_image_that_would_grow_too_large_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="too large"):
        codecs.encode(Image.new("RGB", size), "resize:8+resize:0.01+png")


ENCODERS = ("jpeg", "webp", "jp2", "png")
STEPS = ("resize", "fit", "width", "sharpen")
OPTIONS = ("tables", "lossless", "m0", "m6", "s10", "irreversible", "30dB")
ARGUMENTS = ("444", "420", "progressive", "lanczos", "box", ":", "+", "1", "50", "0.5", "8", "-1", "nan")
WORDS = st.sampled_from(ENCODERS + STEPS + OPTIONS + ARGUMENTS)
CHAINS = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(":".join), min_size=1, max_size=3).map("+".join)


@given(st.text(max_size=30) | CHAINS)
@settings(max_examples=400, deadline=None)
def test_any_text_encodes_or_raises_value_error(codec: str) -> None:
    image = PHOTO.resize((9, 5))
    try:
        codecs.check(codec)
    except ValueError:
        with pytest.raises(ValueError, match="codec"):
            codecs.encode(image, codec)
        return
    try:
        data = codecs.encode(image, codec)
    except ValueError as error:
        assert "large" in str(error)
    else:
        Image.open(io.BytesIO(data)).load()
