"""Whether a browser's context is still of use (crawlee's error score)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ERROR_SCORE = 3.0
ERROR_SCORE_DECREMENT = 0.5
MAX_STEPS = 500  # a browser's memory grows with the pages that it has seen


@dataclass
class SessionHealth:
    """A context's error score: each step that fails adds 1 to it, each that does not takes a little off."""

    error_score: float = 0.0
    steps: int = 0

    def mark_good(self) -> None:
        self.error_score = max(0.0, self.error_score - ERROR_SCORE_DECREMENT)
        self.steps += 1

    def mark_bad(self) -> None:
        self.error_score += 1

    def retire(self) -> None:
        self.error_score = MAX_ERROR_SCORE

    @property
    def is_usable(self) -> bool:
        return self.error_score < MAX_ERROR_SCORE and self.steps < MAX_STEPS
