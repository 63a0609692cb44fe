"""Trainings on a Ray cluster: each by a group of processes that start together and share no disk with anybody."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from collect.terminal import terminal
from params import UserError
from train.cluster.executor import MAX_RETRIES, Ray, out_of_retries
from train.cluster.file_transfer import FileBatch, ScratchDir, read_batches, write_batch
from train.cluster.job import Job
from train.training.process_group import joined_group
from train.training.training_metrics import TrainingMetrics

if TYPE_CHECKING:
    from ray import ObjectRef

POLL_INTERVAL_S = 0.5  # seconds between two looks at a group


class Process:
    """One process of a group, in a folder of its own with the files that it was sent; an actor of Ray's.

    Ray calls it from two threads: one trains, the other is asked how that goes.

    Args:
        sent: batches of files, by reference.
        threads: PyTorch's.
    """

    def __init__(self, sent: Sequence[ObjectRef[Any]], threads: int) -> None:
        import ray

        self.threads, self.folder = threads, ScratchDir()
        self.done, self.how = 0.0, "Identify the codec"
        self.shown: dict[Path, int] = {}  # resume files that were handed out, and when they had been written
        os.chdir(self.folder.path)
        for batch in sent:
            write_batch(ray.get(batch))

    def address(self) -> tuple[str, str]:
        """Choose where the others find this process: host and port."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            port: int = free.getsockname()[1]
        return str(ray.util.get_node_ip_address()), str(port)  # type: ignore[no-untyped-call]

    def fit(
        self, job: Job, rank: int, count: int, address: tuple[str, str]
    ) -> tuple[TrainingMetrics, FileBatch] | None:
        """Train; return the metrics and what was written, None from all but the first process."""
        torch.set_num_threads(self.threads)
        host, port = address
        os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": port, "RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ["LOCAL_RANK"] = "0"  # Ray shows each process its own GPU alone
        with joined_group() as process_group:
            found = job.fit(process_group, self._on_progress)
        return None if found is None else (found, next(read_batches(job.outputs)))

    def progress(self) -> tuple[float, str, FileBatch]:
        """Tell how far the training is, and hand out what an unfinished one has written since the last look."""
        new: FileBatch = []
        for resume_file in Path("models").glob("[!.]*.part"):
            try:
                written = resume_file.stat().st_mtime_ns
                if self.shown.get(resume_file) != written:
                    new.append((str(resume_file), resume_file.read_bytes()))
            except FileNotFoundError:  # the training has come to its end
                continue
            self.shown[resume_file] = written
        return self.done, self.how, new

    def close(self) -> None:
        """Leave none of the files behind."""
        self.folder.close()

    def _on_progress(self, done: float, how: str) -> None:
        self.done, self.how = done, how


class WorkerGroup:
    """The processes of one training; when one of them dies, all begin again where the last resume file was written.

    Args:
        count: of processes.
    """

    def __init__(self, job: Job, count: int, on: Ray) -> None:
        self.job, self.count, self.on, self.ray = job, count, on, on.ray
        self.inputs = [self.ray.put(batch) for batch in read_batches(job.inputs())]
        self.deaths, self.done, self.how = 0, 0.0, "Wait for workers"
        self.found: TrainingMetrics | None = None
        self.start()

    def start(self) -> None:
        """Ask for processes, all or none, and send them what they need."""
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        needs, threads = self.on.needs, torch.get_num_threads()
        unfinished = (file for file in self.job.resume_files if file.is_file())
        resume_files = [self.ray.put(batch) for batch in read_batches(unfinished)]
        self.group = placement_group([needs] * self.count)
        process = self.ray.remote(Process)
        self.processes = [
            process.options(
                num_cpus=needs["CPU"],
                num_gpus=needs.get("GPU", 0),
                max_concurrency=2,
                scheduling_strategy=PlacementGroupSchedulingStrategy(self.group, rank),
            ).remote([*self.inputs, *resume_files], threads)
            for rank in range(self.count)
        ]
        address = self.processes[0].address.remote()
        self.fits = [
            process.fit.remote(self.job, rank, self.count, address) for rank, process in enumerate(self.processes)
        ]
        self.polling = self.processes[0].progress.remote()

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
            self._poll_progress()
            return False
        self.found, written = ended[0]
        write_batch(written)
        for resume_file in self.job.resume_files:
            resume_file.unlink(missing_ok=True)
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
        if self.deaths > MAX_RETRIES:
            raise out_of_retries()
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

    def _poll_progress(self) -> None:
        ready, _ = self.ray.wait([self.polling], timeout=0)
        if ready:
            with suppress(self.ray.exceptions.RayActorError):  # its training says so too
                self.done, self.how, resume_files = self.ray.get(self.polling)
                write_batch(resume_files)
            self.polling = self.processes[0].progress.remote()

    def _has_lost_one(self) -> bool:
        """Tell whether a process has died, which the others notice by its silence alone."""
        try:
            self.ray.get([process.__ray_ready__.remote() for process in self.processes], timeout=10)
        except (self.ray.exceptions.RayActorError, self.ray.exceptions.GetTimeoutError):
            return True
        return False


def fit_all(jobs: Sequence[Job], count: int, on: Ray) -> Iterator[tuple[Job, TrainingMetrics | UserError]]:
    """Train on a cluster, each job by so many processes, as many jobs at once as there is room for.

    Gives each job with its metrics as it ends, or with what a person has to mend for it.
    """
    on.refuse_fewer_than(count)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    groups: dict[TaskID, WorkerGroup] = {}
    with Progress(*columns, console=terminal()) as bar:
        try:
            for job in jobs:
                try:
                    groups[bar.add_task(job.platform, total=1.0)] = WorkerGroup(job, count, on)
                except UserError as error:
                    yield job, error
            while groups:
                time.sleep(POLL_INTERVAL_S)
                for task, group in list(groups.items()):
                    result: TrainingMetrics | UserError | None
                    try:
                        result = group.found if group.is_done() else None
                    except UserError as error:
                        result = error
                    bar.update(task, completed=group.done, description=f"{group.job.platform}: {group.how}")
                    if result is not None:
                        groups.pop(task).stop()
                        yield group.job, result
        finally:
            for group in groups.values():
                group.stop()
