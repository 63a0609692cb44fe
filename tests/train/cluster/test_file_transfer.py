"""What is sent to other machines leaves nothing behind there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from train.cluster.file_transfer import ScratchDir

MAKE_ONE = """
from train.cluster.file_transfer import ScratchDir
folder = ScratchDir()
(folder.path / "photo.png").write_bytes(b"a face")
print(folder.path, flush=True)
input()
"""


def process(temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process with a folder of its own, and tell which."""
    started = subprocess.Popen(
        [sys.executable, "-c", MAKE_ONE],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout
    return started, Path(started.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_by_the_next_and_a_living_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (living, its), (killed, left) = process(tmp_path), process(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (left / "photo.png").is_file()
    ours = ScratchDir()
    assert not left.exists() and (its / "photo.png").is_file() and ours.path.is_dir()
    living.communicate("\n")
    assert living.returncode == 0 and not its.exists()
    ours.close()
    assert not list(tmp_path.iterdir())
