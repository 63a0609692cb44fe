"""Generations are put together from what retraining keeps and what is in use."""

import json
import re
from pathlib import Path

import pytest
from figures import evaluation, figures, training

from attack.evaluation import Figures, strongest
from attack.report.history import Generation, read_history
from attack.report.plots import history_plot
from params import UserError


def write(file: Path, content: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Three generations of weibo: two kept, one in use, of which the second was never evaluated."""
    kept, models, reports = (tmp_path / name for name in ("kept", "models", "reports"))
    for number, folder in ((1, kept / "weibo/1"), (10, kept / "weibo/10"), (11, models)):
        write(folder / "weibo.json", training("weibo", number, mae=number / 10))
    for number, file in ((1, kept / "weibo/1/evaluation.json"), (11, reports / "weibo.json")):
        write(file, evaluation("weibo", {"eps5": {"best": figures(number / 20)}}, number))
    write(kept / "douban/2/douban.json", training("douban", 2, mae=9.0))
    return kept, models, reports


def test_kept_generations_and_the_present_one_stand_in_their_order(folders: tuple[Path, Path, Path]) -> None:
    found = read_history("weibo", *folders)
    assert [(each.generation, each.mae, each.identity_mae) for each in found] == [
        (1, 0.1, 4.0),
        (10, 1.0, 4.0),
        (11, 1.1, 4.0),
    ]
    best = [strongest(each.success) for each in found]
    assert [each and each.figures.success_after for each in best] == [0.05, None, 0.55]
    assert read_history("facebook", *folders) == []


def test_half_a_copy_that_a_kill_left_is_passed_over(folders: tuple[Path, Path, Path]) -> None:
    whole = read_history("weibo", *folders)
    part = folders[0] / "weibo/12.part"
    part.mkdir()
    (part / "weibo.json").write_text('{"generation": 12, "ma')
    assert read_history("weibo", *folders) == whole


def test_what_is_in_use_counts_rather_than_what_was_kept_of_its_generation(folders: tuple[Path, Path, Path]) -> None:
    kept, models, reports = folders
    write(models / "weibo.json", training("weibo", 10, mae=0.5))  # put back, and measured again
    found = read_history("weibo", kept, models, reports)
    assert [(each.generation, each.mae) for each in found] == [(1, 0.1), (10, 0.5), (11, None)]
    assert strongest(found[2].success) is not None  # an evaluation stands with its own generation


@pytest.mark.parametrize("file", ["kept/weibo/1/weibo.json", "kept/weibo/1/evaluation.json", "reports/weibo.json"])
@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b'{"generation": "one"}'])
def test_a_damaged_file_is_named(tmp_path: Path, folders: tuple[Path, Path, Path], file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=f"{file} is damaged"):
        read_history("weibo", *folders)


def test_the_strongest_attack_is_best_at_the_largest_eps_or_else_the_one_of_most_success() -> None:
    table = {
        eps: {name: Figures.model_validate(figures(after)) for name, after in attacks.items()}
        for eps, attacks in {"eps3": {"best": 1.0}, "eps16": {"mim": 0.25, "best": 0.5, "pgd": 0.75}}.items()
    }
    found = strongest(table)
    assert found is not None and (found.attack, found.eps, found.figures.success_after) == ("best", 16, 0.5)
    del table["eps16"]["best"]
    found = strongest(table)
    assert found is not None and (found.attack, found.eps) == ("pgd", 16)
    assert strongest({}) is None and strongest({"eps5": {}}) is None and strongest(None) is None


def test_the_plot_has_both_panels_and_a_tick_a_generation(folders: tuple[Path, Path, Path]) -> None:
    drawn = history_plot(read_history("weibo", *folders))
    texts = re.findall(r"<!-- (.*?) -->", drawn)
    assert {"MAE, grey levels", "identity", "ComModel", "success after, %", "best, ε=5"} <= set(texts)
    lower = texts[texts.index("MAE, grey levels") :]
    assert [text for text in lower if text in ("1", "10", "11")] == ["1", "10", "11"]


def test_generations_without_any_figures_are_drawn_too() -> None:
    nothing = [Generation(number, None, None, None) for number in (1, 2)]
    rounded = Generation(3, 0.0, 0.0, {"eps5": {"mim": Figures.model_validate(figures(1.0, low=1.0, high=1 - 1e-16))}})
    assert history_plot(nothing).startswith("<svg")
    assert "<!-- MIM, ε=5 -->" in history_plot([*nothing, rounded])
