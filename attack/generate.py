"""Make a platform's adversarial test images."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from PIL import Image
from rich.progress import Progress
from torch import Tensor

import params
from attack import attack, classifiers, surrogates
from collect.manifest import Prepared, read_manifest
from params import Goal, UserError
from train import device
from train.pairs import read_image

MANIFEST = "manifest.jsonl"
HOW = {"steps", "step_size", "momentum", "norm"}  # settings that an attack takes as they are
MADE_FROM = "made-from.json"  # in the unfinished folder: what its files depend on


@dataclass(frozen=True)
class Adversarial:
    """One adversarial image, as a line of the manifest tells it."""

    file: str  # eps<eps>/<attack>/<stem>.png
    image: str  # the original, test/<stem>.png
    attack: str
    eps: int
    steps: int
    targeted: bool
    prediction: int  # the classifier's answer on the original
    target: int | None  # None: untargeted
    sha256: str
    max_change: int  # largest change of a pixel's colour, measured on the file, grey levels


def generate(settings: params.Attack, images: Path, com_models: Sequence[Path], out: Path) -> list[Adversarial]:
    """Attack the prepared test images by every attack and eps of the settings.

    Works in `<out>.part`, which replaces `out` at the end. An interrupted run goes on from there if
    settings, images and ComModels are the same; else it starts afresh.

    Args:
        images: the folder of prepared images and their manifest.
        com_models: the checkpoint of the platform, or of each of several that one image is made for; read only when an
            attack goes through them, with `<stem>.emulator.json` beside each.
        out: the folder of the adversarial PNGs and manifest.jsonl, sorted by file.

    Raises:
        UserError: no test images, or an attack, classifier or checkpoint that is not there.
    """
    classes = {name: attack.load(name) for name in settings.attacks}
    through = {name: _split(name)[0] for name in classes}
    originals = [image for image in read_manifest(images) if image.split == "test"]
    if not originals:
        raise UserError(f"{images} has no test image. Raise dataset.split.test, then run `comreadv prepare`.")
    on = device.pick()
    judge = classifiers.load(settings.classifier, settings.weights, on)
    attacked = [judge, *(classifiers.load(name, device=on) for name in settings.ensemble)]
    models = {name: surrogates.build(name, com_models, attacked) for name in set(through.values())}

    part = _unfinished(out, settings, originals, com_models if {"comreadv", "real"} & models.keys() else [])
    rows: list[Adversarial] = []
    with Progress() as bar:
        task = bar.add_task("", total=len(originals) * len(settings.eps) * len(classes))
        for start in range(0, len(originals), settings.batch_size):
            batch = originals[start : start + settings.batch_size]
            pixels = torch.stack([read_image(images / original.name) for original in batch]).to(on) / 255
            with torch.no_grad():
                logits = judge(pixels)
            for eps, name in product(settings.eps, classes):
                bar.update(task, description=f"{name}, eps {eps}")
                run = classes[name](
                    models[through[name]], eps=eps, targeted=settings.targeted, **settings.model_dump(include=HOW)
                )
                rows += _attack(run, name, settings.goal, batch, pixels, logits, images, part)
                bar.advance(task, len(batch))
    rows.sort(key=lambda row: row.file)
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    (part / MANIFEST).write_text(lines, encoding="utf-8")
    (part / MADE_FROM).unlink()
    if out.exists():
        shutil.rmtree(out)
    part.replace(out)
    return rows


def _split(name: str) -> tuple[str, str]:
    found = params.split_attack(name)
    assert found is not None  # attack.load has refused unknown names
    return found


def _attack(
    run: attack.Attack,
    name: str,
    goal: Goal,
    originals: list[Prepared],
    pixels: Tensor,
    logits: Tensor,
    images: Path,
    part: Path,
) -> list[Adversarial]:
    """Attack a batch, write its files where they are not there yet, and describe them."""
    files = [f"eps{run.eps}/{name}/{Path(original.name).stem}.png" for original in originals]
    labels = aim(logits, goal)
    if not all((part / file).exists() for file in files):
        for file, adversarial in zip(files, run(pixels, labels), strict=True):
            write_png(part / file, adversarial)
    return [
        Adversarial(
            file=file,
            image=original.name,
            attack=name,
            eps=int(run.eps),
            steps=run.steps,
            targeted=run.targeted,
            prediction=prediction,
            target=label if run.targeted else None,
            sha256=hashlib.sha256((part / file).read_bytes()).hexdigest(),
            max_change=int((read_image(part / file).int() - read_image(images / original.name).int()).abs().max()),
        )
        for file, original, prediction, label in zip(
            files, originals, logits.argmax(1).tolist(), labels.tolist(), strict=True
        )
    ]


def aim(logits: Tensor, goal: Goal) -> Tensor:
    """Return the labels for an attack, int64 [N], given the logits [N, classes] of the originals.

    `targeted`: the class 500 on from the answer, as the paper, or half of the classes on where there are fewer than
    1000; `least_likely`: the class that the classifier holds for the least likely (Kurakin et al.); `untargeted`: the
    answer, which the attack is to leave.
    """
    if goal == "least_likely":
        return logits.argmin(dim=1)
    predictions, classes = logits.argmax(dim=1), logits.shape[1]
    return (predictions + classes // 2) % classes if goal == "targeted" else predictions


def write_png(path: Path, image: Tensor) -> None:
    """Write a float [3, H, W] image in [0, 1], whole grey levels over 255, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = (image * 255).round().to("cpu", torch.uint8)
    unfinished = path.with_suffix(".part")
    Image.fromarray(levels.permute(1, 2, 0).numpy()).save(unfinished, format="PNG")
    unfinished.replace(path)


def _unfinished(out: Path, settings: params.Attack, originals: list[Prepared], com_models: Sequence[Path]) -> Path:
    """Open the folder that becomes `out`, emptied unless an interrupted run left it for the same inputs."""
    part = out.with_name(f"{out.name}.part")
    emulators = [file.with_suffix(".emulator.json") for file in com_models]
    files = [*com_models, *(file for file in (*emulators, settings.weights) if file and file.exists())]
    inputs = json.dumps(
        [
            settings.model_dump(mode="json"),
            [(original.name, original.sha256) for original in originals],
            [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
        ]
    )
    stamp = part / MADE_FROM
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != inputs:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        stamp.write_text(inputs, encoding="utf-8")
    return part
