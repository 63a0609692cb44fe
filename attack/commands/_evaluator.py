"""What the commands `evaluate` and `transfer` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import params
from train.cluster import ExecutorOption, executor_of

if TYPE_CHECKING:
    from attack.evaluation.evaluate import Evaluator


def evaluator(
    platform: str, origin: str | None, executor: ExecutorOption, ray_address: str | None, params_file: Path
) -> Evaluator:
    """Prepare to send adversarial images through a platform of the settings."""
    settings = params.load(params_file)
    settings.platform(platform)

    from attack.evaluation.evaluate import Evaluator
    from collect import fingerprint

    return Evaluator(
        platform,
        settings,
        Path("data/images"),
        fingerprint.generation(platform),
        origin,
        executor_of(settings.cluster, executor, ray_address),
    )
