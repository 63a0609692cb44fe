"""What real platforms do beside encoding: watermarks, other libjpegs, noise, numbers of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data
from typer.testing import CliRunner

from collect import codecs
from collect.codecs import libjpeg
from collect.codecs.quantisation import standard_tables
from train.bench.stacks import app
from train.emulator import Emulator, identify, matching_files

PHOTOS = [Image.fromarray(photo).convert("RGB") for photo in (data.astronaut(), data.coffee(), data.cat())]
Make = Callable[[Image.Image, Path, Path], None]  # saves the original, and what the platform serves of it


def photo(index: int, size: tuple[int, int] = (144, 112)) -> Image.Image:
    source, place = PHOTOS[index % 3], np.random.default_rng(index)
    left, top = (int(place.integers(0, length - 200)) for length in source.size)
    return source.crop((left, top, left + 200, top + 200)).resize(size, Image.Resampling.LANCZOS)


def identified(folder: Path, make: Make, count: int = 8, upload: str = "png") -> Emulator:
    """Identify a platform from photos that it served."""
    for name in ("originals", "renditions"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        make(photo(index), folder / "originals" / f"{index}.{upload}", folder / "renditions" / f"{index}.jpg")
    return identify(matching_files(folder), seconds=60)


def served_by(chain: str, image: Image.Image, original: Path, rendition: Path) -> None:
    image.save(original, quality=98)
    rendition.write_bytes(codecs.encode(original, chain))


def test_a_watermark_costs_nothing(tmp_path: Path) -> None:
    def make(image: Image.Image, original: Path, rendition: Path) -> None:
        image.save(original)
        ImageDraw.Draw(image).text((70, 94), "@somebody", fill="white", stroke_fill="black", stroke_width=1)
        rendition.write_bytes(codecs.encode(image, "jpeg:85:444"))

    found = identified(tmp_path, make)
    assert (found.chain, found.identified, found.mae) == ("jpeg:85:444", True, 0)
    assert "outside a watermark, on 4 of 4" in found.why


@pytest.mark.parametrize("chain", ["jpeg_requantised:71:420", "jpeg_ijg:87:420"])
def test_other_jpegs_than_libjpeg_turbos_are_found(tmp_path: Path, chain: str) -> None:
    found = identified(tmp_path, partial(served_by, chain))
    assert (found.chain, found.exact) == (chain, 1)


def test_the_decoder_of_jpeg_uploads_is_found(tmp_path: Path) -> None:
    found = identified(tmp_path, partial(served_by, "decode:ijg+jpeg_ijg:87:420"), upload="jpg")
    assert (found.chain, found.exact) == ("decode:ijg+jpeg_ijg:87:420", 1)
    assert found.words == "uploads decoded by IJG's libjpeg; libjpeg 9 of the IJG 87, 4:2:0"


def test_images_of_one_colour_tell_nothing(tmp_path: Path) -> None:
    def make(image: Image.Image, original: Path, rendition: Path) -> None:
        Image.new("RGB", image.size, (200, 30, 90)).save(original)
        Image.open(original).save(rendition, quality=60)

    found = identified(tmp_path / "flat", make, 4)
    assert not found.identified and "all 2 unseen originals are of one colour" in found.why

    def mixed(image: Image.Image, original: Path, rendition: Path) -> None:
        (make if original.stem in "0246" else partial(served_by, "jpeg:60:420"))(image, original, rendition)

    found = identified(tmp_path / "mixed", mixed)
    assert (found.identified, found.pairs) == (True, 2)
    assert "with a probability of 67%; 2 more of one colour" in found.why


def test_nothing_worse_than_the_original_is_reported(tmp_path: Path) -> None:
    def make(image: Image.Image, original: Path, rendition: Path) -> None:
        image.save(original)
        # the tables say quality 30, but the coefficients that they stand for are nearly those of the original
        rendition.write_bytes(libjpeg.with_coefficients(image, [[1] * 64] * 2, "4:4:4", lambda seen: seen))
        content = bytearray(rendition.read_bytes())
        place = content.index(b"\xff\xdb")
        content[place + 5 + 1] = 2
        rendition.write_bytes(content)

    found = identified(tmp_path, make)
    assert found.mae <= (found.identity_mae or 0)


def write(image: Image.Image, original: Path, rendition: Path, bias: float) -> None:
    """Serve JPEG 75 4:4:4 of which the coefficients are cut off after adding a bias."""
    tables = standard_tables(75)

    def change(seen: Sequence[libjpeg.Coefficients]) -> list[libjpeg.Coefficients]:
        steps = [np.reshape(table, (8, 8)) for table in (*tables, tables[1])]
        return [
            (np.sign(plane) * np.floor(np.abs(plane) / step + bias)).astype(np.int16)
            for plane, step in zip(seen, steps, strict=True)
        ]

    image.save(original)
    rendition.write_bytes(libjpeg.with_coefficients(image, tables, "4:4:4", change))


def write_noisy(image: Image.Image, original: Path, rendition: Path) -> None:
    """Serve libjpeg's own file, with one coefficient in a hundred off by 1."""
    image.save(original)
    served_by("jpeg:75:444", image, original, rendition)
    random, own = np.random.default_rng(int(original.stem)), libjpeg.read_coefficients(rendition)
    noisy = [plane + random.choice(np.int16([-1, 0, 1]), plane.shape, p=[0.005, 0.99, 0.005]) for plane in own]
    rendition.write_bytes(libjpeg.with_coefficients(image, standard_tables(75), "4:4:4", lambda _: noisy))


def test_a_rounding_of_its_own_is_fitted_and_served(tmp_path: Path) -> None:
    found = identified(tmp_path, partial(write, bias=0.3), 12)
    assert found.fitted is not None and found.fitted.biases is not None
    assert np.mean(found.fitted.biases[0][:20]) == pytest.approx(0.3, abs=0.03)
    plain = found.model_copy(update={"fitted": None})
    pairs = [(Image.open(one), Image.open(other)) for one, other in matching_files(tmp_path)[6:]]

    def error(emulator: Emulator) -> float:
        return float(np.mean([np.abs(np.subtract(emulator(one), other, dtype=float)).mean() for one, other in pairs]))

    assert error(found) < error(plain) / 3
    found.save(tmp_path / "emulator.json")
    assert Emulator.load(tmp_path / "emulator.json") == found


def test_noise_gets_its_own_word(tmp_path: Path) -> None:
    found = identified(tmp_path, write_noisy)
    assert (found.identified, found.is_known) == (False, True)
    assert found.noise == pytest.approx(0.01, abs=0.003)
    assert found.why.startswith("identified but for noise of ±1 in")


def test_a_table_of_stacks_goes_on_and_stands_beside_the_last(tmp_path: Path) -> None:
    for name, chain in (("first", "jpeg:80:420"), ("second", "jpeg:60:444")):
        identified(tmp_path / "pairs" / name, partial(served_by, chain), 4)
    out = tmp_path / "stacks.md"
    run = partial(CliRunner().invoke, app, [str(tmp_path / "pairs"), "--out", str(out)])
    assert "2 of 2 identified" in run().output
    lines = out.read_text().splitlines()
    assert lines[2].startswith("| first | libjpeg 80, 4:2:0 | `jpeg:80:420` | yes | 0.000 | – |")
    rows = out.with_suffix(".jsonl").read_text().splitlines()
    # one is finished already when it goes on, and it isn't measured again
    out.with_suffix(".part.jsonl").write_text(json.dumps(json.loads(rows[0]) | {"mae": 7.0}) + "\n" + rows[1][:20])
    run()
    first = out.read_text().splitlines()[2]
    assert first.startswith("| first | libjpeg 80, 4:2:0 | `jpeg:80:420` | yes | 7.000 | 0.000 |")
    assert not out.with_suffix(".part.jsonl").exists()
