"""Evaluate attacks end to end: a fresh round trip of the adversarial images, and what the classifier says then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from scipy.stats import binomtest

from attack.evaluation.visibility import ssim
from attack.models import classifiers
from collect.round_trip.export import read_manifest as read_round_trips
from collect.round_trip.round_trip import round_trip
from collect.store import Original
from pairing.alignment.align import measure, psnr, read_pixels
from params import UNIVERSAL, Pairing, Params, UserError
from train import device
from train.cluster.executor import Executor, Local
from train.data.pairs import read_image

OUTCOMES = "outcomes.jsonl"
TOLD = ("file", "image", "attack", "eps", "steps", "targeted", "prediction", "target")  # of a row of the manifest


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

    def succeeds(self, answer: int | None) -> bool:
        """Tell whether an answer is what the attack wanted; no answer is no success."""
        if answer is None:
            return False
        return answer == self.target if self.targeted else answer != self.prediction


def evaluate(
    name: str,
    params: Params,
    adversarial: Path,
    images: Path,
    out: Path,
    *,
    generation: int,
    origin: str | None = None,
    executor: Executor | None = None,
) -> list[Outcome]:
    """Send the adversarial images through the platform and write the downloads and their outcomes to `out`."""
    rows = read_adversarial(adversarial, images)
    return send(name, params, rows, adversarial, images, out, generation=generation, origin=origin, executor=executor)


def send(
    name: str,
    params: Params,
    rows: Sequence[dict[str, Any]],
    adversarial: Path,
    images: Path,
    out: Path,
    *,
    generation: int,
    origin: str | None = None,
    executor: Executor | None = None,
) -> list[Outcome]:
    """Send the adversarial images of some rows through a platform; write the downloads and their outcomes to `out`.

    Args:
        rows: as the manifests have them, each `file` once, and in the folder `adversarial`.
        executor: where what came back is judged; None: here. The round trip is always made here.
    """
    originals = [Original(row["file"], adversarial / row["file"], row["sha256"]) for row in rows]
    site = round_trip(name, params, originals, out, generation=generation, origin=origin).site
    trips = {trip["source"]: trip for trip in read_round_trips(out)}
    classifier = classifiers.load(params.attack.classifier, params.attack.weights)
    size = params.attack.batch_size
    shards = (
        [_sent(row, trips.get(row["file"]), adversarial, images, out) for row in rows[start : start + size]]
        for start in range(0, len(rows), size)
    )
    pairing = params.pairing.model_copy(update={"database": None})  # whose password is nothing for a cluster
    judged = (executor or Local()).map(Start(site, pairing, classifier), shards)
    outcomes = [outcome for some in judged for outcome in some]
    with (out / OUTCOMES).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(each), sort_keys=True) + "\n" for each in outcomes)
    return outcomes


@dataclass(frozen=True)
class Sent:
    """An adversarial image, whole files all: what was uploaded, the photo that it was made from, what came back."""

    row: dict[str, Any]  # of the manifest
    uploaded: bytes
    photo: bytes
    served: tuple[str, bytes] | None  # a name in the folder of the evaluation; None: refused by the platform


def _sent(row: dict[str, Any], trip: dict[str, Any] | None, adversarial: Path, images: Path, out: Path) -> Sent:
    served = None if trip is None else (trip["file"], (out / trip["file"]).read_bytes())
    return Sent(row, (adversarial / row["file"]).read_bytes(), (images / row["image"]).read_bytes(), served)


@dataclass(frozen=True)
class Start:
    """What a process needs before it judges images."""

    site: str
    pairing: Pairing
    classifier: classifiers.Classifier

    def __call__(self) -> Judge:
        return Judge(self.site, self.pairing, self.classifier.to(device.pick()))


class Judge:
    """Tell what became of adversarial images."""

    def __init__(self, site: str, pairing: Pairing, classifier: classifiers.Classifier) -> None:
        self.site, self.pairing, self.classifier = site, pairing, classifier

    def __call__(self, some: Sequence[Sent]) -> list[Outcome]:
        befores = self.answers([each.uploaded for each in some])
        return [
            Outcome(site=self.site, **{key: each.row[key] for key in TOLD}, before=before, **self.after(each))
            for each, before in zip(some, befores, strict=True)
        ]

    def after(self, sent: Sent) -> dict[str, Any]:
        """Pair what came back with what was sent, as `pairing` does, and look at it."""
        nothing = {"served": None, "after": None, "psnr": None, "ssim": None}
        if sent.served is None:
            return nothing | {"reason": "refused by the platform"}
        name, served = sent.served
        measured = measure(BytesIO(sent.uploaded), BytesIO(served), self.pairing)
        if measured.reason is not None:
            return nothing | {"reason": measured.reason}
        first = read_pixels(BytesIO(sent.photo))
        seen = read_pixels(BytesIO(served), (first.shape[1], first.shape[0]))
        return {
            "served": name,
            "after": self.answers([served])[0],
            "psnr": psnr(first, seen),
            "ssim": ssim(first, seen),
            "reason": None,
        }

    def answers(self, files: Sequence[bytes]) -> list[int]:
        """Ask the classifier about files of one size."""
        pixels = torch.stack([read_image(BytesIO(file)) for file in files]).to(self.classifier.device) / 255
        with torch.inference_mode():
            return self.classifier(pixels).argmax(1).tolist()  # type: ignore[no-any-return]


def read_adversarial(folder: Path, images: Path) -> list[dict[str, Any]]:
    """Read the manifest of adversarial images; a UserError when there is none, or its photos are gone."""
    again = f"Run `comreadv attack {'--universal' if folder.name == UNIVERSAL else f'--platform {folder.name}'}`."
    try:
        lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"No adversarial images in {folder}. {again}") from None
    rows = [json.loads(line) for line in lines]
    if gone := [row["image"] for row in rows if not (images / row["image"]).exists()]:
        raise UserError(f"{folder} was made from {gone[0]}, which is not in {images} now. {again}")
    return rows


def read_outcomes(folder: Path) -> list[Outcome]:
    """Read the outcomes of an evaluation; a UserError when there are none."""
    try:
        lines = (folder / OUTCOMES).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"No evaluation in {folder}. Run `comreadv evaluate --platform {folder.name}`.") from None
    return [Outcome(**json.loads(line)) for line in lines]


def summarise(
    outcomes: Sequence[Outcome], confidence: float, by: Callable[[Outcome], str] = attrgetter("attack")
) -> dict[str, dict[str, dict[str, Any]]]:
    """Sum up outcomes as {eps: {attack: {images, success_before, success_after, low, high, psnr, ssim, …}}}.

    `by` gives what to group by within an ε, instead of the attack. All images count. `low` and `high` bound
    success_after by Wilson's interval; PSNR and SSIM are means over what came back. A share is between 0 and 1.
    """
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for eps, group, some in _groups(outcomes, by):
        before = sum(each.succeeds(each.before) for each in some)
        after = sum(each.succeeds(each.after) for each in some)
        before_low, before_high = wilson(before, len(some), confidence)
        low, high = wilson(after, len(some), confidence)
        table.setdefault(f"eps{eps}", {})[group] = {
            "images": len(some),
            "not_returned": sum(each.after is None for each in some),
            "targeted": some[0].targeted,
            "steps": some[0].steps,
            "success_before": before / len(some),
            "before_low": before_low,
            "before_high": before_high,
            "success_after": after / len(some),
            "low": low,
            "high": high,
            "psnr": _mean([each.psnr for each in some]),
            "ssim": _mean([each.ssim for each in some]),
        }
    return table


def wilson(successes: int, images: int, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share."""
    interval = binomtest(successes, images).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _groups(outcomes: Sequence[Outcome], by: Callable[[Outcome], str]) -> Iterator[tuple[int, str, list[Outcome]]]:
    """Group outcomes by ε and another thing, in the order of their first image."""
    keys = dict.fromkeys((each.eps, by(each)) for each in outcomes)
    for eps, group in sorted(keys, key=lambda key: key[0]):
        yield eps, group, [each for each in outcomes if (each.eps, by(each)) == (eps, group)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
