"""Stage `train`: a platform's pairs in; its emulator, its ComModel and how near that comes out."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import params
from pairing.database import generation
from train import device
from train.data import pairs
from train.data.pairs import Pairs
from train.emulator.identify import identify
from train.emulator.model import Emulator
from train.layers.encoder import Chain
from train.models import checkpoint
from train.training.metrics import mean_absolute_error, perturbed_error
from train.training.process_group import ALONE, ProcessGroup
from train.training.resume import ResumeFile
from train.training.trainer import OnProgress, Trainer

PROJECT = Path(__file__).parents[2]
CODE = ("collect/codecs", "train")  # folders that decide what a run makes
NEAR_ENOUGH = 0.5  # grey levels by which a chain may miss plain images to serve changed ones in the platform's place
PAPER: dict[str, Any] = {"model": "paper", "batch_size": 4, "crop": 32, "perturbed": 0.0}  # best for it in minutes


def fit(
    pairs_db: Path,
    settings: params.Train,
    out: Path,
    metrics: Path,
    curve: Path,
    *,
    platform: str,
    before: Path | None = None,
    ranks: ProcessGroup = ALONE,
    tell: OnProgress | None = None,
) -> dict[str, Any] | None:
    """Identify the platform's codec, train a ComModel on the accepted pairs, and keep what is best on validation.

    Where the settings ask for it, the paper's net is trained too, for as long, to be measured beside the hybrid.
    Trains by Adam and mean absolute error for `settings.epochs` or `settings.minutes`, whichever ends first,
    through the whole learning-rate schedule either way; identifying takes up to three minutes more. The untrained
    net is the first candidate, so that the result is never worse on validation. Files are written at the end but
    `out` with the suffix .part, from which the same call goes on after a kill.

    Args:
        out: the checkpoint, safetensors; the emulator goes beside it, with the suffix .emulator.json.
        metrics: JSON: the errors below, what they were measured on, and what the run took.
        before: an earlier checkpoint, to start from, and to stay with where it is the better one on validation.
        curve: CSV of epoch, train_mae and validation_mae (on crops); epoch 0 is the identity.
        ranks: the processes that train together, each of which makes this call; the first one writes the files.
        tell: is told how it goes; None: a progress bar shows it.

    Returns:
        The metrics; None in all processes but the first.
        Errors are in grey levels (0-255): `mae` of the test split, `identity_mae` without a model,
        `paper_mae` of the paper's net (None if not asked for), `mae_adversarial` and `mae_noise` with changes on the
        images (None where the chain isn't identified).

    Raises:
        UserError: a split has no accepted pairs, or an image can't be read.
    """
    training, validation, test = (pairs.load(pairs_db, name) for name in ("train", "validation", "test"))
    part = ResumeFile(out.with_suffix(".part"), _key(pairs_db, settings, platform, before))
    emulator = ranks.from_first(_emulator(part, training, validation) if ranks.is_first else None)
    assert emulator is not None
    chain = emulator if emulator.mae <= NEAR_ENOUGH else None
    if chain is None and settings.perturbed and ranks.is_first:
        Console(stderr=True).print(f"{platform}: {emulator.why}. So no perturbed images are trained on.")
    described = emulator.model_dump(mode="json")
    started = build(settings, emulator)
    is_warm = before is not None and warm_start(started, before)
    run = Trainer(started, training, validation, settings, chain=chain, part=part, emulator=described, ranks=ranks)
    run.train(tell)
    seconds = run.seconds
    paper = paper_net(training, validation, settings, ResumeFile(out.with_suffix(".paper.part"), part.key), ranks, tell)
    if not ranks.is_first:
        return None
    model, kept = (run.model.eval(), config(settings, emulator)) if is_warm else finished(run, settings, emulator)
    beside = before and _beside(before, validation, test)
    if before and beside and beside["validation_mae"] < (own := mean_absolute_error(model, validation)):
        earlier = checkpoint.read_metadata(before)
        model, kept = checkpoint.load(before, run.on), earlier.get("config", {})
        settings = settings.model_copy(update={"model": earlier["model"]})
        said = f"{own:.2f} grey levels off on validation, the earlier one {beside['validation_mae']:.2f}"
        Console(stderr=True).print(f"{platform}: the new model is {said}, which stays in use.")
        beside["in_use"] = True
    found: dict[str, Any] = {
        "platform": platform,
        "generation": generation(pairs_db),
        "model": settings.model,
        "mae": mean_absolute_error(model, test),
        "identity_mae": mean_absolute_error(None, test),
        "paper_mae": paper and mean_absolute_error(paper, test),
        "validation_mae": mean_absolute_error(model, validation),
        "identity_validation_mae": mean_absolute_error(None, validation),
        **perturbed_errors(model, test, emulator if emulator.identified else None, settings),
        "before": beside,
        "emulator": emulator.model_dump(include={"chain", "identified", "mae", "exact"}),
        "parameters": parameters(model),
        "epochs": round(run.epoch, 2),
        "steps": run.step,
        "seconds": round(seconds, 1),
        "images": {"train": len(training), "validation": len(validation), "test": len(test)},
    }
    write_results(found, run.curve, metrics, curve)
    emulator.save(out.with_suffix(".emulator.json"))
    told = {key: found[key] for key in ("platform", "generation", "model", "mae", "identity_mae")}
    checkpoint.save(out, model, **told, config=kept, settings=settings.model_dump(mode="json"))
    part.remove()
    return found


def _emulator(part: ResumeFile, training: Pairs, validation: Pairs) -> Emulator:
    """Identify the codec, or read from the part of an unfinished run what was."""
    if unfinished := part.read():
        return Emulator.model_validate(unfinished["emulator"])
    plain = [*training.plain(), *validation.plain()]
    return identify(plain if len(plain) > 1 else [*training.files, *validation.files])


def paper_net(
    training: Pairs,
    validation: Pairs,
    settings: params.Train,
    part: ResumeFile,
    ranks: ProcessGroup,
    tell: OnProgress | None,
) -> nn.Module | None:
    """Train the paper's net beside the hybrid, where the settings ask for it."""
    model = None
    if settings.model != "paper" and settings.paper_beside:
        settings = settings.model_copy(update=PAPER)
        run = Trainer(build(settings, None), training, validation, settings, part=part, ranks=ranks)
        run.train(tell)
        model = run.model.eval()
    if ranks.is_first:
        part.remove()
    return model


def build(settings: params.Train, emulator: Emulator | None) -> nn.Module:
    """Build the untrained network of the settings, on the best device; the hybrid needs an emulator."""
    torch.manual_seed(settings.seed)
    model = checkpoint.build(settings.model, **config(settings, emulator))
    return model.to(device.pick()).to(memory_format=torch.channels_last)


def config(settings: params.Train, emulator: Emulator | None) -> dict[str, Any]:
    """Return what `checkpoint.build` needs beside the network's name."""
    return {"emulator": emulator.model_dump(mode="json")} if settings.model == "hybrid" and emulator else {}


def finished(run: Trainer, settings: params.Train, emulator: Emulator | None) -> tuple[nn.Module, dict[str, Any]]:
    """Return a run's network in evaluation mode, and its configuration; without a residual that gained nothing."""
    kept = config(settings, emulator)
    if settings.model == "paper" or run.gained:
        return run.model.eval(), kept
    kept["residual"] = False
    model = checkpoint.build(settings.model, **kept)  # as it was before training, which was best
    return model.to(run.on).to(memory_format=torch.channels_last).eval(), kept


def perturbed_errors(
    model: nn.Module, test: Pairs, chain: Chain | None, settings: params.Train
) -> dict[str, float | None]:
    """Measure `mae_adversarial` and `mae_noise` on test images by the real chain; None where it isn't known."""
    eps, seed = settings.perturbed_eps, settings.seed
    return {
        "mae_adversarial": chain and perturbed_error(model, test, chain, eps, "adversarial", seed),
        "mae_noise": chain and perturbed_error(model, test, chain, eps, "noise", seed),
    }


def parameters(model: nn.Module) -> int:
    """Count the numbers that are trained."""
    return sum(parameter.numel() for parameter in model.parameters())


def write_results(
    found: dict[str, Any], points: Sequence[tuple[float, float, float]], metrics: Path, curve: Path
) -> None:
    """Write the metrics as JSON and the curve's points as CSV."""
    for path in (metrics, curve):
        path.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    with curve.open("w", encoding="utf-8", newline="") as file:
        rows = [tuple(round(number, 4) for number in point) for point in points]
        csv.writer(file, lineterminator="\n").writerows([("epoch", "train_mae", "validation_mae"), *rows])


def warm_start(model: nn.Module, before: Path) -> bool:
    """Take over what an earlier checkpoint has learned, wherever it fits; tell whether anything did."""
    earlier = dict(checkpoint.load(before).named_parameters())
    fitting = False
    for name, parameter in model.named_parameters():
        if name in earlier and earlier[name].shape == parameter.shape:
            parameter.data.copy_(earlier[name].data)
            fitting = True
    return fitting


def _beside(before: Path, validation: Pairs, test: Pairs) -> dict[str, Any]:
    """Measure an earlier checkpoint on the pairs of now."""
    model = checkpoint.load(before, device.pick())
    return {
        "generation": checkpoint.read_metadata(before).get("generation"),
        "mae": mean_absolute_error(model, test),
        "validation_mae": mean_absolute_error(model, validation),
        "in_use": False,
    }


def _key(pairs_db: Path, settings: params.Train, platform: str, before: Path | None) -> str:
    """Name what a run is made from: the platform, the settings, the pairs, the model before and this code."""
    key = hashlib.sha256(f"{platform} {settings.model_dump_json()}".encode())
    for file in (
        pairs_db,
        *([before] if before else []),
        *(file for each in CODE for file in sorted((PROJECT / each).rglob("*.py"))),
    ):
        key.update(hashlib.sha256(file.read_bytes()).digest())
    return key.hexdigest()
