"""The attacks' bench: really made, written, encoded, decoded and counted, on small lists of photos."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import params
from attack.bench import suites
from attack.bench.command import bench
from attack.bench.rows import read_bench
from collect.command_line import command_line
from params import UserError

KEYS = {
    "attack", "codec", "eps", "steps", "targeted", "gradient_evaluations", "success_before", "success_after",
    "low", "high", "psnr", "ssim", "seconds_per_image", "images",
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(photos: list[tuple[Image.Image, int]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    train, test = tmp_path_factory.mktemp("train"), tmp_path_factory.mktemp("test")
    for index, (photo, _) in enumerate(photos[:10]):
        photo.save((test if index < 2 else train) / f"{index}.png")
    return train, test


def run(folders: tuple[Path, Path], out: Path, *more: str) -> str:
    arguments = ["--train", str(folders[0]), "--test", str(folders[1]), "--out", str(out), *more]
    answer = CliRunner().invoke(command_line(bench), arguments)
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.mark.slow
def test_rows_are_measured_on_the_files_and_not_made_twice(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out, work = tmp_path / "rows.jsonl", tmp_path / "work"
    chosen = [f"--attack={name}" for name in ("mim", "best", "kornia50_mim", "torchattacks_mifgsm", "comreadv_bim")]
    settings = ["--codec=jpeg:50", "--eps=5", "--steps=4", f"--work={work}", *chosen]
    said = run(folders, out, *settings)
    rows = {row["attack"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert list(rows) == ["mim", "best", "kornia50_mim", "torchattacks_mifgsm", "comreadv_bim"]
    for name, row in rows.items():
        assert row.keys() >= KEYS
        assert row["images"] == 2 and row["max_change"] <= 5 and row["low"] <= row["success_after"] <= row["high"]
        assert row["gradient_evaluations"] == 4
        assert re.search(rf"\b{name}\b", said)
    assert rows["mim"]["success_after"] == 0
    assert rows["torchattacks_mifgsm"]["success_before"] == rows["mim"]["success_before"] == 1  # no mode was changed
    assert rows["best"]["success_after"] >= rows["mim"]["success_after"]
    assert len(list(work.rglob("eps5/best/*.jpeg-50"))) == 2  # the encoded files are there to look at
    before = out.read_bytes()
    run(folders, out, *settings)
    assert out.read_bytes() == before


@pytest.mark.slow
def test_untargeted_l2_two_classifiers_and_one_that_only_reads(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    names = ["--classifier=efficientnet_lite0", "--classifier=efficientnet_lite1", "--transfer=efficientnet_lite2"]
    how = ["--codec=webp:50", "--eps=4", "--steps=3", "--goal=untargeted", "--norm=l2", "--attack=best"]
    run(folders, out, *how, *names)
    (row,) = map(json.loads, out.read_text().splitlines())
    assert row["success_after"] == 1 and not row["targeted"]
    assert 0 <= row["transfer"]["efficientnet_lite2"] <= 1
    assert not list(tmp_path.glob("*.svg"))  # one eps is no curve
    assert row["max_change"] > 4 and row["classifier"] == "efficientnet_lite0+efficientnet_lite1"


@pytest.mark.slow
def test_several_eps_are_drawn(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    run(folders, out, "--codec=jpeg:75", "--eps=2", "--eps=4", "--steps=1", "--attack=fgsm", "--attack=mim")
    assert [json.loads(line)["eps"] for line in out.read_text().splitlines()] == [2, 2, 4, 4]
    plot = (tmp_path / "rows-jpeg-75.svg").read_text()
    assert plot.startswith("<svg") and "fgsm" in plot and "mim" in plot


def test_every_attack_of_the_matrix_is_listed() -> None:
    listed = list(suites.every_attack("jpeg:40", paper=True, linf=True))
    assert len(set(listed)) == len(listed)
    assert {"diff40_bim", "diff40_mim", "kornia40_mim", "paper_mim", "average_bim", "vmi", "best"} <= set(listed)
    assert set(params.attacks()) <= set(listed)
    assert "diff75_bim" not in suites.every_attack("webp:50", paper=False, linf=False)


@pytest.mark.parametrize("text", ['{"attack": "mim"}\n', "no json\n", '{"attack": 1', "[]\n", "something else"])
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    if text.startswith('{"attack": 1'):
        assert read_bench(file) == [] and file.read_text() == ""  # a row that a kill cut off
        return
    with pytest.raises(UserError, match="--out"):
        read_bench(file)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--codec=jpeg:50", "--eps=5", "--attack=nosuch"], "No attack 'nosuch'"),
        (["--codec=jpeg:0", "--eps=5"], "jpeg:0"),
        (["--codec=png", "--eps=5", "--classifier=nosuch"], "No classifier 'nosuch'"),
        (["--codec=png", "--eps=5", "--norm=l3"], "linf and l2"),
        (["--codec=png", "--eps=0"], "'--eps'"),
    ],
)
def test_mistakes_are_answered_before_the_work(
    folders: tuple[Path, Path], tmp_path: Path, more: list[str], said: str
) -> None:
    arguments = ["--train", str(folders[0]), "--test", str(folders[1]), "--out", str(tmp_path / "rows.jsonl"), *more]
    answer = CliRunner().invoke(command_line(bench), arguments)
    assert answer.exit_code in (1, 2) and said in answer.output and "Traceback" not in answer.output
    assert isinstance(answer.exception, SystemExit)
