"""What the platform served beside what its ComModel gives."""

from __future__ import annotations

from typing import Any

from attack.report import fidelity
from attack.report.evaluated import Evaluated
from attack.report.pictures import data_url

PLACE = 50
TEMPLATE = """
<h3>The platform and its ComModel: {{ "the image of the median error, and of the largest" if pictures | length > 1 else "a test image" }}</h3>
{% for each in pictures %}
<p>{{ each.name }}: mean absolute error <b>{{ "%.2f" | format(each.mae) }}</b></p>
<div class="strip">
<figure><img src="{{ each.original }}" alt="the original"><figcaption>original</figcaption></figure>
<figure><img src="{{ each.served }}" alt="what the platform served"><figcaption>what the platform served</figcaption></figure>
<figure><img src="{{ each.modelled }}" alt="the ComModel's output"><figcaption>ComModel</figcaption></figure>
<figure><img src="{{ each.error }}" alt="the ComModel's error, twenty times"><figcaption>ComModel − served, ×20; grey: none</figcaption></figure>
</div>
{% endfor %}
"""


def of_platform(evaluated: Evaluated) -> dict[str, Any] | None:
    shown = evaluated.errors.typical_and_worst[: evaluated.params.evaluate.pictures]
    pictures = [_embedded(fidelity.picture(evaluated.com_model, evaluated.test, index)) for index in shown]
    return {"pictures": pictures} if pictures else None


def _embedded(picture: fidelity.Picture) -> dict[str, Any]:
    images = ("original", "served", "modelled", "error")
    embedded = {each: data_url(getattr(picture, each).permute(1, 2, 0).numpy()) for each in images}
    return embedded | {"name": picture.name, "mae": picture.mae}
