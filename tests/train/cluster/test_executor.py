import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

import params
from params import UserError
from train.cluster.executor import ITEMS_AHEAD_A_WORKER, Executor, Local, Ray
from train.cluster.file_transfer import map_with_files
from train.cluster.options import ExecutorName, executor_of


@pytest.fixture(scope="module", autouse=True)
def sent_whole() -> None:
    """Have Ray send what is defined here whole: its workers find no test files."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


def doubling(die_once: Path | None = None, meet: Path | None = None) -> Callable[[int], tuple[int, int]]:
    """Start work that doubles numbers, tells its process, and is killed on its way to 6 the first time.

    Its processes wait in the folder `meet` until there are two.
    """
    if meet:
        (meet / str(os.getpid())).touch()
        end = time.monotonic() + 60
        while len(list(meet.iterdir())) < 2 and time.monotonic() < end:
            time.sleep(0.01)

    def work(number: int) -> tuple[int, int]:
        if number == 3 and die_once and not die_once.exists():
            die_once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number < 0:
            raise UserError(f"{number} can't be doubled.")
        return 2 * number, os.getpid()

    return work


def test_results_keep_the_order_and_items_are_taken_a_few_at_a_time(on_ray: Ray, tmp_path: Path) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(40):
            taken.append(number)
            yield number

    processes = set()
    for index, (result, process) in enumerate(on_ray.map(partial(doubling, meet=tmp_path), items())):
        assert result == 2 * index
        assert len(taken) <= index + ITEMS_AHEAD_A_WORKER * on_ray.workers
        processes.add(process)
    assert len(processes) == on_ray.workers == 2 and os.getpid() not in processes


def test_an_item_whose_worker_is_killed_goes_to_another(on_ray: Ray, tmp_path: Path) -> None:
    start = partial(doubling, tmp_path / "died")
    assert [result for result, _ in on_ray.map(start, range(8))] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("name", ["local", "ray"])
def test_what_the_user_has_to_mend_is_said_as_such(name: str, on_ray: Ray) -> None:
    chosen: Executor = on_ray if name == "ray" else Local()
    with pytest.raises(UserError, match=r"-1 can't be doubled\."):
        list(chosen.map(doubling, [1, -1, 2]))


class Sizes:
    """Work that tells what it finds in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> Iterator[tuple[str, str | int]]:
        yield name, (self.folder / name).stat().st_size
        yield "below here", str(self.folder)


def test_files_are_sent_where_no_disk_is_shared(on_ray: Ray, tmp_path: Path) -> None:
    names = ["a.png", "deep/b.png"]
    (tmp_path / "deep").mkdir()
    for size, name in enumerate(names, 5):
        (tmp_path / name).write_bytes(bytes(size))
    files = [tmp_path / name for name in names]
    here, there = (list(map(list, map_with_files(on, Sizes, tmp_path, files, names))) for on in (Local(), on_ray))
    assert [rows[0] for rows in here] == [rows[0] for rows in there] == [("a.png", 5), ("deep/b.png", 6)]
    assert here[0][1][1] == str(tmp_path) != there[0][1][1]
    with pytest.raises(UserError, match=r"c\.png can't be read"):
        list(map_with_files(on_ray, Sizes, tmp_path, [tmp_path / "c.png"], names))


def test_workers_that_fit_no_machine_are_refused(on_ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(UserError, match="Set OMP_NUM_THREADS=1 for the command"):
        list(on_ray.map(doubling, [1]))


def test_without_the_extra_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"\[cluster\]"):
        executor_of(params.Cluster(), ExecutorName.ray, None)
    assert isinstance(executor_of(params.Cluster(), ExecutorName.local, None), Local)


def test_no_command_imports_ray_unless_it_is_asked_for_nor_the_executors_pytorch() -> None:
    code = (
        "import sys, comreadv, train.cluster; print('torch' in sys.modules, end=' '); "
        "import attack.generation.generate, attack.evaluation.evaluate, train.training.fit; print('ray' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False False"


def test_an_address_where_nothing_answers_is_refused() -> None:
    code = "from train.cluster.executor import Ray; Ray('127.0.0.1:1')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode and "No Ray cluster answers at 127.0.0.1:1" in run.stderr
