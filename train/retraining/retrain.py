"""Scheduled retraining: probe every platform, and bring a fresh model where the codec has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from collect import drift, fingerprint, webhook
from collect.locks import FRESHNESS, file_lock
from collect.platform import load
from collect.round_trip import LIVE_VARIABLE
from collect.store import LIVE_STATE
from params import Params, UserError
from train.retraining import model_archive
from train.retraining.model_archive import WARM_START

PENDING = LIVE_STATE / "retrain.json"  # the platforms whose change was seen and that have no new model yet
SUMMARY = Path("reports/retrain.json")


def retrain(params: Params, platforms: Sequence[str], *, live: bool = False) -> list[dict[str, Any]]:
    """Probe platforms, rerun by DVC those that changed, and return what became of each.

    A platform that fails doesn't hold the others up. What a run that was killed left undone is done by the next
    one. The model before is kept, is where the new one starts from, and stays in use where it is the better one.
    The summary is in SUMMARY too.
    """
    with alone() as lock:
        rows = {name: _probe(name, params, lock, live=live) for name in platforms}
        left = [name for name in _pending() if name in platforms]
        if left:
            for stage in ("train", "evaluate"):
                _repro([f"{stage}@{name}" for name in left], lock, live=live)
        for name in left:
            rows[name] |= _outcome(name)
        _write(PENDING, [name for name in _pending() if name not in left or rows[name]["outcome"] == "failed"])
        summary = list(rows.values())
        SUMMARY.parent.mkdir(exist_ok=True)
        _write(SUMMARY, {"at": datetime.now(UTC).isoformat(timespec="seconds"), "platforms": summary})
    return summary


def alone() -> AbstractContextManager[IO[str]]:
    """Hold the lock under which one retraining works in this folder; wait for another one's end."""
    return file_lock(FRESHNESS, "Another `comreadv retrain` is at work in this folder. Waiting for its end.")


def told(row: dict[str, Any]) -> str:
    """Say in a line what became of a platform."""
    said = f"{row['platform']}: {row['outcome']}: {row['said']}."
    if "mae" in row:
        said += f" MAE {row['mae']:.2f} grey levels"
        said += f", {row['mae_before']:.2f} by the model before." if row.get("mae_before") is not None else "."
    return said


def notify(address: str, summary: Sequence[dict[str, Any]]) -> None:
    """Post the summary to a webhook, as JSON with a text for people."""
    webhook.post(address, {"text": "\n".join(map(told, summary)), "platforms": summary})


def _probe(name: str, params: Params, lock: IO[str], *, live: bool) -> dict[str, Any]:
    try:
        if model_archive.unfinished(name):
            put_back(name, lock)
        found = drift.examine(name, params, live=live and load(name, params.platform(name)).is_live)
        if found.is_change:
            _keep_and_note(name)  # before the generation rises, so that no kill loses it
        drift.record_drift(name, found)
        if model_archive.is_behind(name, fingerprint.generation(name)):  # `drift --write` raised the generation before
            _keep_and_note(name)
    except (UserError, OSError) as error:  # which holds no other platform up
        said = error.message.rstrip(".") if isinstance(error, UserError) else f"{error.strerror}: {error.filename}"
        return {"platform": name, "outcome": "failed", "said": said}
    outcome = "changed" if found.is_change else "unchanged"
    return {"platform": name, "outcome": outcome, "said": found.said, "generation": fingerprint.generation(name)}


def _keep_and_note(name: str) -> None:
    if name not in _pending() and (folder := model_archive.keep(name)):
        model_archive.start_from(folder)
    _write(PENDING, sorted({*_pending(), name}))


def _repro(targets: Sequence[str], lock: IO[str], *, live: bool) -> None:
    _dvc(["repro", "--keep-going", *targets], lock, {WARM_START: "1"} | ({LIVE_VARIABLE: "1"} if live else {}))


def put_back(name: str, lock: IO[str]) -> int:
    """Put a platform's model before in use again, and leave it so until the codec changes; return its generation."""
    generation = model_archive.put_back(name, fingerprint.generation(name))
    _write(PENDING, [each for each in _pending() if each != name])
    if Path("dvc.lock").is_file():
        _dvc(["commit", "--force", f"train@{name}"], lock, {})
    model_archive.put_back_is_done(name)
    return generation


def _dvc(arguments: Sequence[str], lock: IO[str], settings: Mapping[str, str]) -> None:
    """Run DVC, which goes on if we are killed, and then holds our lock until its end."""
    here = Path(sys.executable).parent  # cron knows no environment, and stages call `comreadv`
    environment = os.environ | {"PATH": f"{here}{os.pathsep}{os.environ.get('PATH', os.defpath)}", **settings}
    subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment, check=False, pass_fds=[lock.fileno()])


def _outcome(name: str) -> dict[str, Any]:
    """Tell from what training wrote what became of a platform that changed."""
    trained = _read(model_archive.MODELS / f"{name}.json")
    if trained.get("generation") != fingerprint.generation(name):
        model_archive.restore(name)
        said = f"`dvc repro train@{name}` did not get to its end (its log is above); the next run tries again"
        return {"outcome": "failed", "said": said}
    evaluated = _read(model_archive.REPORTS / f"{name}.json")
    if evaluated.get("generation") != fingerprint.generation(name):
        said = f"the new model is in place, but `dvc repro evaluate@{name}` failed; the next run tries again"
        return {"outcome": "failed", "said": said}
    before = trained.get("before") or {}
    outcome = "the model before stays" if before.get("in_use") else "retrained"
    history = fingerprint.load(name).get("said", "")
    return {"outcome": outcome, "said": history, "mae": trained["mae"], "mae_before": before.get("mae")}


def _read(file: Path) -> dict[str, Any]:
    """Read a stage's metrics; empty where the stage didn't get to its end."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _pending() -> list[str]:
    try:
        found = json.loads(PENDING.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _write(file: Path, content: object) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(file)
