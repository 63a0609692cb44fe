"""One database for the pairs of all platforms, beside the files: `pairing` puts them there, a team queries them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Engine, delete, inspect, select, text
from sqlalchemy.exc import DatabaseError, SQLAlchemyError
from sqlalchemy.orm import Session, joinedload

from collect.database_engine import READER, SCHEMA_LOCK, Schema, open_database, remedy, without_password
from pairing.database import Base, Pair, RoundTrip, Source, Stored, open_pairs
from params import UserError, place_of

PAIRS = Schema(
    setting="pairing.database",
    example="sqlite:////srv/comreadv/pairs.db",
    steps=Path(__file__).parent / "migrations",
    version_table="pairs_version",
)
PUBLISH_LOCK = SCHEMA_LOCK + 2  # PostgreSQL's, under which one process at a time replaces a platform's pairs
ROWS_AT_ONCE = 500  # rows in memory
SQLITE = "sqlite:///"


def open_shared(address: str) -> AbstractContextManager[Engine]:
    """Open the shared database, made or brought up to date; a UserError when it can't be."""
    return open_database(address, PAIRS)


def publish(file: Path, platform: str, engine: Engine) -> None:
    """Put the pairs of a platform's file in the place of those that the shared database holds of it.

    Readers see the earlier pairs until all new ones are there. Raises FileNotFoundError when there is no file, and
    UserError for a damaged one and for a database that fails.
    """
    try:
        with Session(engine) as session, session.begin():
            if engine.dialect.name == "postgresql":
                alone = text("SELECT pg_advisory_xact_lock(:lock, hashtext(:platform))")
                session.execute(alone, {"lock": PUBLISH_LOCK, "platform": platform})
            _remove(session, platform)
            for pairs in _read(file, platform):
                session.add_all(pairs)
                session.flush()
                session.expunge_all()
    except SQLAlchemyError as error:
        raise UserError(
            f"The pairs of {platform}, in {file}, could not be put into the database of {place_of(PAIRS.setting)},"
            f" which keeps those it had: {without_password(error, engine.url)}. {remedy(engine.url)}, then run"
            f" `comreadv pairs --platform {platform} --publish`."
        ) from None


@contextmanager
def open_platform(platform: str, file: Path, address: str | None) -> Iterator[Stored]:
    """Open a platform's pairs to be read: the file's, or the shared database's where its address is given.

    What is read is of one moment. Raises FileNotFoundError when there are none.
    """
    if address is None:
        with open_pairs(file) as stored:
            yield stored
        return
    missing = FileNotFoundError(f"{platform}'s part of the database of {place_of(PAIRS.setting)}")
    if address.startswith(SQLITE) and not Path(address.removeprefix(SQLITE)).exists():
        raise missing  # opening it would make it
    with open_shared(address) as engine:
        try:
            with Session(engine.execution_options(**_reading(engine))) as session:
                if session.scalar(select(RoundTrip.id).filter_by(platform=platform).limit(1)) is None:
                    raise missing
                yield Stored(session, platform)
        except SQLAlchemyError as error:
            raise UserError(
                f"The database of {place_of(PAIRS.setting)} can't be read: {without_password(error, engine.url)}."
                f" {remedy(engine.url)}, then run again."
            ) from None


def _reading(engine: Engine) -> dict[str, object]:
    """Tell how a transaction is begun in which all queries see the same moment."""
    if engine.dialect.name == "postgresql":
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return {READER: True}


def _remove(session: Session, platform: str) -> None:
    sources = select(Source.id).where(Source.platform == platform)
    trips = select(RoundTrip.id).where(RoundTrip.source_id.in_(sources))
    for statement in (
        delete(Pair).where(Pair.round_trip_id.in_(trips)),
        delete(RoundTrip).where(RoundTrip.source_id.in_(sources)),
        delete(Source).where(Source.platform == platform),
    ):
        session.execute(statement.execution_options(synchronize_session=False))


def _read(file: Path, platform: str) -> Iterator[Sequence[Pair]]:
    """Read a file's rows, some at a time, as new ones of a platform."""
    whole = joinedload(Pair.round_trip).joinedload(RoundTrip.source)
    chosen = select(Pair).options(whole).order_by(Pair.id).execution_options(yield_per=ROWS_AT_ONCE)
    try:
        with open_pairs(file) as stored:
            for rows in stored.session.scalars(chosen).partitions():
                yield [_copy(row, platform) for row in rows]
    except DatabaseError as error:
        raise UserError(
            f"{file} is damaged, or of an earlier version ({error.orig}). Run `comreadv pairing --platform {platform}`."
        ) from None


def _copy(pair: Pair, platform: str) -> Pair:
    trip = pair.round_trip
    source = Source(**_values(trip.source) | {"platform": platform})
    return Pair(round_trip=RoundTrip(source=source, **_values(trip) | {"platform": platform}), **_values(pair))


def _values(row: Base) -> dict[str, object]:
    """Return a row's values but for the numbers by which rows name each other."""
    columns = inspect(type(row)).columns
    return {each.key: getattr(row, each.key) for each in columns if not (each.primary_key or each.foreign_keys)}
