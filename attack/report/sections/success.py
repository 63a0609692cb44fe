"""Success of the attacks on a platform: a table, a plot, and one against ε."""

from __future__ import annotations

from typing import Any

from attack.evaluation.success_plot import success_plot
from attack.evaluation.summary import rows
from attack.report.evaluated import Evaluated
from attack.report.plots import attacks_by_eps

PLACE = 10
TEMPLATE = """
<div class="wide"><table>
<tr><th>attack</th><th>ε</th><th>images</th><th>before upload</th><th>interval</th><th>after round trip</th><th>interval</th><th>PSNR, dB</th><th>SSIM</th></tr>
{% for row in rows %}
<tr{% if row.ours %} class="ours"{% endif %}><td>{{ row.title }}</td><td>{{ row.eps }}</td><td>{{ row.images }}</td>
<td>{{ "%.0f" | format(100 * row.success_before) }} %</td><td>{{ "%.0f" | format(100 * row.before_low) }}–{{ "%.0f" | format(100 * row.before_high) }} %</td>
<td>{{ "%.0f" | format(100 * row.success_after) }} %</td>
<td>{{ "%.0f" | format(100 * row.low) }}–{{ "%.0f" | format(100 * row.high) }} %</td>
<td>{{ "–" if row.psnr is none else "%.1f" | format(row.psnr) }}</td><td>{{ "–" if row.ssim is none else "%.3f" | format(row.ssim) }}</td></tr>
{% endfor %}
</table></div>
<p class="note">ε in grey levels of 255. PSNR and SSIM: what came back against the photo. Bold: made through the ComModel or the platform's own encoders.
{% for row in rows if row.not_returned %}{% if loop.first %}Images that did not come back, or not as themselves, count as failures: {% endif %}{{ row.title }} ε={{ row.eps }} {{ row.not_returned }}{{ "." if loop.last else ", " }}{% endfor %}</p>
{{ plot | safe }}
{% if by_eps %}
<h3>Success against ε</h3>
<div class="wide">{{ by_eps | safe }}</div>
<p class="note">Shaded: the intervals of the thick lines.</p>
{% endif %}
"""


def of_platform(evaluated: Evaluated) -> dict[str, Any]:
    attacks = evaluated.params.attack.attacks
    shown = rows(evaluated.success, attacks)
    return {"rows": shown, "plot": success_plot(evaluated.success, attacks), "by_eps": attacks_by_eps(shown)}
