"""Success of images that were made for one platform, or for all, on another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attack.evaluation.transfer_matrix import matrices
from attack.report.tables import price
from params import Params

PLACE = 10
TEMPLATE = """
<h2>From one platform to another</h2>
<p>Images of <b>best</b>, made for one platform and read on another; <i>universal</i> is one image for all of them, and for no compression.</p>
{% for matrix in matrices %}
<h3>ε={{ matrix.eps }}</h3>
<div class="wide"><table class="matrix">
<tr><th>made for ↓, read on →</th>{% for name in matrix.platforms %}<th>{{ name }}</th>{% endfor %}</tr>
{% for source, cells in matrix.rows.items() %}
<tr{% if source == "universal" %} class="ours"{% endif %}><td>{{ source }}</td>{% for name in matrix.platforms %}<td{% if name == source %} class="own"{% endif %}>
{%- if name in cells %}<span>{{ "%.0f" | format(100 * cells[name].success_after) }} %</span> <small>{{ "%.0f" | format(100 * cells[name].low) }}–{{ "%.0f" | format(100 * cells[name].high) }}</small>{% else %}–{% endif %}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% if price(matrix) %}<p>{{ price(matrix) }}</p>{% endif %}
{% endfor %}
<p class="note">Success after the round trip, with its interval. Underlined: read where it was made for.</p>
"""


def of_all(params: Params, reports: Path) -> dict[str, Any] | None:
    found = matrices(list(params.platforms), reports)
    return {"matrices": found, "price": price} if found else None
