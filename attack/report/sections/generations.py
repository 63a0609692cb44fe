"""What became of the ComModel and the attacks over the codec's generations."""

from __future__ import annotations

from typing import Any

from attack.report.evaluated import Evaluated
from attack.report.history import read_history
from attack.report.plots import history_plot
from train.retraining import model_archive

PLACE = 40
TEMPLATE = """
<h3>History</h3>
<div class="wide">{{ plot | safe }}</div>
<p class="note">By generation of the platform's codec, each measured on round trips of its own time. Whiskers: intervals.</p>
"""


def of_platform(evaluated: Evaluated) -> dict[str, Any] | None:
    found = read_history(evaluated.name, model_archive.FOLDER, model_archive.MODELS, evaluated.reports)
    return {"plot": history_plot(found)} if len(found) > 1 else None
