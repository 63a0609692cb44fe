"""Mosaics: every tile once, on the grid, in its border; cut out as if it had gone up alone; damage is refused."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import jpeglib  # type: ignore[import-untyped]
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from collect import codecs
from collect.codecs import quantisation
from collect.codecs.lossless_crop import STANDARD_CODES
from collect.round_trip import Original
from collect.round_trip.mosaic import Mosaic, MosaicResized, cut_mosaic, pack_mosaics
from params import UserError

JPEGS = ["jpeg:75:420", "jpeg:85:444:optimised", "jpeg:92:420:progressive", "jpeg:80:422", "jpeg:60:444:progressive"]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def photo() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut())


def originals_of(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[Original]:
    """Cut crops of a photo, each from another place, and save them."""
    files = []
    for number, (width, height) in enumerate(sizes):
        left, top = number * 37 % (513 - width), number * 59 % (513 - height)
        file = folder / f"{number:03}.png"
        photo().crop((left, top, left + width, top + height)).save(file)
        files.append(Original.of(file))
    return files


def served_by(codec: str, mosaic: Mosaic, file: Path, profile: bytes | None = None) -> Path:
    with Image.open(io.BytesIO(mosaic.png())) as image:
        image.info["icc_profile"] = profile
        file.write_bytes(codecs.encode(image, codec))
    return file


def cut_all(codec: str, mosaic: Mosaic, folder: Path, profile: bytes | None = None) -> tuple[bool, list[Path]]:
    served = served_by(codec, mosaic, folder / "served", profile)
    files = [folder / f"tile{number}" for number in range(len(mosaic.tiles))]
    return cut_mosaic(served, mosaic.size, [tile.box for tile in mosaic.tiles], files), files


def alone(codec: str, original: Original, file: Path) -> Path:
    with Image.open(original.path) as image:
        file.write_bytes(codecs.encode(image, codec))
    return file


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    """Nine tiles of 64×64."""
    (mosaic,), rest = pack_mosaics(originals_of(tmp_path_factory.mktemp("tiles"), [(64, 64)] * 9), 400)
    assert not rest
    return mosaic


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 130), st.integers(1, 130)), min_size=1, max_size=12),
    longest_side=st.integers(100, 400),
)
def test_every_tile_is_packed_once_on_the_grid_in_a_border_that_repeats_its_edge(
    sizes: list[tuple[int, int]], longest_side: int
) -> None:
    with TemporaryDirectory() as folder:
        originals = originals_of(Path(folder), sizes)
        mosaics, rest = pack_mosaics(originals, longest_side)
        packed = [tile.original for mosaic in mosaics for tile in mosaic.tiles]
        assert sorted(each.name for each in [*packed, *rest]) == sorted(each.name for each in originals)
        for original, (width, height) in zip(originals, sizes, strict=True):
            assert (original in rest) == (-(-max(width, height) // 16) * 16 + 32 > longest_side)
        for mosaic in mosaics:
            assert max(mosaic.size) <= longest_side
            image = pixels_of(mosaic)
            owner = np.zeros(image.shape[:2], int)
            for tile in mosaic.tiles:
                left, top, width, height = tile.box
                assert left % 16 == top % 16 == 0
                expected = pixels(tile.original.path)
                assert expected.shape == (height, width, 3)
                around = np.pad(expected, [(16, 16 + -height % 16), (16, 16 + -width % 16), (0, 0)], "edge")
                cell = np.s_[top - 16 : top - 16 + around.shape[0], left - 16 : left - 16 + around.shape[1]]
                assert np.array_equal(image[cell], around)
                owner[cell] += 1
            assert owner.max() == 1
            assert owner[-1].any()  # no larger than its tiles need
            assert owner[:, -1].any()


def pixels_of(mosaic: Mosaic) -> np.ndarray:
    with Image.open(io.BytesIO(mosaic.png())) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", mosaic.size)
        return np.asarray(image).astype(int)


@pytest.mark.parametrize(("longest_side", "most"), [(2048, 64), (2000, 49)])
def test_an_upload_holds_at_least_thirty_tiles(tmp_path: Path, longest_side: int, most: int) -> None:
    original = originals_of(tmp_path, [(224, 224)])[0]
    mosaics, rest = pack_mosaics([original] * (most + 5), longest_side)
    assert [len(mosaic.tiles) for mosaic in mosaics] == [most, 5]
    assert not rest
    assert mosaics[1].size == (768, 512)


def test_tiles_of_several_sizes_share_a_mosaic(tmp_path: Path) -> None:
    (mosaic,), _ = pack_mosaics(originals_of(tmp_path, [(96, 96), *[(32, 32)] * 4] * 2), 256)
    assert mosaic.size == (256, 256)


def test_the_same_tiles_give_the_same_bytes(mosaic: Mosaic, tmp_path: Path) -> None:
    (again,), _ = pack_mosaics(originals_of(tmp_path, [(64, 64)] * 9), 400)
    assert again.png() == mosaic.png()
    assert [tile.box for tile in again.tiles] == [tile.box for tile in mosaic.tiles]


def test_an_original_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a\.png.*comreadv prepare"):
        pack_mosaics([Original.of(tmp_path / "a.png")], 400)


def coefficients(file: Path) -> list[np.ndarray]:
    jpeg = jpeglib.read_dct(str(file))
    planes = (jpeg.Y, jpeg.Cb, jpeg.Cr) if jpeg.num_components == 3 else (jpeg.Y,)
    return [np.array(plane) for plane in planes]


@pytest.mark.parametrize("codec", JPEGS)
def test_a_jpegs_tile_is_what_the_upload_of_the_tile_alone_gives(codec: str, mosaic: Mosaic, tmp_path: Path) -> None:
    lossless, files = cut_all(codec, mosaic, tmp_path)
    assert lossless
    for tile, file in zip(mosaic.tiles, files, strict=True):
        single = alone(codec, tile.original, tmp_path / "single")
        for ours, theirs in zip(coefficients(file), coefficients(single), strict=True):
            assert np.array_equal(ours, theirs)
        assert np.array_equal(pixels(file), pixels(single))
        assert quantisation.read_codec(file) == quantisation.read_codec(single)
        assert (STANDARD_CODES in file.read_bytes()) == (STANDARD_CODES in single.read_bytes())


@pytest.mark.parametrize("progressive", [False, True])
def test_a_grey_jpegs_tile_is_what_the_upload_of_the_tile_alone_gives(
    progressive: bool, mosaic: Mosaic, tmp_path: Path
) -> None:
    def save(data: bytes | Path, file: Path) -> Path:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
            image.convert("L").save(file, "JPEG", quality=70, progressive=progressive)
        return file

    served, tile = save(mosaic.png(), tmp_path / "served"), mosaic.tiles[4]
    assert cut_mosaic(served, mosaic.size, [tile.box], [tmp_path / "tile"])
    single = save(tile.original.path, tmp_path / "single")
    assert np.array_equal(coefficients(tmp_path / "tile"), coefficients(single))
    assert quantisation.read_codec(tmp_path / "tile") == quantisation.read_codec(single)


# An encoder pads chroma by its own last row, a mosaic by the tile's: where two rows make one of chroma, and the
# height is even but no multiple of 16, the lowest blocks of chroma differ.
@pytest.mark.parametrize("size", [(50, 64), (49, 63), (33, 1)])
@pytest.mark.parametrize("codec", JPEGS)
def test_sides_of_any_length_are_kept(size: tuple[int, int], codec: str, tmp_path: Path) -> None:
    (mosaic,), _ = pack_mosaics(originals_of(tmp_path, [size] * 4), 256)
    lossless, files = cut_all(codec, mosaic, tmp_path)
    assert lossless
    for tile, file in zip(mosaic.tiles, files, strict=True):
        assert np.array_equal(pixels(file), pixels(alone(codec, tile.original, tmp_path / "single")))


def test_a_height_that_is_even_but_not_of_whole_blocks_differs_in_the_lowest_chroma_alone(tmp_path: Path) -> None:
    (mosaic,), _ = pack_mosaics(originals_of(tmp_path, [(50, 58)] * 4), 256)
    _, files = cut_all("jpeg:75:420", mosaic, tmp_path)
    for tile, file in zip(mosaic.tiles, files, strict=True):
        single = alone("jpeg:75:420", tile.original, tmp_path / "single")
        luma, *chroma = zip(coefficients(file), coefficients(single), strict=True)
        assert np.array_equal(*luma)
        assert all(np.array_equal(ours[:-1], theirs[:-1]) for ours, theirs in chroma)
        original = pixels(tile.original.path)
        errors = [np.abs(pixels(each) - original).mean() for each in (file, single)]
        assert errors[0] == pytest.approx(errors[1], rel=0.05)


@pytest.mark.parametrize(("codec", "tolerance"), [("webp:80", 0.05), ("avif:60", 0.05), ("png", 0)])
def test_other_formats_are_cut_as_png_and_say_so(codec: str, tolerance: float, mosaic: Mosaic, tmp_path: Path) -> None:
    lossless, files = cut_all(codec, mosaic, tmp_path)
    assert not lossless
    whole = pixels(tmp_path / "served")
    errors = []
    for tile, file in zip(mosaic.tiles, files, strict=True):
        left, top, width, height = tile.box
        assert quantisation.read_codec(file)["format"] == "PNG"
        assert np.array_equal(pixels(file), whole[top : top + height, left : left + width])
        original, single = pixels(tile.original.path), pixels(alone(codec, tile.original, tmp_path / "single"))
        errors.append([np.abs(each - original).mean() for each in (pixels(file), single)])
    ours, theirs = np.mean(errors, axis=0)
    assert ours == pytest.approx(theirs, rel=tolerance)


@pytest.mark.parametrize("codec", ["jpeg:75", "jpeg:75:progressive", "webp:80"])
def test_a_colour_profile_comes_along(codec: str, mosaic: Mosaic, tmp_path: Path) -> None:
    _, files = cut_all(codec, mosaic, tmp_path, PROFILE)
    for file in files:
        with Image.open(file) as image:
            assert image.info["icc_profile"] == PROFILE
            assert [name for name, _ in getattr(image, "applist", [])] in ([], ["APP0", "APP2"])


@pytest.mark.parametrize("kind", ["rgb", "cmyk", "many markers", "wide blocks"])
def test_a_jpeg_that_can_not_be_written_back_is_cut_as_png(kind: str, mosaic: Mosaic, tmp_path: Path) -> None:
    served = tmp_path / "served"
    with Image.open(io.BytesIO(mosaic.png())) as image:
        if kind == "rgb":
            image.save(served, "JPEG", keep_rgb=True)
        elif kind == "wide blocks":
            jpeg = jpeglib.from_spatial(np.asarray(image))
            jpeg.samp_factor = "4:1:1"
            jpeg.write_spatial(str(served), qt=80)
        else:
            image.convert("CMYK" if kind == "cmyk" else "RGB").save(served, "JPEG")
    if kind == "many markers":
        data = served.read_bytes()
        served.write_bytes(data[:2] + b"\xff\xe5\0\x05abc" * 60 + data[2:])
    files = [tmp_path / tile.original.name for tile in mosaic.tiles]
    assert not cut_mosaic(served, mosaic.size, [tile.box for tile in mosaic.tiles], files)
    whole = pixels(served)
    for tile, file in zip(mosaic.tiles, files, strict=True):
        left, top, width, height = tile.box
        assert quantisation.read_codec(file)["format"] == "PNG"
        assert np.array_equal(pixels(file), whole[top : top + height, left : left + width])


def test_a_mosaic_of_another_size_is_refused(mosaic: Mosaic, tmp_path: Path) -> None:
    served = served_by("resize:0.5+jpeg:75", mosaic, tmp_path / "served")
    with pytest.raises(MosaicResized, match="288x288 pixels and is served at 144x144"):
        cut_mosaic(served, mosaic.size, [mosaic.tiles[0].box], [tmp_path / "tile"])
    assert not (tmp_path / "tile").exists()


def test_a_header_that_tells_an_enormous_size_is_refused(mosaic: Mosaic, tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 10**6, 10**6, 8, 2, 0, 0, 0)
    data = mosaic.png()
    served = tmp_path / "served"
    served.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    with pytest.raises(MosaicResized, match="too many pixels"):
        cut_mosaic(served, mosaic.size, [mosaic.tiles[0].box], [tmp_path / "tile"])


DAMAGE = """
import sys
from pathlib import Path
import numpy as np
from collect.round_trip.mosaic import MosaicResized, cut_mosaic
served, folder, boxes = Path(sys.argv[1]), Path(sys.argv[2]), eval(sys.argv[3])
whole, random, counts = served.read_bytes(), np.random.default_rng(5), {"refused": 0, "cut": 0}
for number in range(int(sys.argv[4])):
    data = bytearray(whole)
    if number % 3 == 0:
        del data[random.integers(len(data)) :]
    else:
        head = 700 if number % 3 == 1 else len(data)
        for place in random.integers(0, min(head, len(data)), 1 + number % 4):
            data[place] = random.integers(256)
    (folder / "damaged").write_bytes(data)
    try:
        cut_mosaic(folder / "damaged", (288, 288), boxes, [folder / f"d{place}" for place in range(len(boxes))])
        counts["cut"] += 1
    except MosaicResized:
        counts["refused"] += 1
print(counts["refused"], counts["cut"])
"""


@pytest.mark.parametrize("codec", ["jpeg:75:420", "jpeg:92:420:progressive", "webp:80", "jp2:10", "png"])
def test_damaged_files_are_refused_and_never_crash_or_hang(codec: str, mosaic: Mosaic, tmp_path: Path) -> None:
    served = served_by(codec, mosaic, tmp_path / "served")
    boxes = repr([tile.box for tile in mosaic.tiles[:2]])
    command = [sys.executable, "-c", DAMAGE, str(served), str(tmp_path), boxes, "90"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    refused, cut_anyway = map(int, result.stdout.split()[-2:])
    assert refused >= 30 - 3  # a file cut off is always found out, unless nothing but its end mark is missing
    assert refused + cut_anyway == 90
