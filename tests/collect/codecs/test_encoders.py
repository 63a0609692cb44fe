"""Each encoder recognises its own files, and lists itself among those that may have made them."""

from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from collect import codecs
from collect.codecs.encoders import Rendition, all_encoders, encoder
from collect.codecs.quality_search import nearest_by, qualities_around
from collect.codecs.quantisation import Tables

PHOTO = Image.fromarray(data.coffee()).crop((100, 100, 220, 200))
TABLES = ((11,) * 64, (17,) * 64)
TUNED = ("m4:f10", "m4:f0", "m6:s2", "m2:photo", "m4:drawing", "m4:af", "m4:sharp_yuv", "m4:f20:sharp_yuv")
MADE = {
    "avif": ["avif:60:444:s6", "avif:30:420:s8"],
    "jp2": ["jp2:10", "jp2:15:irreversible", "jp2:35dB"],
    "jpeg": ["jpeg:75:420", "jpeg:90:444:progressive", "jpeg:tables:422", "jpeg:82:420:ifast"],
    "jpeg_ijg": ["jpeg_ijg:75:420"],
    "jpeg_requantised": ["jpeg_requantised:75:420"],
    "jpegli": ["jpegli:80", "jpegli:1"],
    "go": ["go:75", "go:tables"],
    "mozjpeg": ["mozjpeg:80:420", "mozjpeg:92:444:baseline:noovershoot", "mozjpeg:70:420:baseline:table0"],
    "vips_avif": ["vips_avif:50:444:e1", "vips_avif:80:420:e0"],
    "png": ["png"],
    "webp": ["webp:50:m4", "webp:80:m0", "webp:lossless", *(f"webp:70:{options}" for options in TUNED)],
}


NEEDS = {"jpegli": "pyjpegli", "mozjpeg": "pyvips", "vips_avif": "pyvips"}


def made(chain: str, folder: Path) -> Rendition:
    file = folder / "served"
    file.write_bytes(codecs.encode(PHOTO, chain, TABLES))
    return Rendition(file, file.stat().st_size, codecs.decoded(PHOTO, chain, TABLES), lambda: PHOTO)


def test_every_encoder_is_tried_here() -> None:
    assert set(MADE) == set(all_encoders())


@pytest.mark.parametrize("chain", [chain for chains in MADE.values() for chain in chains])
def test_an_encoder_is_guessed_from_its_file_alone(chain: str, tmp_path: Path) -> None:
    name, *options = chain.split(":")
    if package := "webp" if name == "webp" and len(options) > 2 else NEEDS.get(name):
        pytest.importorskip(package, exc_type=ImportError)
    seen, maker = made(chain, tmp_path), all_encoders()[name]
    tables: list[Tables] = [codecs.quantisation.read_codec(seen.file)["tables"]] if maker.format == "JPEG" else []
    assert maker.variant(seen.file)
    assert chain in maker.guesses([seen], tables)
    assert Image.open(seen.file).format == maker.format


@pytest.mark.parametrize("name", ["avif", "jp2", "webp"])
def test_a_file_of_another_format_is_not_an_encoders(name: str, tmp_path: Path) -> None:
    seen = made("png", tmp_path)
    with pytest.raises(ValueError):
        all_encoders()[name].variant(seen.file)


def test_what_changes_no_pixel_says_so() -> None:
    lossless = ("png", "webp:lossless")
    for chain in (chain for chains in MADE.values() for chain in chains):
        assert encoder(*chain.split(":"), tables=TABLES).is_lossless == (chain in lossless)


def test_nothing_is_guessed_of_an_encoder_whose_library_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for chain, names in (("jpeg:75", ("jpegli", "mozjpeg")), ("avif:60:444:s9", ("vips_avif",))):
        seen = made(chain, tmp_path)
        for name in names:
            monkeypatch.setattr(f"collect.codecs.encoders.{name}.is_installed", lambda _: False)
            assert [*all_encoders()[name].guesses([seen], [TABLES])] == []


def test_a_quality_is_found_by_a_measure_that_rises_with_it() -> None:
    assert [nearest_by(lambda quality: quality**2, wanted) for wanted in (-5, 0, 50, 2600, 10**6)] == [0, 0, 7, 51, 100]
    assert qualities_around(50) == [50, 49, 51, 48, 52, 47, 53]
    assert qualities_around(100) == [100, 99, 98, 97]
