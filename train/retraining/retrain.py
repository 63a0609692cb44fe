"""Scheduled retraining: probe every platform, and bring a fresh model where the codec has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel

from collect import drift, fingerprint, webhook
from collect.files import read_json, to_json, write_atomically
from collect.locks import FRESHNESS, file_lock
from collect.platform import load_platform
from collect.round_trip import LIVE_VARIABLE
from collect.store import LIVE_STATE
from params import Params, UserError
from train.retraining import model_archive
from train.retraining.model_archive import WARM_START, Evaluated
from train.training import TrainingMetrics

PENDING = LIVE_STATE / "retrain.json"  # the platforms whose change was seen and that have no new model yet
SUMMARY = Path("reports/retrain.json")

Metrics = TypeVar("Metrics", bound=BaseModel)


class PlatformOutcome(BaseModel):
    """What became of a platform; errors in grey levels."""

    platform: str
    outcome: str  # unchanged, changed, retrained, the model before stays, failed
    said: str  # what changed, or what went wrong
    generation: int | None = None  # of its codec
    mae: float | None = None
    mae_before: float | None = None  # by the model before


class RetrainSummary(BaseModel):
    """What reports/retrain.json tells of the last retraining; what isn't known is left out."""

    at: str  # ISO 8601, UTC
    platforms: list[PlatformOutcome]


def retrain(params: Params, platforms: Sequence[str], *, live: bool = False) -> list[PlatformOutcome]:
    """Probe platforms, rerun by DVC those that changed, and return what became of each.

    A platform that fails doesn't hold the others up. What a run that was killed left undone is done by the next
    one. The model before is kept, is where the new one starts from, and stays in use where it is the better one.
    The summary is in SUMMARY too.
    """
    with retraining_lock() as lock:
        rows = {name: _probe(name, params, lock, live=live) for name in platforms}
        left = [name for name in _pending() if name in platforms]
        if left:
            for stage in ("train", "evaluate"):
                _repro([f"{stage}@{name}" for name in left], lock, live=live)
        for name in left:
            rows[name] = rows[name].model_copy(update=_outcome(name))
        _write_pending([name for name in _pending() if name not in left or rows[name].outcome == "failed"])
        summary = RetrainSummary(at=datetime.now(UTC).isoformat(timespec="seconds"), platforms=list(rows.values()))
        write_atomically(SUMMARY, summary.model_dump_json(indent=2, exclude_unset=True) + "\n")
    return summary.platforms


def retraining_lock() -> AbstractContextManager[IO[str]]:
    """Hold the lock under which one retraining works in this folder; wait for another one's end."""
    return file_lock(FRESHNESS, "Another `comreadv retrain` is at work in this folder. Waiting for its end.")


def describe(row: PlatformOutcome) -> str:
    """Say in a line what became of a platform."""
    line = f"{row.platform}: {row.outcome}: {row.said}."
    if row.mae is not None:
        line += f" MAE {row.mae:.2f} grey levels"
        line += f", {row.mae_before:.2f} by the model before." if row.mae_before is not None else "."
    return line


def post_summary(address: str, summary: Sequence[PlatformOutcome]) -> None:
    """Post the summary to a webhook, as JSON with a text for people."""
    rows = [row.model_dump(exclude_unset=True) for row in summary]
    webhook.post(address, {"text": "\n".join(map(describe, summary)), "platforms": rows})


def _probe(name: str, params: Params, lock: IO[str], *, live: bool) -> PlatformOutcome:
    try:
        if model_archive.unfinished(name):
            put_back(name, lock)
        found = drift.examine(name, params, live=live and load_platform(name, params.platform(name)).is_live)
        if found.is_change:
            _keep_and_note(name)  # before the generation rises, so that no kill loses it
        drift.record_drift(name, found)
        if model_archive.is_behind(name, fingerprint.generation(name)):  # `drift --write` raised the generation before
            _keep_and_note(name)
    except (UserError, OSError) as error:  # which holds no other platform up
        said = error.message.rstrip(".") if isinstance(error, UserError) else f"{error.strerror}: {error.filename}"
        return PlatformOutcome(platform=name, outcome="failed", said=said)
    outcome = "changed" if found.is_change else "unchanged"
    return PlatformOutcome(platform=name, outcome=outcome, said=found.said, generation=fingerprint.generation(name))


def _keep_and_note(name: str) -> None:
    if name not in _pending() and (folder := model_archive.keep(name)):
        model_archive.start_from(folder)
    _write_pending(sorted({*_pending(), name}))


def _repro(targets: Sequence[str], lock: IO[str], *, live: bool) -> None:
    _dvc(["repro", "--keep-going", *targets], lock, {WARM_START: "1"} | ({LIVE_VARIABLE: "1"} if live else {}))


def put_back(name: str, lock: IO[str]) -> int:
    """Put a platform's model before in use again, and leave it so until the codec changes; return its generation."""
    generation = model_archive.put_back(name, fingerprint.generation(name))
    _write_pending([each for each in _pending() if each != name])
    if Path("dvc.lock").is_file():
        _dvc(["commit", "--force", f"train@{name}"], lock, {})
    model_archive.put_back_is_done(name)
    return generation


def _dvc(arguments: Sequence[str], lock: IO[str], settings: Mapping[str, str]) -> None:
    """Run DVC, which goes on if we are killed, and then holds our lock until its end."""
    here = Path(sys.executable).parent  # cron knows no environment, and stages call `comreadv`
    environment = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ.get('PATH', os.defpath)}", **settings}
    subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False, pass_fds=[lock.fileno()])


def _outcome(name: str) -> dict[str, object]:
    """Tell from what training wrote what became of a platform that changed."""
    generation = fingerprint.generation(name)
    trained = _read_metrics(model_archive.MODELS / f"{name}.json", TrainingMetrics)
    if trained is None or trained.generation != generation:
        model_archive.restore(name)
        said = f"`dvc repro train@{name}` did not get to its end (its log is above); the next run tries again"
        return {"outcome": "failed", "said": said}
    evaluated = _read_metrics(model_archive.REPORTS / f"{name}.json", Evaluated)
    if evaluated is None or evaluated.generation != generation:
        said = f"the new model is in place, but `dvc repro evaluate@{name}` failed; the next run tries again"
        return {"outcome": "failed", "said": said}
    before = trained.before
    outcome = "the model before stays" if before and before.in_use else "retrained"
    history = fingerprint.load(name).get("said", "")
    return {"outcome": outcome, "said": history, "mae": trained.mae, "mae_before": before and before.mae}


def _read_metrics(file: Path, kind: type[Metrics]) -> Metrics | None:
    """Read a stage's metrics; None where the stage didn't get to its end."""
    try:
        return read_json(file, kind, "")
    except UserError:
        return None


def _pending() -> list[str]:
    try:
        return read_json(PENDING, list[str], "")
    except UserError:  # none yet
        return []


def _write_pending(names: list[str]) -> None:
    write_atomically(PENDING, to_json(list[str], names, indent=2))
