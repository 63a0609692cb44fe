import json
import shlex
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from skimage import data
from typer.testing import CliRunner, Result

from collect import codecs
from params import UserError
from train.bench import __main__, compare
from train.bench import rows as bench_rows
from train.data import synthetic_pairs
from train.data.pairs import Pairs
from train.training.metrics import mean_absolute_error

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


@pytest.fixture(autouse=True)
def short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "SPEED_SECONDS", 0.1)


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
    return CliRunner().invoke(__main__.app, shlex.split(common + options))


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
    assert paper["parameters"] > 6e6 and paper["steps"] > 0

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


def test_the_papers_net_learns_a_codec_that_is_far_from_the_identity(photos: Path) -> None:
    answer = run(photos, "--codec sharpen:4+png --model paper --minutes 0.4")
    assert answer.exit_code == 0, answer.output
    (row,) = rows(photos)
    assert row["mae"] < 0.99 * row["identity_mae"]  # which the net starts from


def test_rows_of_other_photos_or_without_all_figures_are_made_anew(photos: Path) -> None:
    options = "--codec png --minutes 0.01 --limit-train 4 --limit-test 1"
    assert run(photos, options).exit_code == 0
    (first,) = rows(photos)
    (photos / "test").rename(photos / "test-before")
    (photos / "test").mkdir()
    Image.fromarray(data.chelsea()[:96, :96]).save(photos / "test" / "other.png")
    assert run(photos, options).exit_code == 0
    assert [row["images"] for row in rows(photos)] == [first["images"]] * 2
    assert rows(photos)[0]["photos"]["test"] != rows(photos)[1]["photos"]["test"]

    del first["identity_mae"]
    (photos / "rows.jsonl").write_text(json.dumps(first | {"photos": rows(photos)[1]["photos"]}) + "\n")
    answer = run(photos, options)
    assert answer.exit_code == 0 and len(rows(photos)) == 2, answer.output


def test_a_long_chain_leaves_the_figures_readable() -> None:
    chain = "resize:0.75:bicubic+sharpen:0.4+jpeg:85+resize:0.5+sharpen:0.25+webp:50"
    row = bench_rows.Row(
        codec=chain,
        model="hybrid",
        minutes=1,
        size=224,
        images={"train": 3, "test": 1},
        photos={"train": "a", "test": "b"},
        **dict.fromkeys((*bench_rows.FIGURES.values(), "mae_noise"), 1234.567) | {"parameters": 6694563, "steps": 1},
    )
    console = Console(width=80, record=True)
    console.print(bench_rows.to_table([row]))
    shown = console.export_text()
    lines = [line.split() for line in shown.splitlines() if "1234.567" in line]
    assert [line[-6:] for line in lines] == [["1234.567"] * 3 + ["1,235", "6,694,563", "1,235"]]
    folded = "".join(line[:24].split("1234")[0].strip() for line in shown.splitlines())
    assert "sharpen:0.25+webp:50" in folded and all(heading in shown for heading in bench_rows.FIGURES)


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
        ("--codec jpeg:75 --test {0}/nothing", "nothing is not a folder. Give a folder of photos with --test"),
        ("--codec jpeg:75 --train {0}/nothing", "nothing is not a folder. Give a folder of photos with --train"),
        ("--codec jpeg:75 --test {0}/empty", "no photo that can be used"),
        ("--codec jpeg:175", "codec 'jpeg:175'"),
        ("--codec jpeg:75 --model nosuch", "There are: hybrid, paper"),
        ("--codec resize:8+jpeg:75 --size 4096", "too large"),
        ("--codec jpeg:75 --work {0}/test/note.txt", "--work"),
        ("--codec jpeg:75 --out {0}/empty", "--out"),
        ("--codec jpeg:75 --out {0}/test/note.txt/rows.jsonl", "--out"),
    ],
)
def test_what_can_not_be_measured_is_refused(photos: Path, options: str, said: str) -> None:
    (photos / "empty").mkdir()
    answer = run(photos, f"{options} --minutes 0.01".format(photos))
    assert answer.exit_code == 1 and isinstance(answer.exception, SystemExit)
    assert said in " ".join(answer.stderr.split())
    assert not (photos / "rows.jsonl").exists() or not rows(photos)


def test_one_photo_in_both_folders_is_found_by_its_pixels(photos: Path) -> None:
    with Image.open(photos / "train" / "inner" / "3.png") as image:
        image.save(photos / "test" / "other-name.tiff")
    answer = run(photos, "--codec jpeg:75 --minutes 0.01")
    assert answer.exit_code == 1 and "1 of the 3 test photos" in " ".join(answer.stderr.split())


def test_a_file_of_something_else_is_not_written_to(photos: Path) -> None:
    for content in (b"codec,mae\n", b"\xff\xd8\xff\n"):
        (photos / "rows.jsonl").write_bytes(content)
        answer = run(photos, "--codec jpeg:75 --minutes 0.01")
        assert answer.exit_code == 1 and "--out" in answer.stderr
        assert (photos / "rows.jsonl").read_bytes() == content


def test_equal_pictures_are_prepared_once_and_the_limit_is_kept(photos: Path) -> None:
    (photos / "train" / "again.png").write_bytes((photos / "train" / "inner" / "0.png").read_bytes())
    assert len(synthetic_pairs.prepare(photos / "train", photos / "out", 32, None)) == 6
    few = synthetic_pairs.prepare(photos / "train", photos / "out", 32, 4)
    assert len(few) == 4 and few == synthetic_pairs.prepare(photos / "train", photos / "out", 32, 4)
    with Image.open(few[0]) as image:
        assert image.size == (32, 32)


def test_a_file_of_one_line_that_is_no_row_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("precious")
    with pytest.raises(UserError, match="no row of this bench"):
        bench_rows.read_rows(file)
    assert file.read_text() == "precious"
