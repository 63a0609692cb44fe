"""How a platform's ComModel and the attacks fared, generation by generation of its codec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from params import UserError
from train.retraining import model_archive

BEST = "best"  # as attack/evaluation/transfer.py has it, which would bring torch into `comreadv status`

Content = TypeVar("Content", bound=BaseModel)


class Measured(BaseModel):
    """An attack's success after the round trip, a share with its interval."""

    images: int
    success_after: float
    low: float
    high: float


class Evaluation(BaseModel):
    """What reports/<platform>.json tells of success: {eps: {attack: …}}."""

    generation: int
    success: dict[str, dict[str, Measured]]


class Model(BaseModel):
    """What models/<platform>.json tells of errors, in grey levels."""

    generation: int
    mae: float | None = None
    identity_mae: float | None = None


class Generation(NamedTuple):
    """A generation of a platform's codec; None: not measured."""

    generation: int
    mae: float | None
    identity_mae: float | None
    success: dict[str, dict[str, Measured]] | None


class Strongest(NamedTuple):
    """The attack whose success stands for an evaluation."""

    attack: str
    eps: int
    measured: Measured


def read(platform: str, kept: Path, models: Path, reports: Path) -> list[Generation]:
    """List a platform's generations in their order, the present one's figures before any that were kept of it.

    Raises UserError for a damaged file.
    """
    found = dict[int, Model]()
    for file, mend in _files(kept / platform, f"{platform}.json", models / f"{platform}.json", "train"):
        if model := read_file(file, Model, mend):
            found[model.generation] = model
    evaluated = dict[int, Evaluation]()
    for file, mend in _files(kept / platform, model_archive.EVALUATION, reports / f"{platform}.json", "evaluate"):
        if evaluation := read_file(file, Evaluation, mend):
            evaluated[evaluation.generation] = evaluation
    generations = []
    for number in sorted({*found, *evaluated}):
        model = found.get(number, Model(generation=number))
        success = evaluated[number].success if number in evaluated else None
        generations.append(Generation(number, model.mae, model.identity_mae, success))
    return generations


def strongest(success: dict[str, dict[str, Measured]] | None) -> Strongest | None:
    """Find `best`, or else the attack of most success, at the largest ε; None: nothing was evaluated."""
    by_eps = {int(key.removeprefix("eps")): attacks for key, attacks in (success or {}).items() if attacks}
    if not by_eps:
        return None
    eps = max(by_eps)
    attacks = by_eps[eps]
    name = BEST if BEST in attacks else max(attacks, key=lambda each: (attacks[each].success_after, each))
    return Strongest(name, eps, attacks[name])


def read_file(file: Path, kind: type[Content], mend: str) -> Content | None:
    """Read a JSON file; None: there is none. A UserError names a damaged one and what to do."""
    try:
        return kind.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError):
        raise UserError(f"{file} is damaged or of an older form. {mend}") from None


def _files(kept: Path, name: str, present: Path, command: str) -> Iterator[tuple[Path, str]]:
    """List the kept files of a name and then the present one, each with how it is mended."""
    for file in sorted(kept.glob(f"*/{name}")):
        if file.parent.name.isdecimal():  # and not half a copy, which a kill left
            yield file, "Delete its folder: only the report and `comreadv retrain --back` take it."
    yield present, f"Run `comreadv {command} --platform {present.stem}`."
