"""The bench's work: make adversarial files, encode and decode them for real, and count."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor, nn

from attack import attacks, tasks
from attack.bench.peers import PEERS, Counted
from attack.bench.rows import Row
from attack.bench.settings import Settings, Todo
from attack.bench.suites import ANY_CODEC, KORNIA, PAPER
from attack.evaluation.summary import wilson
from attack.evaluation.visibility import ssim
from attack.generation.attacker import to_png
from attack.models import classifiers, surrogates
from collect import codecs
from collect.files import write_atomically
from collect.terminal import terminal
from pairing.alignment import psnr
from params import split_attack
from train import device
from train.bench import compare
from train.data import synthetic_pairs
from train.models import Bpda
from train.tensors import from_pixels, read_image

BATCH_SIZE = 8
CONFIDENCE = 0.95


class Learned(NamedTuple):
    """The surrogates of a codec, by the name that stands before an attack's."""

    comreadv: nn.Module
    real: nn.Module
    paper: nn.Module | None


class Attacked(NamedTuple):
    """An attack's files and what making them took."""

    files: list[Path]
    gradient_evaluations: float  # an image
    seconds: float  # an image
    times_bare: float  # of `steps` bare passes forward and backward, in the same minutes


class Bench:
    """The photos, their targets, and the classifiers that are attacked and that read.

    Args:
        work: a folder that has the photos, and gets the adversarial ones.

    Raises:
        UserError: a classifier that is not there.
    """

    def __init__(self, settings: Settings, work: Path) -> None:
        self.settings, self.work = settings, work
        self.photos = [work / photo for photo in settings.photos]
        self.task = tasks.load(settings.task)
        self.device = device.best()
        self.attacked = [classifiers.load(name, device=self.device) for name in settings.attacked]
        self.transfer = {name: classifiers.load(name, device=self.device) for name in settings.transfer}
        self.images = torch.stack([read_image(file) for file in self.photos])
        logits = torch.cat([self._ask(self.attacked[0], batch) for batch in torch.split(self.images, BATCH_SIZE)])
        self.predictions, self.labels = self.task.answers(logits), self.task.aim(logits, settings.goal)
        self._bare(self.images[:BATCH_SIZE].to(self.device) / 255)  # the first pass is slow
        self.attacks_made: dict[tuple[str, int], Attacked] = {}

    def __call__(self, todo: Todo) -> Iterator[Row]:
        """Give the rows of a codec, which is learned first where an attack has to know it."""
        learned = None
        for eps, name in todo.attacks:
            if learned is None and name not in ANY_CODEC:
                learned = self.learn(todo.codec)
            yield self.row(todo.codec, name, eps, learned)

    def learn(self, codec: str) -> Learned:
        """Find the codec and fit its ComModel, on photos that are not attacked."""
        training = [self.work / photo for photo in self.settings.training]
        pairs = synthetic_pairs.encode_all(training, codec, self.work / file_name(codec) / "training")
        minutes, paper_minutes = self.settings.minutes, self.settings.paper_minutes
        hybrid = compare.train_model(pairs, "hybrid", minutes)
        known = hybrid.emulator if hybrid.emulator and hybrid.emulator.is_known else None
        paper = compare.train_model(pairs, "paper", paper_minutes).model if paper_minutes else None
        return Learned(
            _ready(hybrid.model, self.device),
            _ready(Bpda(known, hybrid.model), self.device),
            None if paper is None else _ready(paper, self.device),
        )

    def row(self, codec: str, name: str, eps: int, learned: Learned | None) -> Row:
        """Attack, write, encode, decode, and count; all images count."""
        made = self._attacked(codec, name, eps, learned)
        sent = torch.stack([read_image(file) for file in made.files])
        served = torch.stack([self._serve(file, codec) for file in made.files])
        before, after = (self._successes(self.attacked[0], each) for each in (sent, served))
        low, high = wilson(after, len(served), CONFIDENCE)
        pairs = [(_pixels(first), _pixels(second)) for first, second in zip(self.images, sent, strict=True)]
        ratios = [ratio for first, second in pairs if (ratio := psnr(first, second)) is not None]
        change = (sent.int() - self.images.int()).abs().amax().item()
        return Row(
            **self.settings.key(codec, name, eps),
            targeted=self.settings.targeted,
            gradient_evaluations=made.gradient_evaluations,
            success_before=before / len(sent),
            success_after=after / len(served),
            low=low,
            high=high,
            psnr=statistics.fmean(ratios) if ratios else None,  # of the adversarial file against the photo
            ssim=statistics.fmean(ssim(*each) for each in pairs),
            max_change=int(change),
            seconds_per_image=made.seconds,
            times_bare=made.times_bare,
            transfer={each: self._successes(model, served) / len(served) for each, model in self.transfer.items()},
        )

    def _attacked(self, codec: str, name: str, eps: int, learned: Learned | None) -> Attacked:
        known = self.attacks_made.get((name, eps))
        if known is None or name not in ANY_CODEC:
            known = self._attack(codec, name, eps, learned)
            self.attacks_made[name, eps] = known
        return known

    def _attack(self, codec: str, name: str, eps: int, learned: Learned | None) -> Attacked:
        classifier = Counted(self.attacked[0])
        counted = [classifier, *self.attacked[1:]]
        attack = self._build(name, eps, learned, counted)
        folder = self.work / ("any" if name in ANY_CODEC else file_name(codec)) / f"eps{eps}" / name
        files, seconds, bare = [], 0.0, 0.0
        starts = range(0, len(self.photos), BATCH_SIZE)
        for start in track(starts, f"{codec} {name} ε={eps}", console=terminal(), transient=True):
            images = self.images[start : start + BATCH_SIZE].to(self.device) / 255
            labels = self.labels[start : start + BATCH_SIZE]
            bare += self.settings.steps * self._timed(lambda images=images: self._bare(images))  # type: ignore[misc]
            adversarial: list[Tensor] = []
            seconds += self._timed(lambda: adversarial.append(attack(images, labels)))  # noqa: B023
            for photo, image in zip(self.photos[start : start + BATCH_SIZE], adversarial[0], strict=True):
                files.append(folder / photo.name)
                write_atomically(files[-1], to_png((image * 255).round().to(torch.uint8)))
        evaluations = classifier.backward_passes / len(starts)
        return Attacked(files, evaluations, seconds / len(files), seconds / bare)

    def _build(
        self, name: str, eps: int, learned: Learned | None, attacked: Sequence[nn.Module]
    ) -> Callable[[Tensor, Tensor], Tensor]:
        settings: dict[str, Any] = {
            "eps": eps,
            "steps": self.settings.steps,
            "step_size": self.settings.step_size,
            "targeted": self.settings.targeted,
        }
        kornia = KORNIA.fullmatch(name)
        if kornia or name in PEERS:
            peer: Callable[..., Callable[[Tensor, Tensor], Tensor]] = PEERS["kornia_mim" if kornia else name]
            return peer(
                surrogates.Ensemble([nn.Identity()], attacked[:1]),
                **settings,
                **({"quality": float(kornia[1])} if kornia else {}),
            )
        surrogate, module = split_attack(name) or ("paper", name.removeprefix(PAPER))
        views = getattr(learned, surrogate, None)
        stages = [views] if views is not None else [each.to(self.device) for each in surrogates.fixed(surrogate)]
        model = surrogates.Ensemble(stages, attacked)
        return attacks.load(module)(model, norm=self.settings.norm, task=self.task, **settings)

    def _bare(self, images: Tensor) -> None:
        images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
        torch.autograd.grad(self.attacked[0](images).sum(), images)

    def _timed(self, work: Callable[[], object]) -> float:
        """Return the seconds that work takes, on the CPU or a GPU."""
        start = time.perf_counter()
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def _serve(self, file: Path, codec: str) -> Tensor:
        """Encode a file, write the encoded one beside it, and decode that."""
        encoded = file.with_suffix(f".{file_name(codec)}")
        with Image.open(file) as image:
            encoded.write_bytes(codecs.encode(image, codec))
        with Image.open(encoded) as image:
            return from_pixels(image.convert("RGB"))

    def _successes(self, classifier: nn.Module, images: Tensor) -> int:
        logits = torch.cat([self._ask(classifier, batch) for batch in torch.split(images, BATCH_SIZE)])
        answers = self.task.answers(logits).tolist()
        targets = self.labels.tolist() if self.settings.targeted else [None] * len(answers)
        return sum(map(self.task.succeeded, answers, self.predictions.tolist(), targets))

    @torch.no_grad()
    def _ask(self, classifier: nn.Module, images: Tensor) -> Tensor:
        logits: Tensor = classifier(images.to(self.device) / 255).cpu()
        return logits


def _ready(model: nn.Module, to: torch.device) -> nn.Module:
    return model.to(to).eval().requires_grad_(False)


def file_name(codec: str) -> str:
    """Write a codec's name as a file's."""
    return re.sub(r"[^a-z0-9.]+", "-", codec)


def _pixels(image: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return image.permute(1, 2, 0).numpy()
