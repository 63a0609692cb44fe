"""The commands: two folders paired by hand, and the summary of what is in a database."""

import shutil
from pathlib import Path

import pytest
import typer
from databases import accepted
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from collect.command_line import command_line
from pairing.commands.pairing import pairing
from pairing.commands.pairs import pairs

app, more = command_line(pairing), command_line(pairs)

ROOT = Path(__file__).parents[3]
PHOTOS = [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")]


def run(app: typer.Typer, *arguments: str) -> str:
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    return answer.output


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs_setting: str | None) -> Path:
    """Four photos, and as many files: three of them resized, without their names; one of nothing."""
    monkeypatch.chdir(tmp_path)
    if pairs_setting is not None:
        monkeypatch.setenv("COMREADV_PAIRS", pairs_setting)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    for folder in ("mine", "theirs", "data/pairs"):
        Path(folder).mkdir(parents=True)
    for number, photo in enumerate(PHOTOS):
        photo.save(f"mine/{number}.png")
    for number, photo in enumerate(PHOTOS[:3]):
        small = photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.BICUBIC)
        if number == 1:
            small.paste((255, 255, 255), (120, 120, 190, 140))
        small.save(f"theirs/IMG_{9 - number}.jpg", quality=80)
    Image.new("RGB", (200, 100), "white").save("theirs/IMG_0.jpg")
    return tmp_path


BY_HAND = ("--originals", "mine", "--renditions", "theirs", "--out", "data/pairs/weibo.db")


def test_two_folders_are_paired_by_content_and_the_same_bytes_come_again(folders: Path) -> None:
    said = run(app, *BY_HAND)
    assert "3 pairs accepted, 1 rejected" in said and "theirs/IMG_0.jpg: a blank placeholder" in said
    found = {split: accepted(Path("data/pairs/weibo.db"), split) for split in ("train", "validation", "test")}
    assert all(found.values())
    made = sorted(pair for each in found.values() for pair in each)
    assert made == [(Path(f"mine/{number}.png"), Path(f"theirs/IMG_{9 - number}.jpg")) for number in range(3)]
    before = Path("data/pairs/weibo.db").read_bytes()
    run(app, *BY_HAND)
    assert Path("data/pairs/weibo.db").read_bytes() == before


def test_what_the_split_does_not_take_is_told_and_not_counted(folders: Path) -> None:
    text, shares = Path("params.yaml").read_text(), "{train: 0.5, validation: 0.1, test: 0.4}"
    assert shares in text
    Path("params.yaml").write_text(text.replace(shares, "{train: 1, validation: 1, test: 1}"))
    PHOTOS[3].save("theirs/IMG_6.jpg", quality=80)
    said = run(app, *BY_HAND)
    assert "3 pairs accepted, 2 rejected" in said
    assert "1 left over" in said and "theirs/IMG_6.jpg: left over: dataset.split takes 3" in said
    found = [accepted(Path("data/pairs/weibo.db"), split) for split in ("train", "validation", "test")]
    assert [len(each) for each in found] == [1, 1, 1]


def test_the_summary_counts_and_pictures_the_worst(folders: Path, pairs_setting: str | None) -> None:
    run(app, *BY_HAND)
    if pairs_setting is not None:
        run(more, "--platform", "weibo", "--publish")
        Path("data/pairs/weibo.db").unlink()  # a shared database needs it no more
    said = run(more, "--platform", "weibo", "--worst", "3")
    assert "weibo: 3 pairs accepted, 0 rejected." in said
    assert "resized by bicubic (3)" in said and "scale 0.5 in the middle" in said
    assert "1 with a watermark" in said and "The worst 3 accepted are in reports/pairs-weibo.png." in said
    with Image.open("reports/pairs-weibo.png") as picture:
        assert picture.width == 3 * 224
        colours = {colour: count for count, colour in picture.getcolors(picture.width * picture.height) or []}
    assert colours[255, 0, 255] > 300  # the watermark, in the difference
    run(more, "--platform", "weibo", "--worst", "1")
    Path("mine/1.png").unlink()
    answer = CliRunner().invoke(more, ["--platform", "weibo"])
    assert answer.exit_code == 1 and "mine/1.png is missing" in answer.output and "`--worst 0`" in answer.output
    assert "3 pairs accepted" in run(more, "--platform", "weibo", "--worst", "0")
    with Image.open("reports/pairs-weibo.png") as first:
        assert first.height < picture.height / 2


def test_what_is_missing_or_does_not_go_together_is_said(folders: Path, pairs_setting: str | None) -> None:
    publishing = "data/pairs/weibo.db is missing" if pairs_setting else "--publish needs a shared database"
    for command, arguments, told in (
        (app, (), "--originals, --renditions and --out"),
        (
            app,
            ("--platform", "weibo", "--out", "x.db"),
            "Name a platform with --platform, or two folders",
        ),
        (app, ("--originals", "mine"), "give all three"),
        (app, ("--originals", "none", *BY_HAND[2:]), "holds no image"),
        (
            more,
            ("--platform", "weibo"),
            "is missing. Run `comreadv pairing --platform weibo`.",
        ),
        (more, ("--platform", "weibo", "--publish"), publishing),
    ):
        answer = CliRunner().invoke(command, arguments)
        assert answer.exit_code == 1 and told in " ".join(answer.output.split()), answer.output
