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


def newest(platform: str, *, before: int | None = None) -> Path | None:
    """Return the checkpoint that was kept last, of a generation before `before` where that is given."""
    numbers = [int(each.name) for each in (FOLDER / platform).glob("*") if each.name.isdecimal()]
    numbers = [number for number in numbers if before is None or number < before]
    return FOLDER / platform / str(max(numbers)) / f"{platform}.safetensors" if numbers else None


def is_behind(platform: str, generation: int) -> bool:
    """Tell whether a platform's model is of an earlier generation of the codec, and nobody put it back on purpose."""
    metrics = MODELS / f"{platform}.json"
    return metrics.is_file() and _generation(metrics) < generation != _metrics(metrics).get(PUT_BACK)


def put_back(platform: str) -> int:
    """Put the model of the generation before the present one in use again, the present one kept; return which."""
    metrics = MODELS / f"{platform}.json"
    present = _generation(metrics) if metrics.is_file() else None
    found = newest(platform, before=present)
    if found is None:
        raise UserError(f"No earlier model of {platform} is kept in {FOLDER}: `comreadv retrain` keeps one a change.")
    keep(platform)
    for suffix in SUFFIXES:
        source = found.with_name(f"{platform}{suffix}")
        if source.is_file():
            shutil.copyfile(source, MODELS / f"{platform}{suffix}")
    told = _metrics(metrics) | {PUT_BACK: present}
    metrics.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return int(found.parent.name)


def _generation(file: Path) -> int:
    return int(_metrics(file)["generation"])


def _metrics(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        int(found["generation"])
    except (OSError, ValueError, LookupError, TypeError):
        raise UserError(f"{file} is damaged. Delete it, then run `dvc repro`.") from None
    return found
