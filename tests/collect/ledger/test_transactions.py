"""A ledger is made or brought up to date by whoever opens it, with what it knows kept."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import engine_of, schema
from sqlalchemy import text

from collect.ledger.ledger import Arrival, Ledger
from collect.ledger.models import Base
from collect.ledger.transactions import open_ledger
from params import UserError

KEY = {"platform": "weibo", "site": "sandbox", "account": "7", "generation": 1}
TO_THE_FIRST_STEP = """
from alembic import command
from alembic.config import Config
from collect.database_engine import ALEMBIC
config = Config()
config.set_main_option("script_location", str(ALEMBIC))
config.set_main_option("path_separator", "newline")
config.set_main_option("version_locations", str(ALEMBIC.parent / "ledger" / "migrations"))
config.attributes |= {"connection": connection, "version_table": "alembic_version"}
command.upgrade(config, "0001")
"""
BEFORE_THE_STEPS = (  # as the ledger made itself before there were migrations, a constraint a line
    """CREATE TABLE uploads (
    id {id} NOT NULL, platform VARCHAR NOT NULL, site VARCHAR NOT NULL, account VARCHAR NOT NULL,
    generation INTEGER NOT NULL, sha256 VARCHAR NOT NULL, state VARCHAR NOT NULL, batch VARCHAR,
    position INTEGER, remote_id VARCHAR, reason VARCHAR, planned_at VARCHAR NOT NULL, sent_at VARCHAR,
    confirmed_at VARCHAR,
    CONSTRAINT pk_uploads PRIMARY KEY (id),
    CONSTRAINT uq_uploads_platform_site_account_generation_sha256 UNIQUE (platform, site, account, generation, sha256),
    CONSTRAINT ck_uploads_state CHECK (state IN ('planned', 'sent', 'unknown', 'confirmed', 'rejected')),
    CONSTRAINT ck_uploads_confirmed_has_remote_id CHECK (state != 'confirmed' OR remote_id IS NOT NULL)
    )""",
    """CREATE TABLE downloads (
    id {id} NOT NULL, upload_id INTEGER NOT NULL, rendition VARCHAR NOT NULL, address VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL, bytes INTEGER NOT NULL, downloaded_at VARCHAR NOT NULL,
    CONSTRAINT pk_downloads PRIMARY KEY (id),
    CONSTRAINT uq_downloads_upload_id_rendition UNIQUE (upload_id, rendition),
    CONSTRAINT fk_downloads_upload_id_uploads FOREIGN KEY(upload_id) REFERENCES uploads (id)
    )""",
)
ROWS = (
    "INSERT INTO uploads (platform, site, account, generation, sha256, state, batch, position, remote_id, reason,"
    " planned_at, sent_at, confirmed_at) VALUES"
    " ('weibo', 'sandbox', '7', 1, 'up', 'confirmed', 'comreadv 1', 0, 'pid-1', NULL, 't0', 't1', 't2'),"
    " ('weibo', 'sandbox', '7', 1, 'doubtful', 'unknown', 'comreadv 1', 1, 'pid-2', NULL, 't0', 't1', NULL),"
    " ('weibo', 'sandbox', '7', 1, 'dull', 'rejected', NULL, NULL, NULL, 'too dull', 't0', 't1', NULL),"
    " ('weibo', 'sandbox', '7', 1, 'new', 'planned', NULL, NULL, NULL, NULL, 't0', NULL, NULL)",
    "INSERT INTO downloads (upload_id, rendition, address, sha256, bytes, downloaded_at)"
    " SELECT id, 'large', 'https://wx1.sinaimg.cn/large/pid-1.jpg', 'served', 5, 't3' FROM uploads WHERE sha256 = 'up'",
)


@pytest.fixture(params=["the first step", "before the steps"])
def old(request: pytest.FixtureRequest, ledger_url: str) -> str:
    """Give the address of a ledger of an older schema, with rows."""
    engine = engine_of(ledger_url)
    with engine.begin() as connection:
        if request.param == "the first step":
            exec(TO_THE_FIRST_STEP, {"connection": connection})
        else:
            for statement in BEFORE_THE_STEPS:
                number = "SERIAL" if engine.dialect.name == "postgresql" else "INTEGER"
                connection.execute(text(statement.replace("{id}", number)))
        for statement in ROWS:
            connection.execute(text(statement))
    engine.dispose()
    return ledger_url


def test_an_old_ledger_is_brought_up_to_date_with_its_rows(old: str) -> None:
    with open_ledger(old) as engine:
        ledger = Ledger(engine, **KEY, collector="me")
        assert [each.sha256 for each in ledger.uploads("planned")] == ["new"]
        assert ledger.rejections() == {"dull": "too dull"}
        up = ledger.uploads("confirmed")[0]
        assert (up.sha256, up.remote_id, up.batch, up.position) == ("up", "pid-1", "comreadv 1", 0)
        assert (up.planned_at, up.sent_at, up.confirmed_at, up.deleted_at) == ("t0", "t1", "t2", None)
        with engine.connect() as connection:
            row = connection.execute(text("SELECT rendition, address, sha256, bytes, verified FROM downloads")).one()
        assert tuple(row) == ("large", "https://wx1.sinaimg.cn/large/pid-1.jpg", "served", 5, False)
        assert ledger.downloads("large") == {}  # nobody has looked at what it shows
        assert [each.sha256 for each in ledger.claim_downloads("large", {"up", "new"})] == ["up"]
        ledger.record_downloads("large", [Arrival(up, "address", Path(__file__))])
        assert list(ledger.downloads("large")) == ["up"]
        assert [[each.remote_id for each in batch] for batch in ledger.claim_unknown().values()] == [["pid-2"]]
        ledger.plan(["newer"])
        assert [each.sha256 for each in ledger.claim_uploads(["new", "newer"])] == ["new", "newer"]


def test_an_old_ledger_comes_to_the_very_schema_of_a_new_one(old: str, tmp_path: Path) -> None:
    with open_ledger(old) as engine:
        migrated = schema(engine)
        with engine.begin() as connection:
            Base.metadata.drop_all(connection)
            Base.metadata.create_all(connection)
        assert migrated == schema(engine)


def test_a_new_ledger_has_the_schema_that_the_tables_tell(ledger_url: str) -> None:
    with open_ledger(ledger_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_opening_again_changes_nothing(ledger_url: str) -> None:
    with open_ledger(ledger_url) as engine:
        Ledger(engine, **KEY, collector="me").plan(["a"])
        before = schema(engine)
    with open_ledger(ledger_url) as engine:
        assert [each.sha256 for each in Ledger(engine, **KEY, collector="you").uploads("planned")] == ["a"]
        assert schema(engine) == before


def test_several_processes_open_a_new_ledger_at_once(ledger_url: str) -> None:
    program = (
        "import sys; from collect.ledger.transactions import open_ledger; from collect.ledger import Ledger\n"
        "import alembic.command, alembic.config, psycopg\n"  # slow, and not what is to be at once
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"with open_ledger(sys.argv[1]) as engine: Ledger(engine, **{KEY}, collector=sys.argv[2]).plan(['a', 'b'])"
    )
    several = [
        subprocess.Popen(
            [sys.executable, "-c", program, ledger_url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(5)
    ]
    for each in several:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in several:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    ends = [each.communicate(timeout=60)[1] for each in several]
    assert ends == [""] * 5
    with open_ledger(ledger_url) as engine:
        assert [each.sha256 for each in Ledger(engine, **KEY, collector="me").uploads("planned")] == ["a", "b"]


def test_a_step_that_fails_leaves_the_ledger_as_it_was(old: str) -> None:
    engine = engine_of(old)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tiles (id INTEGER)"))  # in the way of the second step
    before = schema(engine)
    with pytest.raises(UserError, match="tiles"), open_ledger(old):
        pass
    assert schema(engine) == before
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE tiles"))
    with open_ledger(old) as opened:
        assert len(Ledger(opened, **KEY, collector="me").uploads("planned")) == 1
    engine.dispose()


def test_a_ledger_of_a_later_version_is_left_alone(ledger_url: str) -> None:
    with open_ledger(ledger_url) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UserError, match="newer comreadv"), open_ledger(ledger_url):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "nonsense://me:s3cret@x/y",
        "postgresql+nodriver://me:s3cret@x/y",
        "postgresql://me:s3cret@127.0.0.1:1/y",
        "postgresql://me:s3cret@127.0.0.1:port/y",
        "postgresql://me:s3cret@127.0.0.1:99999999/y",
        "postgresql://me:s3%40cret@127.0.0.1:1/y",
        "postgresql://127.0.0.1:1/y?user=me&password=s3cret",
        "sqlite:////proc/none/ledger.db",
    ],
)
def test_an_address_that_cannot_be_opened_is_a_user_error_without_the_password(url: str) -> None:
    with pytest.raises(UserError, match=r"collect.ledger in params.yaml") as caught, open_ledger(url):
        pass
    assert "s3" not in caught.value.message


def test_a_password_that_the_server_refuses_is_not_told(postgresql: str) -> None:
    engine = engine_of(postgresql)
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE somebody PASSWORD 'right'"))  # who may not log in
    engine.dispose()
    url = postgresql.replace("postgres:@", "somebody:s3cret@")
    with pytest.raises(UserError, match="somebody") as caught, open_ledger(url):
        pass
    assert "s3cret" not in caught.value.message


def test_a_file_that_is_no_database_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("not a database" * 100)
    with pytest.raises(UserError, match="not a database"), open_ledger(f"sqlite:///{tmp_path}/ledger.db"):
        pass
    assert (tmp_path / "ledger.db").read_text() == "not a database" * 100
