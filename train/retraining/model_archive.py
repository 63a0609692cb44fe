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
SUFFIXES = (".emulator.json", ".csv", ".safetensors", ".json")  # in the order in which a model is put in place
EVALUATION = "evaluation.json"
START = "start"  # a file that names the generation whose model the next training starts from
BACK = "back"  # a file that names the generation whose model is being put back; gone when all of that is done
PUT_BACK = "put_back"  # key of a model's metrics: the generation for which a person put an earlier model in use


def keep(platform: str) -> Path | None:
    """Copy a platform's model, and its evaluation, to FOLDER/<platform>/<generation>; None where there is none."""
    if not _is_whole(MODELS, platform):
        return None
    generation = _generation(MODELS / f"{platform}.json")
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
    _note(folder.parent / START, folder.name)
    put_back_is_done(folder.parent.name)  # or never will be: another model replaces it


def start(platform: str) -> Path | None:
    """Return the checkpoint that the next training starts from; None where none is noted, or it is gone."""
    return _noted(platform, START)


def earlier(platform: str, generation: int | None) -> Path | None:
    """Return the newest kept checkpoint of a generation before this one, of any where it is None."""
    folders = [each for each in (FOLDER / platform).glob("*") if each.name.isdecimal() and _checkpoint(each)]
    numbers = [int(each.name) for each in folders if generation is None or int(each.name) < generation]
    return _checkpoint(FOLDER / platform / str(max(numbers))) if numbers else None


def restore(platform: str) -> None:
    """Put the model back that a failed training was to replace, if that is gone, or not whole."""
    found = start(platform)
    if found and not _is_whole(MODELS, platform):
        _copy_back(platform, found)


def is_behind(platform: str, generation: int) -> bool:
    """Tell whether a platform's model is of an earlier generation of the codec, and nobody put it back on purpose."""
    metrics = MODELS / f"{platform}.json"
    return metrics.is_file() and _generation(metrics) < generation != _metrics(metrics).get(PUT_BACK)


def put_back(platform: str, generation: int) -> int:
    """Put the model before the present one in use again, the present one kept; return its generation.

    One that was killed is gone on with, until `put_back_is_done` was called.

    Args:
        generation: of the codec now, for which no retraining replaces the model again.
    """
    found = unfinished(platform)
    if found is None:
        metrics = MODELS / f"{platform}.json"
        found = earlier(platform, _generation(metrics) if metrics.is_file() else None)
        if found is None:
            raise UserError(
                f"No earlier model of {platform} is kept in {FOLDER}: `comreadv retrain` keeps one a change."
            )
        keep(platform)
        _note(FOLDER / platform / BACK, found.parent.name)
    _copy_back(platform, found, {PUT_BACK: generation})
    return int(found.parent.name)


def unfinished(platform: str) -> Path | None:
    """Return the checkpoint that was being put back when that was killed; None also where a training came between."""
    found, metrics = _noted(platform, BACK), MODELS / f"{platform}.json"
    if found and metrics.is_file() and _generation(metrics) != int(found.parent.name):
        return None
    return found


def put_back_is_done(platform: str) -> None:
    """Note that all is done that putting a model back takes."""
    (FOLDER / platform / BACK).unlink(missing_ok=True)


def _note(file: Path, name: str) -> None:
    part = file.with_name(f"{file.name}.part")
    part.write_text(f"{name}\n", encoding="utf-8")
    part.replace(file)


def _noted(platform: str, note: str) -> Path | None:
    """Return the kept checkpoint of the generation that a file names; None where it names none, or it is gone."""
    try:
        name = (FOLDER / platform / note).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    return _checkpoint(FOLDER / platform / name)


def _checkpoint(folder: Path) -> Path | None:
    """Return a kept model's checkpoint; None where it or its metrics are gone."""
    platform = folder.parent.name
    return folder / f"{platform}.safetensors" if _is_whole(folder, platform) else None


def _is_whole(folder: Path, platform: str) -> bool:
    return all((folder / f"{platform}{suffix}").is_file() for suffix in (".safetensors", ".json"))


def _copy_back(platform: str, checkpoint: Path, more: dict[str, int] | None = None) -> None:
    """Replace a platform's model; no file of one model ever stands beside one of the other.

    Args:
        more: keys to add to its metrics; None: they are copied as they are, damaged or not.
    """
    metrics = checkpoint.with_suffix(".json")
    told = _metrics(metrics, "Delete its folder, and the model before it is taken.") | more if more else None
    MODELS.mkdir(exist_ok=True)
    for suffix in reversed(SUFFIXES):
        (MODELS / f"{platform}{suffix}").unlink(missing_ok=True)
    for suffix in SUFFIXES:
        source, target = checkpoint.with_name(f"{platform}{suffix}"), MODELS / f"{platform}{suffix}"
        if source.is_file():
            part = target.with_name(f"{target.name}.part")
            shutil.copyfile(source, part)
            if told and source == metrics:
                part.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
            part.replace(target)


def _generation(file: Path) -> int:
    return int(_metrics(file)["generation"])


def _metrics(file: Path, mend: str = "Delete it, then run `dvc repro`.") -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        int(found["generation"])
    except (OSError, ValueError, LookupError, TypeError):
        raise UserError(f"{file} is damaged. {mend}") from None
    return found


WARM_START = "COMREADV_WARM_START"
