"""Models of earlier generations of a platform's codec, and how they did, so that none is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import BaseModel

from collect.files import read_json, replace_folder, to_json, write_atomically
from params import UserError
from train.training import TrainingMetrics

FOLDER = Path("data/kept_models")
MODELS = Path("models")
REPORTS = Path("reports")
SUFFIXES = (".emulator.json", ".csv", ".safetensors", ".json")  # in the order in which a model is put in place
EVALUATION = "evaluation.json"
START = "start"  # a file that names the generation whose model the next training starts from
BACK = "back"  # a file that names the generation whose model is being put back; gone when all of that is done
WARM_START = "COMREADV_WARM_START"  # set for `train`, which then starts from the model that is noted
REPAIR = "Delete it, then run `dvc repro`."


class Evaluated(BaseModel):
    """What retraining needs of reports/<platform>.json, whose model is attack's."""

    generation: int


def keep(platform: str) -> Path | None:
    """Copy a platform's model, and its evaluation, to FOLDER/<platform>/<generation>; None where there is none."""
    if not _is_whole(MODELS, platform):
        return None
    generation = _present(platform).generation
    folder = FOLDER / platform / str(generation)
    part = folder.with_name(f"{generation}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for suffix in SUFFIXES:
        if (MODELS / f"{platform}{suffix}").is_file():
            shutil.copyfile(MODELS / f"{platform}{suffix}", part / f"{platform}{suffix}")
    evaluation = REPORTS / f"{platform}.json"
    if evaluation.is_file() and read_json(evaluation, Evaluated, REPAIR).generation == generation:
        shutil.copyfile(evaluation, part / EVALUATION)
    replace_folder(part, folder)
    return folder


def start_from(folder: Path) -> None:
    """Note that the next training starts from, and is measured beside, the model kept in a folder."""
    write_atomically(folder.parent / START, f"{folder.name}\n")
    put_back_is_done(folder.parent.name)  # or never will be: another model replaces it


def start_checkpoint(platform: str) -> Path | None:
    """Return the checkpoint that the next training starts from; None where none is noted, or it is gone."""
    return _noted(platform, START)


def earlier_checkpoint(platform: str, generation: int | None) -> Path | None:
    """Return the newest kept checkpoint of a generation before this one, of any where it is None."""
    folders = [each for each in (FOLDER / platform).glob("*") if each.name.isdecimal() and _checkpoint(each)]
    numbers = [int(each.name) for each in folders if generation is None or int(each.name) < generation]
    return _checkpoint(FOLDER / platform / str(max(numbers))) if numbers else None


def restore(platform: str) -> None:
    """Put the model back that a failed training was to replace, if that is gone, or not whole."""
    found = start_checkpoint(platform)
    if found and not _is_whole(MODELS, platform):
        _copy_back(platform, found)


def is_behind(platform: str, generation: int) -> bool:
    """Tell whether a platform's model is of an earlier generation of the codec, and nobody put it back on purpose."""
    if not (MODELS / f"{platform}.json").is_file():
        return False
    metrics = _present(platform)
    return metrics.generation < generation != metrics.put_back


def put_back(platform: str, generation: int) -> int:
    """Put the model before the present one in use again, the present one kept; return its generation.

    One that was killed is gone on with, until `put_back_is_done` was called.

    Args:
        generation: of the codec now, for which no retraining replaces the model again.
    """
    found = unfinished(platform)
    if found is None:
        is_there = (MODELS / f"{platform}.json").is_file()
        found = earlier_checkpoint(platform, _present(platform).generation if is_there else None)
        if found is None:
            raise UserError(
                f"No earlier model of {platform} is kept in {FOLDER}: `comreadv retrain` keeps one a change."
            )
        keep(platform)
        write_atomically(FOLDER / platform / BACK, f"{found.parent.name}\n")
    _copy_back(platform, found, put_back=generation)
    return int(found.parent.name)


def unfinished(platform: str) -> Path | None:
    """Return the checkpoint that was being put back when that was killed; None also where a training came between."""
    found = _noted(platform, BACK)
    is_there = (MODELS / f"{platform}.json").is_file()
    if found and is_there and _present(platform).generation != int(found.parent.name):
        return None
    return found


def put_back_is_done(platform: str) -> None:
    """Note that all is done that putting a model back takes."""
    (FOLDER / platform / BACK).unlink(missing_ok=True)


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


def _copy_back(platform: str, checkpoint: Path, *, put_back: int | None = None) -> None:
    """Replace a platform's model; no file of one model ever stands beside one of the other.

    Args:
        put_back: the generation for which a person wants it, noted in its metrics; None: they are copied as they
            are, damaged or not.
    """
    metrics, noted = checkpoint.with_suffix(".json"), ""
    if put_back is not None:
        found = read_json(metrics, TrainingMetrics, "Delete its folder, and the model before it is taken.")
        noted = to_json(TrainingMetrics, found.model_copy(update={"put_back": put_back}), indent=2)
    for suffix in reversed(SUFFIXES):
        (MODELS / f"{platform}{suffix}").unlink(missing_ok=True)
    for suffix in SUFFIXES:
        source = checkpoint.with_name(f"{platform}{suffix}")
        if source.is_file():
            write_atomically(MODELS / source.name, noted if noted and source == metrics else source.read_bytes())


def _present(platform: str) -> TrainingMetrics:
    """Read the metrics of the model in use."""
    return read_json(MODELS / f"{platform}.json", TrainingMetrics, REPAIR)
