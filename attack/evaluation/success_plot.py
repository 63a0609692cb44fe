"""Draw success before the upload and after the round trip, and against ε."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from attack.evaluation.figures import Success
from attack.evaluation.summary import rows

INK, BEFORE, AFTER = "#6b7280", "#cbd5e1", "#2563eb"
LINES = (AFTER, "#d97706", "#059669", "#db2777", "#8b5cf6", "#0891b2", "#65a30d", "#dc2626", INK)  # on light and dark
MARKERS = "os^vDPX*."


class Point(Protocol):
    """Success after the round trip at an ε, and its interval."""

    @property
    def eps(self) -> int: ...
    @property
    def success_after(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def success_plot(success: Success, attacks: Sequence[str]) -> str:
    """Draw success before and after the round trip, with intervals, as SVG."""
    shown = rows(success, attacks)
    labels = [f"{row.title} ε={row.eps}" for row in shown]
    figure = Figure(figsize=(6.4, 0.8 + 0.42 * len(shown)))
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    for offset, key, low, high, colour in (
        (-0.2, "success_before", "before_low", "before_high", BEFORE),
        (0.2, "success_after", "low", "high", AFTER),
    ):
        shares = np.array([getattr(row, key) for row in shown])
        whiskers = np.abs(np.array([[getattr(row, bound) for row in shown] for bound in (low, high)]) - shares)
        label = "before upload" if key == "success_before" else "after the round trip"
        axes.barh(places + offset, 100 * shares, 0.36, xerr=100 * whiskers, color=colour, ecolor=INK, label=label)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="success, %")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)
    return to_svg(figure)


def eps_plot(lines: Mapping[str, Sequence[Point]], bold: Sequence[str] = ()) -> str:
    """Draw success after the round trip against ε as SVG, a line a name.

    The lines named in `bold` are drawn thick, with their intervals shaded.
    """
    figure = Figure(figsize=(6.4, 3.4))
    axes = figure.add_subplot()
    for place, (name, rows_of_line) in enumerate(lines.items()):
        points = sorted(rows_of_line, key=lambda row: row.eps)
        eps = [row.eps for row in points]
        colour, marker = LINES[place % len(LINES)], MARKERS[place % len(MARKERS)]
        shares, lows, highs = 100 * np.array([(row.success_after, row.low, row.high) for row in points]).T
        width = 2.4 if name in bold else 1.1
        axes.plot(eps, shares, color=colour, marker=marker, markersize=4, linewidth=width, label=name)
        if name in bold:
            axes.fill_between(eps, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.set_xticks(sorted({row.eps for some in lines.values() for row in some}))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(ylim=(-2, 102), xlabel="ε, grey levels", ylabel="success after, %")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    return to_svg(figure)


def to_svg(figure: Figure) -> str:
    """Draw on a clear ground in a mid grey that reads on light and on dark."""
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        axes.tick_params(colors=INK)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        for name, spine in axes.spines.items():
            spine.set_visible(name in ("left", "bottom"))
            spine.set_color(INK)
        if legend := axes.get_legend():
            for label in legend.get_texts():
                label.set_color(INK)
    figure.tight_layout()
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    return text[text.index("<svg") :]
