"""Scheduled retraining, from a cold environment, killed and doubled; and which model stays in use."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import params
from collect import sandbox
from params import UserError
from train.emulator.model import Emulator
from train.models import checkpoint
from train.retraining import model_archive, retrain
from train.training import networks

ROOT = Path(__file__).parents[3]
COMREADV = Path(sys.executable).parent / "comreadv"
SETTINGS = """
scale: laptop
collect: {{ledger: "sqlite:///data/ledger/ledger.db"}}
pairing: {{max_hash_distance: 16, max_residual: 24.0}}
paper: {{dataset: {{}}, train: {{}}, attack: {{}}}}
dataset: {{name: sample, size: 64, crops: 2, split: {{train: 0.2, validation: 0.1, test: 0.1}}}}
platforms:
  weibo: {{adapter: weibo, rendition: large, origin: "{origin}"}}
  jpeg-25: {{adapter: codec, codec: "jpeg:25"}}
train: {{epochs: 1, minutes: 0.1, batch_size: 4, crop: 48}}
attack: {{attacks: [fgsm], eps: [8], steps: 1}}
evaluate: {{pictures: 1, confidence: 0.95}}
bench: {{short: true}}
"""


def cold(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command as cron does: no environment but HOME (and one thread, to spare the other tests), no terminal."""
    return subprocess.Popen(
        [str(COMREADV), *arguments],
        cwd=folder,
        env={"HOME": str(folder / "home"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def digests(folder: Path, platform: str) -> dict[str, str]:
    """Return the hashes of all that the pipeline made of a platform."""
    roots = [folder / "data" / each / platform for each in ("round_trips", "adversarial", "evaluation")]
    files = [file for root in roots for file in root.rglob("*") if file.is_file()]
    files += [*folder.glob(f"models/{platform}.*"), *folder.glob(f"data/pairs/{platform}.*")]
    assert len(files) > 10
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.browser
@pytest.mark.slow
def test_a_drifted_site_gets_a_fresh_model_though_killed_and_doubled_and_no_other_is_touched(tmp_path: Path) -> None:
    for name in ("collect", "pairing", "train", "attack", "fingerprints"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", ".gitignore", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    state = tmp_path / "site"
    with sandbox.serve("weibo", state=state) as origin:
        port = int(origin.rpartition(":")[2])
        (tmp_path / "params.yaml").write_text(SETTINGS.format(origin=origin))
        environment = os.environ | {"PATH": f"{COMREADV.parent}:{os.environ['PATH']}"}
        first = [sys.executable, "-m", "dvc", "repro", "evaluate@weibo", "train@jpeg-25"]
        subprocess.run(first, cwd=tmp_path, env=environment, check=True, capture_output=True)
        said = cold("retrain", folder=tmp_path).communicate(timeout=200)[0]
        assert "weibo: unchanged" in said and "jpeg-25: unchanged" in said and "Running stage" not in said
    untouched = digests(tmp_path, "jpeg-25")
    old = json.loads((tmp_path / "models/weibo.json").read_text())

    with sandbox.serve("weibo", state=state, port=port, codec="jpeg:40:420"):
        killed = cold("retrain", folder=tmp_path)
        assert killed.stdout
        for line in killed.stdout:
            if "Running stage 'pairing@weibo'" in line:
                os.killpg(killed.pid, signal.SIGKILL)
                break
        killed.communicate()
        both = [cold("retrain", folder=tmp_path)]
        time.sleep(3)
        both.append(cold("retrain", "--platform", "weibo", folder=tmp_path))
        said, waited = (each.communicate(timeout=400)[0] for each in both)
    assert [each.returncode for each in both] == [0, 0], said + waited
    assert "weibo: retrained: luma table: quality 85 → 40; sampling 4:4:4 → 4:2:0" in said
    assert "Another `comreadv retrain` is at work" in waited and "weibo: unchanged" in waited
    new = json.loads((tmp_path / "models/weibo.json").read_text())
    assert (old["generation"], new["generation"], new["before"]["generation"]) == (1, 2, 1)
    assert new["mae"] < new["before"]["mae"] and not new["before"]["in_use"]
    assert json.loads((tmp_path / "reports/weibo.json").read_text())["generation"] == 2
    assert digests(tmp_path, "jpeg-25") == untouched
    assert (tmp_path / "data/kept_models/weibo/1/evaluation.json").exists()
    back = cold("retrain", "--platform", "weibo", "--back", folder=tmp_path)
    assert "the model of generation 1 is in use again" in back.communicate(timeout=100)[0]
    assert json.loads((tmp_path / "models/weibo.json").read_text())["mae"] == old["mae"]
    assert (tmp_path / "data/kept_models/weibo/2/weibo.safetensors").exists()


def test_only_the_rows_of_real_sites_are_asked_for_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = {}

    def examine(name: str, _params: params.Params, *, live: bool) -> None:
        asked[name] = live
        raise UserError("enough")

    monkeypatch.setattr("collect.drift.examine", examine)
    rows = {"weibo": {"site": "live"}, "douban": {}, "facebook": {"site": "live", "origin": "http://127.0.0.1:9"}}
    platforms = {name: params.PlatformRow(adapter=name, **changes) for name, changes in rows.items()}
    settings = params.load(ROOT / "params.yaml").model_copy(update={"platforms": platforms})
    retrain.retrain(settings, list(platforms), live=True)
    assert asked == {"weibo": True, "douban": False, "facebook": False}


def test_what_was_learned_is_taken_over_where_it_fits(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before, after = checkpoint.build("paper"), checkpoint.build("paper")
    checkpoint.save(tmp_path / "p.safetensors", before, model="paper", config={}, generation=1)
    assert not torch.equal(next(before.parameters()), next(after.parameters()))
    assert networks.warm_start(after, tmp_path / "p.safetensors")
    assert all(torch.equal(one, other) for one, other in zip(before.parameters(), after.parameters(), strict=True))
    emulator = Emulator(
        chain="avif:50", format="AVIF", identified=False, mae=1.0, exact=0.0, pairs=1, why="for the test"
    ).model_dump(mode="json")
    assert not networks.warm_start(checkpoint.build("hybrid", emulator=emulator), tmp_path / "p.safetensors")


def test_models_are_kept_by_generation_and_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_archive.keep("weibo") is None
    with pytest.raises(UserError, match="No earlier model of weibo"):
        model_archive.put_back("weibo", 1)
    Path("models").mkdir()
    for generation in (1, 2, 10):
        Path("models/weibo.json").write_text(json.dumps(METRICS | {"generation": generation}))
        Path("models/weibo.safetensors").write_text(f"model {generation}")
        model_archive.keep("weibo")
    assert model_archive.put_back("weibo", 10) == 2
    assert Path("models/weibo.safetensors").read_text() == "model 2"
    assert model_archive.earlier_checkpoint("weibo", None).read_text() == "model 10"
    assert not model_archive.is_behind("weibo", 10)  # as a person wants it
    assert model_archive.is_behind("weibo", 11)
    model_archive.start_from(model_archive.keep("weibo"))
    Path("models/weibo.safetensors").unlink()  # as DVC does before it trains
    model_archive.restore("weibo")
    assert Path("models/weibo.safetensors").read_text() == "model 2"


METRICS = {
    "platform": "weibo",
    "model": "hybrid",
    "mae": 1.0,
    "identity_mae": 3.0,
    "validation_mae": 1.0,
    "identity_validation_mae": 3.0,
    "parameters": 0,
    "epochs": 1.0,
    "steps": 10,
    "seconds": 1.5,
    "images": {"train": 3, "validation": 2, "test": 1},
}  # all that the first version wrote, but for the generation


MODEL = [f"models/weibo{suffix}" for suffix in (".safetensors", ".emulator.json", ".csv", ".json")]


@pytest.fixture
def three_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder with models of three generations; the third is in use."""
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    for generation in (1, 2, 3):
        for name in MODEL:
            Path(name).write_text(json.dumps(METRICS | {"generation": generation}))
        model_archive.keep("weibo")


def generations(folder: Path | str) -> list[int]:
    files = [Path(folder) / Path(name).name for name in MODEL]
    return [json.loads(file.read_text())["generation"] for file in files if file.exists()]


@pytest.mark.parametrize("last", range(21))
def test_a_put_back_that_is_killed_mixes_no_models_and_is_finished_by_the_next(
    last: int, three_models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = itertools.count()

    def killing(call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **more: Any) -> Any:
            if next(steps) == last:
                raise KeyboardInterrupt
            return call(*arguments, **more)

        return instead

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copyfile", killing(shutil.copyfile))
        patch.setattr(Path, "unlink", killing(Path.unlink))
        patch.setattr(Path, "replace", killing(Path.replace))
        patch.setattr(Path, "rename", killing(Path.rename))
        model_archive.put_back("weibo", 3)
        model_archive.put_back_is_done("weibo")
    assert len(set(generations("models"))) <= 1
    assert model_archive.put_back("weibo", 3) == 2
    model_archive.put_back_is_done("weibo")
    assert generations("models") == [2] * 4
    assert not model_archive.is_behind("weibo", 3)
    assert [generations(f"data/kept_models/weibo/{number}") for number in (1, 2, 3)] == [[1] * 4, [2] * 4, [3] * 4]
    assert model_archive.put_back("weibo", 3) == 1


def test_a_put_back_that_was_killed_is_forgotten_after_a_training(three_models: None) -> None:
    model_archive.put_back("weibo", 3)
    for name in MODEL:
        Path(name).write_text(json.dumps(METRICS | {"generation": 4}))
    assert model_archive.unfinished("weibo") is None
    assert model_archive.put_back("weibo", 4) == 3


def test_a_damaged_or_missing_kept_model_takes_the_present_one_from_nobody(three_models: None) -> None:
    kept = Path("data/kept_models/weibo/2")
    (kept / "weibo.json").write_text("{")
    with pytest.raises(UserError, match=r"kept_models/weibo/2/weibo.json is damaged .*Delete its folder"):
        model_archive.put_back("weibo", 3)
    assert generations("models") == [3] * 4
    model_archive.start_from(kept)
    Path("models/weibo.safetensors").unlink()
    model_archive.restore("weibo")  # as it is: one platform's kept file holds up no other's retraining
    assert Path("models/weibo.json").read_text() == "{"
    for name in MODEL:
        Path(name).write_text(json.dumps(METRICS | {"generation": 3}))
    (kept / "weibo.json").unlink()
    assert model_archive.put_back("weibo", 3) == 1


def test_the_next_retraining_finishes_a_put_back_that_was_killed(
    three_models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("dvc.lock").touch()
    Path("fingerprints").mkdir()
    Path("fingerprints/weibo.json").write_text(json.dumps({"generation": 3}))
    committed = []

    def commit(arguments: Sequence[str], *_: object) -> None:
        committed.append(arguments)
        if len(committed) == 1:
            raise KeyboardInterrupt

    def examine(*_: object, **__: object) -> None:
        raise UserError("enough")

    monkeypatch.setattr(retrain, "_dvc", commit)
    monkeypatch.setattr("collect.drift.examine", examine)
    with pytest.raises(KeyboardInterrupt), retrain.retraining_lock() as lock:
        retrain.put_back("weibo", lock)
    for _ in range(2):
        retrain.retrain(params.load(ROOT / "params.yaml"), ["weibo"])
        assert committed == [["commit", "--force", "train@weibo"]] * 2
    assert generations("models") == [2] * 4


def test_back_without_a_platform_and_an_unknown_platform_are_refused(tmp_path: Path) -> None:
    for arguments in (("retrain", "--back"), ("retrain", "--platform", "nowhere")):
        command = [str(COMREADV), *arguments, "--params", str(ROOT / "params.yaml")]
        answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert answer.returncode == 1 and "Traceback" not in answer.stderr
