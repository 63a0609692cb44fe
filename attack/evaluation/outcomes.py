"""What became of each adversarial image, as JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attack import tasks
from collect.files import read_rows

OUTCOMES = "outcomes.jsonl"


@dataclass(frozen=True)
class Outcome:
    """What became of one adversarial image."""

    site: str  # sandbox or live
    file: str  # eps5/mim/<stem>.png, in the folder of adversarial images
    served: str | None  # the file as downloaded, in the folder of the evaluation; None: refused or not paired
    image: str  # the photo that it was made from
    attack: str
    eps: int
    steps: int
    targeted: bool
    prediction: int  # on the photo
    target: int | None
    before: int  # the classifier's answer on the file that was uploaded
    after: int | None  # and on the one that came back
    psnr: float | None  # dB, downloaded against the photo
    ssim: float | None
    reason: str | None  # why there is no answer after
    task: str = "classify"

    def succeeds(self, answer: int | None) -> bool:
        """Tell whether an answer is what the attack wanted; no answer is no success."""
        return answer is not None and tasks.load(self.task).succeeded(answer, self.prediction, self.target)


def read_outcomes(folder: Path) -> list[Outcome]:
    """Read the outcomes of an evaluation; a UserError when there are none."""
    return read_rows(folder / OUTCOMES, Outcome, f"Run `comreadv evaluate --platform {folder.name}`.")
