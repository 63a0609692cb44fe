import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import params
from train.data.pairs import load_pairs
from train.emulator.model import Emulator
from train.models import checkpoint
from train.training import fit as training
from train.training import trainer
from train.training.metrics import mean_absolute_error

SHORT = params.Train(model="paper", epochs=2, minutes=None, batch_size=2, crop=16, perturbed=0.5, patience=1, seed=1)


def files(folder: Path) -> tuple[Path, Path, Path]:
    return folder / "m" / "tiny.safetensors", folder / "m" / "tiny.json", folder / "m" / "tiny.csv"


def fit(database: Path, settings: params.Train, folder: Path) -> dict[str, Any]:
    found = training.fit(database, settings, *files(folder), platform="tiny")
    assert found
    return found.model_dump()


def changed(settings: params.Train, **values: object) -> params.Train:
    return settings.model_copy(update=values)


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Interrupt runs after so many steps."""
    step = trainer.Trainer._train_step

    def interrupted(self: trainer.Trainer) -> None:
        step(self)
        if self.step == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Trainer, "_train_step", interrupted)


def test_a_trained_model_is_nearer_than_the_identity_and_reloads(
    make_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    database = make_pairs(quality=10, train=12, validation=2, test=3)
    settings = changed(SHORT, epochs=14, batch_size=4, crop=32, perturbed=0.25)
    out, metrics, curve = files(tmp_path)
    found = fit(database, settings, tmp_path)

    assert found["mae"] < 0.99 * found["identity_mae"]
    assert found["validation_mae"] < found["identity_validation_mae"]
    assert (found["steps"], found["epochs"]) == (42, 14)
    assert found["images"] == {"train": 12, "validation": 2, "test": 3}
    assert json.loads(metrics.read_text()) == found
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "tiny.csv",
        "tiny.emulator.json",
        "tiny.json",
        "tiny.safetensors",
    ]

    test = load_pairs(database, "test")
    model = checkpoint.load(out)
    assert mean_absolute_error(model, test) == found["mae"]
    assert mean_absolute_error(None, test) == found["identity_mae"]
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
    assert rows[0]["epoch"] == 0 and rows[-1]["epoch"] == 14
    assert min(row["validation_mae"] for row in rows) < rows[0]["validation_mae"]

    emulator = Emulator.load(out.with_suffix(".emulator.json"))
    assert emulator.identified and found["emulator"]["chain"] == emulator.chain
    assert 0 < found["mae_noise"] < 30 and 0 < found["mae_adversarial"] < 30


@pytest.mark.parametrize(("model", "suffix"), [("paper", "jpg"), ("hybrid", "webp")])
def test_a_run_repeats_with_its_seed_and_goes_on_after_a_kill_as_if_unbroken(
    model: str, suffix: str, make_pairs: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_pairs(side=32, suffix=suffix, median=model == "hybrid", train=5, validation=2, test=1)
    settings = changed(SHORT, model=model)
    found = [fit(database, settings, tmp_path / name) for name in ("first", "second")]
    monkeypatch.setattr(trainer, "SAVE_INTERVAL_S", 0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 5)
        fit(database, settings, tmp_path / "killed")
    assert [path.name for path in (tmp_path / "killed" / "m").iterdir()] == ["tiny.part"]
    monkeypatch.setattr(training, "identify", None)  # what was identified is not looked for again
    found.append(fit(database, settings, tmp_path / "killed"))
    written = [files(tmp_path / name)[0].read_bytes() for name in ("first", "second", "killed")]
    assert len({json.dumps(each | {"seconds": 0}) for each in found}) == len(set(written)) == 1
    assert found[0]["steps"] == 6


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif"])
def test_a_hybrid_of_an_identified_codec_has_nothing_to_learn(
    suffix: str, make_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    database = make_pairs(side=32, suffix=suffix, train=4, validation=1, test=2)
    found = fit(database, changed(SHORT, model="hybrid"), tmp_path)
    assert (found["parameters"], found["steps"]) == (0, 0)
    assert found["mae"] < 0.01 < found["identity_mae"]
    model = checkpoint.load(files(tmp_path)[0])
    assert mean_absolute_error(model, load_pairs(database, "test")) == found["mae"]


def test_a_part_of_other_settings_or_a_damaged_one_is_no_beginning(
    make_pairs: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make_pairs(side=32, train=2, validation=1, test=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 1)
        fit(database, SHORT, tmp_path)
    resume_file = tmp_path / "m" / "tiny.part"
    for settings, content in (
        (changed(SHORT, epochs=3), resume_file.read_bytes()),
        (SHORT, resume_file.read_bytes()[:1000]),
    ):
        resume_file.write_bytes(content)
        assert fit(database, settings, tmp_path)["steps"] == settings.epochs
        assert not resume_file.exists()


def test_a_model_that_only_gets_worse_is_not_kept_and_ends_early(
    make_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    database = make_pairs(side=32, train=2, validation=1, test=1)
    settings = changed(SHORT, epochs=20, crop=32, learning_rate=0.5, patience=0.25)
    found = fit(database, settings, tmp_path)
    assert found["mae"] == pytest.approx(found["identity_mae"], abs=0.01)
    assert 5 <= found["epochs"] < 20


def test_nothing_is_trained_where_nothing_is_left_to_learn(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    database = make_pairs(side=32, train=2, validation=1, test=1)
    for original in database.parent.glob("*.png"):
        original.with_suffix(".jpg").write_bytes(original.read_bytes())
    found = fit(database, SHORT, tmp_path)
    assert found["steps"] == 0 and found["mae"] < 0.01


def test_minutes_end_a_run(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    database = make_pairs(side=32, train=2, validation=1, test=1)
    found = fit(database, changed(SHORT, epochs=100_000, minutes=0.1), tmp_path)
    assert 0 < found["steps"] < 1000


def test_every_split_needs_pairs(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    database = make_pairs(side=32, train=2, test=1)
    with pytest.raises(params.UserError, match="validation"):
        fit(database, SHORT, tmp_path)


def test_error_is_measured_on_whole_grey_levels() -> None:
    black = torch.zeros(3, 16, 16, dtype=torch.uint8)
    assert mean_absolute_error(None, [(black, black + 3), (black, black + 6)]) == 4.5
    shift = torch.nn.Conv2d(3, 3, 1)
    torch.nn.init.zeros_(shift.weight)
    torch.nn.init.constant_(shift.bias, 2.4 / 255)
    assert mean_absolute_error(shift, [(black, black + 3)]) == 1  # 2.4 is rounded to 2


def test_error_is_measured_at_the_outputs_size() -> None:
    original, rendition = torch.full((3, 32, 32), 9, dtype=torch.uint8), torch.full((3, 24, 24), 5, dtype=torch.uint8)
    assert mean_absolute_error(None, [(original, rendition)]) == 4
    assert mean_absolute_error(torch.nn.AvgPool2d(2), [(original, rendition)]) == 4


def test_a_residual_that_gained_nothing_is_left_out(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    database = make_pairs(train=4, validation=2, test=1, suffix="jp2")  # lossless, so that nothing is missing
    found = fit(database, changed(SHORT, model="hybrid"), tmp_path)
    assert (found["parameters"], found["steps"], found["mae"]) == (0, 0, 0)
    model = checkpoint.load(files(tmp_path)[0])
    assert mean_absolute_error(model, load_pairs(database, "test")) == 0


def test_the_papers_net_is_trained_beside_the_hybrid_where_that_is_asked_for(
    make_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    database = make_pairs(quality=10, train=4, validation=2, test=1)
    found = fit(database, changed(SHORT, model="hybrid", paper_beside=True), tmp_path)
    assert found["mae"] < 0.01 < found["paper_mae"] < 1.1 * found["identity_mae"]
    assert fit(database, changed(SHORT, model="hybrid"), tmp_path)["paper_mae"] is None
