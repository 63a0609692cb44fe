"""Outcomes are counted so that no image is left out, and summed up with Wilson's interval."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from attack.evaluation import Evaluation
from attack.evaluation.evaluate import made_for
from attack.evaluation.outcomes import OUTCOMES, Outcome, read_outcomes
from attack.evaluation.success_plot import success_plot
from attack.evaluation.summary import rows, summarise, wilson
from attack.evaluation.titles import title
from attack.generation.adversarial import MANIFEST, Adversarial, read_adversarial
from attack.report.plots import curve_plot
from attack.report.tables import success_table
from collect.files import to_json
from params import UserError

ONE = Outcome(
    site="sandbox",
    file="eps5/mim/a.png",
    served="eps5/mim/a.jpg",
    image="test/a.png",
    attack="mim",
    eps=5,
    steps=10,
    targeted=True,
    prediction=3,
    target=503,
    before=503,
    after=503,
    psnr=30.0,
    ssim=0.9,
    reason=None,
)
LOST = replace(ONE, served=None, after=None, psnr=None, ssim=None, reason="refused by the platform")


def test_a_targeted_attack_wants_the_target_and_an_untargeted_one_anything_else() -> None:
    assert ONE.succeeds(503) and not ONE.succeeds(504) and not ONE.succeeds(3)
    untargeted = replace(ONE, targeted=False, target=None)
    assert untargeted.succeeds(504) and not untargeted.succeeds(3)
    assert not ONE.succeeds(None) and not untargeted.succeeds(None)


def test_all_images_count_and_one_that_did_not_come_back_is_a_failure() -> None:
    outcomes = [ONE, replace(ONE, after=7, psnr=20.0, ssim=0.7), LOST, replace(LOST, before=3)]
    row = summarise(outcomes, 0.95)["eps5"]["mim"]
    assert (row.images, row.not_returned) == (4, 2)
    assert (row.success_before, row.success_after) == (0.75, 0.25)
    assert (row.psnr, row.ssim) == (25.0, pytest.approx(0.8))
    assert (row.low, row.high) == wilson(1, 4, 0.95)


def test_attacks_and_eps_are_summed_up_apart() -> None:
    outcomes = [ONE, replace(ONE, eps=3, after=1), replace(ONE, attack="fgsm", after=1)]
    summary = summarise(outcomes, 0.95)
    assert {eps: {name: row.success_after for name, row in some.items()} for eps, some in summary.items()} == {
        "eps3": {"mim": 0.0},
        "eps5": {"mim": 1.0, "fgsm": 0.0},
    }
    assert [(row.eps, row.attack) for row in rows(summary, ["fgsm", "mim"])] == [
        (3, "mim"),
        (5, "fgsm"),
        (5, "mim"),
    ]


@pytest.mark.parametrize(  # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    ("successes", "images", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(successes: int, images: int, low: float, high: float) -> None:
    assert wilson(successes, images, 0.95) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_outcomes_survive_the_disk_and_a_missing_stage_is_named(tmp_path: Path) -> None:
    (tmp_path / OUTCOMES).write_text("".join(json.dumps(asdict(each)) + "\n" for each in (ONE, LOST)))
    assert read_outcomes(tmp_path) == [ONE, LOST]
    with pytest.raises(UserError, match="comreadv evaluate --platform weibo"):
        read_outcomes(tmp_path / "weibo")
    with pytest.raises(UserError, match="comreadv attack --platform weibo"):
        read_adversarial(tmp_path / "weibo", tmp_path)
    with pytest.raises(UserError, match="comreadv attack --universal"):
        read_adversarial(tmp_path / "universal", tmp_path)
    shared = {key: value for key, value in asdict(ONE).items() if key in Adversarial.model_fields}
    row = Adversarial(**shared | {"image": "test/gone.png", "sha256": "0", "max_change": 5})
    (tmp_path / MANIFEST).write_text(to_json(Adversarial, row))
    with pytest.raises(UserError, match=r"made from test/gone.png, which is not in"):
        read_adversarial(tmp_path, tmp_path)


def test_outcomes_of_an_earlier_version_are_those_of_classify(tmp_path: Path) -> None:
    row = asdict(LOST)
    del row["task"]
    (tmp_path / OUTCOMES).write_text(json.dumps(row, sort_keys=True) + "\n")
    assert read_outcomes(tmp_path) == [LOST]


def test_outcomes_can_be_summed_up_by_what_they_were_made_for() -> None:
    outcomes = [replace(ONE, file="weibo/eps5/best/a.png"), replace(ONE, file="universal/eps5/best/a.png", after=1)]
    summary = summarise(outcomes, 0.95, made_for)
    assert {name: row.success_after for name, row in summary["eps5"].items()} == {"weibo": 1.0, "universal": 0.0}


def test_table_and_plot_show_every_row_under_the_papers_names() -> None:
    outcomes = [ONE, replace(ONE, attack="comreadv_mim"), replace(LOST, attack="comreadv_mim")]
    summary = summarise(outcomes, 0.95)
    figures = {"generation": 1, "classifier": "resnet50", "images": 2, "confidence": 0.95, "success": summary}
    laid = success_table([Evaluation(platform="weibo", site="sandbox", **figures)], ["mim", "comreadv_mim"])
    assert [cell.strip() for cell in laid.columns[0].cells] == ["[bold]weibo[/bold] (sandbox)", "MIM", "ComReAdv_mim"]
    assert list(laid.columns[5].cells) == ["", "100%", "50%"]
    plot = success_plot(summary, ["mim", "comreadv_mim"])
    assert plot.startswith("<svg") and plot.rstrip().endswith("</svg>")
    assert title("comreadv_bim") == "ComReAdv_bim"


def test_the_curve_stands_beside_the_identity_on_the_same_crops(tmp_path: Path, monkeypatch) -> None:
    curve = tmp_path / "weibo.csv"
    curve.write_text("epoch,train_mae,validation_mae\n0,3.0,4.0\n5,2.9,3.5\n")
    drawn = []
    monkeypatch.setattr("matplotlib.axes.Axes.axhline", lambda _, height, **how: drawn.append((height, how["label"])))
    assert curve_plot(curve).startswith("<svg")
    assert drawn == [(4.0, "identity, validation")]
