"""Models of earlier generations of a platform's codec, and how they did, so that none is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from params import UserError

FOLDER = Path("data/kept_models")
MODELS = Path("models")
REPORTS = Path("reports")
SUFFIXES = (".safetensors", ".emulator.json", ".json", ".csv")
EVALUATION = "evaluation.json"
START = "start"  # a file that names the generation whose model the next training starts from
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
    try:
        name = (FOLDER / platform / START).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    checkpoint = FOLDER / platform / name / f"{platform}.safetensors"
    return checkpoint if checkpoint.is_file() else None


def earlier(platform: str, generation: int | None) -> Path | None:
    """Return the newest kept checkpoint of a generation before this one, of any where it is None."""
    numbers = [int(each.name) for each in (FOLDER / platform).glob("*") if each.name.isdecimal()]
    numbers = [number for number in numbers if generation is None or number < generation]
    return FOLDER / platform / str(max(numbers)) / f"{platform}.safetensors" if numbers else None


def restore(platform: str) -> None:
    """Put the model back that a failed training was to replace, if DVC has taken it away already."""
    found = start(platform)
    if found and not (MODELS / f"{platform}.safetensors").is_file():
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
    metrics = MODELS / f"{platform}.json"
    present = _generation(metrics) if metrics.is_file() else None
    found = earlier(platform, present)
    if found is None:
        raise UserError(f"No earlier model of {platform} is kept in {FOLDER}: `comreadv retrain` keeps one a change.")
    keep(platform)
    _copy_back(platform, found)
    told = _metrics(metrics) | {PUT_BACK: generation}
    metrics.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return int(found.parent.name)


def _copy_back(platform: str, checkpoint: Path) -> None:
    MODELS.mkdir(exist_ok=True)
    for suffix in SUFFIXES:
        source, target = checkpoint.with_name(f"{platform}{suffix}"), MODELS / f"{platform}{suffix}"
        target.unlink(missing_ok=True)
        if source.is_file():
            part = target.with_name(f"{target.name}.part")
            shutil.copyfile(source, part)
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
