"""The bench's rows: attacks side by side on real codecs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attack.bench.rows import Row
from attack.evaluation import BEST
from attack.report.plots import attacks_by_eps
from collect.files import read_rows
from params import Params

FILE = "bench.jsonl"  # in the reports' folder
MEND = "Delete it, then run `dvc repro bench`, or `python -m attack.bench` again."
MOST_LINES = 8  # in a codec's plot: more can't be told apart
PLACE = 20
TEMPLATE = """
<h2>Beside the literature's attacks</h2>
<p>The same photos and targets for every attack, made once more and put through real encoders, by <code>python -m attack.bench</code>.</p>
{% for codec in codecs %}
<h3>{{ codec.name }}, ε={{ codec.eps }}</h3>
<div class="wide"><table class="dense">
<tr><th>attack</th><th>after</th><th>interval</th><th>before</th><th>gradients</th><th>steps</th><th>PSNR, dB</th><th>SSIM</th><th>s/image</th><th>images</th></tr>
{% for row in codec.rows %}
<tr{% if row.attack == "best" %} class="ours"{% endif %}><td>{{ row.title }}</td><td>{{ "%.0f" | format(100 * row.success_after) }} %</td><td>{{ "%.0f" | format(100 * row.low) }}–{{ "%.0f" | format(100 * row.high) }} %</td>
<td>{{ "%.0f" | format(100 * row.success_before) }} %</td><td>{{ "%g" | format(row.gradient_evaluations) }}</td><td>{{ row.steps }}</td>
<td>{{ "–" if row.psnr is none else "%.1f" | format(row.psnr) }}</td><td>{{ "%.3f" | format(row.ssim) }}</td><td>{{ "%.2f" | format(row.seconds_per_image) }}</td><td>{{ row.images }}</td></tr>
{% endfor %}
</table></div>
{% if codec.plot %}<div class="wide">{{ codec.plot | safe }}</div>{% endif %}
{% endfor %}
<p class="note">After: on the encoded file. Gradients: backward passes an image. PSNR and SSIM: the adversarial file against the photo, before the encoder. Plots show the strongest attacks; shaded: the intervals of the thick lines.</p>
"""


class Codec(NamedTuple):
    """The rows of a codec: those at one ε, the strongest after the codec first, and all."""

    name: str
    eps: int
    rows: list[Row]
    all_rows: list[Row]

    @property
    def plot(self) -> str | None:
        """Draw the success of the strongest attacks against ε, where there are several."""
        drawn = {BEST, *[row.attack for row in self.rows][:MOST_LINES]}
        return attacks_by_eps([row for row in self.all_rows if row.attack in drawn])


def of_all(params: Params, reports: Path) -> dict[str, Any] | None:  # noqa: ARG001
    file = reports / FILE
    rows = read_rows(file, Row, MEND) if file.exists() else []
    return {"codecs": codecs(rows)} if rows else None


def codecs(rows: Sequence[Row]) -> list[Codec]:
    """Sort rows by codec, and choose an ε for the table of each: of those with the most attacks, the largest."""
    found = []
    for name in dict.fromkeys(row.codec for row in rows):
        of_codec = [row for row in rows if row.codec == name]
        by_eps = {eps: [row for row in of_codec if row.eps == eps] for eps in {row.eps for row in of_codec}}
        eps = max(by_eps, key=lambda eps: (len(by_eps[eps]), eps))
        strongest_first = sorted(by_eps[eps], key=lambda row: -row.success_after)
        found.append(Codec(name, eps, strongest_first, of_codec))
    return found
