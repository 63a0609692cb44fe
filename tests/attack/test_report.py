"""The page on a tiny project: real files on the disk, a real codec, a real ComModel."""

import base64
import hashlib
import io
import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import params
from attack.evaluate import OUTCOMES, Outcome
from attack.report import write_metrics, write_page
from attack.results import model_table
from pairing.build import build
from train import checkpoint
from train.com_model import ComModel

SETTINGS = """
scale: laptop
collect: {}
pairing: {}
train: {}
paper: {dataset: {}, train: {}, attack: {}}
dataset: {name: sample, size: 64}
platforms:
  jpeg-25: {adapter: codec, codec: "jpeg:25"}
attack: {attacks: [mim, comreadv_mim], eps: [5]}
evaluate: {pictures: 3, confidence: 0.95}
"""
METRICS = {
    "platform": "jpeg-25",
    "generation": 1,
    "model": "paper",
    "seconds": 3.0,
    "steps": 9,
    "images": {"train": 7, "test": 3},
}
EMULATOR = {
    "chain": "jpeg:25:420",
    "format": "JPEG",
    "identified": True,
    "mae": 0.0,
    "exact": 1.0,
    "pairs": 3,
    "why": "all 3 files have one pair of tables",
}


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: list[tuple[Image.Image, int]]
) -> tuple[params.Params, Path]:
    """Three test images, their round trips through JPEG 25, and an attack's images, of which one is lost."""
    monkeypatch.chdir(tmp_path)
    images, trips, outcomes = [], [], []
    for index in range(3):
        name, photo = f"test/photo-{index}.png", photos[index][0].resize((64, 64))
        pixels, trip = write(Path("data/images") / name, photo), Path(f"data/round_trips/jpeg-25/test/{index}.jpg")
        write(trip, photo, quality=25)
        images.append({"name": name, "split": "test", "source": "s", "label": None, "sha256": pixels, "crop": None})
        trips.append({"source": name, "source_sha256": pixels, "file": f"test/{index}.jpg"} | described(trip))
        for attack in ("mim", "comreadv_mim"):
            file = f"eps5/{attack}/photo-{index}"
            noise = np.random.default_rng(index).integers(-5, 6, (64, 64, 3))
            changed = Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8))
            write(Path(f"data/adversarial/jpeg-25/{file}.png"), changed)
            write(Path(f"data/evaluation/jpeg-25/{file}.jpg"), changed, quality=25)
            outcomes.append(outcome(file, name, attack, lost=(attack, index) == ("mim", 2)))
    write_lines(Path("data/images/manifest.jsonl"), images)
    write_lines(Path("data/round_trips/jpeg-25/manifest.jsonl"), trips)
    write_lines(Path("data/evaluation/jpeg-25") / OUTCOMES, [asdict(each) for each in outcomes])
    build(Path("data/images"), Path("data/round_trips/jpeg-25"), Path("data/pairs/jpeg-25.db"), params.Pairing())
    checkpoint.save(Path("models/jpeg-25.safetensors"), ComModel(), model="paper")
    Path("models/jpeg-25.csv").write_text("epoch,train_mae,validation_mae\n0,7.0,7.5\n1,6.0,7.2\n")
    Path("models/jpeg-25.json").write_text(json.dumps(METRICS))
    Path("params.yaml").write_text(SETTINGS)
    return params.load(), tmp_path / "reports/index.html"


def write(path: Path, image: Image.Image, **how: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def described(file: Path) -> dict:
    fixed = {"platform": "jpeg-25", "generation": 1, "remote_id": file.stem, "rendition": "full", "format": "JPEG"}
    return fixed | {"bytes": file.stat().st_size, "sha256": "0"}


def outcome(file: str, image: str, attack: str, *, lost: bool) -> Outcome:
    asked = {"attack": attack, "eps": 5, "steps": 10, "targeted": True, "prediction": 3, "target": 503, "before": 503}
    nothing = {"served": None, "after": None, "psnr": None, "ssim": None, "reason": "refused by the platform"}
    back = {"served": f"{file}.jpg", "after": 503, "psnr": 30.0, "ssim": 0.9, "reason": None}
    return Outcome(site="sandbox", file=f"{file}.png", image=image, **asked, **(nothing if lost else back))


def row(page: str, what: str) -> list[str]:
    """Read the cells after a row's first."""
    line = re.search(rf"<tr><td>{what}</td>(.*?)</tr>", page, re.DOTALL)
    assert line, f"no row {what}"
    return re.findall(r"<td>(?:<b>)?([^<]*)(?:</b>)?</td>", line[1])


def test_the_com_models_errors_stand_beside_the_identitys(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    assert write_page(settings, page) == []
    html = page.read_text()
    identity = f"{np.mean(differences()):.2f}"
    assert row(html, "test images") == ["3", identity, identity]  # the untrained net returns its input
    images, *errors = row(html, "adversarial images, made without it")
    assert images == "2" and float(errors[0]) > 0 and errors[0] == errors[1]
    assert row(html, "adversarial images, made through the ComModel")[0] == "3"
    assert "Codec:" not in html and "emulator processed" not in html and "the paper's net" not in html


def differences() -> list[np.ndarray]:
    """Return how far each test image's rendition is from it."""
    files = ((f"data/images/test/photo-{each}.png", f"data/round_trips/jpeg-25/test/{each}.jpg") for each in range(3))
    return [np.abs(pixels(original) - pixels(served)) for original, served in files]


def pixels(file: str) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def test_original_served_output_and_error_are_in_the_page(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    write_page(settings, page)
    html = page.read_text()
    differences = [
        np.abs(
            pixels(f"data/images/test/photo-{each}.png") - pixels(f"data/round_trips/jpeg-25/test/{each}.jpg")
        ).mean()
        for each in range(3)
    ]
    for index in np.argsort(differences)[1:]:  # the median and the worst
        strip = html[html.index(f"photo-{index}.png: mean absolute error") :]
        original, served, modelled, error = (decoded(each) for each in re.findall(r'src="([^"]+)"', strip)[:4])
        assert np.array_equal(original, pixels(f"data/images/test/photo-{index}.png"))
        assert np.array_equal(served, pixels(f"data/round_trips/jpeg-25/test/{index}.jpg"))
        assert np.array_equal(modelled, original)
        assert np.array_equal(error, np.clip(128 + 20 * (modelled - served), 0, 255))
    assert html.count("the platform served</figcaption>") == 2  # no more than two
    assert "cycles a pixel" in html


def decoded(address: str) -> np.ndarray:
    assert address.startswith("data:image/webp;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))).astype(int)


def test_what_training_and_the_emulator_found_is_told_where_it_is_there(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    found = METRICS | {"mae_adversarial": 1.25, "mae_noise": None, "paper_mae": 4.5}
    Path("models/jpeg-25.json").write_text(json.dumps(found))
    Path("models/jpeg-25.emulator.json").write_text(json.dumps(EMULATOR))
    write_page(settings, page)
    html = " ".join(page.read_text().split())
    assert row(html, "test images")[2] == "4.50" and row(html, "adversarial images, made without it")[2] == "–"
    assert "1.25 with adversarial changes." in html and "with noise" not in html
    assert "<code>jpeg:25:420</code>, identified: all 3 files have one pair of tables." in html
    Path("models/jpeg-25.emulator.json").write_text(json.dumps(EMULATOR | {"identified": False}))
    write_page(settings, page)
    assert "not identified" in page.read_text()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("jpeg-25.json", None, "missing.*comreadv train --platform jpeg-25"),
        ("jpeg-25.json", b'{"platform": ', "comreadv train --platform jpeg-25"),
        ("jpeg-25.json", b'{"platform": "jpeg-25", "mae": 1.0}', "older form.*comreadv train --platform jpeg-25"),
        ("jpeg-25.csv", b"", "comreadv train --platform jpeg-25"),
        ("jpeg-25.csv", b"epoch,train,validation\n0,7.0,7.5\n", "comreadv train --platform jpeg-25"),
        ("jpeg-25.csv", b"epoch,train_mae,validation_mae\n0,\xff,7.5\n", "comreadv train --platform jpeg-25"),
        ("jpeg-25.emulator.json", b"{", "jpeg-25.emulator.json is no emulator, or is damaged"),
    ],
)
def test_what_training_left_damaged_is_named(
    project: tuple[params.Params, Path], file: str, content: bytes | None, said: str
) -> None:
    settings, page = project
    path = Path("models") / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(params.UserError, match=said):
        write_page(settings, page)
    assert not page.exists()


def test_a_file_where_the_reports_folder_belongs_is_named(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    Path("reports").write_text("")
    with pytest.raises(params.UserError, match="reports can't be made a folder"):
        write_page(settings, page)
    with pytest.raises(params.UserError, match="reports can't be made a folder"):
        write_metrics("jpeg-25", settings, [], 1, Path("reports"))


def test_a_platform_that_was_not_evaluated_is_named(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    (Path("data/evaluation/jpeg-25") / OUTCOMES).unlink()
    assert write_page(settings, page) == ["jpeg-25"]
    assert "Not evaluated yet: jpeg-25." in page.read_text()


def test_a_model_that_was_not_trained_shows_no_empty_curve(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    write_page(settings, page)
    assert "<!-- epoch -->" in page.read_text()
    file = Path("models/jpeg-25.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"steps": 0}))
    write_page(settings, page)
    assert "nothing was left to train" in page.read_text() and "<!-- epoch -->" not in page.read_text()


def test_the_terminal_shows_each_models_error_beside_the_others() -> None:
    known = {"platform": "weibo", "mae": 0.0012, "mae_adversarial": None, "paper_mae": 2.9, "identity_mae": 3.1}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(model_table([known | {"emulator": {"chain": "jpeg:85:444", "identified": False}}]))
    (row,) = (line.split() for line in console.export_text().splitlines() if "weibo" in line)
    assert row == ["weibo", "0.00", "–", "2.90", "3.10", "jpeg:85:444,", "not", "identified"]
