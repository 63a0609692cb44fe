"""The training of one platform's ComModel: what it reads and what it writes, wherever it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import params
from train.data.pairs import load_pairs
from train.training.fit import fit
from train.training.process_group import ALONE, ProcessGroup
from train.training.trainer import OnProgress
from train.training.training_metrics import TrainingMetrics

MODELS = Path("models")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Job:
    """A platform and the settings; all paths are relative to the project's folder.

    Args:
        before: an earlier checkpoint, to start from, and to stay with where it is the better one.
    """

    platform: str
    settings: params.Train
    before: Path | None = None

    @property
    def pairs_db(self) -> Path:
        return Path("data/pairs") / f"{self.platform}.db"

    @property
    def outputs(self) -> list[Path]:
        """What is written at the end, the checkpoint last."""
        return [MODELS / f"{self.platform}{suffix}" for suffix in (".json", ".csv", ".emulator.json", ".safetensors")]

    @property
    def resume_files(self) -> list[Path]:
        """Where an unfinished run is kept."""
        return [MODELS / f"{self.platform}{suffix}" for suffix in (".part", ".paper.part")]

    def inputs(self) -> Iterator[Path]:
        """Give the files that are read; raises what `load_pairs` does."""
        yield self.pairs_db
        if self.before:
            yield self.before
        yield from sorted(
            {file for split in SPLITS for pair in load_pairs(self.pairs_db, split).files for file in pair}
        )

    def fit(self, process_group: ProcessGroup = ALONE, on_progress: OnProgress | None = None) -> TrainingMetrics | None:
        """Train, in the project's folder or one with the inputs; takes, returns and raises what `training.fit` does."""
        metrics, curve, _, checkpoint = self.outputs
        return fit(
            self.pairs_db,
            self.settings,
            checkpoint,
            metrics,
            curve,
            platform=self.platform,
            before=self.before,
            process_group=process_group,
            on_progress=on_progress,
        )
