"""A database opened by its address, made or brought up to date; SQLite or PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Double,
    Engine,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from collect.locks import file_lock
from params import UserError, place_of

ALEMBIC = Path(__file__).parent / "migrations"  # where env.py is, for the steps of all schemas
SCHEMA_LOCK = 0x_C0_3E_AD  # PostgreSQL's, under which one process at a time changes a schema
READER = "reader"  # execution option of connections that only read, and don't wait for who writes
NAMING = {  # of constraints, here and in the pairs database
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
TYPES: Any = {float: Double}  # as SQLAlchemy 2.1 has it of itself


@dataclass(frozen=True)
class Schema:
    """What a database holds, and which setting gives its address."""

    setting: str
    example: str  # of an address in a file
    steps: Path  # the folder of alembic's steps
    version_table: str  # one a schema, so that several fit into one database
    unnumbered: str | None = None  # a table of databases from before the steps were kept, which are at the first


@contextmanager
def open_database(address: str, schema: Schema) -> Iterator[Engine]:
    """Open the database at a SQLAlchemy address, made or brought up to date; a UserError when it can't be."""
    place = place_of(schema.setting)
    try:
        where = make_url(address)
    except (SQLAlchemyError, ValueError):  # whose text may hold the password
        raise UserError(
            f"{place} is no SQLAlchemy address, such as {schema.example} or postgresql://name:password@host/database."
        ) from None
    try:
        if where.drivername == "postgresql":
            where = where.set(drivername="postgresql+psycopg")
        if where.database and where.get_backend_name() == "sqlite":
            Path(where.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(where, pool_pre_ping=True)  # a server may be restarted in a week
        if where.get_backend_name() == "sqlite":
            _one_writer_at_a_time(engine)
        _migrate(engine, schema)
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise UserError(
            f"{place} can't be opened: {where.database}: {without_password(error, where)}. {remedy(where)}, then run"
            " again."
        ) from None
    try:
        yield engine
    finally:
        engine.dispose()


def without_password(error: Exception, address: URL) -> str:
    """Tell an error of a database without the statement's values and without the password."""
    said = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    return said.replace(str(address.password), "***") if address.password else said


def remedy(address: URL) -> str:
    """Say what a person may have to do where a database can't be read or written."""
    if address.get_backend_name() == "sqlite":
        return "Make room if its disk is full, else see that its folder is there and that you may write to it"
    return "See that its server runs, lets you in and has room"


def _one_writer_at_a_time(engine: Engine) -> None:
    """Begin each transaction with SQLite's write lock, for one that has read can't take it later without failing."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 60000")
        connection.execute("PRAGMA journal_mode = WAL")  # half the waits for the disk

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READER) else "BEGIN IMMEDIATE")

    @event.listens_for(engine, "invalidate")
    def _invalidate(connection: Any, _record: object, _error: object) -> None:
        with suppress(sqlite3.Error):
            connection.rollback()  # what Ctrl-C cuts off is closed, and holds the lock while any cursor of it lives


def _migrate(engine: Engine, schema: Schema) -> None:
    """Take the schema up to date, one process at a time."""
    from alembic import command  # slow to import, and no other command of a pipeline needs it
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(ALEMBIC).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # a folder's name may hold any other
    config.set_main_option("version_locations", str(schema.steps).replace("%", "%%"))
    with _exclusive(engine) as connection, connection.begin():
        config.attributes |= {"connection": connection, "version_table": schema.version_table}
        tables = set(inspect(connection).get_table_names())
        if schema.unnumbered in tables and schema.version_table not in tables:
            command.stamp(config, "0001")
        try:
            command.upgrade(config, "head")
        except CommandError as error:  # it stands at a step that we don't know
            raise UserError(
                f"{place_of(schema.setting)} was written by a newer comreadv ({error}). Update comreadv, or use another"
                " database."
            ) from None


@contextmanager
def _exclusive(engine: Engine) -> Iterator[Connection]:
    """Connect under the lock by which the schema may be changed: a file beside SQLite's, or one of PostgreSQL's own.

    SQLite's is taken before: turning to WAL fails at once, without waiting, where another process is at it.
    """
    if engine.dialect.name == "sqlite" and engine.url.database:
        with file_lock(Path(engine.url.database + ".lock")), engine.connect() as connection:
            yield connection
        return
    with engine.connect() as connection:
        if engine.dialect.name != "postgresql":
            yield connection
            return
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": SCHEMA_LOCK})
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": SCHEMA_LOCK})
            connection.commit()
