"""Fit a ComModel to a platform's pairs."""

from __future__ import annotations

import copy
import csv
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader

import params
from pairing.database import generation
from train import checkpoint, device, pairs

GRADIENT_NORM = 0.1  # to which gradients are clipped: busy crops would drown the quiet ones
WARM_UP = 0.1  # share of the run over which the learning rate rises to its full height
SCHEDULE = {0.95: 0.01, 0.8: 0.02, 0.5: 0.1, 0.0: 1.0}  # share of the run passed: factor; the paper's
VALIDATION_CROP = 112  # pixels; whole validation images are measured once, at the end
VALIDATION_SHARE = 0.1  # of the time, at most

ImagePairs = Iterable[tuple[Tensor, Tensor]]  # original and rendition, uint8 [3, H, W]


def fit(
    pairs_db: Path,
    settings: params.Train,
    out: Path,
    metrics: Path,
    curve: Path,
    *,
    platform: str,
) -> dict[str, object]:
    """Train on the accepted pairs by Adam and mean absolute error; keep what is best on validation.

    Runs for `settings.epochs` or `settings.minutes`, whichever ends first, through the whole learning-rate
    schedule either way. The untrained net, which returns its input, is the first candidate. Files are
    written at the end alone: an interrupted run leaves none, and starts afresh.

    Args:
        out: the checkpoint, safetensors.
        metrics: JSON: the errors below, what they were measured on, and what the run took.
        curve: CSV of epoch, train_mae and validation_mae (on crops); epoch 0 is the identity.

    Returns:
        The metrics. Errors are in grey levels (0-255): `mae` of the test split, `identity_mae` without a model.

    Raises:
        UserError: a split has no accepted pairs.
    """
    torch.manual_seed(settings.seed)
    splits = {
        "train": pairs.load(pairs_db, "train", crop=settings.crop, seed=settings.seed),
        "validation": pairs.load(pairs_db, "validation", crop=VALIDATION_CROP, seed=settings.seed),
        "test": pairs.load(pairs_db, "test"),
    }
    model = checkpoint.build(settings.model).to(device.pick()).to(memory_format=torch.channels_last)
    run = Run(model, splits["train"], list(splits["validation"]), settings)  # type: ignore[call-overload]
    run.train()
    seconds = run.seconds

    model.eval()
    errors = {name: mean_absolute_error(model, splits[name].pairs) for name in ("test", "validation")}
    identity = {name: mean_absolute_error(None, splits[name].pairs) for name in ("test", "validation")}
    found: dict[str, object] = {
        "platform": platform,
        "generation": generation(pairs_db),
        "model": settings.model,
        "mae": errors["test"],
        "identity_mae": identity["test"],
        "validation_mae": errors["validation"],
        "identity_validation_mae": identity["validation"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": round(run.epoch, 2),
        "steps": run.step,
        "seconds": round(seconds, 1),
        "images": {name: len(split) for name, split in splits.items()},
    }
    for path in (metrics, curve):
        path.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    with curve.open("w", encoding="utf-8", newline="") as file:
        rows = [tuple(round(number, 4) for number in row) for row in run.curve]
        csv.writer(file, lineterminator="\n").writerows([("epoch", "train_mae", "validation_mae"), *rows])
    described = {key: found[key] for key in ("platform", "generation", "model", "mae", "identity_mae")}
    checkpoint.save(out, model, **described, settings=settings.model_dump(mode="json"))
    return found


class Run:
    """One training run: a model, and how far it is; `train` leaves the model with the best weights it had."""

    def __init__(
        self,
        model: nn.Module,
        training: pairs.Pairs,
        validation: list[tuple[Tensor, Tensor]],
        settings: params.Train,
    ) -> None:
        self.model, self.validation, self.settings = model, validation, settings
        order = torch.Generator().manual_seed(settings.seed)
        self.batches = DataLoader(training, settings.batch_size, shuffle=True, generator=order)
        self.optimizer = torch.optim.Adam(model.parameters(), fused=True)
        self.device = next(model.parameters()).device
        self.step = 0
        self.losses: list[float] = []  # grey levels, since the last validation
        self.curve = [(0.0, *(mean_absolute_error(None, each) for each in (training.pairs, validation)))]
        self.best_error, self.best = mean_absolute_error(model, validation), copy.deepcopy(model.state_dict())
        self.start, self.validating = time.monotonic(), 0.0

    @property
    def epoch(self) -> float:
        return self.step / len(self.batches)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    @property
    def progress(self) -> float:
        """The share of the run that is done, by epochs or by time, whichever is further."""
        minutes = self.settings.minutes
        return max(self.epoch / self.settings.epochs, self.seconds / 60 / minutes if minutes else 0)

    def train(self) -> None:
        """Train to the end of the run, then put the best weights back."""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns) as bar:
            task = bar.add_task("", total=1.0)
            while self.progress < 1:
                for originals, renditions in self.batches:
                    self._train_step(originals, renditions)
                    text = f"MAE {self.losses[-1]:.2f}, best on validation {self.best_error:.2f}"
                    bar.update(task, completed=self.progress, description=text)
                    if self.progress >= 1:
                        break
                if self.validating <= VALIDATION_SHARE * self.seconds:
                    self._validate()
            if self.losses:
                self._validate()
        self.model.load_state_dict(self.best)

    def _train_step(self, originals: Tensor, renditions: Tensor) -> None:
        self.model.train()
        self.optimizer.param_groups[0]["lr"] = self.settings.learning_rate * learning_rate_factor(self.progress)
        with device.autocast(self.device):
            outputs = self.model(to_float(originals, self.device))
        loss = F.l1_loss(outputs.float(), to_float(renditions, self.device))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.step += 1
        self.losses.append(255 * loss.item())

    def _validate(self) -> None:
        start = time.monotonic()
        self.model.eval()
        error = mean_absolute_error(self.model, self.validation)
        self.curve.append((self.epoch, statistics.fmean(self.losses), error))
        self.losses.clear()
        if error < self.best_error:
            self.best_error, self.best = error, copy.deepcopy(self.model.state_dict())
        self.validating += time.monotonic() - start


def learning_rate_factor(progress: float) -> float:
    """Return what the learning rate is multiplied by when a share of the run, from 0 to 1, is done."""
    return min(1.0, progress / WARM_UP) * next(factor for passed, factor in SCHEDULE.items() if progress >= passed)


def to_float(images: Tensor, to: torch.device) -> Tensor:
    """Turn uint8 pixels into float32 in [0, 1] on a device, in the layout that convolutions prefer."""
    return images.to(to, torch.float32, memory_format=torch.channels_last) / 255


@torch.no_grad()
def mean_absolute_error(model: nn.Module | None, images: ImagePairs) -> float:
    """Measure how far a model's output, rounded to uint8, is from the renditions, in grey levels.

    Args:
        model: in evaluation mode; None: the identity, which is to say how far the originals are.
        images: uint8 originals and renditions, which may differ in size from pair to pair.
    """
    errors = []
    for original, rendition in images:
        output = original
        if model is not None:
            to = next(model.parameters()).device
            output = (model(to_float(original[None], to))[0].clamp(0, 1) * 255).round().to("cpu", torch.uint8)
        errors.append((output.int() - rendition.int()).abs().float().mean().item())
    return statistics.fmean(errors)
