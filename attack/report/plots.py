"""The report's plots, as SVG."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure

from attack.bench.rows import Row as BenchRow
from attack.evaluation import BEST, strongest
from attack.evaluation.success_plot import AFTER, BEFORE, INK, eps_plot, to_svg
from attack.evaluation.summary import Row
from attack.evaluation.titles import title
from attack.report.fidelity import FREQUENCIES, Errors
from attack.report.history import Generation
from params import UserError

Shown = TypeVar("Shown", Row, BenchRow)

THICK = (BEST, "comreadv_mim", "mim")  # the attacks whose lines are drawn thick, and in front


def attacks_by_eps(rows: Sequence[Shown]) -> str | None:
    """Draw attacks' success against ε as SVG, where there are several ε."""
    if len({row.eps for row in rows}) < 2:
        return None
    lines: dict[str, list[Shown]] = {}
    for row in sorted(rows, key=lambda row: THICK.index(row.attack) if row.attack in THICK else len(THICK)):
        lines.setdefault(row.title, []).append(row)
    return eps_plot(lines, [title(each) for each in THICK])


def curve_plot(curve: Path) -> str:
    """Draw a ComModel's training and validation MAE as SVG, beside the identity's, which is the curve's epoch 0."""
    try:
        training, validation = _points(curve.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, LookupError, csv.Error) as error:
        raise UserError(f"{curve} is damaged ({error}). Run `comreadv train --platform {curve.stem}`.") from None
    figure = Figure(figsize=(6.4, 2.4))
    axes = figure.add_subplot()
    for label, points, colour in (("train", training, BEFORE), ("validation", validation, AFTER)):
        axes.plot(*zip(*points, strict=True), color=colour, label=label)
    axes.axhline(validation[0][1], color=INK, linestyle="--", linewidth=1, label="identity, validation")
    axes.set(xlabel="epoch", ylabel="MAE, grey levels")
    axes.legend(frameon=False, fontsize=8)
    return to_svg(figure)


def _points(text: str) -> list[list[tuple[float, float]]]:
    """Parse a curve's (epoch, MAE) on training and on validation crops."""
    rows = list(csv.DictReader(text.splitlines()))
    curves = [
        [(float(row["epoch"]), float(row[key])) for row in rows if row[key]] for key in ("train_mae", "validation_mae")
    ]
    if not all(curves):
        raise ValueError("no points")
    return curves


def spectrum_plot(errors: Errors) -> str:
    """Draw the ComModel's error and the identity's by frequency as SVG."""
    figure = Figure(figsize=(6.4, 2.4))
    axes = figure.add_subplot()
    for label, values, colour, dashes in (
        ("identity", errors.identity_spectrum, INK, "--"),
        ("ComModel", errors.spectrum, AFTER, "-"),
    ):
        axes.plot(FREQUENCIES, values, dashes, color=colour, marker=".", label=label)
    axes.set_yscale("symlog", linthresh=0.1)  # a ComModel without any error stays on the plot
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(
        ylim=(0, None), xlabel="radial frequency in blocks of 8×8, cycles a pixel", ylabel="mean |error|, grey levels"
    )
    axes.legend(frameon=False, fontsize=8)
    return to_svg(figure)


def history_plot(generations: Sequence[Generation]) -> str:
    """Draw the ComModel's MAE and the strongest attack's success, generation by generation, as SVG."""
    figure = Figure(figsize=(6.4, 4.2))
    errors, success = figure.subplots(2, sharex=True)
    for label, key, colour, dashes in (("identity", "identity_mae", INK, "o--"), ("ComModel", "mae", AFTER, "o-")):
        points = [(each.generation, getattr(each, key)) for each in generations if getattr(each, key) is not None]
        errors.plot(*np.array(points).reshape(-1, 2).T, dashes, color=colour, markersize=4, label=label)
    errors.set(ylim=(0, None), ylabel="MAE, grey levels")
    errors.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    evaluated = [(each.generation, best) for each in generations if (best := strongest(each.success))]
    names = {f"{title(best.attack)}, ε={best.eps}" for _, best in evaluated}
    shares = np.array([[best.figures.success_after, best.figures.low, best.figures.high] for _, best in evaluated])
    after, low, high = 100 * shares.reshape(-1, 3).T
    label = names.pop() if len(names) == 1 else "strongest attack"
    numbers = [number for number, _ in evaluated]
    whiskers = np.abs([after - low, high - after])  # a bound may pass its share by a rounding
    success.errorbar(numbers, after, whiskers, color=AFTER, marker="o", markersize=4, capsize=3, label=label)
    success.set(ylim=(-2, 102), xlabel="generation of the codec", ylabel="success after, %")
    success.set_xticks([each.generation for each in generations])
    success.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    return to_svg(figure)
