"""What models/<platform>.json tells of a training."""

from __future__ import annotations

from pydantic import BaseModel


class EmulatorMetrics(BaseModel):
    """The chain that was found, and how near it comes; see `train.emulator.Emulator`."""

    chain: str
    identified: bool
    verdict: str | None = None  # in words; an earlier version's file has none
    words: str | None = None  # the software behind the chain
    mae: float | None = None  # grey levels
    exact: float | None = None  # share of the pairs


class EarlierModel(BaseModel):
    """The model before, measured on the pairs of now; errors in grey levels."""

    generation: int | None = None
    mae: float
    validation_mae: float
    in_use: bool = False  # it is the better one on validation, and stays


class TrainingMetrics(BaseModel):
    """How near a ComModel comes to its platform, and what the training took; errors in grey levels (0-255).

    What has a default came later: an earlier version's file has it not.
    """

    platform: str
    generation: int  # of the platform's codec
    model: str  # of the network
    mae: float  # of the test split
    identity_mae: float  # of the same, without a model
    paper_mae: float | None = None  # by the paper's net; None: not asked for
    validation_mae: float
    identity_validation_mae: float
    mae_adversarial: float | None = None  # with changes on the images; None: the chain isn't identified
    mae_noise: float | None = None
    before: EarlierModel | None = None
    emulator: EmulatorMetrics | None = None
    parameters: int  # that were trained
    epochs: float
    steps: int
    seconds: float
    images: dict[str, int]  # by split
    put_back: int | None = None  # the generation for which a person put this earlier model in use again
