"""The whole way once, on small data: `dvc repro` from photos to the report, through a real browser."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
SETTINGS = """
scale: laptop
collect: {ledger: "sqlite:///data/ledger/ledger.db"}
pairing: {max_hash_distance: 16, max_residual: 24.0}
paper: {dataset: {}, train: {}, attack: {}}
dataset: {name: sample, size: 64, crops: 2, split: {train: 0.3, validation: 0.1, test: 0.2}}
platforms:
  broken: {adapter: douban, album: null}
  weibo: {adapter: weibo, rendition: large}
  jpeg-25: {adapter: codec, codec: "jpeg:25"}
train: {epochs: 2, minutes: 0.1, batch_size: 4, crop: 48}
attack: {attacks: [mim, comreadv_mim, best], eps: [8], steps: 2, step_size: 4}
evaluate: {pictures: 1, confidence: 0.95}
bench: {short: false}
"""
BENCH = ("--eps 2 --eps 3 --eps 5 --steps 10", "--attack mim --attack best --eps 6 --eps 8 --steps 1 --limit 2")


def dvc(folder: Path, *arguments: str, fails: bool = False) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert (answer.returncode != 0) == fails, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def status(folder: Path) -> dict[str, list]:
    """Ask DVC which stages have something to do."""
    said = dvc(folder, "status", "--json")
    return json.loads(said[said.index("{") : said.rindex("}") + 1])


def test_dvc_reads_every_stage_and_sees_that_none_was_run(tmp_path: Path) -> None:
    for name in (".dvcignore", "dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert {"prepare", "collect@weibo", "train@weibo", "report"} <= set(status(tmp_path))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own with small settings, run once; one of its platforms fails at first."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("collect", "pairing", "train", "attack", "fingerprints"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    stages = (ROOT / "dvc.yaml").read_text()
    assert BENCH[0] in stages
    (folder / "dvc.yaml").write_text(stages.replace(*BENCH))  # the same stage, less of it
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    (folder / "params.yaml").write_text(SETTINGS)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    shutil.copy(folder / "fingerprints" / "douban.json", folder / "fingerprints" / "broken.json")
    said = dvc(folder, "repro", "--keep-going", fails=True)
    assert "douban needs the number of a private album" in " ".join(said.split())
    assert sorted(file.name for file in (folder / "reports").glob("*.json")) == ["jpeg-25.json", "weibo.json"]
    (folder / "params.yaml").write_text("\n".join(line for line in SETTINGS.splitlines() if "broken" not in line))
    assert said.count("Running stage") > 10
    again = dvc(folder, "repro")  # what waited for the platform that failed: what is of all platforms
    for stage in ("universal", "transfer@weibo", "transfer@jpeg-25", "report"):
        assert f"Running stage '{stage}'" in again
    assert again.count("Running stage") == 4
    return folder


@pytest.mark.browser
@pytest.mark.slow
def test_every_image_is_accounted_for(project: Path) -> None:
    images = [json.loads(line) for line in (project / "data/images/manifest.jsonl").read_text().splitlines()]
    tested = [row["name"] for row in images if row.get("split") == "test"]
    assert len(tested) == 6
    for name in ("weibo", "jpeg-25"):
        report = json.loads((project / "reports" / f"{name}.json").read_text())
        assert report["images"] == len(tested)
        for attack in ("mim", "comreadv_mim", "best"):
            row = report["success"]["eps8"][attack]
            assert row["images"] == len(tested)
            assert row["not_returned"] == 0
            assert 0 <= row["low"] <= row["success_after"] <= row["high"] <= 1
            assert 10 < row["psnr"] < 50
            assert 0.2 < row["ssim"] < 1
        metrics = json.loads((project / "models" / f"{name}.json").read_text())
        assert metrics["mae"] < 1.02 * metrics["identity_mae"]
        for row in map(json.loads, (project / "data/evaluation" / name / "outcomes.jsonl").read_text().splitlines()):
            with Image.open(project / "data/evaluation" / name / row["served"]) as served:
                assert (served.format, served.size) == ("JPEG", (64, 64))


@pytest.mark.browser
@pytest.mark.slow
def test_a_second_clone_pulls_all_and_reproduces_nothing(project: Path, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        subprocess.run(["git", *who, *arguments], cwd=project, check=True, capture_output=True)

    shared, second = tmp_path / "shared", tmp_path / "second"
    try:
        dvc(project, "remote", "add", "--default", "team", str(shared))
        git("add", "--all")
        git("commit", "--quiet", "--message", "What was run")
        dvc(project, "push")
        git("clone", "--quiet", str(project), str(second))
    finally:
        dvc(project, "remote", "remove", "team")
    dvc(second, "pull")
    for file in ("data/pairs/weibo.db", "models/weibo.safetensors", "reports/weibo.json", "reports/index.html"):
        assert (second / file).read_bytes() == (project / file).read_bytes()
    assert not (second / "data/ledger").exists()
    assert status(second) == {}
    assert "Running stage" not in dvc(second, "repro")


@pytest.mark.browser
@pytest.mark.slow
def test_images_made_for_others_and_for_all_are_read_on_every_platform(project: Path) -> None:
    for name, other in (("weibo", "jpeg-25"), ("jpeg-25", "weibo")):
        success = json.loads((project / "reports/transfer" / f"{name}.json").read_text())["success"]["eps8"]
        assert list(success) == [other, "universal"]
        assert all((row["images"], row["not_returned"]) == (6, 0) for row in success.values())
        served = project / "data/transfer" / name
        rows = [json.loads(line) for line in (served / "outcomes.jsonl").read_text().splitlines()]
        assert sorted({row["file"].partition("/")[0] for row in rows}) == sorted([other, "universal"])
        assert all((served / row["served"]).exists() for row in rows)
    universal = [
        json.loads(line) for line in (project / "data/adversarial/universal/manifest.jsonl").read_text().splitlines()
    ]
    assert len(universal) == 6 and {row["attack"] for row in universal} == {"best"}


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_needs_no_network_and_shows_every_platform(project: Path) -> None:
    page = (project / "reports/index.html").read_text()
    assert "weibo (sandbox)" in page and "jpeg-25" in page
    assert page.count("data:image/webp;base64,") == 2 * 3 * 4 + 2 * 1 * 4
    assert "ComReAdv_mim" in page and "made for ↓, read on →" in page and "jpeg:50, ε=8" in page
    outside = page.replace("http://www.w3.org/", "")
    assert "http://" not in outside and "https://" not in outside and "<script" not in page


@pytest.mark.browser
@pytest.mark.slow
def test_nothing_to_do_is_nothing_done_and_a_change_reruns_its_platform_alone(project: Path) -> None:
    assert "up to date" in dvc(project, "repro")
    file = project / "fingerprints" / "weibo.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"generation": content["generation"] + 1}))
    changed = status(project)
    assert set(changed) == {"collect@weibo", "evaluate@weibo", "transfer@weibo"}
    settings = project / "params.yaml"
    settings.write_text(settings.read_text().replace("jpeg:25", "jpeg:30"))
    file.write_text(json.dumps(content))
    shutil.copy(ROOT / "fingerprints" / "weibo.json", file)
    changed = status(project)
    of_all = {"universal", "transfer@weibo", "transfer@jpeg-25", "report"}
    assert set(changed) == {"collect@jpeg-25", "evaluate@jpeg-25", *of_all}
