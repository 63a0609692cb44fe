"""ComModels side by side: real codecs, the same photos, the same minutes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import nn

import params
from collect import codecs
from collect.files import to_json
from params import UserError
from train.bench import rows
from train.bench.rows import Row, RowKey
from train.cluster.executor import Executor
from train.cluster.file_transfer import map_with_files
from train.data import synthetic_pairs
from train.data.pairs import Pairs
from train.device import device_of
from train.emulator.identify import identify
from train.emulator.model import Emulator
from train.training import fit, networks
from train.training.metrics import mean_absolute_error, perturbed_error
from train.training.trainer import Trainer
from train.training.training_metrics import EmulatorMetrics

MODELS = ("hybrid", "paper")
VALIDATION_EVERY = 10  # one in so many training photos is for validation
MAX_SEARCH_S = 180.0  # seconds for identifying the codec, and half the time at most
UNBOUNDED = 1_000_000  # epochs: the minutes bound the run
SPEED_BATCH, SPEED_SECONDS = 8, 2.0  # images a pass, and how long passes are timed

Files = list[tuple[Path, Path]]  # original and rendition


def check(train: Path, test: Path, chains: list[str], models: list[str], size: int) -> None:
    """Raise UserError for folders that are none or one, unknown models, and codecs that can't encode the size."""
    for option, folder in (("--train", train), ("--test", test)):
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder. Give a folder of photos with {option}.")
    if train.resolve() == test.resolve():
        raise UserError(f"--train and --test are both {train}. Measure on photos that no model was trained on.")
    for name in models:
        if name not in MODELS:
            raise UserError(f"No model {name!r}. There are: {', '.join(MODELS)}.")
    for chain in chains:
        try:
            codecs.encode(Image.new("RGB", (size, size)), chain)
        except ValueError as error:
            raise UserError(f"--codec {chain} with --size {size}: {error}") from None


def check_writable(out: Path, work: Path | None) -> None:
    """Make the folders and the file that are written to; raise UserError where that is impossible."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.open("a", encoding="utf-8").close()
    except OSError as error:
        raise UserError(f"{out} can't be written ({error}). Name a file with --out.") from None
    try:
        if work is not None:
            work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{work} can't be made a folder ({error}). Name a folder with --work.") from None


def compare(
    training: list[Path],
    test: list[Path],
    chains: list[str],
    models: list[str],
    minutes: float,
    work: Path,
    out: Path,
    on: Executor,
) -> Iterator[Row]:
    """Give a row for each codec and model, from `out` where it stands there; write new ones as they come."""
    if len(training) < 3:
        raise UserError(f"{len(training)} photos to train on are too few: give three or more.")
    known = {row.key.model_dump_json(): row for row in rows.read_rows(out)}
    images = {"train": len(training), "test": len(test)}
    photos = {"train": synthetic_pairs.digest(training), "test": synthetic_pairs.digest(test)}
    keys = [
        RowKey(codec=chain, model=name, minutes=minutes, size=int(work.name), images=images, photos=photos)
        for chain, name in product(chains, models)
    ]
    found = [known.get(key.model_dump_json()) for key in keys]
    todo = [key for key, row in zip(keys, found, strict=True) if row is None]
    start = partial(RowWork, synthetic_pairs.names(training, work), synthetic_pairs.names(test, work))
    made = map_with_files(on, start, work, [*training, *test], todo)
    for row in found:
        for each in [row] if row else next(made):
            if not row:
                with out.open("a", encoding="utf-8") as file:
                    file.write(to_json(Row, each))
            yield each


class RowWork:
    """Make a row of the bench from its key: encode, train and measure, in a folder that has the photos.

    Args:
        training, test: the photos, below the folder.
    """

    def __init__(self, training: list[str], test: list[str], folder: Path) -> None:
        self.photos, self.folder = (training, test), folder

    def __call__(self, key: RowKey) -> Iterator[Row]:
        folder = self.folder / re.sub(r"[^a-z0-9.]+", "-", key.codec)
        training, test = (
            synthetic_pairs.encode_all([self.folder / name for name in some], key.codec, folder) for some in self.photos
        )
        yield measure_row(training, test, key)


class TrainedModel(NamedTuple):
    """A trained model, the emulator that was found first (hybrid only), and what it took."""

    model: nn.Module
    emulator: Emulator | None
    settings: params.Train
    seconds: float
    steps: int


def train_model(training: Files, name: str, minutes: float) -> TrainedModel:
    """Train a model for so many minutes, identifying the codec included; one in VALIDATION_EVERY pairs is held out."""
    start = time.monotonic()
    settings = params.Train(epochs=UNBOUNDED, minutes=minutes, **(fit.PAPER_SETTINGS if name == "paper" else {}))
    held = training[::VALIDATION_EVERY]
    learned = [each for each in training if each not in held]
    emulator = None
    if name == "hybrid":
        emulator = identify(training, seconds=min(MAX_SEARCH_S, 30 * minutes))
    left = minutes - (time.monotonic() - start) / 60
    settings = settings.model_copy(update={"minutes": max(left, 1e-6)})
    real = emulator if emulator and emulator.is_known else None
    trainer = Trainer(networks.build(settings, emulator), Pairs(learned), Pairs(held), settings, chain=real)
    trainer.train()
    seconds = time.monotonic() - start
    model = networks.finished(trainer, settings, emulator).model
    return TrainedModel(model, emulator, settings, seconds, trainer.step)


def measure_row(training: Files, test: Files, key: RowKey) -> Row:
    """Train a model for so many minutes, and measure it on the test files."""
    tested = Pairs(test)
    model, emulator, settings, seconds, steps = train_model(training, key.model, key.minutes)
    chain, eps, seed = synthetic_pairs.decoded(key.codec), settings.perturbed_eps, settings.seed
    return Row(
        **dict(key),
        identity_mae=round(mean_absolute_error(None, tested), 4),
        mae=round(mean_absolute_error(model, tested), 4),
        mae_adversarial=round(perturbed_error(model, tested, chain, eps, "adversarial", seed), 4),
        mae_noise=round(perturbed_error(model, tested, chain, eps, "noise", seed), 4),
        seconds=round(seconds, 1),
        parameters=networks.parameter_count(model),
        images_per_second=round(images_per_second(model, tested[0][0].shape[-1]), 1),
        steps=steps,
        emulator=EmulatorMetrics.model_validate(emulator, from_attributes=True) if emulator else None,
    )


def images_per_second(model: nn.Module, size: int) -> float:
    """Time the model's forward pass on batches of 8 images."""
    images = torch.rand(SPEED_BATCH, 3, size, size).to(device_of(model), memory_format=torch.channels_last)
    passes = 0
    with torch.no_grad():
        model(images)
        start = time.monotonic()
        while passes < 2 or time.monotonic() - start < SPEED_SECONDS:
            model(images)
            passes += 1
    return SPEED_BATCH * passes / (time.monotonic() - start)
