"""Encoders give what the programs write that they are named after, run beside them."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from collect import codecs
from collect.codecs.quantisation import read_codec
from collect.codecs.steps import backends

PHOTOS = [
    Image.fromarray(data.astronaut()).crop((100, 80, 257, 201)),
    Image.fromarray(data.coffee()).crop((31, 100, 192, 244)),
    Image.fromarray(np.random.default_rng(8).integers(0, 256, (19, 34, 3), np.uint8)),
    Image.new("RGB", (1, 3), (250, 3, 90)),
]


GO = """
package main

import ("fmt"; "image/jpeg"; "image/png"; "os")

func main() {
    image, err := png.Decode(os.Stdin)
    if err != nil { panic(err) }
    var quality int
    fmt.Sscan(os.Args[1], &quality)
    jpeg.Encode(os.Stdout, image, &jpeg.Options{Quality: quality})
}
"""


def image_magick() -> str | None:
    for name in ("/usr/bin/convert", "magick", "convert"):
        program = shutil.which(name)
        if program and b"ImageMagick" in subprocess.run([program, "-version"], capture_output=True).stdout:
            return program
    return None


def pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(params=range(len(PHOTOS)))
def photo(request: pytest.FixtureRequest) -> Image.Image:
    return PHOTOS[request.param]


@pytest.mark.skipif(image_magick() is None, reason="ImageMagick is not installed")
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 90, 91])
def test_ifast_is_image_magicks_transform_up_to_quality_90(
    photo: Image.Image, sampling: str, quality: int, tmp_path: Path
) -> None:
    before, after = tmp_path / "photo.png", tmp_path / "photo.jpg"
    photo.save(before)
    settings = ["-sampling-factor", sampling, "-quality", str(quality)]
    subprocess.run([str(image_magick()), before, *settings, after], check=True)
    chain = f"jpeg:{quality}:{sampling.replace(':', '')}{':ifast' if quality <= 90 else ''}"
    assert pixels(codecs.encode(photo, chain)) == pixels(after.read_bytes())
    tables = read_codec(after)["tables"]
    by_tables = chain.replace(str(quality), "tables")
    assert pixels(codecs.encode(photo, by_tables, tables)) == pixels(after.read_bytes())


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO)
    subprocess.run(["go", "build", "-o", "encode", "main.go"], cwd=folder, check=True)
    return folder / "encode"


@pytest.mark.parametrize("quality", [5, 75, 98])
def test_go_is_gos_image_jpeg(photo: Image.Image, quality: int, go: Path) -> None:
    real = subprocess.run([go, str(quality)], input=as_png(photo), capture_output=True, check=True).stdout
    assert pixels(codecs.encode(photo, f"go:{quality}")) == pixels(real)


def test_mozjpegs_options_reach_it(photo: Image.Image) -> None:
    vips = pytest.importorskip("pyvips", exc_type=ImportError)
    handed = vips.Image.new_from_array(np.asarray(photo))
    plain = {"Q": 80, "optimize_coding": True, "trellis_quant": True, "subsample_mode": "on", "keep": "none"}
    progressive = {"optimize_scans": True, "interlace": True}
    deringing = {"overshoot_deringing": True}
    for options, real in (
        ("", {"quant_table": 3} | progressive | deringing),
        (":444:noovershoot", {"quant_table": 3, "subsample_mode": "off"} | progressive),
        (":baseline:table0", deringing),
    ):
        assert codecs.encode(photo, f"mozjpeg:80{options}") == handed.jpegsave_buffer(**plain | real)


def test_jpegli_is_its_wheels(photo: Image.Image) -> None:
    jpegli = pytest.importorskip("pyjpegli")
    assert codecs.encode(photo, "jpegli:80") == jpegli.encode(photo.tobytes(), *photo.size, 80)


def test_vips_avif_is_what_sharp_has_libvips_write(photo: Image.Image) -> None:
    vips = pytest.importorskip("pyvips", exc_type=ImportError)
    handed = vips.Image.new_from_array(np.asarray(photo))
    for threads in (1, 4):
        vips.concurrency_set(threads)
        real = handed.heifsave_buffer(Q=50, compression="av1", effort=1, subsample_mode="off", bitdepth=8, keep="none")
        vips.concurrency_set(2)
        assert pixels(codecs.encode(photo, f"vips_avif:50:444:e1:t{threads}")) == pixels(real)


@pytest.mark.skipif(shutil.which("cwebp") is None, reason="cwebp is not installed")
@pytest.mark.parametrize(
    ("chain", "options"),
    [
        ("webp:80:f0", "-q 80 -f 0"),
        ("webp:80:f90:s3", "-q 80 -f 90 -sharpness 3"),
        ("webp:60:m6:af", "-q 60 -m 6 -af"),
        ("webp:80:photo", "-preset photo -q 80"),
        ("webp:40:text:m2", "-preset text -q 40 -m 2"),
        ("webp:70:sns0", "-q 70 -sns 0"),
        ("webp:80:sharp_yuv", "-q 80 -sharp_yuv"),
    ],
)
def test_webps_options_are_cwebps(photo: Image.Image, chain: str, options: str, tmp_path: Path) -> None:
    pytest.importorskip("webp")
    before, after = tmp_path / "photo.png", tmp_path / "photo.webp"
    photo.save(before)
    subprocess.run(["cwebp", "-quiet", *options.split(), before, "-o", after], check=True)
    assert pixels(codecs.encode(photo, chain)) == pixels(after.read_bytes())


@pytest.mark.parametrize("chain", ["mozjpeg:80", "webp:80:f0", "jpegli:80", "vips_avif:50:e0"])
def test_a_missing_library_is_named_with_what_installs_it(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ImportError(module)

    codecs.check(chain)
    monkeypatch.setattr(backends, "import_module", missing)
    with pytest.raises(backends.BackendMissing, match=r"is not installed: pip install 'comreadv\[stacks\]'"):
        codecs.encode(PHOTOS[0], chain)
