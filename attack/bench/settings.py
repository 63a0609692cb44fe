"""What the bench is to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from params import Goal


@dataclass(frozen=True)
class Settings:
    """What is attacked and how, and with how much training."""

    training: list[str]  # photos to learn the codecs from, below the bench's folder
    photos: list[str]  # to attack
    attacked: list[str]  # classifiers; the first one judges
    transfer: list[str]  # that read the files as well
    steps: int
    step_size: float | None  # grey levels; None: eps / steps
    goal: Goal
    norm: Literal["linf", "l2"]
    minutes: float  # to learn a codec
    paper_minutes: float  # and the paper's net; 0: it is left out
    task: str = "classify"

    @property
    def targeted(self) -> bool:
        return self.goal != "untargeted"

    def key(self, codec: str, attack: str, eps: int) -> dict[str, Any]:
        """Return what tells a row from others, its first fields."""
        from train.data import synthetic_pairs

        return {
            "attack": attack,
            "codec": codec,
            "eps": eps,
            "steps": self.steps,
            "step_size": None if attack in ("best", "fgsm") else self.step_size or eps / self.steps,
            "goal": self.goal,
            "norm": self.norm,
            "classifier": "+".join(self.attacked),
            "images": len(self.photos),
            "photos": synthetic_pairs.digest([Path(photo) for photo in self.photos]),
        }


@dataclass(frozen=True)
class Todo:
    """A codec, and the attacks on it that have no row yet, with their eps."""

    codec: str
    attacks: list[tuple[int, str]]
