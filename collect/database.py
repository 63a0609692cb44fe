"""The ledger's database: opened, made or brought up to date; SQLite, or any other that SQLAlchemy knows."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from params import UserError

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x_C0_3E_AD  # PostgreSQL's, under which one process at a time changes the schema


@contextmanager
def open_ledger(url: str) -> Iterator[Engine]:
    """Open the ledger at a SQLAlchemy address, made or brought up to date; a UserError when it can't be."""
    try:
        where = make_url(url)
        if where.get_backend_name() == "postgresql" and where.drivername == "postgresql":
            where = where.set(drivername="postgresql+psycopg")
        if where.database and where.get_backend_name() == "sqlite":
            Path(where.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(where)
        if where.get_backend_name() == "sqlite":
            _one_writer_at_a_time(engine)
        _migrate(engine)
    except (SQLAlchemyError, OSError, ImportError) as error:
        shown = str(error).replace(str(make_url(url).password or "\0"), "***") if "://" in url else str(error)
        raise UserError(f"collect.ledger in params.yaml can't be opened: {shown}") from None
    try:
        yield engine
    finally:
        engine.dispose()


def _one_writer_at_a_time(engine: Engine) -> None:
    """Begin each transaction with SQLite's write lock, for one that has read can't take it later without failing."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 60000")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: Engine) -> None:
    """Take the schema up to date, one process at a time; a ledger from before the steps were kept is at the first."""
    from alembic import command  # slow to import, and no other command of a pipeline needs it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection, _alone(engine, connection), connection.begin():
        config.attributes["connection"] = connection
        tables = set(inspect(connection).get_table_names())
        if "uploads" in tables and "alembic_version" not in tables:
            command.stamp(config, "0001")
        command.upgrade(config, "head")


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
