"""Evaluate attacks end to end: a fresh round trip of the adversarial images, and what the classifier says then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attack.evaluation.figures import BEST
from attack.evaluation.judge import Sent, WorkerInit
from attack.evaluation.outcomes import OUTCOMES, Outcome
from attack.generation.adversarial import Adversarial, read_adversarial
from attack.models import classifiers
from collect.files import write_rows
from collect.round_trip import Original, Served, read_round_trips, round_trip
from params import UNIVERSAL, Params
from train.cluster import Executor, Local

ADVERSARIAL = Path("data/adversarial")


@dataclass(frozen=True)
class Evaluator:
    """Send adversarial images through a platform and judge what comes back.

    Args:
        images: the folder of the photos that they were made from.
        generation: of the platform's codec.
        executor: where what came back is judged; None: here. The round trip is always made here.
    """

    platform: str
    params: Params
    images: Path
    generation: int
    origin: str | None = None
    executor: Executor | None = None

    def evaluate(self, out: Path) -> list[Outcome]:
        """Send what was made for the platform; write the downloads and their outcomes to `out`."""
        folder = ADVERSARIAL / self.platform
        return self.send(read_adversarial(folder, self.images), folder, out)

    def transfer(self, out: Path) -> list[Outcome]:
        """Send what was made for the other platforms, and for all; write the downloads and their outcomes to `out`.

        What was made for the platform itself is `evaluate`'s to send.
        """
        others = [each for each in self.params.platforms if each != self.platform]
        rows = [
            row.model_copy(update={"file": f"{source}/{row.file}"})
            for source in (*(others if BEST in self.params.attack.attacks else ()), UNIVERSAL)
            for row in read_adversarial(ADVERSARIAL / source, self.images)
            if row.attack == BEST
        ]
        return self.send(rows, ADVERSARIAL, out)

    def send(self, rows: Sequence[Adversarial], adversarial: Path, out: Path) -> list[Outcome]:
        """Send the adversarial images of some rows, each `file` once, and in the folder `adversarial`."""
        originals = [Original(row.file, adversarial / row.file, row.sha256) for row in rows]
        trip = round_trip(self.platform, self.params, originals, out, generation=self.generation, origin=self.origin)
        served = {row.source: row for row in read_round_trips(out)}
        classifier = classifiers.load(self.params.attack.classifier, self.params.attack.weights)
        size = self.params.attack.batch_size
        shards = (
            [self._sent(row, served.get(row.file), adversarial, out) for row in rows[start : start + size]]
            for start in range(0, len(rows), size)
        )
        pairing = self.params.pairing.model_copy(update={"database": None})  # whose password is nothing for a cluster
        judged = (self.executor or Local()).map(WorkerInit(trip.site, pairing, classifier), shards)
        outcomes = [outcome for some in judged for outcome in some]
        write_rows(out / OUTCOMES, Outcome, outcomes)
        return outcomes

    def _sent(self, row: Adversarial, served: Served | None, adversarial: Path, out: Path) -> Sent:
        came_back = None if served is None else (served.file, (out / served.file).read_bytes())
        return Sent(row, (adversarial / row.file).read_bytes(), (self.images / row.image).read_bytes(), came_back)


def made_for(outcome: Outcome) -> str:
    """Tell for which platform an image that was sent to another one was made: the folder that it is in."""
    return outcome.file.partition("/")[0]
