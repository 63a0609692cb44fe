"""One training run: the steps, what is best on validation, and where to go on after a kill."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import params
from collect.terminal import terminal
from train import device
from train.data.pairs import Pairs, crops
from train.device import device_of
from train.layers.encoder import Chain
from train.tensors import colours_and_counts, mean_absolute_difference, scaled, to_float, to_levels
from train.training.metrics import mean_absolute_error
from train.training.process_group import ALONE, ProcessGroup
from train.training.resume import ResumeFile
from train.training.sampler import Sampler
from train.training.schedule import SCHEDULES, approach

GRADIENT_NORM = 0.1  # to which gradients are clipped: busy crops would drown the quiet ones
VALIDATIONS_A_RUN = 40  # in a run
VALIDATION_CROP_PX = 112  # pixels; whole validation images are measured once, at the end
VALIDATION_IMAGES = 48  # at most
VALIDATION_SHARE = 0.1  # of the time, at most
CONVERGED_MAE = 0.01  # grey levels on validation at which a run ends
SAVE_INTERVAL_S = 30.0  # seconds
STATE_MODULES = ("model", "average", "optimizer")  # of the state of an unfinished run
STATE_VALUES = ("step", "validating", "validated_at", "losses", "curve", "best_error", "best_at", "best")

OnProgress = Callable[[float, str], None]  # is told the share of the run that is done, 0 to 1, and how it goes


class Trainer:
    """A model, and how far its training is; `train` leaves the model with the best weights it had.

    What is random in a step comes from the seed and the step's number alone, so that a run that was killed ends
    as an unbroken one. Several processes part each step's images and the validation's among them, and share one
    gradient: a step learns from as many images as that of a single process.

    Args:
        chain: the platform's real chain, for perturbed inputs; None: it is not known, and there are none.
        resume_file: where the state is kept for a run that is killed; None: nowhere.
        emulator: what the file keeps beside the run's own state, as JSON values.
        process_group: the processes that train together. The first one's clock and part count.
    """

    def __init__(
        self,
        model: nn.Module,
        training: Pairs,
        validation: Pairs,
        settings: params.Train,
        *,
        chain: Chain | None = None,
        resume_file: ResumeFile | None = None,
        emulator: dict[str, Any] | None = None,
        process_group: ProcessGroup = ALONE,
    ) -> None:
        self.model, self.settings, self.emulator = model, settings, emulator
        self.resume_file, self.process_group = resume_file, process_group
        self.on = device_of(model)
        self.learned: nn.Module = Learned(model)
        self.average = AveragedModel(model, multi_avg_fn=approach).eval().requires_grad_(False)
        # Adam refuses a model that has nothing to train, but not as a group
        self.optimizer = torch.optim.Adam([{"params": list(model.parameters())}], fused=True)
        self.sampler = Sampler(self.average.module, training, settings, chain, self.on, process_group)
        self.step, self.before, self.validating, self.validated_at = 0, 0.0, 0.0, 0.0
        self.losses: list[float] = []  # grey levels, since the last validation
        self.start = self.saved = time.monotonic()
        generator = torch.Generator().manual_seed(self.settings.seed)
        held_out = [self._cut(*pair, generator) for pair in validation.some(VALIDATION_IMAGES)]
        errors = [mean_absolute_difference(original, rendition) for _, rendition, original in held_out]
        self.validation_crops = process_group.share(held_out)
        self.curve = [(0.0, mean_absolute_error(None, training.some(VALIDATION_IMAGES)), statistics.fmean(errors))]
        self.best_error, self.best_at, self.best = self._error(), 0.0, self._averaged_weights()

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
        """Whether the epochs or the time limit are reached, nothing is left to learn, or early stopping ends it."""
        return (
            not any(parameter.requires_grad for parameter in self.model.parameters())
            or self.progress >= 1
            or self.best_error < CONVERGED_MAE
            or self.progress - self.best_at >= self.settings.patience
        )

    @property
    def gained(self) -> bool:
        """Whether any of the training was better on validation than none."""
        return self.best_at > 0

    def train(self, on_progress: OnProgress | None = None) -> None:
        """Train to the end of the run, from where it was killed if it was, then put the best weights back.

        Args:
            on_progress: is told how it goes after each step; None: a progress bar shows it.
        """
        self._resume()
        if not self._agreed(self.done):  # where nothing is trained, there is nothing to share
            self.learned = self.process_group.wrap(self.learned)
        with _progress_bar(self.process_group) if on_progress is None else nullcontext(on_progress) as report_progress:
            while not self._agreed(self.done):
                self._train_step()
                report_progress(self.progress, f"MAE {self.losses[-1]:.2f}, best on validation {self.best_error:.2f}")
                if self._agreed(self._validation_is_due()):
                    self._validate()
                if time.monotonic() - self.saved >= SAVE_INTERVAL_S:
                    self._save()
            if self.losses:
                self._validate()
        self.model.load_state_dict(self.best)

    def _agreed(self, answer: bool) -> bool:
        """Return the first process's answer: clocks differ, and all must go the same way."""
        return self.process_group.from_first(answer)

    def _train_step(self) -> None:
        generator = torch.manual_seed(self.settings.seed * 1_000_003 + self.step)  # a network may draw numbers too
        features, renditions = self.sampler.batch(self.step, generator)
        self.model.train()
        factor = SCHEDULES[self.settings.model](self.process_group.from_first(self.progress))
        self.optimizer.param_groups[0]["lr"] = self.settings.learning_rate * factor
        with device.autocast(self.on):
            outputs = self.learned(features.to(self.on, memory_format=torch.channels_last))
        error, counted = absolute_error(outputs.float(), renditions, self.on)
        all_errors, all_counted = self.process_group.sum(torch.stack([error.detach(), counted]))
        all_counted = all_counted.clamp(min=1)
        self.optimizer.zero_grad()
        # over the mean count of a process, so that the mean of the gradients is that of a single process
        (error / (all_counted / self.process_group.count)).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        self.losses.append(255 * (all_errors / all_counted).item())

    def _cut(self, original: Tensor, rendition: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Cut a validation crop: features [1, C, h, w], rendition and original, uint8 [1, 4 and 3, h, w]."""
        features, rendition = self.sampler.item(original, rendition)
        images = torch.cat([rendition, scaled(original, *rendition.shape[-2:])])
        features, images = crops([(features, images)], VALIDATION_CROP_PX, generator)
        return features, images[:, :4], images[:, 4:]

    def _validation_is_due(self) -> bool:
        """Tell it by progress alone where epochs bound the run, so that it repeats; time may skip some."""
        if int(VALIDATIONS_A_RUN * self.progress) == int(VALIDATIONS_A_RUN * self.validated_at):
            return False
        return self.settings.minutes is None or self.validating <= VALIDATION_SHARE * self.seconds

    def _validate(self) -> None:
        start = time.monotonic()
        error = self._error()
        self.curve.append((self.epoch, statistics.fmean(self.losses), error))
        self.losses.clear()
        self.validated_at = self.progress
        if error < self.best_error:
            self.best_error, self.best_at, self.best = error, self.progress, self._averaged_weights()
        self.validating += time.monotonic() - start

    @torch.no_grad()
    def _error(self) -> float:
        """Measure the averaged weights on the validation crops."""
        errors = []
        for features, rendition, _ in self.validation_crops:
            output = self.average.module.learned(features.to(self.on))  # type: ignore[operator]
            errors.append(mean_absolute_difference(to_levels(output), rendition))
        return self.process_group.mean(errors)

    def _averaged_weights(self) -> dict[str, Tensor]:
        return copy.deepcopy(self.average.module.state_dict())

    def _save(self) -> None:
        if self.resume_file is None or not self.process_group.is_first:
            return
        state = {name: getattr(self, name) for name in STATE_VALUES}
        modules = {name: getattr(self, name).state_dict() for name in STATE_MODULES}
        self.resume_file.write(state | modules | {"before": self.seconds, "emulator": self.emulator})
        self.saved = time.monotonic()

    def _resume(self) -> None:
        kept = self.resume_file.read() if self.resume_file and self.process_group.is_first else None
        state = self.process_group.from_first(kept)
        if state is None:
            self._save()
            return
        for name in STATE_MODULES:
            getattr(self, name).load_state_dict(state[name])
        for name in (*STATE_VALUES, "before"):
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
def _progress_bar(process_group: ProcessGroup) -> Iterator[OnProgress]:
    """Show a progress bar, of the first process alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal(), disable=not process_group.is_first) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda done, how: bar.update(task, completed=done, description=how)
