"""Draw success before the upload and after the round trip."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from attack.evaluation.summary import rows

INK, BEFORE, AFTER = "#6b7280", "#cbd5e1", "#2563eb"


def success_plot(table: dict[str, dict[str, Any]], attacks: Sequence[str]) -> str:
    """Draw success before and after the round trip, with intervals, as SVG."""
    shown = list(rows(table, attacks))
    labels = [f"{row['title']} ε={row['eps']}" for row in shown]
    figure = Figure(figsize=(6.4, 0.8 + 0.42 * len(shown)))
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    for offset, key, low, high, colour in (
        (-0.2, "success_before", "before_low", "before_high", BEFORE),
        (0.2, "success_after", "low", "high", AFTER),
    ):
        shares = np.array([row[key] for row in shown])
        whiskers = np.abs(np.array([[row[low] for row in shown], [row[high] for row in shown]]) - shares)
        label = "before upload" if key == "success_before" else "after the round trip"
        axes.barh(places + offset, 100 * shares, 0.36, xerr=100 * whiskers, color=colour, ecolor=INK, label=label)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="success, %")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)
    return _svg(figure)


def _svg(figure: Figure) -> str:
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
