"""Pairs in a database that platforms share: replaced whole or not at all, each platform's apart from the others'."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import accepted, engine_of, schema
from sqlalchemy import create_engine, event, select, text
from sqlalchemy.orm import Session

from collect.ledger.transactions import open_ledger
from pairing import shared_database
from pairing.build import new_database
from pairing.database import Base, Pair, RoundTrip, Source, aligned, open_pairs
from pairing.shared_database import PAIRS, open_platform, open_shared, publish
from pairing.summary import summarise
from params import UserError

MASK = bytes(range(256))
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a platform's file: so many pairs of training, the last rejected, and the first with all its values."""

    def make(platform: str, count: int, generation: int = 1) -> Path:
        file = tmp_path / f"{platform}.db"
        with new_database(file) as session:
            for number in range(count):
                name = f"train/{'Bäß'[number % 3]}{number:04}.png"  # a server may sort these otherwise
                source = Source(platform=platform, name=name, path=name, split="train", label=number, sha256="s")
                of_file = {"rendition": "large", "path": f"{generation}.jpg", "format": "JPEG", "bytes": 7}
                trip = RoundTrip(
                    source=source, platform=platform, generation=generation, remote_id="r", sha256="t", **of_file
                )
                pair = Pair(round_trip=trip, accepted=number < count - 1)
                pair.reason = None if pair.accepted else "another picture"
                if number == 0:
                    pair.width, pair.scale_x, pair.turn, pair.mask, pair.residual = 3, 0.1, "rotate_90", MASK, 1 / 3
                    pair.left = pair.top = pair.right = pair.bottom = 1e-9
                session.add(pair)
        return file

    return make


def put(url: str, *files: Path) -> None:
    with open_shared(url) as engine:
        for file in files:
            publish(file, file.stem, engine)


def generations(url: str, platform: str = "weibo") -> list[int]:
    """Return the generations of a platform's pairs in the shared database."""
    with open_platform(platform, Path("none"), url) as stored:
        return list(stored.session.scalars(stored.select(RoundTrip.generation)))


def rows(stored) -> list[tuple]:
    """Return all values but the numbers by which rows name each other."""
    tables = [
        column
        for table in (Source, RoundTrip, Pair)
        for column in table.__table__.columns
        if not (column.primary_key or column.foreign_keys)
    ]
    return [tuple(row) for row in stored.session.execute(stored.select(*tables).order_by(Pair.id))]


def test_what_is_published_is_what_stands_in_the_file(pairs_url: str, make: Make) -> None:
    file = make("weibo", 1234)
    put(pairs_url, make("douban", 3), file)
    with open_pairs(file) as here, open_platform("weibo", Path("none"), pairs_url) as there:
        assert rows(here) == rows(there) and len(rows(here)) == 1234
        assert here.aligned("train") == there.aligned("train") == aligned(file, "train")
        assert list(summarise("weibo", here)) == list(summarise("weibo", there))
    assert accepted(file, "train") == sorted(accepted(file, "train"))


def test_platforms_share_a_database_and_replace_their_own_pairs_alone(pairs_url: str, make: Make) -> None:
    put(pairs_url, make("weibo", 4), make("douban", 3, 5))
    with open_platform("douban", Path("none"), pairs_url) as stored:
        before = rows(stored)
    put(pairs_url, make("weibo", 6, 2))
    assert generations(pairs_url) == [2] * 6
    with open_platform("douban", Path("none"), pairs_url) as stored:
        assert rows(stored) == before and stored.generation() == 5
    with pytest.raises(FileNotFoundError, match="facebook's part"):
        generations(pairs_url, "facebook")
    with open_shared(pairs_url) as engine, engine.connect() as connection:
        counts = [connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in Base.metadata.tables]
    assert counts == [9, 9, 9]  # nothing is left of the earlier ones


def test_a_reader_sees_the_earlier_pairs_until_all_new_ones_are_there(
    pairs_url: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_database, "ROWS_AT_ONCE", 2)
    put(pairs_url, make("weibo", 4))
    seen: list[list[int]] = []

    def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT", "DELETE")):
            with Session(engine_of(pairs_url)) as other:
                seen.append(list(other.scalars(select(RoundTrip.generation))))

    with open_platform("weibo", Path("none"), pairs_url) as stored, open_shared(pairs_url) as engine:
        event.listen(engine, "after_cursor_execute", look)
        publish(make("weibo", 6, 2), "weibo", engine)
        reading = list(stored.session.scalars(stored.select(RoundTrip.generation)))
    assert len(seen) >= 3 + 3 * 3 and all(each == [1] * 4 for each in seen)
    assert reading == [1] * 4  # it began before
    assert generations(pairs_url) == [2] * 6


def test_a_kill_in_the_middle_leaves_the_earlier_pairs(pairs_url: str, make: Make) -> None:
    put(pairs_url, make("weibo", 4))
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom sqlalchemy import event\n"
        "from pairing import shared_database\n"
        "shared_database.ROWS_AT_ONCE = 2\n"
        "def stop(_connection, _cursor, statement, *_):\n"
        "    if statement.startswith('INSERT INTO pairs'): print('half', flush=True); time.sleep(60)\n"
        "with shared_database.open_shared(sys.argv[1]) as engine:\n"
        "    event.listen(engine, 'after_cursor_execute', stop)\n"
        "    shared_database.publish(Path(sys.argv[2]), 'weibo', engine)\n"
    )
    file = make("weibo", 6, 2)
    with subprocess.Popen([sys.executable, "-c", program, pairs_url, file], stdout=subprocess.PIPE, text=True) as half:
        assert half.stdout is not None and half.stdout.readline() == "half\n"
        half.kill()
    assert generations(pairs_url) == [1] * 4
    put(pairs_url, file)
    assert generations(pairs_url) == [2] * 6


def test_several_publish_at_once(pairs_url: str, make: Make, tmp_path: Path) -> None:
    files = []
    for number in range(1, 7):
        platform = ("weibo", "douban")[number % 2]
        files.append((platform, shutil.move(make(platform, 10 + number, number), tmp_path / f"{number}.db")))

    def one(platform: str, file: Path) -> None:
        with open_shared(pairs_url) as engine:
            publish(file, platform, engine)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(one, *each) for each in files]:
            done.result(timeout=60)
    for platform in ("weibo", "douban"):
        (generation,) = set(found := generations(pairs_url, platform))
        assert len(found) == 10 + generation


def test_a_new_database_has_the_very_schema_that_the_tables_tell(pairs_url: str) -> None:
    with open_shared(pairs_url) as engine:
        with engine.connect() as connection:
            compared = {"compare_type": True, "compare_server_default": True, "version_table": PAIRS.version_table}
            assert compare_metadata(MigrationContext.configure(connection, opts=compared), Base.metadata) == []
        migrated = schema(engine, PAIRS.version_table)
        with engine.begin() as connection:
            Base.metadata.drop_all(connection)
            Base.metadata.create_all(connection)
        assert migrated == schema(engine, PAIRS.version_table)


def test_an_outdated_database_is_brought_up_to_date_and_a_later_one_left_alone(
    pairs_url: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(pairs_url, make("weibo", 4))
    steps = tmp_path / "steps"
    shutil.copytree(PAIRS.steps, steps)
    (steps / "m0002_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision, down_revision = '0002', '0001'\n"
        "def upgrade():\n    op.add_column('sources', sa.Column('licence', sa.String))\n"
    )
    with monkeypatch.context() as later:
        later.setattr(shared_database, "PAIRS", replace(PAIRS, steps=steps))
        assert generations(pairs_url) == [1] * 4
    engine = engine_of(pairs_url)
    assert "licence" in schema(engine)["sources"]["columns"]
    engine.dispose()
    with pytest.raises(UserError, match=r"pairing.database in params.yaml was written by a newer comreadv"):
        generations(pairs_url)


def test_ledger_and_pairs_fit_into_one_database(pairs_url: str, make: Make) -> None:
    for _ in range(2):
        with open_ledger(pairs_url) as engine:
            assert "uploads" in schema(engine)
        put(pairs_url, make("weibo", 4))
    assert generations(pairs_url) == [1] * 4


def test_a_database_that_fails_keeps_what_it_had_and_says_what_to_do(pairs_url: str, make: Make) -> None:
    put(pairs_url, make("weibo", 4))
    file = make("weibo", 6, 2)
    with open_shared(pairs_url) as engine:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE pairs RENAME COLUMN mask TO hidden"))
        with pytest.raises(UserError, match=r"could not be put .*mask.* `comreadv pairs --platform weibo --publish`"):
            publish(file, "weibo", engine)
        told = pytest.raises(UserError, match=r"database of pairing.database in params.yaml can't be read: .*mask")
        with told, open_platform("weibo", Path("none"), pairs_url) as stored:
            stored.aligned("train")
    assert generations(pairs_url) == [1] * 4


@pytest.mark.parametrize(
    "url",
    [
        "nonsense://me:s3cret@x/y",
        "postgresql://me:s3cret@127.0.0.1:1/y",
        "postgresql://me:s3%40cret@127.0.0.1:1/y",
        "postgresql://127.0.0.1:1/y?user=me&password=s3cret",
        "postgresql://me:s3cret@127.0.0.1:port/y",
        "sqlite:////proc/none/pairs.db",
    ],
)
@pytest.mark.parametrize("variable", [True, False])
def test_an_address_that_cannot_be_opened_is_a_user_error_without_the_password(
    url: str, variable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv("COMREADV_PAIRS", url)
    said = "COMREADV_PAIRS in the environment" if variable else r"pairing\.database in params\.yaml"
    with pytest.raises(UserError, match=said) as caught, open_shared(url):
        pass
    assert "s3" not in caught.value.message
    assert "127.0.0.1:1/" not in url or "See that its server runs, lets you in" in caught.value.message


def test_reading_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="weibo's part"):
        generations(f"sqlite:///{tmp_path}/shared.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_from_before_platforms_shared_is_read_and_has_to_be_paired_again_to_be_published(
    pairs_url: str, make: Make
) -> None:
    file = make("weibo", 4)
    before = aligned(file, "train")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        for statement in (
            "CREATE TABLE older (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR NOT NULL UNIQUE, path VARCHAR NOT NULL,"
            " split VARCHAR NOT NULL, label INTEGER, sha256 VARCHAR NOT NULL)",
            "INSERT INTO older SELECT id, name, path, split, label, sha256 FROM sources",
            "DROP TABLE sources",
            "ALTER TABLE older RENAME TO sources",
        ):
            connection.execute(text(statement))
    engine.dispose()
    assert aligned(file, "train") == before
    with open_pairs(file) as stored:
        assert next(summarise("weibo", stored)) == "weibo: 3 pairs accepted, 1 rejected."
    with pytest.raises(UserError, match=r"weibo.db is damaged, or of an earlier version .*`comreadv pairing"):
        put(pairs_url, file)
