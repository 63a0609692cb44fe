"""The bench's work: make adversarial files, encode and decode them for real, and count."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from attack.attacks import base
from attack.attacks.base import Norm
from attack.bench.peers import KORNIA, PEERS, Counted
from attack.bench.rows import Row
from attack.bench.suites import ANY_CODEC
from attack.evaluation.summary import wilson
from attack.evaluation.visibility import ssim
from attack.generate import to_png, write
from attack.models import classifiers, surrogates
from attack.tasks.classify import aim
from collect import codecs
from pairing.alignment import psnr
from params import Goal, split_attack
from train import device
from train.bench import compare
from train.data import synthetic_pairs
from train.models import Bpda
from train.tensors import from_pixels, read_image

BATCH = 8
CONFIDENCE = 0.95


class Learned(NamedTuple):
    """The surrogates of a codec, by the name that stands before an attack's."""

    comreadv: nn.Module
    real: nn.Module
    paper: nn.Module | None


class Made(NamedTuple):
    """An attack's files and what making them took."""

    files: list[Path]
    gradient_evaluations: float  # an image
    seconds: float  # an image
    times_bare: float  # of `steps` bare passes forward and backward, in the same minutes


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
    norm: Norm
    minutes: float  # to learn a codec
    paper_minutes: float  # and the paper's net; 0: it is left out

    def key(self, chain: str, name: str, eps: int) -> Row:
        """Return what tells a row from others, the first of its keys."""
        return {
            "attack": name,
            "codec": chain,
            "eps": eps,
            "steps": self.steps,
            "step_size": None if name in ("best", "fgsm") else self.step_size or eps / self.steps,
            "goal": self.goal,
            "norm": self.norm,
            "classifier": "+".join(self.attacked),
            "images": len(self.photos),
            "photos": synthetic_pairs.digest([Path(photo) for photo in self.photos]),
        }


@dataclass(frozen=True)
class Todo:
    """A codec, and the attacks on it that have no row yet, with their eps."""

    chain: str
    attacks: list[tuple[int, str]]


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
        self.steps, self.step_size, self.goal = settings.steps, settings.step_size, settings.goal
        self.device = device.best()
        self.attacked = [classifiers.load(name, device=self.device) for name in settings.attacked]
        self.transfer = {name: classifiers.load(name, device=self.device) for name in settings.transfer}
        self.images = torch.stack([read_image(file) for file in self.photos])
        logits = torch.cat([self._ask(self.attacked[0], batch) for batch in torch.split(self.images, BATCH)])
        self.predictions, self.labels = logits.argmax(1), aim(logits, self.goal)
        self._bare(self.images[:BATCH].to(self.device) / 255)  # the first pass is slow
        self.made: dict[tuple[str, int], Made] = {}

    def __call__(self, todo: Todo) -> Iterator[Row]:
        """Give the rows of a codec, which is learned first where an attack has to know it."""
        learned = None
        for eps, name in todo.attacks:
            if learned is None and name not in ANY_CODEC:
                learned = self.learn(todo.chain)
            yield self.row(todo.chain, name, eps, learned)

    def learn(self, chain: str) -> Learned:
        """Find the codec and fit its ComModel, on photos that are not attacked."""
        training = [self.work / photo for photo in self.settings.training]
        pairs = synthetic_pairs.encode_all(training, chain, self.work / safe(chain) / "training")
        minutes, paper_minutes = self.settings.minutes, self.settings.paper_minutes
        hybrid = compare.train_model(pairs, "hybrid", minutes)
        known = hybrid.emulator if hybrid.emulator and hybrid.emulator.identified else None
        paper = compare.train_model(pairs, "paper", paper_minutes).model if paper_minutes else None
        return Learned(
            _ready(hybrid.model, self.device),
            _ready(Bpda(known, hybrid.model), self.device),
            None if paper is None else _ready(paper, self.device),
        )

    def row(self, chain: str, name: str, eps: int, learned: Learned | None) -> Row:
        """Attack, write, encode, decode, and count; all images count."""
        made = self._make(chain, name, eps, learned)
        sent = torch.stack([read_image(file) for file in made.files])
        served = torch.stack([self._serve(file, chain) for file in made.files])
        before, after = (self._successes(self.attacked[0], each) for each in (sent, served))
        low, high = wilson(after, len(served), CONFIDENCE)
        pairs = [(_pixels(first), _pixels(second)) for first, second in zip(self.images, sent, strict=True)]
        ratios = [ratio for first, second in pairs if (ratio := psnr(first, second)) is not None]
        change = (sent.int() - self.images.int()).abs().amax().item()
        return {
            **self.settings.key(chain, name, eps),
            "targeted": self.goal != "untargeted",
            "gradient_evaluations": made.gradient_evaluations,
            "success_before": before / len(sent),
            "success_after": after / len(served),
            "low": low,
            "high": high,
            "psnr": statistics.fmean(ratios) if ratios else None,  # of the adversarial file against the photo
            "ssim": statistics.fmean(ssim(*each) for each in pairs),
            "max_change": change,
            "seconds_per_image": made.seconds,
            "times_bare": made.times_bare,
            "transfer": {each: self._successes(model, served) / len(served) for each, model in self.transfer.items()},
        }

    def _make(self, chain: str, name: str, eps: int, learned: Learned | None) -> Made:
        known = self.made.get((name, eps))
        if known is None or name not in ANY_CODEC:
            known = self._attack(chain, name, eps, learned)
            self.made[name, eps] = known
        return known

    def _attack(self, chain: str, name: str, eps: int, learned: Learned | None) -> Made:
        classifier = Counted(self.attacked[0])
        counted = [classifier, *self.attacked[1:]]
        run = self._build(name, eps, learned, counted)
        folder = self.work / ("any" if name in ANY_CODEC else safe(chain)) / f"eps{eps}" / name
        files, seconds, bare = [], 0.0, 0.0
        starts = range(0, len(self.photos), BATCH)
        for start in track(starts, f"{chain} {name} ε={eps}", console=Console(stderr=True), transient=True):
            images = self.images[start : start + BATCH].to(self.device) / 255
            labels = self.labels[start : start + BATCH]
            bare += self.steps * self._timed(lambda images=images: self._bare(images))  # type: ignore[misc]
            adversarial: list[Tensor] = []
            seconds += self._timed(lambda: adversarial.append(run(images, labels)))  # noqa: B023
            for photo, image in zip(self.photos[start : start + BATCH], adversarial[0], strict=True):
                files.append(folder / photo.name)
                write(files[-1], to_png((image * 255).round().to(torch.uint8)))
        evaluations = classifier.backward_passes / len(starts)
        return Made(files, evaluations, seconds / len(files), seconds / bare)

    def _build(
        self, name: str, eps: int, learned: Learned | None, attacked: Sequence[nn.Module]
    ) -> Callable[[Tensor, Tensor], Tensor]:
        settings: dict[str, Any] = {
            "eps": eps,
            "steps": self.steps,
            "step_size": self.step_size,
            "targeted": self.goal != "untargeted",
        }
        kornia = KORNIA.fullmatch(name)
        if kornia or name in PEERS:
            peer: Callable[..., Callable[[Tensor, Tensor], Tensor]] = PEERS["kornia_mim" if kornia else name]
            return peer(
                surrogates.Ensemble([nn.Identity()], attacked[:1]),
                **settings,
                **({"quality": float(kornia[1])} if kornia else {}),
            )
        surrogate, module = split_attack(name) or ("paper", name.removeprefix("paper_"))
        views = getattr(learned, surrogate, None)
        stages = [views] if views is not None else [each.to(self.device) for each in surrogates.fixed(surrogate)]
        return base.load(module)(surrogates.Ensemble(stages, attacked), norm=self.settings.norm, **settings)

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

    def _serve(self, file: Path, chain: str) -> Tensor:
        """Encode a file, write the encoded one beside it, and decode that."""
        encoded = file.with_suffix(f".{safe(chain)}")
        with Image.open(file) as image:
            encoded.write_bytes(codecs.encode(image, chain))
        with Image.open(encoded) as image:
            return from_pixels(image.convert("RGB"))

    def _successes(self, classifier: nn.Module, images: Tensor) -> int:
        answers = torch.cat([self._ask(classifier, batch) for batch in torch.split(images, BATCH)]).argmax(1)
        reached = answers == self.labels if self.goal != "untargeted" else answers != self.predictions
        return int(reached.sum())

    @torch.no_grad()
    def _ask(self, classifier: nn.Module, images: Tensor) -> Tensor:
        logits: Tensor = classifier(images.to(self.device) / 255).cpu()
        return logits


def _ready(model: nn.Module, to: torch.device) -> nn.Module:
    return model.to(to).eval().requires_grad_(False)


def safe(chain: str) -> str:
    """Write a codec's name as a file's."""
    return re.sub(r"[^a-z0-9.]+", "-", chain)


def _pixels(image: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return image.permute(1, 2, 0).numpy()
