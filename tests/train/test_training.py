import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import params
from train import checkpoint, pairs, training


def files(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "m" / "tiny.safetensors", folder / "m" / "tiny.json", folder / "m" / "tiny.csv"


def test_a_trained_model_is_nearer_than_the_identity_and_reloads(
    make_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    database = make_pairs(quality=10, train=12, validation=2, test=3)
    settings = params.Train(epochs=20, minutes=None, batch_size=4, crop=32, learning_rate=1e-3, seed=1)
    out, metrics, curve = files(tmp_path)
    found = training.fit(database, settings, out, metrics, curve, platform="tiny")

    assert found["mae"] < 0.99 * found["identity_mae"]
    assert found["validation_mae"] < found["identity_validation_mae"]
    assert (found["steps"], found["epochs"]) == (60, 20)
    assert found["images"] == {"train": 12, "validation": 2, "test": 3}
    assert json.loads(metrics.read_text()) == found

    test = pairs.load(database, "test")
    model = checkpoint.load(out)
    assert training.mean_absolute_error(model, test.pairs) == found["mae"]
    assert training.mean_absolute_error(None, test.pairs) == found["identity_mae"]
    metadata = checkpoint.read_metadata(out)
    assert {key: metadata[key] for key in ("platform", "generation", "model", "mae")} == {
        "platform": "tiny",
        "generation": 1,
        "model": "paper",
        "mae": found["mae"],
    }
    assert metadata["settings"] == settings.model_dump(mode="json")

    with curve.open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert rows[0]["epoch"] == 0 and rows[-1]["epoch"] == 20
    assert min(row["validation_mae"] for row in rows) < rows[0]["validation_mae"]


def test_a_run_repeats_with_its_seed(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    database = make_pairs(side=32, train=4, validation=1, test=1)
    settings = params.Train(epochs=2, minutes=None, batch_size=2, crop=16)
    found = []
    for name in ("first", "second"):
        outcome = training.fit(database, settings, *files(tmp_path / name), platform="tiny")
        found.append(outcome | {"seconds": 0})
    assert found[0] == found[1]
    first, second = (files(tmp_path / name)[0].read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_model_that_only_gets_worse_is_not_kept(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    database = make_pairs(side=32, train=2, validation=1, test=1)
    settings = params.Train(epochs=3, minutes=None, batch_size=2, crop=32, learning_rate=0.5)
    found = training.fit(database, settings, *files(tmp_path), platform="tiny")
    assert found["mae"] == pytest.approx(found["identity_mae"], abs=0.01)


def test_minutes_end_a_run(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    database = make_pairs(side=32, train=2, validation=1, test=1)
    settings = params.Train(epochs=100_000, minutes=0.001, batch_size=1, crop=16)
    found = training.fit(database, settings, *files(tmp_path), platform="tiny")
    assert 0 < found["steps"] < 1000


def test_an_interrupted_run_leaves_nothing(
    make_pairs: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_pairs(side=32, train=2, validation=1, test=1)
    step = training.Run._train_step

    def stop(run: training.Run, *batch: torch.Tensor) -> None:
        step(run, *batch)
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Run, "_train_step", stop)
    settings = params.Train(epochs=2, minutes=None, batch_size=1, crop=16)
    with pytest.raises(KeyboardInterrupt):
        training.fit(database, settings, *files(tmp_path), platform="tiny")
    assert not (tmp_path / "m").exists()


def test_every_split_needs_pairs(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    database = make_pairs(side=32, train=2, test=1)
    with pytest.raises(params.UserError, match="validation"):
        training.fit(database, params.Train(), *files(tmp_path), platform="tiny")


@pytest.mark.parametrize(
    ("progress", "factor"),
    [(0.0, 0.0), (0.05, 0.5), (0.1, 1), (0.49, 1), (0.5, 0.1), (0.79, 0.1), (0.8, 0.02), (0.95, 0.01), (2, 0.01)],
)
def test_learning_rate_falls_as_in_the_paper(progress: float, factor: float) -> None:
    assert training.learning_rate_factor(progress) == pytest.approx(factor)


def test_error_is_measured_on_whole_grey_levels() -> None:
    black = torch.zeros(3, 16, 16, dtype=torch.uint8)
    assert training.mean_absolute_error(None, [(black, black + 3), (black, black + 6)]) == 4.5
    shift = torch.nn.Conv2d(3, 3, 1)
    torch.nn.init.zeros_(shift.weight)
    torch.nn.init.constant_(shift.bias, 2.4 / 255)
    assert training.mean_absolute_error(shift, [(black, black + 3)]) == 1  # 2.4 is rounded to 2
