"""Headers: what real encoders were told is read back from their files; damaged files raise ValueError alone."""

from __future__ import annotations

import hashlib
import io
import os
import random
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from collect import codecs
from collect.codecs.headers import jpeg, reader
from collect.codecs.quantisation import read_codec

PHOTO = Image.fromarray(data.astronaut()).resize((97, 61))
CODINGS: list[dict[str, Any]] = [{}, {"optimize": True}, {"progressive": True}]
SCALE = float(os.environ.get("COMREADV_FUZZ", "1"))


def saved(format: str, image: Image.Image = PHOTO, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


SIZE = box(b"ispe", bytes(4) + struct.pack(">2I", 97, 61))
HEIF = box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", SIZE)))
PLAIN = {codec: codecs.encode(PHOTO, codec) for codec in ("jpeg:75", "webp:50", "webp:lossless", "jp2:10", "avif:60")}
FILES = PLAIN | {
    "heif": HEIF,
    "png": saved("PNG"),
    "progressive": saved("JPEG", progressive=True, icc_profile=b"x" * 200),
}


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("jpeg:75", "JPEG"),
        ("webp:50", "WEBP"),
        ("webp:lossless", "WEBP"),
        ("jp2:10", "JPEG2000"),
        ("avif:60", "AVIF"),
        ("png", "PNG"),
    ],
)
def test_format_and_odd_size_are_read(name: str, format: str) -> None:
    found = reader.read(FILES[name])
    metadata = ["JFIF"] if format == "JPEG" else []
    assert (found["format"], found["width"], found["height"], found["metadata"]) == (format, 97, 61, metadata)


@pytest.mark.parametrize("quality", [1, 20, 75, 100])
def test_jpeg_tables_are_pillow_s(quality: int) -> None:
    content = saved("JPEG", quality=quality)
    with Image.open(io.BytesIO(content)) as image:
        assert reader.read(content)["tables"] == list(image.quantization.values())


def test_jpeg_tables_of_16_bits_are_pillow_s() -> None:
    content = saved("JPEG", qtables=[list(range(300, 364)), list(range(64, 128))])
    wide = b"\xff\xdb\0\x83\x10" + struct.pack(">64H", *range(300, 364))
    content = content.replace(b"\xff\xc0", wide + b"\xff\xc0", 1)
    with Image.open(io.BytesIO(content)) as image:
        assert reader.read(content)["tables"] == [list(image.quantization[name]) for name in (0, 1)]


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_sampling_is_read(sampling: str) -> None:
    assert reader.read(saved("JPEG", subsampling=sampling))["sampling"] == sampling
    assert reader.read(saved("AVIF", subsampling=sampling))["sampling"] == sampling


def test_equal_factors_of_all_components_are_444(tmp_path: Path) -> None:
    """FFmpeg writes 1×2 thrice."""
    content = saved("JPEG", PHOTO.resize((96, 64)), subsampling="4:4:4")
    content = content.replace(b"\1\x11\0\2\x11\1\3\x11\1", b"\1\x12\0\2\x12\1\3\x12\1")
    (tmp_path / "served.jpg").write_bytes(content)
    assert b"\2\x12\1" in content
    assert reader.read(content)["sampling"] == read_codec(tmp_path / "served.jpg")["sampling"] == "4:4:4"


def test_jpeg_coding_is_read() -> None:
    assert reader.read(saved("JPEG", PHOTO.convert("L")))["sampling"] == "grey"
    codings = [reader.read(saved("JPEG", **options)) for options in CODINGS]
    assert [found["huffman"] for found in codings] == ["standard", "optimised", "optimised"]
    assert [found["progressive"] for found in codings] == [False, False, True]
    assert reader.read(saved("JPEG", restart_marker_blocks=5))["restart"] == 5


def test_metadata_are_named() -> None:
    exif = Image.Exif()
    exif[271] = "maker"
    found = reader.read(saved("JPEG", exif=exif, icc_profile=b"x" * 99, comment=b"hello", xmp=b"<x/>"))
    assert found["metadata"] == ["COM", "EXIF", "ICC", "JFIF", "XMP"]
    for format in ("WEBP", "AVIF", "PNG"):
        assert {"EXIF", "ICC"} <= set(reader.read(saved(format, exif=exif, icc_profile=b"x" * 131))["metadata"])


def test_facebook_s_mark_is_found() -> None:
    text = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0d\x1c\x02\x28\0\x08FBMD0123\0"
    content = FILES["jpeg:75"][:2] + b"\xff\xed" + struct.pack(">H", 2 + len(text)) + text + FILES["jpeg:75"][2:]
    assert {"IPTC", "FBMD"} <= set(reader.read(content)["metadata"])


def test_huffman_tables_that_pass_for_standard_are_annex_k_s() -> None:
    tables = sorted(jpeg.standard_huffman())
    assert [(kind, len(table)) for kind, table in tables] == [(0, 28), (0, 28), (1, 178), (1, 178)]
    assert hashlib.sha256(b"".join(table for _, table in tables)).hexdigest()[:16] == "a4125024336f4e2d"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (4, b"\x0c"),  # 12 bits
        (5, b"\0\0"),  # no height
        (9, b"\4"),  # more components than are described
        (11, b"\x02"),  # a sampling factor of 0
        (11, b"\x51"),  # and one beyond 4
    ],
)
def test_frames_that_no_decoder_reads_are_refused(place: int, value: bytes) -> None:
    content = bytearray(FILES["jpeg:75"])
    place += content.index(b"\xff\xc0")
    content[place : place + len(value)] = value
    with pytest.raises(ValueError, match="a JPEG"):
        reader.read(bytes(content))


@pytest.mark.parametrize("segment", [b"\xff\xdb\0\x43\4" + bytes(64), b"\xff\xc0\0\x0b\x08\0\1\0\1\1\1\x11\0"])
def test_a_second_frame_and_a_fifth_table_are_refused(segment: bytes) -> None:
    with pytest.raises(ValueError, match="a JPEG"):
        reader.read(FILES["jpeg:75"][:2] + segment + FILES["jpeg:75"][2:])


def test_heif_is_refused() -> None:
    with pytest.raises(ValueError, match="no image of a known format"):
        reader.read(HEIF)


def mutated(seed: int) -> bytes:
    """Damage a real file's beginning: flips, a cut, a splice or an extreme length."""
    chance = random.Random(seed)
    content = bytearray(FILES[chance.choice(sorted(FILES))])
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(max(1, min(len(content), 700)))
        kind = chance.randrange(4)
        if kind == 0:
            content[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            content[place : place + 4] = chance.choice([b"\0\0\0\0", b"\xff" * 4, b"\0\0\0\1", b"\x7f\xff\xff\xff"])
        elif kind == 2:
            content[place:place] = FILES[chance.choice(sorted(FILES))][place : place + chance.randrange(64)]
        elif chance.random() < 0.2:
            del content[place:]
    return bytes(content)


@given(st.binary(max_size=400), st.sampled_from([b"", *(content[:16] for content in FILES.values())]))
@settings(max_examples=int(300 * SCALE), deadline=1000)
def test_random_bytes_are_read_or_refused(content: bytes, start: bytes) -> None:
    with suppress(ValueError):
        reader.read(start + content)


def test_damaged_files_are_read_or_refused() -> None:
    for seed in range(int(300 * SCALE)):
        with suppress(ValueError):
            reader.read(mutated(seed))
