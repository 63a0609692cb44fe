"""Success by attack and ε, with Wilson intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from scipy.stats import binomtest

from attack.evaluation.outcomes import Outcome
from params import THROUGH_COM_MODEL, split_attack


def summarise(
    outcomes: Sequence[Outcome], confidence: float, by: Callable[[Outcome], str] = attrgetter("attack")
) -> dict[str, dict[str, dict[str, Any]]]:
    """Sum up outcomes as {eps: {attack: {images, success_before, success_after, low, high, psnr, ssim, …}}}.

    `by` gives what to group by within an ε, instead of the attack. All images count. `low` and `high` bound
    success_after by Wilson's interval; PSNR and SSIM are means over what came back. A share is between 0 and 1.
    """
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for eps, group, some in _groups(outcomes, by):
        before = sum(each.succeeds(each.before) for each in some)
        after = sum(each.succeeds(each.after) for each in some)
        before_low, before_high = wilson(before, len(some), confidence)
        low, high = wilson(after, len(some), confidence)
        table.setdefault(f"eps{eps}", {})[group] = {
            "images": len(some),
            "not_returned": sum(each.after is None for each in some),
            "targeted": some[0].targeted,
            "steps": some[0].steps,
            "success_before": before / len(some),
            "before_low": before_low,
            "before_high": before_high,
            "success_after": after / len(some),
            "low": low,
            "high": high,
            "psnr": _mean([each.psnr for each in some]),
            "ssim": _mean([each.ssim for each in some]),
        }
    return table


def wilson(successes: int, images: int, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share."""
    interval = binomtest(successes, images).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _groups(outcomes: Sequence[Outcome], by: Callable[[Outcome], str]) -> Iterator[tuple[int, str, list[Outcome]]]:
    """Group outcomes by ε and another thing, in the order of their first image."""
    keys = dict.fromkeys((each.eps, by(each)) for each in outcomes)
    for eps, group in sorted(keys, key=lambda key: key[0]):
        yield eps, group, [each for each in outcomes if (each.eps, by(each)) == (eps, group)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


BEST = "best"  # the attack whose images are sent to the other platforms


PEERS = {"torchattacks": "torchattacks' MI-FGSM", "foolbox": "foolbox's MI-FGSM", "kornia": "MIM through kornia's JPEG"}


def rows(summary: dict[str, dict[str, Any]], attacks: Sequence[str]) -> Iterator[dict[str, Any]]:
    """List a summary's rows, ε by ε, the attacks in the order of params.yaml."""
    for eps, by_attack in summary.items():
        for attack in [each for each in attacks if each in by_attack]:
            yield {
                "attack": attack,
                "title": title(attack),
                "ours": attack == BEST or attack.startswith(THROUGH_COM_MODEL),
                "eps": eps.removeprefix("eps"),
                **by_attack[attack],
            }


def title(attack: str) -> str:
    """Write an attack's name as the papers do: MIM, ComReAdv_mim, Diff_mim(75); a peer's package by its name."""
    peer = PEERS.get(attack.partition("_")[0].rstrip("0123456789"))
    if peer is not None:
        quality = attack.partition("_")[0].removeprefix("kornia")
        return f"{peer} ({quality})" if quality.isdigit() else peer
    surrogate, module = split_attack(attack) or ("plain", attack)
    if attack.startswith("paper_"):
        return f"ComReAdv_{attack.removeprefix('paper_')}, the paper's net"
    if attack.startswith(THROUGH_COM_MODEL):
        return f"ComReAdv_{module}"
    if surrogate.startswith("diff"):
        return f"Diff_{module}({surrogate.removeprefix('diff')})"
    if surrogate == "average":
        return f"JPEG average_{module}"
    return module if module == BEST else module.upper().replace("_OFFICIAL", " (official)")
