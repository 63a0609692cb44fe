"""Where work that fans out is done: in this process, or on a Ray cluster; the same results either way."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from params import UserError

if TYPE_CHECKING:
    from ray import ObjectRef

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item], Result]

ITEMS_AHEAD_A_WORKER = 2  # that are sent before the first is done: none waits, and memory stays bounded
RAY_SETTINGS: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
MAX_RETRIES = 5  # of an item whose worker died


def thread_count() -> int:
    """Return PyTorch's threads in this process."""
    import torch  # which takes seconds, and the help of commands needs this module

    return torch.get_num_threads()


class Executor(Protocol):
    """What work is handed to."""

    def map(self, start: Callable[[], Work[Item, Result]], items: Iterable[Item]) -> Iterator[Result]:
        """Do work on items and give the results in the items' order.

        Args:
            start: called once in each process that works; what it returns is called with the items. Picklable, with
                all that the work needs, since a worker shares no disk with this process.
            items: taken a few at a time, never all at once.
        """
        ...


class Local:
    """Do the work here, an item after the other: PyTorch has all cores, or the GPU, busy already."""

    def map(self, start: Callable[[], Work[Item, Result]], items: Iterable[Item]) -> Iterator[Result]:
        return map(start(), items)


class Ray:
    """Do the work on a Ray cluster; an item whose worker dies goes to another.

    Workers compute with as many threads as this process, since floating-point sums depend on it: the results are the
    same bit for bit, on machines of one kind. A worker without a GPU takes as many CPUs as it has threads.

    Args:
        address: of a running cluster, as `ray.init` takes it; None: RAY_ADDRESS's, or one on this machine alone.

    Raises:
        UserError: Ray isn't installed, nothing answers at the address, or no machine has the CPUs for a worker.
    """

    def __init__(self, address: str | None = None) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise UserError(
                'The executor ray needs Ray. Run `pip install --editable ".[cluster]"`, or use --executor local.'
            ) from None
        self.ray = ray
        if ray.is_initialized():
            return
        where = address or os.environ.get("RAY_ADDRESS")
        try:
            if where is None:
                ray.init("local", include_dashboard=False, **RAY_SETTINGS)
            else:
                _knock(where)
                ray.init(where, **RAY_SETTINGS)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"No Ray cluster answers at {where or 'this machine'} ({str(error).splitlines()[0]}). Start one with"
                " `ray start --head`, or leave --ray-address out to use this machine alone."
            ) from None

    @property
    def workers(self) -> int:
        """How many items are worked on at once."""
        threads = thread_count()
        return self._gpus or sum(int(cpus // threads) for cpus in self._cpus())

    @property
    def needs(self) -> dict[str, float]:
        """What a worker takes of its machine, by Ray's names."""
        return {"CPU": 1, "GPU": 1} if self._gpus else {"CPU": thread_count()}

    def refuse_fewer_than(self, count: int) -> None:
        """Raise UserError where the cluster could never take so many workers: Ray would wait for ever."""
        if self.workers >= count:
            return
        if self._gpus or count > 1:
            raise UserError(
                f"{count} workers were asked for, and the cluster has room for {self.workers}. Ask for no more, or add"
                " machines with `ray start --address HOST:PORT`."
            )
        threads, most = thread_count(), max(self._cpus())
        raise UserError(
            f"A worker has {threads} threads, as this process does, and no machine of the cluster has more than"
            f" {most:g} CPUs. Set OMP_NUM_THREADS={max(1, int(most))} for the command; its files can differ in"
            " single grey levels from those of another number."
        )

    @property
    def _gpus(self) -> int:
        resources: dict[str, float] = self.ray.cluster_resources()  # type: ignore[no-untyped-call]
        return int(resources.get("GPU", 0))

    def _cpus(self) -> list[float]:
        """Return the CPUs of each machine."""
        nodes: list[dict[str, Any]] = self.ray.nodes()  # type: ignore[no-untyped-call]
        return [float(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]

    def map(self, start: Callable[[], Work[Item, Result]], items: Iterable[Item]) -> Iterator[Result]:
        self.refuse_fewer_than(1)
        threads, needs = thread_count(), self.needs
        work = self.ray.remote(_work).options(
            num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), max_retries=MAX_RETRIES
        )
        held = [self.ray.put(start)]  # in a list, or Ray would unpickle it anew for each item
        sent: list[ObjectRef[Any]] = []
        try:
            for item in items:
                sent.append(work.remote(held, threads, item))
                if len(sent) >= ITEMS_AHEAD_A_WORKER * self.workers:
                    yield self._result(sent.pop(0))
            while sent:
                yield self._result(sent.pop(0))
        finally:
            for each in sent:
                self.ray.cancel(each)

    def _result(self, sent: ObjectRef[Any]) -> Any:
        """Wait for a result; an error of the work is raised as it is, so that a UserError stays one."""
        try:
            return self.ray.get(sent)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self.ray.exceptions.WorkerCrashedError:
            raise out_of_retries() from None


def out_of_retries() -> UserError:
    """Return what a person is told of work that no worker survived."""
    return UserError(
        f"The work died {MAX_RETRIES + 1} times on the cluster, as it does without enough memory. Lower the batch_size"
        " in params.yaml, or give the workers more memory; then run again: what is done stays done."
    )


_started: dict[str, Callable[[Any], Any]] = {}  # in a worker: the work at hand


def _work(held: list[ObjectRef[Any]], threads: int, item: Any) -> Any:
    """Do an item's work in a worker, which keeps what `start` made until other work comes."""
    import ray
    import torch

    key = held[0].hex()
    if key not in _started:
        torch.set_num_threads(threads)
        _started.clear()
        _started[key] = ray.get(held[0])()
    return _started[key](item)


def _knock(address: str) -> None:
    """Raise OSError when nobody listens at HOST:PORT: Ray would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()
