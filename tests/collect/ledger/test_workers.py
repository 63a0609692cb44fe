"""A collector lives as long as its process, or its lease where that can't be looked at."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from collect.ledger import workers
from collect.ledger.models import Collector
from collect.ledger.transactions import open_ledger
from collect.ledger.workers import HEARTBEAT_S, LEASE_S, dead_workers, register_worker
from params import UserError

WORK = (
    "import sys, time; from collect.ledger.workers import register_worker\n"
    "from collect.ledger.transactions import open_ledger\n"
    "with open_ledger(sys.argv[1]) as engine, register_worker(engine) as heartbeat:\n"
    "  print(heartbeat.id, flush=True)\n"
    "  time.sleep(600)"
)


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    with open_ledger(ledger_url) as opened:
        yield opened


def found_dead(engine: Engine, *names: str) -> set[str]:
    with Session(engine) as session:
        return dead_workers(session, set(names))


def row(engine: Engine, name: str) -> Collector:
    with Session(engine) as session:
        return session.get_one(Collector, name)


def write(engine: Engine, name: str, **other: object) -> None:
    """Write down a collector like ourselves, but for what is told."""
    with register_worker(engine) as heartbeat, Session(engine) as session, session.begin():
        me = session.get_one(Collector, heartbeat.id)
        values = {"host": me.host, "pid": me.pid, "started": me.started, "beat": me.beat}
        session.add(Collector(id=name, **values | other))


def test_a_clean_end_frees(engine: Engine) -> None:
    with register_worker(engine) as one, register_worker(engine) as two:
        assert one.id != two.id
        assert found_dead(engine, one.id, two.id) == set()
    assert found_dead(engine, one.id, two.id) == {one.id, two.id}
    with Session(engine) as session:
        assert list(session.scalars(select(Collector))) == []


def test_an_end_by_an_error_frees(engine: Engine) -> None:
    with pytest.raises(KeyboardInterrupt), register_worker(engine) as heartbeat:
        raise KeyboardInterrupt
    assert found_dead(engine, heartbeat.id) == {heartbeat.id}


def test_who_was_never_there_is_dead(engine: Engine) -> None:
    assert found_dead(engine, "nobody") == {"nobody"}
    assert found_dead(engine) == set()


def test_a_killed_process_is_dead_at_once_buried_or_not(engine: Engine, ledger_url: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", WORK, ledger_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert found_dead(engine, name) == set()
    os.kill(process.pid, signal.SIGSTOP)  # it sleeps, and may go on
    assert found_dead(engine, name) == set()
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert found_dead(engine, name) == {name}
    process.wait()
    process.stdout.close()
    assert found_dead(engine, name) == {name}


def test_a_number_that_another_process_has_by_now_is_not_taken_for_it(engine: Engine) -> None:
    with register_worker(engine) as heartbeat:
        started = row(engine, heartbeat.id).started
    write(engine, "same", started=started)
    write(engine, "earlier", started=started - 2)
    write(engine, "later", started=started + 2)
    assert found_dead(engine, "same", "earlier", "later") == {"earlier", "later"}


@pytest.mark.skipif(sys.platform != "linux", reason="sets Linux's clock, for psutil")
@pytest.mark.parametrize("by", [-3600.0, -1.0, 1.0, 3600.0])
def test_a_clock_that_is_set_kills_nobody(engine: Engine, monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    boot_time = psutil.boot_time()
    with register_worker(engine) as heartbeat:
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot_time + by)
        assert psutil.boot_time() == boot_time + by
        assert found_dead(engine, heartbeat.id) == set()


def test_one_on_another_machine_lives_until_its_lease_is_over(engine: Engine, monkeypatch, clock) -> None:
    monkeypatch.setattr(workers, "time", clock)
    nobody = 2**22 + 1  # no process here has this number
    write(engine, "far", host=f"not-{socket.gethostname()}", pid=nobody)
    write(engine, "here", pid=nobody)
    assert found_dead(engine, "far", "here") == {"here"}
    clock.now += LEASE_S - 1
    assert found_dead(engine, "far") == set()
    clock.now += 1
    assert found_dead(engine, "far") == {"far"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's number of the machine's start")
def test_one_on_another_machine_of_our_name_lives_until_its_lease_is_over(engine: Engine, monkeypatch, clock) -> None:
    monkeypatch.setattr(workers, "time", clock)
    boot, nobody = clock.now - 60, 2**22 + 1
    monkeypatch.setattr(psutil, "boot_time", lambda: boot)
    write(engine, "here", pid=nobody)
    with register_worker(engine) as heartbeat:
        ours = row(engine, heartbeat.id).host
    there = f"{ours.rpartition(' ')[0]} 8d0f4c1e-0000-4000-8000-000000000000"
    write(engine, "there", host=there, pid=nobody)
    write(engine, "before our start", host=there, pid=nobody, beat=boot - 1)
    write(engine, "elsewhere", host=f"not-{there}", pid=nobody, beat=boot - 1)
    assert found_dead(engine, "here", "there", "before our start", "elsewhere") == {"here", "before our start"}
    clock.now += LEASE_S
    assert found_dead(engine, "there") == {"there"}
    monkeypatch.setattr(workers, "BOOT_ID", Path("/nowhere"))
    with register_worker(engine) as heartbeat:
        assert row(engine, heartbeat.id).host == ours.rpartition(" ")[0]


@pytest.mark.parametrize("error", [psutil.NoSuchProcess(1), psutil.AccessDenied(1)])
def test_another_users_process_that_is_hidden_lives_until_its_lease_is_over(
    engine: Engine, monkeypatch, clock, error
) -> None:
    def hidden(*_: object) -> None:
        raise error

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(workers, "time", clock)
    write(engine, "hidden")
    monkeypatch.setattr(psutil.Process, "status", hidden)
    monkeypatch.setattr(os, "kill", refused)
    assert found_dead(engine, "hidden") == set()
    clock.now += LEASE_S
    assert found_dead(engine, "hidden") == {"hidden"}


def test_one_in_another_container_lives_until_its_lease_is_over(engine: Engine, monkeypatch, clock) -> None:
    monkeypatch.setattr(workers, "time", clock)
    write(engine, "contained", host=f"{socket.gethostname()} pid:[1]", pid=2**22 + 1)
    assert found_dead(engine, "contained") == set()
    clock.now += LEASE_S
    assert found_dead(engine, "contained") == {"contained"}


def test_a_living_one_whose_number_is_another_process_here_is_not_dead(engine: Engine, ledger_url: str) -> None:
    contain = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*contain, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs unshare, and the right to make a PID namespace")
    contained = [*contain, sys.executable, "-c", WORK, ledger_url]
    with subprocess.Popen(contained, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert row(engine, name).pid == 1
        assert found_dead(engine, name) == set()
        process.kill()


def test_a_heart_beats_while_it_rests_and_not_at_every_step(engine: Engine, monkeypatch, clock) -> None:
    monkeypatch.setattr(workers, "time", clock)
    with register_worker(engine) as heartbeat:
        born = clock.now
        heartbeat.beat()
        clock.now += HEARTBEAT_S - 1
        heartbeat.beat()
        assert row(engine, heartbeat.id).beat == born
        clock.now += 2
        heartbeat.beat()
        assert row(engine, heartbeat.id).beat == clock.now
        heartbeat.rest(LEASE_S + 3)
        assert clock.now - row(engine, heartbeat.id).beat <= 2 * HEARTBEAT_S
        assert sum(clock.slept) == pytest.approx(LEASE_S + 3)
        assert max(clock.slept) <= HEARTBEAT_S
        clock.slept.clear()
        heartbeat.rest(-5)
        assert clock.slept == []


def test_a_database_that_is_away_for_a_while_ends_no_rest(engine: Engine, monkeypatch, clock) -> None:
    def away(*_: object) -> None:
        raise UserError("The ledger can't be written.")

    monkeypatch.setattr(workers, "time", clock)
    with register_worker(engine) as heartbeat:
        with monkeypatch.context() as patch:
            patch.setattr(workers, "transaction", away)
            heartbeat.rest(3 * HEARTBEAT_S)
        heartbeat.rest(2 * HEARTBEAT_S)
        assert clock.now - row(engine, heartbeat.id).beat <= 2 * HEARTBEAT_S


def test_the_real_clock_is_rested_by(engine: Engine) -> None:
    with register_worker(engine) as heartbeat:
        start = time.monotonic()
        heartbeat.rest(0.05)
        assert time.monotonic() - start >= 0.05
