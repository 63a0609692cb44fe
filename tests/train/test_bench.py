import json
import shlex
from pathlib import Path

import pytest
from PIL import Image
from skimage import data
from typer.testing import CliRunner, Result

from collect import codecs
from train import bench, real_pairs
from train.measure import mean_absolute_error
from train.pairs import Pairs

COLUMNS = {
    "codec",
    "model",
    "identity_mae",
    "mae",
    "mae_adversarial",
    "seconds",
    "parameters",
    "images_per_second",
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Folders `train` and `test` of photos, the latter with a file that is none."""
    for index in range(8):
        folder = tmp_path / ("train/inner" if index < 6 else "test")
        folder.mkdir(parents=True, exist_ok=True)
        top = 50 * index
        Image.fromarray(data.astronaut()[top : top + 96, 180:276]).save(folder / f"{index}.png")
    (tmp_path / "test" / "note.txt").write_text("no photo")
    return tmp_path


def run(folder: Path, options: str) -> Result:
    common = f"--train {folder}/train --test {folder}/test --out {folder}/rows.jsonl --size 32 "
    return CliRunner().invoke(bench.app, shlex.split(common + options))


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_rows_are_measured_on_the_test_folder_and_made_once(photos: Path) -> None:
    answer = run(photos, "--codec jpeg:30 --model hybrid --model paper --minutes 0.02 --work " + str(photos / "work"))
    assert answer.exit_code == 0, answer.output
    hybrid, paper = made = rows(photos)
    assert [row["model"] for row in made] == ["hybrid", "paper"]
    for row in made:
        assert set(row) >= COLUMNS and row["images"] == {"train": 6, "test": 2}
        assert row["codec"] in answer.output and f"{row['mae']:.3f}" in answer.output
    assert hybrid["mae"] < 0.05 and hybrid["mae_adversarial"] < 0.05 and hybrid["parameters"] == 0
    assert paper["mae"] <= paper["identity_mae"] + 0.05 and paper["parameters"] > 6e6 and paper["steps"] > 0

    tested = sorted((photos / "test").glob("*.png"))
    pictures = [Image.open(file).resize((32, 32), Image.Resampling.BICUBIC) for file in tested]
    files = []
    for index, picture in enumerate(pictures):
        picture.save(photos / f"{index}.png")
        (photos / f"{index}.jpg").write_bytes(codecs.encode(picture, "jpeg:30"))
        files.append((photos / f"{index}.png", photos / f"{index}.jpg"))
    assert hybrid["identity_mae"] == pytest.approx(mean_absolute_error(None, Pairs(files)), abs=1e-3)

    # killed in the midst of a row, and called again for one codec more
    (photos / "rows.jsonl").write_text(json.dumps(paper) + "\n" + json.dumps(hybrid)[:40])
    answer = run(photos, "--codec jpeg:30 --codec png --model paper --minutes 0.02")
    assert answer.exit_code == 0, answer.output
    first, second = rows(photos)
    assert first == paper
    assert (second["codec"], second["mae"], second["steps"]) == ("png", 0, 0)


def test_a_chain_that_changes_the_size_is_measured_at_the_size_served(photos: Path) -> None:
    answer = run(photos, "--codec resize:0.75+jpeg:71 --minutes 0.1 --limit-train 4 --limit-test 1")
    assert answer.exit_code == 0, answer.output
    (row,) = rows(photos)
    assert row["images"] == {"train": 4, "test": 1}
    assert row["mae"] < 0.3 * row["identity_mae"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--codec jpeg:75 --test {0}/train", "both"),
        ("--codec jpeg:75 --test {0}/train/inner", "6 of the 6 test photos"),
        ("--codec jpeg:75 --test {0}/nothing", "not a folder"),
        ("--codec jpeg:75 --test {0}/empty", "no photo that can be used"),
        ("--codec jpeg:175", "codec 'jpeg:175'"),
        ("--codec jpeg:75 --model nosuch", "There are: hybrid, paper"),
    ],
)
def test_what_can_not_be_measured_is_refused(photos: Path, options: str, said: str) -> None:
    (photos / "empty").mkdir()
    answer = run(photos, f"{options} --minutes 0.01".format(photos))
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit)
    assert said in " ".join(answer.stderr.split())
    assert not (photos / "rows.jsonl").exists()


def test_one_photo_in_both_folders_is_found_by_its_pixels(photos: Path) -> None:
    with Image.open(photos / "train" / "inner" / "3.png") as image:
        image.save(photos / "test" / "other-name.tiff")
    answer = run(photos, "--codec jpeg:75 --minutes 0.01")
    assert answer.exit_code == 1 and "1 of the 3 test photos" in " ".join(answer.stderr.split())


def test_a_file_of_something_else_is_not_written_to(photos: Path) -> None:
    (photos / "rows.jsonl").write_text("codec,mae\n")
    answer = run(photos, "--codec jpeg:75 --minutes 0.01")
    assert answer.exit_code == 1 and "--out" in answer.stderr
    assert (photos / "rows.jsonl").read_text() == "codec,mae\n"


def test_equal_pictures_are_prepared_once_and_the_limit_is_kept(photos: Path) -> None:
    (photos / "train" / "again.png").write_bytes((photos / "train" / "inner" / "0.png").read_bytes())
    assert len(real_pairs.prepare(photos / "train", photos / "out", 32, None)) == 6
    few = real_pairs.prepare(photos / "train", photos / "out", 32, 4)
    assert len(few) == 4 and few == real_pairs.prepare(photos / "train", photos / "out", 32, 4)
    with Image.open(few[0]) as image:
        assert image.size == (32, 32)
