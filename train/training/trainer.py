"""One training run: the steps, what is best on validation, and where to go on after a kill."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import params
from train import device
from train.data.pairs import Pairs, crops
from train.device import where
from train.layers.encoder import Chain
from train.tensors import colours_and_counts, scaled, to_float, to_levels
from train.training.metrics import difference, mean_absolute_error
from train.training.process_group import ALONE, ProcessGroup
from train.training.resume import ResumeFile
from train.training.sampler import Sampler
from train.training.schedule import SCHEDULES, approach

GRADIENT_NORM = 0.1  # to which gradients are clipped: busy crops would drown the quiet ones
VALIDATIONS = 40  # in a run
VALIDATION_CROP = 112  # pixels; whole validation images are measured once, at the end
VALIDATION_IMAGES = 48  # at most
VALIDATION_SHARE = 0.1  # of the time, at most
NOTHING_LEFT = 0.01  # grey levels on validation at which a run ends
SAVE_EVERY = 30.0  # seconds
MODULES = ("model", "average", "optimizer")  # of the state of an unfinished run
COUNTS = ("step", "validating", "validated_at", "losses", "curve", "best_error", "best_at", "best")

OnProgress = Callable[[float, str], None]  # is told the share of the run that is done, 0 to 1, and how it goes


class Trainer:
    """A model, and how far its training is; `train` leaves the model with the best weights it had.

    What is random in a step comes from the seed and the step's number alone, so that a run that was killed ends
    as an unbroken one. Several processes part each step's images and the validation's among them, and share one
    gradient: a step learns from as many images as that of a single process.

    Args:
        chain: the platform's real chain, for perturbed inputs; None: it is not known, and there are none.
        part: where the state is kept for a run that is killed; None: nowhere.
        emulator: what the part keeps beside the run's own state, as JSON values.
        ranks: the processes that train together. The first one's clock and part count.
    """

    def __init__(
        self,
        model: nn.Module,
        training: Pairs,
        validation: Pairs,
        settings: params.Train,
        *,
        chain: Chain | None = None,
        part: ResumeFile | None = None,
        emulator: dict[str, Any] | None = None,
        ranks: ProcessGroup = ALONE,
    ) -> None:
        self.model, self.settings, self.part, self.emulator, self.ranks = model, settings, part, emulator, ranks
        self.on = where(model)
        self.learned: nn.Module = Learned(model)
        self.average = AveragedModel(model, multi_avg_fn=approach).eval().requires_grad_(False)
        # Adam refuses a model that has nothing to train, but not as a group
        self.optimizer = torch.optim.Adam([{"params": list(model.parameters())}], fused=True)
        self.sampler = Sampler(self.average.module, training, settings, chain, self.on, ranks)
        self.step, self.before, self.validating, self.validated_at = 0, 0.0, 0.0, 0.0
        self.losses: list[float] = []  # grey levels, since the last validation
        self.start = self.saved = time.monotonic()
        generator = torch.Generator().manual_seed(self.settings.seed)
        held = [self._held(*pair, generator) for pair in validation.some(VALIDATION_IMAGES)]
        identity = statistics.fmean(difference(original, rendition) for _, rendition, original in held)
        self.held = ranks.share(held)
        self.curve = [(0.0, mean_absolute_error(None, training.some(VALIDATION_IMAGES)), identity)]
        self.best_error, self.best_at, self.best = self._error(), 0.0, self._averaged()

    @property
    def epoch(self) -> float:
        return self.step / self.sampler.steps

    @property
    def seconds(self) -> float:
        """What the run took, with what it took before it was killed."""
        return self.before + time.monotonic() - self.start

    @property
    def progress(self) -> float:
        """The share of the run that is done, by epochs or by time, whichever is further."""
        minutes = self.settings.minutes
        return max(self.epoch / self.settings.epochs, self.seconds / 60 / minutes if minutes else 0)

    @property
    def done(self) -> bool:
        """Whether the run is at its end, or nothing is left to learn, or nothing was learned for too long."""
        return (
            not any(parameter.requires_grad for parameter in self.model.parameters())
            or self.progress >= 1
            or self.best_error < NOTHING_LEFT
            or self.progress - self.best_at >= self.settings.patience
        )

    @property
    def gained(self) -> bool:
        """Whether any of the training was better on validation than none."""
        return self.best_at > 0

    def train(self, tell: OnProgress | None = None) -> None:
        """Train to the end of the run, from where it was killed if it was, then put the best weights back.

        Args:
            tell: is told how it goes after each step; None: a progress bar shows it.
        """
        self._resume()
        if not self._agreed(self.done):  # where nothing is trained, there is nothing to share
            self.learned = self.ranks.wrap(self.learned)
        with _bar(self.ranks) if tell is None else nullcontext(tell) as told:
            while not self._agreed(self.done):
                self._train_step()
                told(self.progress, f"MAE {self.losses[-1]:.2f}, best on validation {self.best_error:.2f}")
                if self._agreed(self._validation_is_due()):
                    self._validate()
                if time.monotonic() - self.saved >= SAVE_EVERY:
                    self._save()
            if self.losses:
                self._validate()
        self.model.load_state_dict(self.best)

    def _agreed(self, answer: bool) -> bool:
        """Return the first process's answer: clocks differ, and all must go the same way."""
        return self.ranks.from_first(answer)

    def _train_step(self) -> None:
        generator = torch.manual_seed(self.settings.seed * 1_000_003 + self.step)  # a network may draw numbers too
        features, renditions = self.sampler.batch(self.step, generator)
        self.model.train()
        factor = SCHEDULES[self.settings.model](self.ranks.from_first(self.progress))
        self.optimizer.param_groups[0]["lr"] = self.settings.learning_rate * factor
        with device.autocast(self.on):
            outputs = self.learned(features.to(self.on, memory_format=torch.channels_last))
        error, counted = absolute_error(outputs.float(), renditions, self.on)
        all_errors, all_counted = self.ranks.sum(torch.stack([error.detach(), counted]))
        all_counted = all_counted.clamp(min=1)
        self.optimizer.zero_grad()
        # over the mean count of a process, so that the mean of the gradients is that of a single process
        (error / (all_counted / self.ranks.count)).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        self.losses.append(255 * (all_errors / all_counted).item())

    def _held(self, original: Tensor, rendition: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Cut a validation crop: features [1, C, h, w], rendition and original, uint8 [1, 4 and 3, h, w]."""
        features, rendition = self.sampler.item(original, rendition)
        images = torch.cat([rendition, scaled(original, *rendition.shape[-2:])])
        features, images = crops([(features, images)], VALIDATION_CROP, generator)
        return features, images[:, :4], images[:, 4:]

    def _validation_is_due(self) -> bool:
        """Tell it by progress alone where epochs bound the run, so that it repeats; time may skip some."""
        if int(VALIDATIONS * self.progress) == int(VALIDATIONS * self.validated_at):
            return False
        return self.settings.minutes is None or self.validating <= VALIDATION_SHARE * self.seconds

    def _validate(self) -> None:
        start = time.monotonic()
        error = self._error()
        self.curve.append((self.epoch, statistics.fmean(self.losses), error))
        self.losses.clear()
        self.validated_at = self.progress
        if error < self.best_error:
            self.best_error, self.best_at, self.best = error, self.progress, self._averaged()
        self.validating += time.monotonic() - start

    @torch.no_grad()
    def _error(self) -> float:
        """Measure the averaged weights on the validation crops."""
        errors = []
        for features, rendition, _ in self.held:
            output = self.average.module.learned(features.to(self.on))  # type: ignore[operator]
            errors.append(difference(to_levels(output), rendition))
        return self.ranks.mean(errors)

    def _averaged(self) -> dict[str, Tensor]:
        return copy.deepcopy(self.average.module.state_dict())

    def _save(self) -> None:
        if self.part is None or not self.ranks.is_first:
            return
        state = {name: getattr(self, name) for name in COUNTS}
        modules = {name: getattr(self, name).state_dict() for name in MODULES}
        self.part.write(state | modules | {"before": self.seconds, "emulator": self.emulator})
        self.saved = time.monotonic()

    def _resume(self) -> None:
        state = self.ranks.from_first(self.part.read() if self.part and self.ranks.is_first else None)
        if state is None:
            self._save()
            return
        for name in MODULES:
            getattr(self, name).load_state_dict(state[name])
        for name in (*COUNTS, "before"):
            setattr(self, name, state[name])
        self.start = time.monotonic()


class Learned(nn.Module):
    """A model's learned part as a module of its own, since processes share the gradients of a `forward`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.model.learned(features)  # type: ignore[operator]
        return output


def absolute_error(outputs: Tensor, renditions: Tensor, on: torch.device) -> tuple[Tensor, Tensor]:
    """Sum the error of outputs [N, 3, h, w] where renditions, uint8 [N, 4, h, w], count; and tell how many pixels do.

    The error of a pixel is the mean absolute one of its colours.
    """
    colours, counts = colours_and_counts(renditions)
    error = (outputs - to_float(colours, on)).abs().mean(1, keepdim=True)
    weights = counts.to(on, error.dtype)
    return (error * weights).sum(), weights.sum()


@contextmanager
def _bar(ranks: ProcessGroup) -> Iterator[OnProgress]:
    """Show a progress bar, of the first process alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not ranks.is_first) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda done, how: bar.update(task, completed=done, description=how)
