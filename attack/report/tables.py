"""The results as rows and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from attack.evaluation import Evaluation, Figures
from attack.evaluation.summary import rows
from attack.evaluation.transfer_matrix import Matrix
from params import UNIVERSAL
from train.training import TrainingMetrics


def success_table(evaluations: Sequence[Evaluation], attacks: Sequence[str]) -> Table:
    """Lay out the platforms' metrics for a terminal."""
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="Success of the attacks, all images counted")
    laid.add_column("platform, attack", no_wrap=True)
    for heading in ("ε", "images", "before", "interval", "after", "interval", "PSNR", "SSIM"):
        laid.add_column(heading, justify="right", no_wrap=True)
    for evaluation in evaluations:
        laid.add_row(f"[bold]{evaluation.platform}[/bold] ({evaluation.site})")
        for row in rows(evaluation.success, attacks):
            laid.add_row(
                "  " + row.title,
                str(row.eps),
                str(row.images),
                f"{row.success_before:.0%}",
                f"{row.before_low:.0%}–{row.before_high:.0%}",
                f"{row.success_after:.0%}",
                f"{row.low:.0%}–{row.high:.0%}",
                "–" if row.psnr is None else f"{row.psnr:.1f}",
                "–" if row.ssim is None else f"{row.ssim:.3f}",
            )
        laid.add_section()
    return laid


def model_table(models: Sequence[TrainingMetrics]) -> Table:
    """Lay out the ComModels' metrics for a terminal; figures that were not measured are dashes."""
    heading = "Mean absolute error of the ComModels on test images, grey levels"
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=heading)
    laid.add_column("platform", no_wrap=True)
    for heading in ("ComModel", "adversarial", "paper's net", "identity"):
        laid.add_column(heading, justify="right", no_wrap=True)
    laid.add_column("codec", overflow="fold")
    for model in models:
        emulator = model.emulator
        chain = "unknown"
        if emulator:
            verdict = emulator.verdict or ("identified" if emulator.identified else "not identified")
            chain = emulator.chain if emulator.identified else f"{emulator.chain}, {verdict}"
        errors = (model.mae, model.mae_adversarial, model.paper_mae, model.identity_mae)
        shown = ("–" if error is None else f"{error:.2f}" for error in errors)
        laid.add_row(f"[bold]{model.platform}[/bold]", *shown, chain)
    return laid


def transfer_table(matrix: Matrix) -> Table:
    """Lay out which images, made for whom, still work on which platform."""
    heading = f"Success of best after the round trip, ε={matrix.eps}: made for (rows), read on (columns)"
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=heading)
    laid.add_column("made for", no_wrap=True)
    for platform in matrix.platforms:
        laid.add_column(platform, justify="right", no_wrap=True)
    for source, cells in matrix.rows.items():
        shown = ("–" if cell is None else _share(cell) for cell in map(cells.get, matrix.platforms))
        laid.add_row(f"[bold]{source}[/bold]" if source == UNIVERSAL else source, *shown)
    laid.caption = price(matrix)
    return laid


def _share(cell: Figures) -> str:
    return f"{cell.success_after:.0%} ({cell.low:.0%}–{cell.high:.0%})"


def price(matrix: Matrix) -> str | None:
    """Tell in a sentence what one image for all platforms costs; None where it is not known."""
    if matrix.price is None:
        return None
    own, shared, platforms = matrix.price
    over = f"mean over {platforms} platforms" if platforms > 1 else "on one platform"
    points = round(100 * (own - shared))
    cost = f"costs {points} points" if points > 0 else f"gains {-points} points" if points else "costs nothing"
    return (
        f"At ε={matrix.eps}, one image for all platforms {cost} beside one made for the platform itself:"
        f" {100 * shared:.0f} % against {100 * own:.0f} %, {over}."
    )
