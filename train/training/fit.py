"""Stage `train`: a platform's pairs in; its emulator, its ComModel and how near that comes out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

import params
from collect.files import to_json, write_atomically
from pairing.database import generation
from train import device
from train.data.pairs import Pairs, load_pairs
from train.data.perturbations import Kind
from train.emulator.identify import identify
from train.emulator.model import Emulator
from train.models import checkpoint
from train.training.metrics import mean_absolute_error, perturbed_error
from train.training.networks import Trained, build, finished, parameter_count, warm_start
from train.training.process_group import ALONE, ProcessGroup
from train.training.resume import ResumeFile
from train.training.trainer import OnProgress, Trainer
from train.training.training_metrics import EarlierModel, EmulatorMetrics, TrainingMetrics

PROJECT = Path(__file__).parents[2]
CODE_FOLDERS = (
    "collect/codecs",
    *(f"train/{name}" for name in ("data", "emulator", "layers", "models", "training")),
)  # that decide what a run makes
NEAR_ENOUGH_MAE = 0.5  # grey levels by which a chain may miss plain images to serve changed ones for the platform
PAPER_SETTINGS: dict[str, Any] = {"model": "paper", "batch_size": 4, "crop": 32, "perturbed": 0.0}  # best in minutes

logger = logging.getLogger(__name__)


class Splits(NamedTuple):
    """A platform's accepted pairs."""

    train: Pairs
    validation: Pairs
    test: Pairs


def fit(
    pairs_db: Path,
    settings: params.Train,
    out: Path,
    metrics: Path,
    curve: Path,
    *,
    platform: str,
    before: Path | None = None,
    process_group: ProcessGroup = ALONE,
    on_progress: OnProgress | None = None,
) -> TrainingMetrics | None:
    """Identify the platform's codec, train a ComModel on the accepted pairs, and keep what is best on validation.

    Where the settings ask for it, the paper's net is trained too, for `paper_beside` minutes, to be measured beside.
    Trains by Adam and mean absolute error for `settings.epochs` or `settings.minutes`, whichever ends first,
    through the whole learning-rate schedule either way; identifying takes up to three minutes more. The untrained
    net is the first candidate, so that the result is never worse on validation. Files are written at the end but
    `out` with the suffix .part, from which the same call goes on after a kill.

    Args:
        out: the checkpoint, safetensors; the emulator goes beside it, with the suffix .emulator.json.
        metrics: JSON: what is returned.
        before: an earlier checkpoint, to start from, and to stay with where it is the better one on validation.
        curve: CSV of epoch, train_mae and validation_mae (on crops); epoch 0 is the identity.
        process_group: the processes that train together, each of which makes this call; the first writes the files.
        on_progress: is told how it goes; None: a progress bar shows it.

    Returns:
        The metrics; None in all processes but the first.

    Raises:
        UserError: a split has no accepted pairs, or an image can't be read.
    """
    splits = Splits(*(load_pairs(pairs_db, name) for name in Splits._fields))
    resume_file = ResumeFile(out.with_suffix(".part"), _key(pairs_db, settings, platform, before))
    emulator = process_group.from_first(_emulator(resume_file, splits) if process_group.is_first else None)
    assert emulator is not None
    chain = emulator if emulator.mae <= NEAR_ENOUGH_MAE else None
    if chain is None and settings.perturbed and process_group.is_first:
        logger.warning("%s: %s. So no perturbed images are trained on.", platform, emulator.why)
    network = build(settings, emulator)
    is_warm = before is not None and warm_start(network, before)
    trainer = Trainer(
        network,
        splits.train,
        splits.validation,
        settings,
        chain=chain,
        resume_file=resume_file,
        emulator=emulator.model_dump(mode="json"),
        process_group=process_group,
    )
    trainer.train(on_progress)
    seconds = trainer.seconds
    paper_file = ResumeFile(out.with_suffix(".paper.part"), resume_file.key)
    paper = paper_net(splits, settings, paper_file, process_group, on_progress)
    if not process_group.is_first:
        return None
    own, earlier = finished(trainer, settings, emulator, keep_residual=is_warm), None
    if before:
        own, earlier = _better_of(own, before, platform, splits)
    found = _measure(
        own,
        paper,
        trainer,
        emulator,
        splits,
        settings,
        platform=platform,
        generation=generation(pairs_db),
        before=earlier,
        seconds=round(seconds, 1),
    )
    write_atomically(metrics, to_json(TrainingMetrics, found, indent=2))
    write_curve(curve, trainer.curve)
    emulator.save(out.with_suffix(".emulator.json"))
    about = found.model_dump(include={"platform", "generation", "model", "mae", "identity_mae"})
    settings = settings.model_copy(update={"model": own.name})
    checkpoint.save(out, own.model, **about, config=own.config, settings=settings.model_dump(mode="json"))
    resume_file.remove()
    return found


def _emulator(resume_file: ResumeFile, splits: Splits) -> Emulator:
    """Identify the codec, or read from an unfinished run's file what was."""
    if unfinished := resume_file.read():
        return Emulator.model_validate(unfinished["emulator"])
    unmoved = splits.train.unmoved() | splits.validation.unmoved()
    if len(unmoved) < 2:
        return identify([*splits.train.files, *splits.validation.files])
    return identify(list(unmoved), masks={files: mask for files, mask in unmoved.items() if mask})


def paper_net(
    splits: Splits,
    settings: params.Train,
    resume_file: ResumeFile,
    process_group: ProcessGroup,
    on_progress: OnProgress | None,
) -> nn.Module | None:
    """Train the paper's net for `settings.paper_beside` minutes, where the hybrid is what is asked for."""
    model = None
    if settings.model != "paper" and settings.paper_beside:
        settings = settings.model_copy(update=PAPER_SETTINGS | {"minutes": settings.paper_beside})
        network = build(settings, None)
        trainer = Trainer(
            network, splits.train, splits.validation, settings, resume_file=resume_file, process_group=process_group
        )
        trainer.train(on_progress)
        model = trainer.model.eval()
    if process_group.is_first:
        resume_file.remove()
    return model


def _better_of(own: Trained, before: Path, platform: str, splits: Splits) -> tuple[Trained, EarlierModel]:
    """Return the better one on validation of a new model and an earlier checkpoint; and how the latter does now."""
    model, metadata = checkpoint.load(before, device.best()), checkpoint.read_metadata(before)
    earlier = EarlierModel(
        generation=metadata.get("generation"),
        mae=mean_absolute_error(model, splits.test),
        validation_mae=mean_absolute_error(model, splits.validation),
    )
    own_error = mean_absolute_error(own.model, splits.validation)
    if earlier.validation_mae >= own_error:
        return own, earlier
    earlier.in_use = True
    found = f"{own_error:.2f} grey levels off on validation, the earlier one {earlier.validation_mae:.2f}"
    logger.info("%s: the new model is %s, which stays in use.", platform, found)
    return Trained(model, metadata["model"], metadata.get("config", {})), earlier


def _measure(
    own: Trained,
    paper: nn.Module | None,
    trainer: Trainer,
    emulator: Emulator,
    splits: Splits,
    settings: params.Train,
    **about: Any,
) -> TrainingMetrics:
    """Measure the network that is kept; `about` has the metrics that are known already."""

    def error_with(kind: Kind) -> float | None:
        if not emulator.is_known:
            return None
        return perturbed_error(own.model, splits.test, emulator, settings.perturbed_eps, kind, settings.seed)

    return TrainingMetrics(
        **about,
        model=own.name,
        mae=mean_absolute_error(own.model, splits.test),
        identity_mae=mean_absolute_error(None, splits.test),
        paper_mae=mean_absolute_error(paper, splits.test) if paper else None,
        validation_mae=mean_absolute_error(own.model, splits.validation),
        identity_validation_mae=mean_absolute_error(None, splits.validation),
        mae_adversarial=error_with("adversarial"),
        mae_noise=error_with("noise"),
        emulator=EmulatorMetrics.model_validate(emulator, from_attributes=True),
        parameters=parameter_count(own.model),
        epochs=round(trainer.epoch, 2),
        steps=trainer.step,
        images={name: len(pairs) for name, pairs in splits._asdict().items()},
    )


def write_curve(file: Path, points: Sequence[tuple[float, float, float]]) -> None:
    """Write the curve's points as CSV."""
    rows = (",".join(str(round(number, 4)) for number in point) for point in points)
    write_atomically(file, "\n".join(["epoch,train_mae,validation_mae", *rows, ""]))


def _key(pairs_db: Path, settings: params.Train, platform: str, before: Path | None) -> str:
    """Name what a run is made from: the platform, the settings, the pairs, the model before and this code."""
    key = hashlib.sha256(f"{platform} {settings.model_dump_json()}".encode())
    for file in (
        pairs_db,
        *([before] if before else []),
        *(file for each in CODE_FOLDERS for file in sorted((PROJECT / each).rglob("*.py"))),
    ):
        key.update(hashlib.sha256(file.read_bytes()).digest())
    return key.hexdigest()
