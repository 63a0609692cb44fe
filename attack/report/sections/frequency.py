"""The ComModel's error by frequency."""

from __future__ import annotations

from typing import Any

from attack.report.evaluated import Evaluated
from attack.report.plots import spectrum_plot

PLACE = 30
TEMPLATE = """
<h3>Error by frequency</h3>
{{ plot | safe }}
<p class="note">Mean over {{ images }} test images of the error's |coefficients| in the orthonormal DCT of 8×8 blocks; 0.5 cycles a pixel is the finest pattern along a side.</p>
"""


def of_platform(evaluated: Evaluated) -> dict[str, Any]:
    return {"plot": spectrum_plot(evaluated.errors), "images": evaluated.errors.images}
