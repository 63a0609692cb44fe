"""Make a platform's adversarial test images."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import product
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor

import params
from attack.attacks import base
from attack.models import classifiers, surrogates
from attack.models.classifiers import Classifier
from attack.models.surrogates import Ensemble
from attack.tasks.classify import aim
from collect.dataset import Prepared, read_manifest
from params import UserError
from train import device
from train.cluster import Executor, Local
from train.tensors import read_image, to_picture

MANIFEST = "manifest.jsonl"
HOW = {"steps", "step_size", "momentum", "norm"}  # settings that an attack takes as they are
ROWS = "rows.jsonl"  # in the unfinished folder: what is done
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


def generate(
    settings: params.Attack, images: Path, com_models: Sequence[Path], out: Path, executor: Executor | None = None
) -> list[Adversarial]:
    """Attack the prepared test images by every attack and eps of the settings.

    Works in `<out>.part`, which replaces `out` at the end. An interrupted run goes on from there if
    settings, images and ComModels are the same; else it starts afresh.

    Args:
        images: the folder of prepared images and their manifest.
        com_models: the checkpoint of the platform, or of each of several that one image is made for; read only when an
            attack goes through them, with `<stem>.emulator.json` beside each.
        out: the folder of the adversarial PNGs and manifest.jsonl, sorted by file.
        executor: where the batches are attacked; None: here. All files are read and written here.

    Raises:
        UserError: no test images, or an attack, classifier or checkpoint that is not there.
    """
    for name in settings.attacks:
        base.load(name)
    originals = [image for image in read_manifest(images) if image.split == "test"]
    if not originals:
        raise UserError(f"{images} has no test image. Raise dataset.split.test, then run `comreadv prepare`.")
    judge = classifiers.load(settings.classifier, settings.weights)
    attacked = [judge, *(classifiers.load(name) for name in settings.ensemble)]
    through = {_split(name)[0] for name in settings.attacks}
    models = {name: surrogates.build(name, com_models, attacked) for name in through}

    part = _unfinished(out, settings, originals, com_models if {"comreadv", "real"} & models.keys() else [])
    done = _read_rows(part)
    shards = _Shards(settings, images, originals, {row.file for row in done})
    rows = {row.file: row for row in done}
    with Progress() as bar, (part / ROWS).open("a", encoding="utf-8") as kept:
        task = bar.add_task("", total=len(originals) * len(settings.eps) * len(settings.attacks), completed=len(done))
        for made in (executor or Local()).map(WorkerInit(settings, judge, models), shards):
            for row, png in made:
                write(part / row.file, png)
            kept.writelines(json.dumps(asdict(row)) + "\n" for row, _ in made)
            kept.flush()
            rows |= {row.file: row for row, _ in made}
            bar.update(task, description=f"{made[0][0].attack}, eps {made[0][0].eps}", advance=len(made))
    found = [rows[file] for file in sorted(rows)]
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in found)
    (part / MANIFEST).write_text(lines, encoding="utf-8")
    (part / MADE_FROM).unlink()
    (part / ROWS).unlink()
    if out.exists():
        shutil.rmtree(out)
    part.replace(out)
    return found


@dataclass(frozen=True)
class Shard:
    """A batch and the attack that it goes to."""

    names: list[str]  # of the originals
    pixels: Tensor  # uint8 [N, 3, H, W]
    attack: str
    eps: int

    @property
    def files(self) -> list[str]:
        return [_file(name, self.attack, self.eps) for name in self.names]


def _file(name: str, attack: str, eps: int) -> str:
    return f"eps{eps}/{attack}/{Path(name).stem}.png"


class _Shards:
    """What is left to do, the images read when their batch is asked for."""

    def __init__(self, settings: params.Attack, images: Path, originals: list[Prepared], done: set[str]) -> None:
        self.settings, self.images, self.originals, self.done = settings, images, originals, done

    def __iter__(self) -> Iterator[Shard]:
        size = self.settings.batch_size
        for start in range(0, len(self.originals), size):
            names = [original.name for original in self.originals[start : start + size]]
            left = [
                (name, eps)
                for eps, name in product(self.settings.eps, self.settings.attacks)
                if not self.done.issuperset(_file(each, name, eps) for each in names)
            ]
            if left:
                pixels = torch.stack([read_image(self.images / each) for each in names])
                yield from (Shard(names, pixels, name, eps) for name, eps in left)


@dataclass(frozen=True)
class WorkerInit:
    """What a process needs before it attacks shards: the models, loaded once and sent whole."""

    settings: params.Attack
    judge: Classifier
    models: dict[str, Ensemble]  # by what the gradient passes through

    def __call__(self) -> Attacker:
        on = device.best()
        models = {name: model.to(on) for name, model in self.models.items()}
        return Attacker(self.settings, self.judge.to(on), models)


class Attacker:
    """Attack shards: a row and the PNG file of each image."""

    def __init__(self, settings: params.Attack, judge: Classifier, models: dict[str, Ensemble]) -> None:
        self.settings, self.judge, self.models = settings, judge, models
        self.names: list[str] = []  # of the batch that `logits` are of: shards of one batch follow each other

    def __call__(self, shard: Shard) -> list[tuple[Adversarial, bytes]]:
        pixels = shard.pixels.to(self.judge.device) / 255
        if self.names != shard.names:
            with torch.no_grad():
                self.names, self.logits = shard.names, self.judge(pixels)
        run = base.load(shard.attack)(
            self.models[_split(shard.attack)[0]],
            eps=shard.eps,
            targeted=self.settings.targeted,
            **self.settings.model_dump(include=HOW),
        )
        labels = aim(self.logits, self.settings.goal)
        changed = (run(pixels, labels) * 255).round().to("cpu", torch.uint8)
        largest = (changed.int() - shard.pixels.int()).abs().amax((1, 2, 3)).tolist()
        pngs = [to_png(each) for each in changed]
        rows = [
            Adversarial(
                file=file,
                image=name,
                attack=shard.attack,
                eps=shard.eps,
                steps=run.steps,
                targeted=run.targeted,
                prediction=prediction,
                target=label if run.targeted else None,
                sha256=hashlib.sha256(png).hexdigest(),
                max_change=change,
            )
            for file, name, prediction, label, change, png in zip(
                shard.files, shard.names, self.logits.argmax(1).tolist(), labels.tolist(), largest, pngs, strict=True
            )
        ]
        return list(zip(rows, pngs, strict=True))


def _split(name: str) -> tuple[str, str]:
    found = params.split_attack(name)
    assert found is not None  # attack.load has refused unknown names
    return found


def to_png(levels: Tensor) -> bytes:
    """Return the PNG file of an image, uint8 [3, H, W], on any device."""
    file = BytesIO()
    to_picture(levels.cpu()).save(file, format="PNG")
    return file.getvalue()


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def _read_rows(part: Path) -> list[Adversarial]:
    """Read what an interrupted run has done; a line that a kill cut off costs its image again."""
    file = part / ROWS
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        with suppress(ValueError, TypeError):
            rows.append(Adversarial(**json.loads(line)))
    whole = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    write(file, whole.encode())
    return rows


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
