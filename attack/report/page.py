"""The report: one page without a network, and each platform's metrics and plot."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image
from pydantic import BaseModel

from attack.evaluation import transfer
from attack.evaluation.metrics import _make_folder
from attack.evaluation.outcomes import OUTCOMES, Outcome, read_outcomes
from attack.evaluation.success_plot import success_plot
from attack.evaluation.summary import BEST, rows, summarise, title
from attack.models.classifiers import categories
from attack.report import bench_section, fidelity, history
from attack.report.plots import curve_plot, eps_plot, history_plot, read_trained, spectrum_plot
from attack.report.tables import price
from pairing.alignment import Pixels, read_pixels
from params import Params
from train import device
from train.data import load_pairs
from train.emulator import Emulator
from train.models import checkpoint
from train.retraining import model_archive

PICTURED = ("mim", "comreadv_mim", BEST)  # the attacks whose pictures are shown, where they were run
IN_FRONT = (BEST, "comreadv_mim", "mim")  # the attacks whose lines are drawn thick
DRAWN = 8  # attacks in a codec's plot: more lines can't be told apart


class Images(BaseModel):
    train: int


class Trained(BaseModel):
    """What the page tells of models/<platform>.json."""

    generation: int
    steps: int
    seconds: float
    images: Images
    paper_mae: float | None = None
    mae_adversarial: float | None = None
    mae_noise: float | None = None


def write_page(params: Params, page: Path) -> list[str]:
    """Write the page about every platform that is on and has been evaluated; return those that have not."""
    _make_folder(page.parent)
    matrices = transfer.matrices(list(params.platforms), page.parent)
    codecs = [
        each._asdict() | {"by_eps": _strongest_by_eps(each)}
        for each in bench_section.codecs(bench_section.read(page.parent / bench_section.FILE))
    ]
    sections, missing = [], []
    for name, row in params.platforms.items():
        outcomes_folder, curve = Path("data/evaluation") / name, Path("models") / f"{name}.csv"
        if not (outcomes_folder / OUTCOMES).exists() or not curve.exists():
            missing.append(name)
            continue
        outcomes = read_outcomes(outcomes_folder)
        model = read_trained(curve.with_suffix(".json"), Trained.model_validate_json)
        table = summarise(outcomes, params.evaluate.confidence)
        sections.append(
            {
                "name": name,
                "site": "a local encoder" if row.adapter == "codec" else outcomes[0].site,
                "model": model.model_dump(),
                "curve": curve_plot(curve),
                "fidelity": _fidelity(name, params, outcomes),
                "rows": list(rows(table, params.attack.attacks)),
                "success": success_plot(table, params.attack.attacks),
                "by_eps": _by_eps(list(rows(table, params.attack.attacks))),
                "pictures": list(_pictures(name, params, outcomes)),
                "history": _history(name, page.parent),
            }
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("page.html.j2").render(
        sections=sections, missing=missing, params=params, matrices=matrices, price=price, codecs=codecs
    )
    page.write_text(html, encoding="utf-8")
    return missing


def _by_eps(shown: Sequence[dict[str, Any]]) -> str | None:
    """Draw the attacks' success against ε, where there are several."""
    if len({row["eps"] for row in shown}) < 2:
        return None
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(shown, key=lambda row: IN_FRONT.index(row["attack"]) if row["attack"] in IN_FRONT else 9):
        lines.setdefault(row["title"], []).append(row)
    return eps_plot(lines, [title(each) for each in IN_FRONT])


def _strongest_by_eps(codec: bench_section.Codec) -> str | None:
    """Draw the success of a codec's strongest attacks against ε, where there are several."""
    drawn = [row.attack for row in codec.rows][:DRAWN]
    if BEST not in drawn:
        drawn.append(BEST)
    return _by_eps([row.model_dump() | {"title": row.title} for row in codec.all_rows if row.attack in drawn])


def _history(name: str, reports: Path) -> str | None:
    """Draw what became of the platform's ComModel and attacks over its codec's generations, where there are several."""
    generations = history.read(name, model_archive.FOLDER, model_archive.MODELS, reports)
    return history_plot(generations) if len(generations) > 1 else None


def _fidelity(name: str, params: Params, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Tell how near the ComModel is to the platform: errors, pictures, a plot, and what the emulator found."""
    checkpoint_file = Path("models") / f"{name}.safetensors"
    model = checkpoint.load(checkpoint_file, device.best())
    test = load_pairs(Path("data/pairs") / f"{name}.db", "test")
    plain = fidelity.measure(model, test)
    emulator = checkpoint_file.with_suffix(".emulator.json")
    shown = plain.typical_and_worst[: params.evaluate.pictures]
    return {
        "test": plain,
        "adversarial": fidelity.by_attack(
            model, outcomes, Path("data/adversarial") / name, Path("data/evaluation") / name
        ),
        "spectrum": spectrum_plot(plain),
        "pictures": [_comparison(fidelity.picture(model, test, index)) for index in shown],
        "emulator": Emulator.load(emulator) if emulator.exists() else None,
    }


def _comparison(picture: fidelity.Picture) -> dict[str, Any]:
    images = ("original", "served", "modelled", "error")
    embedded = {each: _embed(getattr(picture, each).permute(1, 2, 0).numpy()) for each in images}
    return embedded | {"name": picture.name, "mae": picture.mae}


def _pictures(name: str, params: Params, outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """Give the first test images' pictures and the classifier's words, for the attacks pictured."""
    words = categories(params.attack.classifier)
    attacks = [each for each in PICTURED if each in params.attack.attacks] or list(params.attack.attacks[:2])
    eps = max(params.attack.eps)
    chosen = sorted({each.image for each in outcomes})[: params.evaluate.pictures]
    for each in sorted(
        outcomes,
        key=lambda outcome: (
            outcome.image,
            attacks.index(outcome.attack) if outcome.attack in attacks else -1,
        ),
    ):
        if each.image not in chosen or each.attack not in attacks or each.eps != eps:
            continue
        photo = read_pixels(Path("data/images") / each.image)
        sent = read_pixels(Path("data/adversarial") / name / each.file)
        change = np.clip(128 + 10 * (sent.astype(np.int16) - photo), 0, 255).astype(np.uint8)
        came = read_pixels(Path("data/evaluation") / name / each.served) if each.served else None
        yield {
            "attack": title(each.attack),
            "eps": each.eps,
            "image": each.image,
            "photo": _embed(photo, lossless=False),
            "sent": _embed(sent),
            "came": _embed(came, lossless=False) if came is not None else None,
            "change": _embed(change, lossless=False),
            "prediction": words[each.prediction],
            "target": None if each.target is None else words[each.target],
            "before": words[each.before],
            "after": None if each.after is None else words[each.after],
            "reason": each.reason,
            "survived": each.succeeds(each.after),
        }


def _embed(pixels: Pixels, *, lossless: bool = True) -> str:
    """Put pixels into the page itself, unchanged, or as the eye sees them, which keeps the page small."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=lossless, quality=80 if lossless else 90)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
