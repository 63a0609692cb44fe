"""Bitstreams: what real encoders were told is read back from their files; damaged files raise ValueError alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from collect import codecs
from collect.codecs.headers import jpeg2000, webp
from collect.codecs.headers.avif import AVIF, avif

PHOTO = Image.fromarray(data.astronaut()).resize((96, 80))
READERS = (webp.webp, jpeg2000.jpeg2000, avif)
FILES = {codec: codecs.encode(PHOTO, codec) for codec in ("webp:50", "webp:80:m0", "jp2:10", "avif:60", "jpeg:75")}


def test_webp_tells_its_quantiser_which_falls_as_quality_rises() -> None:
    quantisers = [webp.webp(codecs.encode(PHOTO, f"webp:{quality}")).quantiser for quality in range(0, 101, 5)]
    assert quantisers == sorted(quantisers, reverse=True)
    assert (quantisers[0], quantisers[-1]) == (127, 0)
    assert len(set(quantisers)) == len(quantisers)


@pytest.mark.parametrize("method", range(7))
def test_webp_quantiser_is_the_quality_s_whatever_the_photo_and_the_method(method: int) -> None:
    for image in (PHOTO, PHOTO.rotate(90), Image.fromarray(data.cat()).resize((96, 64))):
        assert webp.webp(codecs.encode(image, f"webp:75:m{method}")).quantiser == 36


def test_webp_tells_its_segments_and_filter() -> None:
    found = webp.webp(FILES["webp:50"])
    assert len(found.segments) == 4 and found.segments[0] == found.quantiser == 52
    assert 0 < found.filter_level < 64 and not found.simple_filter and found.sharpness == 0
    assert webp.webp(codecs.encode(PHOTO, "webp:100")).filter_level == 0
    assert webp.webp(codecs.encode(PHOTO, "webp:lossless")) == webp.WebP(lossless=True)


def test_a_webp_with_a_profile_before_its_frame_is_read() -> None:
    image = PHOTO.copy()
    image.info["icc_profile"] = b"x" * 131
    assert webp.webp(codecs.encode(image, "webp:50")) == webp.webp(FILES["webp:50"])


@pytest.mark.parametrize(("option", "irreversible"), [("", False), (":irreversible", True)])
def test_jpeg_2000_tells_its_wavelet(option: str, irreversible: bool) -> None:
    found = jpeg2000.jpeg2000(codecs.encode(PHOTO, f"jp2:10{option}"))
    assert (found.irreversible, found.layers, found.levels) == (irreversible, 1, 5)


@pytest.mark.parametrize("sampling", ["444", "422", "420"])
def test_avif_tells_its_sampling(sampling: str) -> None:
    found = avif(codecs.encode(PHOTO, f"avif:60:{sampling}"))
    assert found == AVIF(sampling, bits=8, grey=False, quantiser=120)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_avif_tells_its_tiles(threads: int) -> None:
    pytest.importorskip("pyvips", exc_type=ImportError)
    data = codecs.encode(PHOTO.resize((500, 300)), f"vips_avif:50:e0:t{threads}")
    assert avif(data) == AVIF("444", bits=8, grey=False, quantiser=148, tiles=threads)


@pytest.mark.parametrize("size", [(16, 16), (301, 150), (4500, 40), (2000, 1300)])
@pytest.mark.parametrize("speed", [9, 10])
def test_avif_tells_its_quantiser_which_is_the_quality_s_whatever_the_image(size: tuple[int, int], speed: int) -> None:
    image = PHOTO.resize(size)
    image.info["icc_profile"] = b"x" * 131
    quantisers = [avif(codecs.encode(image, f"avif:{quality}:s{speed}")).quantiser for quality in (0, 50, 75, 100)]
    assert quantisers == [255, 148, 76, 0]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\4\0\0\0WEBP", FILES["jpeg:75"]])
def test_a_file_of_another_kind_is_refused(reader: Callable[[bytes], object], content: bytes) -> None:
    with pytest.raises(ValueError):
        reader(content)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 400), st.integers(0, 200), st.binary(max_size=6))
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_read_or_refused(codec: str, end: int, place: int, patch: bytes) -> None:
    content = FILES[codec][:end]
    for reader in READERS:
        with suppress(ValueError):
            assert isinstance(reader(content[:place] + patch + content[place + len(patch) :]), tuple)
