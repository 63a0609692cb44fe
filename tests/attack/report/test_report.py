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
from figures import evaluation, figures, training, transfer
from PIL import Image
from rich.console import Console

import params
from attack.bench.rows import Row
from attack.evaluation.evaluate import Evaluator
from attack.evaluation.metrics import write_evaluation
from attack.evaluation.outcomes import OUTCOMES, Outcome
from attack.evaluation.titles import title
from attack.evaluation.transfer_matrix import matrices
from attack.report.page import write_page
from attack.report.sections import bench
from attack.report.tables import model_table, price, transfer_table
from collect.files import read_rows
from pairing.build import build
from train.models import checkpoint
from train.models.com_model import ComModel
from train.training import TrainingMetrics

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
METRICS = training("jpeg-25", 1, model="paper")
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
    assert "libjpeg 25, 4:2:0 (<code>jpeg:25:420</code>), identified: all 3 files have one pair of tables." in html
    Path("models/jpeg-25.emulator.json").write_text(json.dumps(EMULATOR | {"identified": False}))
    write_page(settings, page)
    assert "not identified" in page.read_text()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("jpeg-25.json", None, "is missing.*comreadv train --platform jpeg-25"),
        ("jpeg-25.json", b'{"platform": ', "comreadv train --platform jpeg-25"),
        ("jpeg-25.json", b'{"platform": "jpeg-25", "mae": 1.0}', "is damaged.*comreadv train --platform jpeg-25"),
        ("jpeg-25.csv", b"", "comreadv train --platform jpeg-25"),
        ("jpeg-25.csv", b"epoch,train,validation\n0,7.0,7.5\n", "comreadv train --platform jpeg-25"),
        ("jpeg-25.csv", b"epoch,train_mae,validation_mae\n0,\xff,7.5\n", "comreadv train --platform jpeg-25"),
        ("jpeg-25.emulator.json", b"{", "jpeg-25.emulator.json is damaged"),
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
    with pytest.raises(params.UserError, match=r"reports/index.html can't be written"):
        write_page(settings, page)
    evaluator = Evaluator("jpeg-25", settings, Path("data/images"), 1)
    with pytest.raises(params.UserError, match=r"reports/jpeg-25.json can't be written"):
        write_evaluation(evaluator, [outcome("a", "test/a.png", "mim", lost=False)], Path("reports"))


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
    known = training("weibo", 1, mae=0.0012, paper_mae=2.9, identity_mae=3.1)
    known |= {"emulator": {"chain": "jpeg:85:444", "identified": False}}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(model_table([TrainingMetrics.model_validate(known)]))
    (row,) = (line.split() for line in console.export_text().splitlines() if "weibo" in line)
    assert row == ["weibo", "0.00", "–", "2.90", "3.10", "jpeg:85:444,", "not", "identified"]


def write_transfers(reports: Path) -> None:
    """Write the reports of two platforms; images made for weibo do half as well on jpeg-25, and so on."""
    (reports / "transfer").mkdir(parents=True)
    for name, own, others in (
        ("jpeg-25", 0.8, {"weibo": figures(0.4), "universal": figures(0.7)}),
        ("weibo", 0.6, {"jpeg-25": figures(0.2), "universal": figures(0.5)}),
    ):
        own_figures = {"mim": figures(0.1), "best": figures(own)}
        (reports / f"{name}.json").write_text(json.dumps(evaluation(name, {"eps5": own_figures})))
        (reports / "transfer" / f"{name}.json").write_text(json.dumps(transfer(name, {"eps5": others})))


def test_the_matrix_puts_what_was_made_for_a_platform_on_its_diagonal(tmp_path: Path) -> None:
    assert matrices(["jpeg-25", "weibo"], tmp_path) == []
    write_transfers(tmp_path)
    (matrix,) = matrices(["jpeg-25", "weibo"], tmp_path)
    after = {made: {on: each.success_after for on, each in cells.items()} for made, cells in matrix.rows.items()}
    assert after == {
        "jpeg-25": {"jpeg-25": 0.8, "weibo": 0.2},
        "weibo": {"jpeg-25": 0.4, "weibo": 0.6},
        "universal": {"jpeg-25": 0.7, "weibo": 0.5},
    }
    assert matrix.price == (pytest.approx(0.7), pytest.approx(0.6), 2)
    assert "costs 10 points" in (price(matrix) or "") and "mean over 2 platforms" in (price(matrix) or "")
    laid = transfer_table(matrix)
    assert list(laid.columns[1].cells) == ["80% (70%–90%)", "40% (30%–50%)", "70% (60%–80%)"]


def test_without_best_the_matrix_has_the_universal_row_alone(tmp_path: Path) -> None:
    (tmp_path / "transfer").mkdir()
    (tmp_path / "weibo.json").write_text(json.dumps(evaluation("weibo", {"eps5": {"mim": figures(0.1)}})))
    universal = transfer("weibo", {"eps5": {"universal": figures(0.5)}})
    (tmp_path / "transfer/weibo.json").write_text(json.dumps(universal))
    (matrix,) = matrices(["weibo"], tmp_path)
    assert list(matrix.rows) == ["universal"] and matrix.price is None and price(matrix) is None


def test_a_damaged_transfer_is_named(tmp_path: Path) -> None:
    write_transfers(tmp_path)
    (tmp_path / "transfer/weibo.json").write_text("{")
    with pytest.raises(params.UserError, match=r"transfer/weibo.json is damaged.*comreadv transfer --platform weibo"):
        matrices(["jpeg-25", "weibo"], tmp_path)


def benched(attack: str, eps: int, after: float) -> dict:
    made = {"attack": attack, "codec": "jpeg:50", "eps": eps, "steps": 10, "targeted": True, "images": 20}
    made |= {
        "step_size": None,
        "goal": "targeted",
        "norm": "linf",
        "classifier": "efficientnet_lite0",
        "max_change": eps,
    }
    cost = {"gradient_evaluations": 10.0, "seconds_per_image": 0.5, "times_bare": 1.0, "psnr": 38.0, "ssim": 0.95}
    return made | cost | {"success_before": 1.0, "success_after": after, "low": after - 0.05, "high": after + 0.05}


BENCHED = [
    benched("mim", 3, 0.1),
    benched("best", 3, 0.5),
    benched("mim", 5, 0.25),
    benched("best", 5, 0.75),
    benched("mim", 8, 0.4),
]


def test_the_benchs_table_is_of_the_largest_eps_with_most_attacks(tmp_path: Path) -> None:
    write_lines(tmp_path / "bench.jsonl", BENCHED)
    (codec,) = bench.codecs(read_rows(tmp_path / "bench.jsonl", Row, ""))
    assert (codec.name, codec.eps) == ("jpeg:50", 5)
    assert [(each.attack, each.success_after) for each in codec.rows] == [("best", 0.75), ("mim", 0.25)]
    assert title("kornia50_mim") == "MIM through kornia's JPEG (50)" and title("foolbox_mifgsm") == "foolbox's MI-FGSM"


def test_transfer_and_bench_stand_in_the_page_where_they_were_measured(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    write_page(settings, page)
    assert "made for ↓" not in page.read_text() and "Beside the literature" not in page.read_text()
    Path("reports/transfer").mkdir()
    universal = transfer("jpeg-25", {"eps5": {"universal": figures(0.5)}})
    Path("reports/transfer/jpeg-25.json").write_text(json.dumps(universal))
    write_lines(Path("reports/bench.jsonl"), BENCHED)
    write_page(settings, page)
    html = page.read_text()
    assert re.search(r'<tr class="ours"><td>universal</td><td>\s*<span>50 %</span> <small>40–60</small></td>', html)
    cells = r"<td>75 %</td><td>\d+–\d+ %</td>\s*<td>100 %</td><td>10</td><td>10</td>"
    assert re.search(rf'<tr class="ours"><td>best</td>{cells}', html)
    assert "<!-- ε, grey levels -->" in html


@pytest.mark.parametrize("content", [b'{"attack": "mim"}\n', b"\xff", b"{"])
def test_a_damaged_bench_is_named(project: tuple[params.Params, Path], content: bytes) -> None:
    settings, page = project
    Path("reports").mkdir()
    Path("reports/bench.jsonl").write_bytes(content)
    with pytest.raises(params.UserError, match=r"bench.jsonl.*damaged.*dvc repro bench"):
        write_page(settings, page)


def test_several_eps_make_a_plot_against_eps(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    write_page(settings, page)
    assert "Success against ε" not in page.read_text()
    file = Path("data/evaluation/jpeg-25") / OUTCOMES
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    write_lines(file, lines + [line | {"eps": 3} for line in lines])
    write_page(settings, page)
    assert "Success against ε" in page.read_text()


def test_the_history_stands_in_the_page_from_the_second_generation_on(project: tuple[params.Params, Path]) -> None:
    settings, page = project
    write_page(settings, page)
    assert "History" not in page.read_text()
    kept = Path("data/kept_models/jpeg-25/1")
    kept.mkdir(parents=True)
    kept.joinpath("jpeg-25.json").write_text(json.dumps(METRICS | {"mae": 2.5, "identity_mae": 4.0}))
    write_page(settings, page)
    assert "History" not in page.read_text()  # the same generation
    Path("models/jpeg-25.json").write_text(json.dumps(METRICS | {"generation": 2, "mae": 1.5, "identity_mae": 5.0}))
    write_page(settings, page)
    assert "<h3>History</h3>" in page.read_text() and "<!-- generation of the codec -->" in page.read_text()
