"""Trainings on a Ray cluster: each by a gang of processes that start together and share no disk with anybody."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from params import UserError
from train.cluster.executor import TRIES, Ray, died
from train.cluster.file_transfer import FileBatch, ScratchDir, packed, unpack
from train.cluster.job import Job
from train.training.process_group import joined

if TYPE_CHECKING:
    from ray import ObjectRef

EVERY = 0.5  # seconds between two looks at a gang


class Process:
    """One process of a gang, in a folder of its own with the files that it was sent; an actor of Ray's.

    Ray calls it from two threads: one trains, the other is asked how that goes.

    Args:
        sent: parcels of files, by reference.
        threads: PyTorch's.
    """

    def __init__(self, sent: Sequence[ObjectRef[Any]], threads: int) -> None:
        import ray

        self.threads, self.folder = threads, ScratchDir()
        self.done, self.how = 0.0, "Identify the codec"
        self.shown: dict[Path, int] = {}  # parts that were handed out, and when they had been written
        os.chdir(self.folder.path)
        for parcel in sent:
            unpack(ray.get(parcel))

    def address(self) -> tuple[str, str]:
        """Choose where the others find this process: host and port."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            port: int = free.getsockname()[1]
        return str(ray.util.get_node_ip_address()), str(port)  # type: ignore[no-untyped-call]

    def fit(self, job: Job, rank: int, count: int, address: tuple[str, str]) -> tuple[dict[str, Any], FileBatch] | None:
        """Train; return the metrics and what was written, None from all but the first process."""
        torch.set_num_threads(self.threads)
        host, port = address
        os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": port, "RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ["LOCAL_RANK"] = "0"  # Ray shows each process its own GPU alone
        with joined() as ranks:
            found = job.fit(ranks, self._tell)
        return None if found is None else (found, next(packed(job.outputs)))

    def look(self) -> tuple[float, str, FileBatch]:
        """Tell how far the training is, and hand out what an unfinished one has written since the last look."""
        new: FileBatch = []
        for part in Path().glob("models/*.part"):
            try:
                written = part.stat().st_mtime_ns
                if self.shown.get(part) != written:
                    new.append((str(part), part.read_bytes()))
            except FileNotFoundError:  # the training has come to its end
                continue
            self.shown[part] = written
        return self.done, self.how, new

    def close(self) -> None:
        """Leave none of the files behind."""
        self.folder.close()

    def _tell(self, done: float, how: str) -> None:
        self.done, self.how = done, how


class WorkerGroup:
    """The processes of one training; when one of them dies, all begin again where the last part was written.

    Args:
        count: of processes.
    """

    def __init__(self, job: Job, count: int, on: Ray) -> None:
        self.job, self.count, self.on, self.ray = job, count, on, on.ray
        self.inputs = [self.ray.put(parcel) for parcel in packed(job.inputs())]
        self.deaths, self.done, self.how = 0, 0.0, "Wait for workers"
        self.found: dict[str, Any] | None = None
        self.start()

    def start(self) -> None:
        """Ask for processes, all or none, and send them what they need."""
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        needs, threads = self.on.needs, torch.get_num_threads()
        parts = [self.ray.put(parcel) for parcel in packed(part for part in self.job.parts if part.is_file())]
        self.group = placement_group([needs] * self.count)
        process = self.ray.remote(Process)
        self.processes = [
            process.options(
                num_cpus=needs["CPU"],
                num_gpus=needs.get("GPU", 0),
                max_concurrency=2,
                scheduling_strategy=PlacementGroupSchedulingStrategy(self.group, rank),
            ).remote([*self.inputs, *parts], threads)
            for rank in range(self.count)
        ]
        address = self.processes[0].address.remote()
        self.fits = [
            process.fit.remote(self.job, rank, self.count, address) for rank, process in enumerate(self.processes)
        ]
        self.looking = self.processes[0].look.remote()

    def is_done(self) -> bool:
        """Take what there is of news, and tell whether the training is at its end; waits for nothing."""
        ended, errors = [], list[Exception]()
        for fit in self.ray.wait(self.fits, num_returns=len(self.fits), timeout=0)[0]:
            try:
                ended.append(self.ray.get(fit))
            except (self.ray.exceptions.RayActorError, self.ray.exceptions.RayTaskError) as error:
                errors.append(error)
        if errors:
            return self._fail(errors)
        if len(ended) < self.count:
            self._look()
            return False
        self.found, written = ended[0]
        unpack(written)
        for part in self.job.parts:
            part.unlink(missing_ok=True)
        return True

    def _fail(self, errors: Sequence[Exception]) -> bool:
        """Begin again if a process has died, else raise what a person has to mend, else what went wrong."""
        causes = [error.cause for error in errors if isinstance(error, self.ray.exceptions.RayTaskError)]
        for cause in causes:
            if isinstance(cause, UserError):  # on which the others have failed, for one has left them
                raise cause
        if len(causes) == len(errors) and not self._has_lost_one():
            raise causes[0]
        self.deaths += 1
        if self.deaths > TRIES:
            raise died()
        self.stop()
        self.start()
        return False

    def stop(self) -> None:
        """End the processes, and give their places back."""
        from ray.util.placement_group import remove_placement_group

        self.ray.wait([process.close.remote() for process in self.processes], num_returns=self.count, timeout=5)
        for process in self.processes:
            self.ray.kill(process)
        remove_placement_group(self.group)

    def _look(self) -> None:
        ready, _ = self.ray.wait([self.looking], timeout=0)
        if ready:
            with suppress(self.ray.exceptions.RayActorError):  # its training says so too
                self.done, self.how, parts = self.ray.get(self.looking)
                unpack(parts)
            self.looking = self.processes[0].look.remote()

    def _has_lost_one(self) -> bool:
        """Tell whether a process has died, which the others notice by its silence alone."""
        try:
            self.ray.get([process.__ray_ready__.remote() for process in self.processes], timeout=10)
        except (self.ray.exceptions.RayActorError, self.ray.exceptions.GetTimeoutError):
            return True
        return False


def fit_all(jobs: Sequence[Job], count: int, on: Ray) -> Iterator[tuple[Job, dict[str, Any] | UserError]]:
    """Train on a cluster, each job by so many processes, as many jobs at once as there is room for.

    Gives each job with its metrics as it ends, or with what a person has to mend for it.
    """
    on.refuse_fewer_than(count)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    gangs: dict[TaskID, WorkerGroup] = {}
    with Progress(*columns, console=Console(stderr=True)) as bar:
        try:
            for job in jobs:
                try:
                    gangs[bar.add_task(job.platform, total=1.0)] = WorkerGroup(job, count, on)
                except UserError as error:
                    yield job, error
            while gangs:
                time.sleep(EVERY)
                for task, gang in list(gangs.items()):
                    result: dict[str, Any] | UserError | None
                    try:
                        result = gang.found if gang.is_done() else None
                    except UserError as error:
                        result = error
                    bar.update(task, completed=gang.done, description=f"{gang.job.platform}: {gang.how}")
                    if result is not None:
                        gangs.pop(task).stop()
                        yield gang.job, result
        finally:
            for gang in gangs.values():
                gang.stop()
