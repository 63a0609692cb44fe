"""The results as rows and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.table import Table

from params import THROUGH_COM_MODEL, split_attack

OURS = ("best", "universal")


def rows(summary: dict[str, dict[str, Any]], attacks: Sequence[str]) -> Iterator[dict[str, Any]]:
    """List a summary's rows, ε by ε, the attacks in the order of params.yaml."""
    for eps, by_attack in summary.items():
        for attack in [each for each in attacks if each in by_attack]:
            yield {
                "attack": attack,
                "title": title(attack),
                "eps": eps.removeprefix("eps"),
                **by_attack[attack],
            }


def table(reports: Sequence[dict[str, Any]], attacks: Sequence[str]) -> Table:
    """Lay out the platforms' metrics for a terminal."""
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="Success of the attacks, all images counted")
    laid.add_column("platform, attack", no_wrap=True)
    for heading in ("ε", "images", "before", "interval", "after", "interval", "PSNR", "SSIM"):
        laid.add_column(heading, justify="right", no_wrap=True)
    for report in reports:
        laid.add_row(f"[bold]{report['platform']}[/bold] ({report['site']})")
        for row in rows(report["success"], attacks):
            laid.add_row(
                "  " + row["title"],
                row["eps"],
                str(row["images"]),
                f"{row['success_before']:.0%}",
                f"{row['before_low']:.0%}–{row['before_high']:.0%}",
                f"{row['success_after']:.0%}",
                f"{row['low']:.0%}–{row['high']:.0%}",
                "–" if row["psnr"] is None else f"{row['psnr']:.1f}",
                "–" if row["ssim"] is None else f"{row['ssim']:.3f}",
            )
        laid.add_section()
    return laid


def model_table(models: Sequence[dict[str, Any]]) -> Table:
    """Lay out the ComModels' metrics for a terminal; figures that were not measured are dashes."""
    heading = "Mean absolute error of the ComModels on test images, grey levels"
    laid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=heading)
    laid.add_column("platform", no_wrap=True)
    for heading in ("ComModel", "adversarial", "paper's net", "identity"):
        laid.add_column(heading, justify="right", no_wrap=True)
    laid.add_column("codec", overflow="fold")
    for model in models:
        emulator = model.get("emulator") or {"chain": "unknown", "identified": False}
        doubt = "" if emulator["identified"] else ", not identified"
        errors = (model.get(key) for key in ("mae", "mae_adversarial", "paper_mae", "identity_mae"))
        shown = ("–" if error is None else f"{error:.2f}" for error in errors)
        laid.add_row(f"[bold]{model['platform']}[/bold]", *shown, emulator["chain"] + doubt)
    return laid


def title(attack: str) -> str:
    """Write an attack's name as the papers do: MIM, ComReAdv_mim, Diff_mim(75)."""
    surrogate, module = split_attack(attack) or ("plain", attack)
    if attack.startswith(THROUGH_COM_MODEL):
        return f"ComReAdv_{module}"
    if surrogate.startswith("diff"):
        return f"Diff_{module}({surrogate.removeprefix('diff')})"
    if surrogate == "average":
        return f"JPEG average_{module}"
    return module if module in OURS else module.upper().replace("_OFFICIAL", " (official)")
