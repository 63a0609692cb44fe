"""The ledger's database: opened by its address, and what is done in it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from collect.database_engine import SCHEMA_LOCK, Schema, open_database, remedy, without_password
from collect.ledger.models import Base
from params import UserError

LEDGER = Schema(
    setting="collect.ledger",
    example="sqlite:///data/ledger/ledger.db",
    steps=Path(__file__).parent / "migrations",
    version_table="alembic_version",
    unnumbered="uploads",
)
INSERT_LOCK = SCHEMA_LOCK + 1  # PostgreSQL's, under which one process at a time inserts


def open_ledger(url: str) -> AbstractContextManager[Engine]:
    """Open the ledger at a SQLAlchemy address, made or brought up to date; a UserError when it can't be."""
    return open_database(url, LEDGER)


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Open a transaction; a UserError when the database can't take it, as on a full disk."""
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
    except OperationalError as error:
        raise UserError(
            f"The ledger {engine.url.database} can't be written: {without_password(error, engine.url)}."
            f" {remedy(engine.url)}, then run again; what is done stays done."
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
