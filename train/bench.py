"""ComModels side by side: real codecs, the same photos, the same minutes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table

import params
from collect import codecs
from params import UserError
from train import real_pairs

if TYPE_CHECKING:
    from torch import nn

    from train.emulator import Emulator

MODELS = ("hybrid", "paper")
VALIDATION = 10  # one in so many training photos is for validation
LONGEST_SEARCH = 180.0  # seconds for identifying the codec, and half the time at most
UNBOUNDED = 1_000_000  # epochs: the minutes bound the run
SPEED_BATCH, SPEED_SECONDS = 8, 2.0  # images a pass, and how long passes are timed

FIGURES = {
    "identity": "identity_mae",
    "MAE": "mae",
    "adversarial": "mae_adversarial",
    "seconds": "seconds",
    "parameters": "parameters",
    "images/s": "images_per_second",
}  # a row's, by the table's headings

ROW_START = '{"codec": '  # what a row in part begins with

Row = dict[str, Any]
Files = list[tuple[Path, Path]]  # original and rendition

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def bench(
    train: Annotated[Path, typer.Option(help="A folder of photos to train on.")],
    test: Annotated[Path, typer.Option(help="A folder of other photos, to measure on.")],
    codec: Annotated[list[str], typer.Option(help="A codec or a chain, such as jpeg:75; give as many as you like.")],
    minutes: Annotated[float, typer.Option(help="Time for each model, identifying the codec included.", min=0.001)],
    out: Annotated[Path, typer.Option(help="JSON lines; rows that stand there already are not made again.")],
    model: Annotated[
        list[str], typer.Option(default_factory=lambda: ["hybrid"], help="hybrid or paper; give both to compare.")
    ],
    size: Annotated[int, typer.Option(help="Photos are squashed to size × size.", min=16, max=4096)] = 224,
    limit_train: Annotated[int | None, typer.Option(help="At most so many photos to train on.", min=3)] = None,
    limit_test: Annotated[int | None, typer.Option(help="At most so many photos to measure on.", min=1)] = None,
    work: Annotated[Path | None, typer.Option(help="Keep the photos and renditions in this folder.")] = None,
) -> None:
    """Train ComModels for the same minutes on the same photos, and measure them on photos not trained on."""
    check(train, test, codec, model, size)
    check_writable(out, work)
    with TemporaryDirectory() if work is None else nullcontext(str(work)) as folder:
        kept = Path(folder) / f"{size}"
        training = real_pairs.prepare(train, kept / "photos", size, limit_train)
        tested = real_pairs.prepare(test, kept / "photos", size, limit_test)
        real_pairs.refuse_shared(training, tested, (train, test))
        rows = list(compare(training, tested, codec, model, minutes, kept, out))
    Console().print(table(rows))


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
) -> Iterator[Row]:
    """Give a row for each codec and model, from `out` where it stands there; write new ones as they come."""
    if len(training) < 3:
        raise UserError(f"{len(training)} photos to train on are too few: give three or more.")
    known = read_rows(out)
    photos = {
        "images": {"train": len(training), "test": len(test)},
        "photos": {"train": real_pairs.digest(training), "test": real_pairs.digest(test)},
    }
    for chain, name in product(chains, models):
        key: Row = {"codec": chain, "model": name, "minutes": minutes, "size": int(work.name), **photos}
        row = next((row for row in known if all(row.get(each) == key[each] for each in key)), None)
        if row is None:
            folder = work / re.sub(r"[^a-z0-9.]+", "-", chain)
            learned, measured = (real_pairs.encode_all(originals, chain, folder) for originals in (training, test))
            row = key | measure(learned, measured, chain, name, minutes)
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        yield row


class Learned(NamedTuple):
    """A trained model, the emulator that was found first (hybrid only), and what it took."""

    model: nn.Module
    emulator: Emulator | None
    settings: params.Train
    seconds: float
    steps: int


def learn(training: Files, name: str, minutes: float) -> Learned:
    """Train a model for so many minutes, identifying the codec included; one in VALIDATION pairs is held out."""
    from train import training as stage
    from train.emulator import identify
    from train.pairs import Pairs
    from train.run import Run

    start = time.monotonic()
    settings = params.Train(epochs=UNBOUNDED, minutes=minutes, **(stage.PAPER if name == "paper" else {}))
    held = training[::VALIDATION]
    learned = [each for each in training if each not in held]
    emulator = None
    if name == "hybrid":
        emulator = identify(training, seconds=min(LONGEST_SEARCH, 30 * minutes))
    left = minutes - (time.monotonic() - start) / 60
    settings = settings.model_copy(update={"minutes": max(left, 1e-6)})
    real = emulator if emulator and emulator.identified else None
    run = Run(stage.build(settings, emulator), Pairs(learned), Pairs(held), settings, chain=real)
    run.train()
    seconds = time.monotonic() - start
    model, _ = stage.finished(run, settings, emulator)
    return Learned(model, emulator, settings, seconds, run.step)


def measure(training: Files, test: Files, chain: str, name: str, minutes: float) -> Row:
    """Train a model for so many minutes, and measure it on the test files."""
    from train import training as stage
    from train.measure import mean_absolute_error
    from train.pairs import Pairs

    model, emulator, settings, seconds, steps = learn(training, name, minutes)
    errors = stage.perturbed_errors(model, Pairs(test), real_pairs.decoded(chain), settings)
    return {
        "identity_mae": round(mean_absolute_error(None, Pairs(test)), 4),
        "mae": round(mean_absolute_error(model, Pairs(test)), 4),
        **{key: value and round(value, 4) for key, value in errors.items()},
        "seconds": round(seconds, 1),
        "parameters": stage.parameters(model),
        "images_per_second": round(images_per_second(model, Pairs(test)[0][0].shape[-1]), 1),
        "steps": steps,
        "emulator": emulator and emulator.model_dump(include={"chain", "identified", "mae"}),
    }


def images_per_second(model: nn.Module, size: int) -> float:
    """Time the model's forward pass on batches of 8 images."""
    import torch

    from train.measure import where

    images = torch.rand(SPEED_BATCH, 3, size, size).to(where(model), memory_format=torch.channels_last)
    passes = 0
    with torch.no_grad():
        model(images)
        start = time.monotonic()
        while passes < 2 or time.monotonic() - start < SPEED_SECONDS:
            model(images)
            passes += 1
    return SPEED_BATCH * passes / (time.monotonic() - start)


def read_rows(file: Path) -> list[Row]:
    """Read the rows of an earlier run that have all figures; takes and raises what `read_lines` does."""
    return [row for row in read_lines(file, ROW_START) if isinstance(row, dict) and complete(row)]


def read_lines(file: Path, start: str) -> list[Any]:
    """Read a bench's JSON lines, and cut off a last one that was written in part, which begins with `start`.

    Raises UserError for a file of something else.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        rows = [json.loads(line) for line in whole]
    except ValueError:
        raise UserError(f"{file} holds lines that are no JSON. Name another file with --out.") from None
    if len(whole) < len(lines):
        if not lines[-1].startswith(start[: len(lines[-1])]):
            raise UserError(f"{file} ends in something that is no row of this bench. Name another file with --out.")
        file.write_text("".join(whole), encoding="utf-8")
    return rows


def complete(row: Row) -> bool:
    """Tell whether a row has all figures of the table."""
    return all(isinstance(row.get(key), int | float) for key in FIGURES.values())


def table(rows: list[Row]) -> Table:
    """Lay rows out for a terminal."""
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="Mean absolute error on test photos, grey levels")
    laid.add_column("codec, model", overflow="fold")
    for heading in FIGURES:
        laid.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        figures = (f"{row[key]:.3f}" if "mae" in key else f"{row[key]:,.0f}" for key in FIGURES.values())
        laid.add_row(f"{row['codec']}, {row['model']}", *figures)
    return laid


if __name__ == "__main__":
    app()
