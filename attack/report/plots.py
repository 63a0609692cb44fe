"""The report's plots, as SVG."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib.figure import Figure

from attack.evaluation.success_plot import AFTER, BEFORE, INK, _svg
from attack.evaluation.summary import title
from attack.report.fidelity import FREQUENCIES, Errors
from attack.report.history import Generation, strongest
from params import UserError

Content = TypeVar("Content")

LINES = (AFTER, "#d97706", "#059669", "#db2777", "#8b5cf6", "#0891b2", "#65a30d", "#dc2626", INK)  # on light and dark
MARKERS = "os^vDPX*."


def eps_plot(lines: dict[str, list[dict[str, Any]]], bold: Sequence[str] = ()) -> str:
    """Draw success after the round trip against ε as SVG: {name: rows with eps, success_after, low and high}.

    The lines named in `bold` are drawn thick, with their intervals shaded.
    """
    figure = Figure(figsize=(6.4, 3.4))
    axes = figure.add_subplot()
    for place, (name, rows_of_line) in enumerate(lines.items()):
        points = sorted(rows_of_line, key=lambda row: float(row["eps"]))
        eps = [float(row["eps"]) for row in points]
        colour, marker = LINES[place % len(LINES)], MARKERS[place % len(MARKERS)]
        shares, lows, highs = (np.array([100 * row[key] for row in points]) for key in ("success_after", "low", "high"))
        width = 2.4 if name in bold else 1.1
        axes.plot(eps, shares, color=colour, marker=marker, markersize=4, linewidth=width, label=name)
        if name in bold:
            axes.fill_between(eps, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.set_xticks(sorted({float(row["eps"]) for some in lines.values() for row in some}))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(ylim=(-2, 102), xlabel="ε, grey levels", ylabel="success after, %")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    return _svg(figure)


def curve_plot(curve: Path) -> str:
    """Draw a ComModel's training and validation MAE as SVG, beside the identity's, which is the curve's epoch 0."""
    training, validation = read_trained(curve, _points)
    figure = Figure(figsize=(6.4, 2.4))
    axes = figure.add_subplot()
    for label, points, colour in (("train", training, BEFORE), ("validation", validation, AFTER)):
        axes.plot(*zip(*points, strict=True), color=colour, label=label)
    axes.axhline(validation[0][1], color=INK, linestyle="--", linewidth=1, label="identity, validation")
    axes.set(xlabel="epoch", ylabel="MAE, grey levels")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def read_trained(file: Path, parse: Callable[[str], Content]) -> Content:
    """Read what training wrote as models/<platform>.*; raise UserError when it is missing or can't be parsed."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, LookupError, csv.Error) as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else "is damaged or of an older form"
        raise UserError(f"{file} {why}. Run `comreadv train --platform {file.stem}`.") from None


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
    return _svg(figure)


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
    shares = np.array([[best.measured.success_after, best.measured.low, best.measured.high] for _, best in evaluated])
    after, low, high = 100 * shares.reshape(-1, 3).T
    label = names.pop() if len(names) == 1 else "strongest attack"
    numbers = [number for number, _ in evaluated]
    whiskers = np.abs([after - low, high - after])  # a bound may pass its share by a rounding
    success.errorbar(numbers, after, whiskers, color=AFTER, marker="o", markersize=4, capsize=3, label=label)
    success.set(ylim=(-2, 102), xlabel="generation of the codec", ylabel="success after, %")
    success.set_xticks([each.generation for each in generations])
    success.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    return _svg(figure)
