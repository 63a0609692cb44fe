"""Success by attack and ε, with Wilson intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt
from operator import attrgetter
from statistics import NormalDist

from attack.evaluation.figures import BEST, Figures, Success, eps_of
from attack.evaluation.outcomes import Outcome
from attack.evaluation.titles import title
from params import THROUGH_COM_MODEL


def summarise(
    outcomes: Sequence[Outcome], confidence: float, by: Callable[[Outcome], str] = attrgetter("attack")
) -> Success:
    """Sum up outcomes; `by` gives what to group by within an ε, instead of the attack."""
    table: Success = {}
    for eps, group, some in _groups(outcomes, by):
        before = sum(each.succeeds(each.before) for each in some)
        after = sum(each.succeeds(each.after) for each in some)
        before_low, before_high = wilson(before, len(some), confidence)
        low, high = wilson(after, len(some), confidence)
        table.setdefault(f"eps{eps}", {})[group] = Figures(
            images=len(some),
            not_returned=sum(each.after is None for each in some),
            targeted=some[0].targeted,
            steps=some[0].steps,
            success_before=before / len(some),
            before_low=before_low,
            before_high=before_high,
            success_after=after / len(some),
            low=low,
            high=high,
            psnr=_mean([each.psnr for each in some]),
            ssim=_mean([each.ssim for each in some]),
        )
    return table


def wilson(successes: int, images: int, confidence: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = successes / images, z**2 / images
    centre = (share + weight / 2) / (1 + weight)
    half = sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    return (max(0.0, centre - half) if successes else 0.0), (min(1.0, centre + half) if successes < images else 1.0)


def _groups(outcomes: Sequence[Outcome], by: Callable[[Outcome], str]) -> Iterator[tuple[int, str, list[Outcome]]]:
    """Group outcomes by ε and another thing, in the order of their first image."""
    keys = dict.fromkeys((each.eps, by(each)) for each in outcomes)
    for eps, group in sorted(keys, key=lambda key: key[0]):
        yield eps, group, [each for each in outcomes if (each.eps, by(each)) == (eps, group)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


class Row(Figures):
    """How an attack did at an ε, as a row of a table."""

    attack: str
    eps: int

    @property
    def title(self) -> str:
        return title(self.attack)

    @property
    def ours(self) -> bool:
        return self.attack == BEST or self.attack.startswith(THROUGH_COM_MODEL)


def rows(success: Success, attacks: Sequence[str]) -> list[Row]:
    """List the rows of a table, ε by ε, the attacks in the order of params.yaml."""
    return [
        Row(attack=attack, eps=eps_of(key), **by_attack[attack].model_dump())
        for key, by_attack in success.items()
        for attack in attacks
        if attack in by_attack
    ]
