"""Protect a photo: change it so that classifiers err even after platforms have processed it, and tell how it went."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attack import tasks
from attack.attacks.best import Best
from attack.evaluation.visibility import Visibility, measure_visibility
from attack.models import classifiers
from attack.models.classifiers import Classifier
from attack.protect import photo
from attack.protect.photo_model import FullResolution, Processing, shrink, working_size
from attack.protect.protected import Answer, Protected, Verdict
from pairing.alignment import Pixels
from params import Goal
from train.tensors import from_pixels

STEPS = {"untargeted": 10, "targeted": 30, "least_likely": 30}  # a class far off takes longer
LARGEST_EPS = 16  # that a bound on visibility tries


@dataclass(frozen=True)
class ProtectionRequest:
    """What a person asks for: one of eps, in grey levels, and visibility, the most SSIM that may be lost."""

    goal: Goal
    eps: int | None
    visibility: float | None
    kind: str  # png or jpeg
    keep_metadata: bool
    task: str = "classify"


class Protector:
    """Protect photos for some platforms from some classifiers; the first classifier's answer chooses the target.

    Args:
        settings: JSON values that say what the result depends on; they go into the record.
    """

    def __init__(
        self,
        request: ProtectionRequest,
        platforms: Sequence[Processing],
        models: Mapping[str, Classifier],
        settings: dict[str, Any],
    ) -> None:
        self.request, self.platforms, self.settings = request, platforms, settings
        self.task = tasks.load(request.task)
        self.names, self.classifiers = list(models), list(models.values())
        self.categories = {name: classifiers.categories(name) for name in models}

    def protect(
        self, data: bytes, name: str, output: str, step: Callable[[], None] = lambda: None
    ) -> tuple[Protected, bytes]:
        """Make a photo's protected copy; return what became of it, and the copy's file.

        Args:
            data: the photo's file.
            name: the photo's, in the record.
            output: where the copy is to go, once the record knows of it.
            step: told of each pass.

        Raises:
            Unusable, photo.Unwritable, ValueError: this photo can't be protected, and why.
        """
        source = photo.decode(data)
        served = [platform(source.pixels) for platform in self.platforms]
        sizes = [(each.shape[-2], each.shape[-1]) for each in served]
        size = working_size(sizes, source.pixels.shape[:2], max(max(each.size) for each in self.classifiers))
        model = FullResolution(source.pixels, size, self.platforms, self.classifiers, step)
        before = [self.logits(as_image(source.pixels), each) for each in self.classifiers]
        labels = self.task.aim(before[0], self.request.goal)
        targeted = self.request.goal != "untargeted"
        leaving = None if targeted else [int(self.task.answers(each)) for each in before]
        attacked = SameLabel(model, int(labels), leaving)

        def attempt(eps: int) -> tuple[bytes, Pixels, Visibility]:
            best = Best(attacked, eps=eps, steps=STEPS[self.request.goal], targeted=targeted, task=self.task)
            changed = model.copy(best(model.small, labels))
            encoded = photo.encode(source, changed, self.request.kind, eps, keep_metadata=self.request.keep_metadata)
            copy = photo.pixels_of(encoded)
            return encoded, copy, measure_visibility(source.pixels, copy)

        eps = self.request.eps or self.largest_unseen(lambda eps: attempt(eps)[-1])
        encoded, copy, visibility = attempt(eps)
        verdicts = [
            self.verdict(platform, number, before[number], was, now, int(labels) if targeted else None)
            for platform, was in zip(self.platforms, served, strict=True)
            for now in [platform(copy)]
            for number in range(len(self.classifiers))
        ]
        protected = Protected(
            source=name,
            sha256=source.sha256,
            output=output,
            output_sha256=hashlib.sha256(encoded).hexdigest(),
            bytes=len(encoded),
            width=copy.shape[1],
            height=copy.shape[0],
            eps=eps,
            verdicts=tuple(verdicts),
            visibility=visibility,
            settings=self.settings,
        )
        return protected, encoded

    def largest_unseen(self, attempt: Callable[[int], Visibility]) -> int:
        """Find the largest eps whose copy keeps within the visibility, by halving."""
        assert self.request.visibility is not None
        low, high = 0, LARGEST_EPS
        while low < high:
            middle = (low + high + 1) // 2
            if 1 - attempt(middle).ssim <= self.request.visibility:
                low = middle
            else:
                high = middle - 1
        if not low:
            raise photo.Unwritable(
                f"even a change of one grey level loses more SSIM than --visibility {self.request.visibility:g} allows."
                " Allow more"
            )
        return low

    def logits(self, image: Tensor, classifier: Classifier) -> Tensor:
        """Return a classifier's logits [1, classes] of an image."""
        with torch.no_grad():
            answer: Tensor = classifier(shrink(image, classifier).to(classifier.device))
        return answer.cpu()

    def verdict(
        self, platform: Processing, number: int, before: Tensor, was: Tensor, now: Tensor, target: int | None
    ) -> Verdict:
        """Judge one classifier behind one platform."""
        name, classifier = self.names[number], self.classifiers[number]
        first, after = self.answer(before, name), self.answer(self.logits(now, classifier), name)
        return Verdict(
            platform=platform.platform,
            how=platform.how,
            classifier=name,
            before=first,
            unprotected=self.answer(self.logits(was, classifier), name),
            after=after,
            target=target,
            survives=self.task.succeeded(after.label, first.label, target),
        )

    def answer(self, logits: Tensor, name: str) -> Answer:
        """Name what logits [1, classes] say."""
        label = int(self.task.answers(logits))
        confidence = float(logits.softmax(1)[0, label])
        return Answer(label=label, name=self.categories[name][label], confidence=round(confidence, 4))


class SameLabel(nn.Module):
    """Give each classifier's own answer the place of the first's, since an attack leaves one label on all views.

    Args:
        leaving: what each classifier said; None: they are led to one target.
    """

    def __init__(self, model: FullResolution, label: int, leaving: Sequence[int] | None) -> None:
        super().__init__()
        self.model, self.label, self.leaving = model, label, leaving

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        if self.leaving is None:
            return logits
        views = []
        for index, view in enumerate(logits):
            order = torch.arange(logits.shape[-1], device=logits.device)
            own = self.leaving[index % len(self.leaving)]
            order[[self.label, own]] = order[[own, self.label]]
            views.append(view[:, order])
        return torch.stack(views)


def as_image(pixels: Pixels) -> Tensor:
    """Turn pixels [H, W, 3] into a float image [1, 3, H, W] in [0, 1]."""
    return from_pixels(pixels)[None] / 255
