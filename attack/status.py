"""How each platform stands: its codec, pairs, ComModel and last evaluation, and what is out of date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attack.evaluation.figures import read_evaluation, strongest
from attack.report.history import read_training_metrics
from params import Params, UserError

PROBE_EVERY = timedelta(days=7)
SPLITS = ("train", "validation", "test")
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Stale:
    """What is out of date, and the command that mends it."""

    what: str
    command: str


@dataclass(frozen=True)
class Status:
    """How a platform stands; None: not there yet."""

    platform: str
    on: bool
    site: str
    codec: str | None  # in words
    generation: int | None  # of the codec
    last_probe: str | None  # ISO 8601, UTC
    pairs: dict[str, int] | None  # generation, accepted by split, rejected
    model: dict[str, Any] | None  # name, generation, mae in grey levels, codec, its software in words, identified
    success: dict[str, Any] | None  # of the strongest attack after the round trip
    stale: tuple[Stale, ...]


def examine(platform: str, settings: Params, now: datetime) -> Status:
    """Read what there is of a platform, relative to the present folder; write nothing.

    Raises UserError for a damaged file, and for a ledger that can't be opened.
    """
    from collect import fingerprint

    row = settings.platform(platform)
    file = fingerprint.FOLDER / f"{platform}.json"
    codec = generation = seen = None
    if file.exists():
        known = fingerprint.load(platform)
        try:
            codec, generation = fingerprint.describe_codec(known["codec"], known.get("qualities")), known["generation"]
            seen = _moment(known["seen"]) if "seen" in known else None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{file} is damaged ({error!r}). Restore it with git.") from None
    probed = max(filter(None, (_last_probe(settings, platform), seen)), default=None)  # a clone has no ledger
    address, model, success = settings.pairing.database, _model(platform), _success(platform)
    here = _pairs(platform, None)
    shared = _pairs(platform, address) if address else here
    pairs = here or shared  # what is here is what `train` takes
    behind = here is not None and (shared is None or shared["generation"] < here["generation"])
    on = platform in settings.platforms
    commands = _commands(platform, on=on, live=row.site == "live")
    return Status(
        platform=platform,
        on=on,
        site="a local encoder" if row.adapter == "codec" else row.site,
        codec=codec,
        generation=generation,
        last_probe=probed.isoformat(timespec="seconds") if probed else None,
        pairs=pairs,
        model=model,
        success=success,
        stale=tuple(
            Stale(what, commands[step])
            for step, what in _stale(generation, probed, now, pairs, model, success, behind=behind)
        ),
    )


def _stale(
    generation: int | None,
    probed: datetime | None,
    now: datetime,
    pairs: dict[str, int] | None,
    model: dict[str, Any] | None,
    success: dict[str, Any] | None,
    *,
    behind: bool,
) -> Iterator[tuple[str, str]]:
    """List (the key of a command, what is out of date), in the order in which it is mended."""
    if generation is None:
        yield "first", "no fingerprint"
    elif probed is None:
        yield "probe", "never probed"
    elif (age := now - probed) > PROBE_EVERY:
        yield "probe", f"last probed {age.days} days ago"
    for what, found, first, again in (
        ("pairs", pairs, "pairing", "pairing"),
        ("ComModel", model, "train", "retrain"),
        ("evaluation", success, "evaluate", "evaluate"),
    ):
        if found is None:
            yield first, f"no {what}"
        elif generation is not None and found["generation"] < generation != found.get("put_back"):
            yield again, f"{what} of generation {found['generation']}, codec of generation {generation}"
    if behind:
        yield "publish", "pairs not in the shared database"


def _commands(platform: str, *, on: bool, live: bool) -> dict[str, str]:
    """Name the command for each step; DVC runs the platforms that are on, and those alone."""
    probe = f"comreadv drift --platform {platform}" + " --live" * live
    if on:
        repro = "COMREADV_LIVE=1 dvc repro" if live else "dvc repro"
        steps = {step: f"{repro} {step}@{platform}" for step in ("pairing", "train", "evaluate")}
        retrain = f"comreadv retrain --platform {platform}" + " --live" * live
    else:
        run = {step: f"comreadv {step} --platform {platform}" for step in ("collect", "pairing", "train", "attack")}
        asked = "COMREADV_LIVE=1 " if live else ""
        steps = {
            "pairing": f"{asked}{run['collect']} && {run['pairing']}",
            "train": run["train"],
            "evaluate": f"{run['attack']} && {asked}comreadv evaluate --platform {platform}",
        }
        retrain = run["train"]
    publish = f"comreadv pairs --platform {platform} --publish"
    return {"first": f"{probe} --write", "probe": probe, "retrain": retrain, "publish": publish} | steps


def _last_probe(settings: Params, platform: str) -> datetime | None:
    ledger = settings.collect.ledger
    if ledger.startswith(SQLITE) and not Path(ledger.removeprefix(SQLITE)).exists():
        return None  # opening it would make it

    from collect.drift import last_probe

    probed = last_probe(settings, platform)
    return _moment(probed) if probed else None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _pairs(platform: str, address: str | None) -> dict[str, int] | None:
    """Count a platform's accepted pairs by split, and the rejected ones, in its file or a shared database."""
    from sqlalchemy.exc import DatabaseError

    from pairing.database import Pair, Source
    from pairing.shared_database import open_platform

    file = Path("data/pairs") / f"{platform}.db"
    try:
        with open_platform(platform, file, address) as stored:
            rows = stored.session.execute(stored.select(Source.split, Pair.accepted)).all()
            counted = Counter(split for split, accepted in rows if accepted)
            counts = {split: counted[split] for split in SPLITS} | {"rejected": len(rows) - counted.total()}
            return {"generation": stored.generation()} | counts
    except FileNotFoundError:
        return None
    except DatabaseError:
        raise UserError(f"{file} is damaged. Run `comreadv pairing --platform {platform}`.") from None


def _model(platform: str) -> dict[str, Any] | None:
    model = read_training_metrics(Path("models") / f"{platform}.json")
    if model is None:
        return None
    found = model.emulator
    codec: dict[str, Any] = {"codec": None, "software": None, "identified": False}
    if found:
        codec = {"codec": found.chain, "software": found.words, "identified": found.identified}
    return {"name": model.model, "generation": model.generation, "mae": model.mae, "put_back": model.put_back} | codec


def _success(platform: str) -> dict[str, Any] | None:
    evaluation = read_evaluation(Path("reports") / f"{platform}.json")
    best = strongest(evaluation.success) if evaluation else None
    if evaluation is None or best is None:
        return None
    figures = best.figures.model_dump(include={"images", "success_after", "low", "high"})
    return {"attack": best.attack, "eps": best.eps, "generation": evaluation.generation} | figures
