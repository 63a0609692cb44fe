"""Photos, their adversarial images and what came back, with the classifier's words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attack.evaluation import BEST
from attack.evaluation.outcomes import Outcome
from attack.evaluation.titles import title
from attack.models.classifiers import categories
from attack.report.evaluated import Evaluated
from attack.report.pictures import data_url
from pairing.alignment import read_pixels

PICTURED = ("mim", "comreadv_mim", BEST)  # attacks, where they were run
PLACE = 60
TEMPLATE = """
<h3>Pictures</h3>
{% for each in pictures %}
<p><b>{{ each.attack }}</b>, ε={{ each.eps }}, {{ each.image.split("/")[-1] }}:
<span class="{{ "survived" if each.survived else "lost" }}">{{ "survived" if each.survived else "did not survive" }}</span></p>
<div class="strip">
<figure><img src="{{ each.photo }}" alt="the photo"><figcaption>photo: {{ each.prediction }}</figcaption></figure>
<figure><img src="{{ each.sent }}" alt="the adversarial image"><figcaption>adversarial: {{ each.before }}{% if each.target %} (wanted: {{ each.target }}){% endif %}</figcaption></figure>
<figure>{% if each.came %}<img src="{{ each.came }}" alt="the downloaded image"><figcaption>downloaded: {{ each.after }}</figcaption>{% else %}<figcaption>did not come back: {{ each.reason }}</figcaption>{% endif %}</figure>
<figure><img src="{{ each.change }}" alt="the change, ten times"><figcaption>adversarial − photo, ×10</figcaption></figure>
</div>
{% endfor %}
"""


def of_platform(evaluated: Evaluated) -> dict[str, Any] | None:
    pictures = list(_pictures(evaluated))
    return {"pictures": pictures} if pictures else None


def _pictures(evaluated: Evaluated) -> Iterator[dict[str, Any]]:
    """Give the first test images' pictures, for the attacks pictured, at the largest ε."""
    settings = evaluated.params.attack
    attacks = [each for each in PICTURED if each in settings.attacks] or list(settings.attacks[:2])
    images = sorted({each.image for each in evaluated.outcomes})[: evaluated.params.evaluate.pictures]
    shown = [
        each
        for each in evaluated.outcomes
        if each.image in images and each.attack in attacks and each.eps == max(settings.eps)
    ]
    names = categories(settings.classifier)
    for each in sorted(shown, key=lambda outcome: (outcome.image, attacks.index(outcome.attack))):
        yield _picture(evaluated, each, names)


def _picture(evaluated: Evaluated, outcome: Outcome, names: list[str]) -> dict[str, Any]:
    photo = read_pixels(Path("data/images") / outcome.image)
    sent = read_pixels(evaluated.adversarial / outcome.file)
    change = np.clip(128 + 10 * (sent.astype(np.int16) - photo), 0, 255).astype(np.uint8)
    came = read_pixels(evaluated.evaluation / outcome.served) if outcome.served else None
    return {
        "attack": title(outcome.attack),
        "eps": outcome.eps,
        "image": outcome.image,
        "photo": data_url(photo, lossless=False),
        "sent": data_url(sent),
        "came": data_url(came, lossless=False) if came is not None else None,
        "change": data_url(change, lossless=False),
        "prediction": names[outcome.prediction],
        "target": None if outcome.target is None else names[outcome.target],
        "before": names[outcome.before],
        "after": None if outcome.after is None else names[outcome.after],
        "reason": outcome.reason,
        "survived": outcome.succeeds(outcome.after),
    }
