"""Databases for tests: new ones on SQLite or PostgreSQL, and what they know of their tables."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, inspect, text

from pairing.database import aligned


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


@contextmanager
def new_database(server: str, what: str) -> Iterator[str]:
    """Make a database on a PostgreSQL server, and drop it in the end; give its address."""
    name = f"{what}_{uuid.uuid4().hex[:12]}"
    engine = create_engine(server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield server.replace("/postgres?", f"/{name}?")
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def schema(engine: Engine, version_table: str = "alembic_version") -> dict[str, Any]:
    """Tell all that a database knows of its tables, in an order of ours."""
    found = inspect(engine)
    return {
        table: {
            "columns": {
                each["name"]: (str(each["type"]), each["nullable"], str(each["default"]))
                for each in found.get_columns(table)
            },
            "key": found.get_pk_constraint(table),
            "unique": sorted(found.get_unique_constraints(table), key=str),
            "foreign": sorted(found.get_foreign_keys(table), key=str),
            "checks": sorted((each["name"], each["sqltext"]) for each in found.get_check_constraints(table)),
        }
        for table in found.get_table_names()
        if table != version_table
    }


def accepted(path: Path, split: str) -> list[tuple[Path, Path]]:
    """List a pairs file's accepted pairs of a split as (original, rendition) files, sorted by name."""
    return [(pair.original, pair.rendition) for pair in aligned(path, split)]
