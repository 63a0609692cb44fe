"""What became of a protected photo: a line of the record."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field

from attack.evaluation.visibility import Visibility


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Answer(_Frozen):
    """What a classifier says."""

    label: int
    name: str
    confidence: float  # 0 to 1


class Verdict(_Frozen):
    """What a classifier says before and after a platform's processing."""

    platform: str
    how: str  # the processing was reckoned
    classifier: str
    before: Answer  # of the photo itself
    unprotected: Answer  # of the photo as the platform would serve it
    after: Answer  # of the copy, as written, as the platform would serve it
    target: int | None
    survives: bool


class Protected(_Frozen):
    """A protected copy."""

    source: str
    sha256: str  # of the source
    output: str
    output_sha256: str
    bytes: int
    width: int
    height: int
    eps: int
    verdicts: tuple[Verdict, ...]
    visibility: Visibility
    settings: dict[str, Any]  # JSON values that say what the copy depends on, beside the photo

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorator above a property
    @property
    def survives(self) -> bool:
        """Tell whether every classifier errs behind every platform."""
        return all(each.survives for each in self.verdicts)
