"""Which collectors are at work: a dead one's leases are free for the others."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from collect.ledger.models import Collector
from collect.ledger.transactions import transaction
from params import UserError

LEASE_S = 30 * 60.0  # without a heartbeat, after which a collector on another machine counts as dead
ENTRY_LIFETIME_S = 30 * 24 * 3600.0  # without a heartbeat, after which nobody needs to know that it is dead
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # another for each start of each machine
HEARTBEAT_S = 10.0  # between two, at least


class Heartbeat:
    """Our own entry among the collectors."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.id = uuid.uuid4().hex
        self._last = 0.0

    def beat(self) -> None:
        """Tell the others that we live."""
        if time.monotonic() - self._last > HEARTBEAT_S:
            self._last = time.monotonic()
            with transaction(self.engine) as session:
                session.execute(update(Collector).filter_by(id=self.id).values(beat=time.time()))

    def rest(self, seconds: float) -> None:
        """Wait, alive."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with suppress(UserError):  # a database that is away for a while; who uses it next is told
                self.beat()
            time.sleep(min(left, HEARTBEAT_S))


@contextmanager
def register_worker(engine: Engine) -> Iterator[Heartbeat]:
    """Stand among the collectors at work, with a heartbeat, for as long as the `with` lasts."""
    heartbeat = Heartbeat(engine)
    me = psutil.Process()
    with transaction(engine) as session:
        session.execute(delete(Collector).where(Collector.beat < time.time() - ENTRY_LIFETIME_S))
        session.add(Collector(id=heartbeat.id, host=_host(), pid=me.pid, started=_started(me), beat=time.time()))
    ended = threading.Event()

    def keep_beating() -> None:
        while not ended.wait(HEARTBEAT_S):
            with suppress(UserError):
                heartbeat.beat()

    threading.Thread(target=keep_beating, daemon=True).start()
    try:
        yield heartbeat
    finally:
        ended.set()
        with suppress(UserError), transaction(engine) as session:  # else the end of our process tells the same
            session.execute(delete(Collector).filter_by(id=heartbeat.id))


def dead_workers(session: Session, names: set[str]) -> set[str]:
    """Tell which of some collectors are dead: gone from the list or from here, or silent for LEASE_S elsewhere."""
    rows = session.scalars(select(Collector).where(Collector.id.in_(names)))
    return names - {each.id for each in rows if _lives(each)}


def _lives(collector: Collector) -> bool:
    if collector.host != _host():  # another machine, or ours before it was started again
        ended_with_us = collector.host.startswith(f"{_place()} ") and collector.beat < psutil.boot_time()
        return _has_lease(collector) and not ended_with_us
    try:
        process = psutil.Process(collector.pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        return abs(_started(process) - collector.started) < 1.0  # else the number was given to another process
    except psutil.AccessDenied:
        return _has_lease(collector)
    except psutil.NoSuchProcess:
        return _is_hidden(collector.pid) and _has_lease(collector)


def _has_lease(collector: Collector) -> bool:
    return time.time() - collector.beat < LEASE_S


def _is_hidden(pid: int) -> bool:
    """Tell whether there is a process, another user's, that the system does not show us (hidepid)."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _host() -> str:
    """Name this machine, or the container of it that we are in, since its start: where a number means one process."""
    name = _place()
    with suppress(OSError):  # only Linux has it
        name += f" {BOOT_ID.read_text().strip()}"
    return name


def _place() -> str:
    """Name this machine, or the container of it that we are in; another machine may have the same name."""
    name = socket.gethostname()
    with suppress(OSError):  # only Linux has it
        name += f" {Path('/proc/self/ns/pid').readlink()}"
    return name


def _started(process: psutil.Process) -> float:
    """Return the seconds from the machine's start to the process's, which no change of the clock moves."""
    return process.create_time() - psutil.boot_time()
