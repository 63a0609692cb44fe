"""The ledger's database: opened, made or brought up to date; SQLite or PostgreSQL."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from collect.tables import Base
from params import UserError

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x_C0_3E_AD  # PostgreSQL's, under which one process at a time changes the schema
INSERT_LOCK = LOCK + 1  # under which one at a time inserts


@contextmanager
def open_ledger(url: str) -> Iterator[Engine]:
    """Open the ledger at a SQLAlchemy address, made or brought up to date; a UserError when it can't be."""
    try:
        where = make_url(url)
    except (SQLAlchemyError, ValueError):  # whose text may hold the password
        raise UserError(
            "collect.ledger in params.yaml is no SQLAlchemy address, such as sqlite:///data/ledger/ledger.db or"
            " postgresql://name:password@host/database."
        ) from None
    try:
        if where.drivername == "postgresql":
            where = where.set(drivername="postgresql+psycopg")
        if where.database and where.get_backend_name() == "sqlite":
            Path(where.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(where, pool_pre_ping=True)  # a server may be restarted in a week
        if where.get_backend_name() == "sqlite":
            _one_writer_at_a_time(engine)
        _migrate(engine)
    except (SQLAlchemyError, OSError, ImportError) as error:
        shown = str(error).replace(str(where.password), "***") if where.password else str(error)
        raise UserError(
            f"collect.ledger in params.yaml can't be opened: {where.database}: {shown}. Make room if its disk is full,"
            " then run again."
        ) from None
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Open a transaction; a UserError when the database can't take it, as on a full disk."""
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
    except OperationalError as error:
        raise UserError(
            f"The ledger {engine.url.database} can't be written: {error.orig}. Make room if its disk is full, then run"
            " again; what is done stays done."
        ) from None


def one_at_a_time(session: Session) -> None:
    """Let no other transaction past here until this one is over; SQLite's own lock does that for every transaction."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": INSERT_LOCK})


def insert_new(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> None:
    """Insert rows, but for those that another collector has inserted before or at the same time."""
    if not rows:
        return
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        session.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
    elif dialect == "postgresql":
        one_at_a_time(session)  # two that insert the same rows in another order would wait for each other
        session.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)
    else:
        session.execute(insert(table), rows)


def _one_writer_at_a_time(engine: Engine) -> None:
    """Begin each transaction with SQLite's write lock, for one that has read can't take it later without failing."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 60000")
        connection.execute("PRAGMA journal_mode = WAL")  # half the waits for the disk

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    """Take the schema up to date, one process at a time; a ledger from before the steps were kept is at the first."""
    from alembic import command  # slow to import, and no other command of a pipeline needs it
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection, _alone(engine, connection), connection.begin():
        config.attributes["connection"] = connection
        tables = set(inspect(connection).get_table_names())
        if "uploads" in tables and "alembic_version" not in tables:
            command.stamp(config, "0001")
        try:
            command.upgrade(config, "head")
        except CommandError as error:  # it stands at a step that we don't know
            raise UserError(
                f"collect.ledger in params.yaml was written by a newer comreadv ({error}). Update comreadv, or use"
                " another ledger."
            ) from None


@contextmanager
def _alone(engine: Engine, connection: Connection) -> Iterator[None]:
    """Hold the lock under which the schema may be changed: a file beside SQLite's, or one of PostgreSQL's own."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        with Path(engine.url.database + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    elif engine.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        try:
            yield
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
            connection.commit()
    else:
        yield
