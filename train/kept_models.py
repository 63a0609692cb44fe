"""Models of earlier generations of a platform's codec, and how they did, so that none is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from params import UserError

FOLDER = Path("data/kept_models")
MODELS = Path("models")
REPORTS = Path("reports")
SUFFIXES = (".safetensors", ".emulator.json", ".csv", ".json")  # the last, the metrics, stand for the model being whole
EVALUATION = "evaluation.json"
START = "start"  # a file that names the generation whose model the next training starts from
BACK = "back"  # a file that names the generation whose model was last put back in use
PUT_BACK = "put_back"  # key of a model's metrics: the generation for which a person put an earlier model in use


def keep(platform: str) -> Path | None:
    """Copy a platform's model, and its evaluation, to FOLDER/<platform>/<generation>; None where there is none."""
    metrics = MODELS / f"{platform}.json"
    if not metrics.is_file() or not (MODELS / f"{platform}.safetensors").is_file():
        return None
    generation = _generation(metrics)
    folder = FOLDER / platform / str(generation)
    part = folder.with_name(f"{generation}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for suffix in SUFFIXES:
        if (MODELS / f"{platform}{suffix}").is_file():
            shutil.copyfile(MODELS / f"{platform}{suffix}", part / f"{platform}{suffix}")
    evaluation = REPORTS / f"{platform}.json"
    if evaluation.is_file() and _generation(evaluation) == generation:
        shutil.copyfile(evaluation, part / EVALUATION)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    return folder


def start_from(folder: Path) -> None:
    """Note that the next training starts from, and is measured beside, the model kept in a folder."""
    (folder.parent / START).write_text(f"{folder.name}\n", encoding="utf-8")


def start(platform: str) -> Path | None:
    """Return the checkpoint that the next training starts from; None where none is noted."""
    return _noted(platform, START)


def earlier(platform: str, generation: int | None) -> Path | None:
    """Return the newest kept checkpoint of a generation before this one, of any where it is None."""
    numbers = [int(each.name) for each in (FOLDER / platform).glob("*") if each.name.isdecimal()]
    numbers = [number for number in numbers if generation is None or number < generation]
    return FOLDER / platform / str(max(numbers)) / f"{platform}.safetensors" if numbers else None


def restore(platform: str) -> None:
    """Put the model back that a failed training was to replace, if DVC has taken it away already."""
    found = start(platform)
    if found and not all((MODELS / f"{platform}{suffix}").is_file() for suffix in (SUFFIXES[0], SUFFIXES[-1])):
        _copy_back(platform, found)


def is_behind(platform: str, generation: int) -> bool:
    """Tell whether a platform's model is of an earlier generation of the codec, and nobody put it back on purpose."""
    metrics = MODELS / f"{platform}.json"
    return metrics.is_file() and _generation(metrics) < generation != _metrics(metrics).get(PUT_BACK)


def put_back(platform: str, generation: int) -> int:
    """Put the model before the present one in use again, the present one kept; return its generation.

    Args:
        generation: of the codec now, for which no retraining replaces the model again.
    """
    metrics, note = MODELS / f"{platform}.json", FOLDER / platform / BACK
    found = (
        None if metrics.is_file() else _noted(platform, BACK)
    )  # killed in the middle, after the present one was kept
    if found is None:
        present = _generation(metrics) if metrics.is_file() else None
        found = earlier(platform, present)
        if found is None:
            raise UserError(
                f"No earlier model of {platform} is kept in {FOLDER}: `comreadv retrain` keeps one a change."
            )
        keep(platform)
        note.write_text(f"{found.parent.name}\n", encoding="utf-8")
    _copy_back(platform, found, {PUT_BACK: generation})
    return int(found.parent.name)


def _noted(platform: str, note: str) -> Path | None:
    """Return the kept checkpoint of the generation that a file names."""
    try:
        name = (FOLDER / platform / note).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    checkpoint = FOLDER / platform / name / f"{platform}.safetensors"
    return checkpoint if checkpoint.is_file() else None


def _copy_back(platform: str, checkpoint: Path, told: Mapping[str, int] | None = None) -> None:
    """Replace a platform's model; while that lasts it has no metrics, and so is none.

    Args:
        told: what its metrics say beside.
    """
    MODELS.mkdir(exist_ok=True)
    (MODELS / f"{platform}{SUFFIXES[-1]}").unlink(missing_ok=True)
    for suffix in SUFFIXES:
        source, target = checkpoint.with_name(f"{platform}{suffix}"), MODELS / f"{platform}{suffix}"
        target.unlink(missing_ok=True)
        if source.is_file():
            part = target.with_name(f"{target.name}.part")
            shutil.copyfile(source, part)
            if told and suffix == SUFFIXES[-1]:
                part.write_text(json.dumps({**_metrics(part), **told}, indent=2) + "\n", encoding="utf-8")
            part.replace(target)


def _generation(file: Path) -> int:
    return int(_metrics(file)["generation"])


def _metrics(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        int(found["generation"])
    except (OSError, ValueError, LookupError, TypeError):
        raise UserError(f"{file} is damaged. Delete it, then run `dvc repro`.") from None
    return found
