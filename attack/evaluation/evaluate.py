"""Evaluate attacks end to end: a fresh round trip of the adversarial images, and what the classifier says then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from attack.evaluation.outcomes import OUTCOMES, Outcome
from attack.evaluation.visibility import ssim
from attack.models import classifiers
from collect.round_trip import Original, Served, read_round_trips, round_trip
from pairing.alignment import measure_pair, psnr, read_pixels
from params import UNIVERSAL, Pairing, Params, UserError
from train import device
from train.cluster import Executor, Local
from train.tensors import read_image

TOLD = ("file", "image", "attack", "eps", "steps", "targeted", "prediction", "target")  # of a row of the manifest


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
    trips = {trip.source: trip for trip in read_round_trips(out)}
    classifier = classifiers.load(params.attack.classifier, params.attack.weights)
    size = params.attack.batch_size
    shards = (
        [_sent(row, trips.get(row["file"]), adversarial, images, out) for row in rows[start : start + size]]
        for start in range(0, len(rows), size)
    )
    pairing = params.pairing.model_copy(update={"database": None})  # whose password is nothing for a cluster
    judged = (executor or Local()).map(WorkerInit(site, pairing, classifier), shards)
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


def _sent(row: dict[str, Any], trip: Served | None, adversarial: Path, images: Path, out: Path) -> Sent:
    served = None if trip is None else (trip.file, (out / trip.file).read_bytes())
    return Sent(row, (adversarial / row["file"]).read_bytes(), (images / row["image"]).read_bytes(), served)


@dataclass(frozen=True)
class WorkerInit:
    """What a process needs before it judges images."""

    site: str
    pairing: Pairing
    classifier: classifiers.Classifier

    def __call__(self) -> Judge:
        return Judge(self.site, self.pairing, self.classifier.to(device.best()))


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
        measured = measure_pair(BytesIO(sent.uploaded), BytesIO(served), self.pairing)
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
