"""A platform that has been evaluated, as the report's sections take it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from attack.evaluation import Success
from attack.evaluation.outcomes import OUTCOMES, Outcome, read_outcomes
from attack.evaluation.summary import summarise
from attack.report import fidelity
from collect.files import read_json
from params import Params
from train import device
from train.data import Pairs, load_pairs
from train.models import checkpoint
from train.training import TrainingMetrics

MODELS = Path("models")


@dataclass(frozen=True)
class Evaluated:
    """What became of a platform's adversarial images, and its ComModel; what is slow is read when it is asked for."""

    name: str
    params: Params
    reports: Path

    @property
    def adversarial(self) -> Path:
        return Path("data/adversarial") / self.name

    @property
    def evaluation(self) -> Path:
        return Path("data/evaluation") / self.name

    @property
    def curve(self) -> Path:
        return MODELS / f"{self.name}.csv"

    @property
    def exists(self) -> bool:
        return (self.evaluation / OUTCOMES).exists() and self.curve.exists()

    @property
    def site(self) -> str:
        return "a local encoder" if self.params.platforms[self.name].adapter == "codec" else self.outcomes[0].site

    @cached_property
    def outcomes(self) -> list[Outcome]:
        return read_outcomes(self.evaluation)

    @cached_property
    def success(self) -> Success:
        return summarise(self.outcomes, self.params.evaluate.confidence)

    @cached_property
    def metrics(self) -> TrainingMetrics:
        return read_json(MODELS / f"{self.name}.json", TrainingMetrics, f"Run `comreadv train --platform {self.name}`.")

    @cached_property
    def com_model(self) -> nn.Module:
        return checkpoint.load(MODELS / f"{self.name}.safetensors", device.best())

    @cached_property
    def test(self) -> Pairs:
        return load_pairs(Path("data/pairs") / f"{self.name}.db", "test")

    @cached_property
    def errors(self) -> fidelity.Errors:
        return fidelity.measure_errors(self.com_model, self.test)
