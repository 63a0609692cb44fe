"""How near the ComModel is to the platform, what the emulator found, and how the training went."""

from __future__ import annotations

from typing import Any

from attack.report import fidelity
from attack.report.evaluated import MODELS, Evaluated
from attack.report.plots import curve_plot
from train.emulator import Emulator

PLACE = 20
TEMPLATE = """
{% macro error(what, found, paper) %}
<tr><td>{{ what }}</td><td>{{ found.images }}</td><td><b>{{ "%.2f" | format(found.mae) }}</b></td>
{% if model.paper_mae is not none %}<td>{{ "–" if paper is none else "%.2f" | format(paper) }}</td>{% endif %}<td>{{ "%.2f" | format(found.identity_mae) }}</td></tr>
{% endmacro %}
<h3>ComModel</h3>
<p>Mean absolute error in grey levels, beside that of the identity, which takes the upload for the download.
{% if model.steps %}
Trained for {{ "%.0f" | format(model.seconds) }} s on {{ model.images.train }} pairs{% else %}
{% if emulator and emulator.identified %}The codec is identified and followed exactly{% else %}The validation images came out exactly{% endif %}: nothing was left to train{% endif %}; generation {{ model.generation }}.</p>
<div class="wide"><table>
<tr><th>measured on</th><th>images</th><th>ComModel</th>{% if model.paper_mae is not none %}<th>the paper's net</th>{% endif %}<th>identity</th></tr>
{{ error("test images", test, model.paper_mae) }}
{% for through, found in adversarial.items() %}
{{ error("adversarial images, made " ~ ("through the ComModel" if through else "without it"), found, none) }}
{% endfor %}
</table></div>
{% for key, what in (("mae_adversarial", "with adversarial changes"), ("mae_noise", "with noise")) if model[key] is not none %}
{% if loop.first %}<p>On test images that the emulator processed: {% endif %}{{ "%.2f" | format(model[key]) }} {{ what }}{{ ".</p>" | safe if loop.last else ", " }}
{% endfor %}
{% if emulator %}
<p>Codec: {{ emulator.words }} (<code>{{ emulator.chain }}</code>), {% if emulator.is_known %}{{ emulator.verdict }}{% else %}<span class="lost">not identified</span>, at best{% endif %}:
{{ emulator.why.removeprefix("not identified: ") }}.</p>
{% endif %}
{% if model.steps %}
{{ curve | safe }}
{% endif %}
"""


def of_platform(evaluated: Evaluated) -> dict[str, Any]:
    emulator = MODELS / f"{evaluated.name}.emulator.json"
    return {
        "model": evaluated.metrics,
        "curve": curve_plot(evaluated.curve),
        "test": evaluated.errors,
        "adversarial": fidelity.by_attack(
            evaluated.com_model, evaluated.outcomes, evaluated.adversarial, evaluated.evaluation
        ),
        "emulator": Emulator.load(emulator) if emulator.exists() else None,
    }
