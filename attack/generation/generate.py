"""Make a platform's adversarial test images."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from rich.progress import Progress

import params
from attack import attacks
from attack.generation.adversarial import MANIFEST, Adversarial
from attack.generation.attacker import Shard, WorkerInit, file_of, surrogate_of
from attack.models import classifiers, surrogates
from collect.dataset import Prepared, read_manifest
from collect.files import read_rows, replace_folder, to_json, write_atomically, write_rows
from collect.terminal import terminal
from params import UserError
from train.cluster import Executor, Local
from train.tensors import read_image

ROWS = "rows.jsonl"  # in the unfinished folder: what is done
MADE_FROM = "made-from.json"  # in the unfinished folder: what its files depend on


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
        attacks.load(name)
    originals = [image for image in read_manifest(images) if image.split == "test"]
    if not originals:
        raise UserError(f"{images} has no test image. Raise dataset.split.test, then run `comreadv prepare`.")
    judge = classifiers.load(settings.classifier, settings.weights)
    attacked = [judge, *(classifiers.load(name) for name in settings.ensemble)]
    through = {surrogate_of(name) for name in settings.attacks}
    models = {name: surrogates.build(name, com_models, attacked) for name in through}

    part = _unfinished(out, settings, originals, com_models if {"comreadv", "real"} & models.keys() else [])
    done = read_rows(part / ROWS, Adversarial, "", unfinished=True)
    write_rows(part / ROWS, Adversarial, done)  # without the line that a kill cut off
    rows = {row.file: row for row in done}
    shards = _Shards(settings, images, originals, set(rows))
    with Progress(console=terminal()) as bar, (part / ROWS).open("a", encoding="utf-8") as finished:
        total = len(originals) * len(settings.eps) * len(settings.attacks)
        task = bar.add_task("", total=total, completed=len(rows))
        for batch in (executor or Local()).map(WorkerInit(settings, judge, models), shards):
            for row, png in batch:
                write_atomically(part / row.file, png)
            finished.writelines(to_json(Adversarial, row) for row, _ in batch)
            finished.flush()
            rows |= {row.file: row for row, _ in batch}
            bar.update(task, description=f"{batch[0][0].attack}, eps {batch[0][0].eps}", advance=len(batch))
    made = [rows[file] for file in sorted(rows)]
    write_rows(part / MANIFEST, Adversarial, made)
    for left in (part / MADE_FROM, part / ROWS, *part.rglob(".*.part")):  # the last: of runs that were killed
        left.unlink()
    replace_folder(part, out)
    return made


@dataclass(frozen=True)
class _Shards:
    """What is left to do, the images read when their batch is asked for."""

    settings: params.Attack
    images: Path
    originals: list[Prepared]
    done: set[str]

    def __iter__(self) -> Iterator[Shard]:
        size = self.settings.batch_size
        for start in range(0, len(self.originals), size):
            names = [original.name for original in self.originals[start : start + size]]
            left = [
                (name, eps)
                for eps, name in product(self.settings.eps, self.settings.attacks)
                if not self.done.issuperset(file_of(each, name, eps) for each in names)
            ]
            if left:
                pixels = torch.stack([read_image(self.images / each) for each in names])
                yield from (Shard(names, pixels, name, eps) for name, eps in left)


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
        write_atomically(stamp, inputs)
    return part
