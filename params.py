"""params.yaml as frozen models, validated whole before any command does anything."""

from __future__ import annotations

import errno
import os
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

ADAPTERS = Path(__file__).parent / "collect" / "platforms"
ATTACKS = Path(__file__).parent / "attack" / "attacks"
TASKS = Path(__file__).parent / "attack" / "tasks"
THROUGH_COM_MODEL = "comreadv_"  # before an attack's name: the gradient passes through the ComModel
# what the gradient passes through, before an attack's name: a ComModel, a JPEG of a quality, the mean over some
SURROGATE = re.compile(r"(comreadv|average|diff(?:100|[1-9]?[0-9]))_(.+)")
UNIVERSAL = "universal"  # what stands where a platform's name does, for images made for all of them
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
ENVIRONMENT = {  # what goes before a setting: a password belongs into no file under git
    "collect.ledger": "COMREADV_LEDGER",
    "pairing.database": "COMREADV_PAIRS",
}


class UserError(Exception):
    """Say what a person has to mend; commands show it without a traceback, with exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def unwritable(place: Path, error: OSError, what: str = "written") -> UserError:
    """Return what to tell a person where a file or folder can't be written, with what may mend it."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    mend = "Make room" if full else "See that its folder is there and that you may write to it"
    return UserError(f"{place} can't be {what}: {error.strerror or error}. {mend}, then run again.")


class Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Secret = Field(repr=False)  # an address that may hold a password
Goal = Literal["targeted", "least_likely", "untargeted"]


class Split(Block):
    train: Count | Share = 0.5
    validation: Count | Share = 0.1
    test: Count | Share = 0.4

    @model_validator(mode="after")
    def _one_kind(self) -> Split:
        parts = (self.train, self.validation, self.test)
        if len({type(part) for part in parts}) > 1:
            raise ValueError("give three shares (0.5) or three whole numbers (5000), not a mixture")
        if isinstance(self.train, float) and sum(parts) > 1 + 1e-9:
            raise ValueError(f"the shares add up to {sum(parts):g}; they may be at most 1")
        return self


class Dataset(Block):
    name: Literal["sample", "folder", "ilsvrc"] = "sample"
    root: Path | None = None
    size: Annotated[int, Field(ge=16, le=4096)] = 224
    fit: Literal["squash", "crop"] = "squash"
    split: Split = Split()
    seed: int = 2012
    crops: Annotated[int, Field(ge=0)] = 12

    @model_validator(mode="after")
    def _rooted(self) -> Dataset:
        if self.name != "sample" and self.root is None:
            raise ValueError(f"dataset {self.name} needs root, the folder it is in")
        return self


class Collect(Block):
    ledger: Annotated[str, Secret] = "sqlite:///data/ledger/ledger.db"


class PlatformRow(Block):
    adapter: str
    site: Literal["sandbox", "live"] = "sandbox"
    rendition: str | None = None
    more_renditions: tuple[str, ...] = ()
    origin: str | None = None
    album: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None
    codec: str | None = None

    @field_validator("adapter")
    @classmethod
    def _known(cls, adapter: str) -> str:
        if adapter not in adapters():
            raise ValueError(f"no adapter {adapter!r}; there are {', '.join(adapters())}")
        return adapter

    @model_validator(mode="after")
    def _codec_where_it_is_used(self) -> PlatformRow:
        if (self.codec is not None) != (self.adapter == "codec"):
            raise ValueError("codec, such as jpeg:75, belongs to rows with `adapter: codec`, and to each of those")
        return self


class Pairing(Block):
    max_hash_distance: Annotated[int, Field(ge=0, le=64)] = 16
    max_residual: Positive = 24.0
    database: Annotated[str | None, Secret] = None


class Train(Block):
    model: Literal["paper", "hybrid"] = "hybrid"
    epochs: Count = 100
    minutes: Positive | None = 2.0
    batch_size: Count = 16
    learning_rate: Positive = 1e-3
    crop: Annotated[int, Field(ge=16, multiple_of=16)] | None = 64
    perturbed: Share = 0.25
    perturbed_eps: Annotated[float, Field(gt=0, le=255)] = 8.0
    patience: Annotated[float, Field(gt=0, le=1)] = 0.5
    paper_beside: Annotated[float, Field(ge=0)] = 0.0  # minutes; `true` of earlier files is one
    seed: Annotated[int, Field(ge=0, lt=2**40)] = 2012


class Attack(Block):
    task: str = "classify"
    classifier: str = "efficientnet_lite0"
    weights: Path | None = None
    attacks: tuple[str, ...] = ("fgsm", "bim", "mim", "comreadv_fgsm", "comreadv_bim", "comreadv_mim")
    eps: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1)] = (5,)
    steps: Count = 10
    step_size: Positive | None = None
    momentum: Annotated[float, Field(ge=0)] = 1.0
    goal: Goal = "targeted"
    norm: Literal["linf", "l2"] = "linf"
    ensemble: tuple[str, ...] = ()
    batch_size: Count = 8

    @property
    def targeted(self) -> bool:
        """Tell whether an attack goes towards a class rather than away from one."""
        return self.goal != "untargeted"

    @field_validator("task")
    @classmethod
    def _known_task(cls, name: str) -> str:
        if name not in tasks():
            raise ValueError(f"no task {name!r}; there are {', '.join(tasks())}")
        return name

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if split_attack(name) is None:
                raise ValueError(
                    f"no attack {name!r}; there are {', '.join(attacks())}, plain or through a surrogate:"
                    " comreadv_mim, diff75_mim, average_bim"
                )
        return _different(names)

    @field_validator("eps")
    @classmethod
    def _different_eps(cls, eps: tuple[int, ...]) -> tuple[int, ...]:
        return _different(eps)


class Evaluate(Block):
    confidence: Annotated[float, Field(gt=0, lt=1)]
    pictures: Annotated[int, Field(ge=0)] = 3


class Bench(Block):
    short: bool = True


class Cluster(Block):
    executor: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    ranks: Count = 1


class Paper(Block):
    dataset: dict[str, Any]
    train: dict[str, Any]
    attack: dict[str, Any]


class Params(Block):
    """The whole file. Every block that dvc.yaml names stands in it; where work is done changes no result."""

    scale: Literal["laptop", "paper"]
    dataset: Dataset
    collect: Collect
    platforms: dict[str, PlatformRow]
    switched_off: dict[str, PlatformRow] = {}
    pairing: Pairing
    train: Train
    attack: Attack
    evaluate: Evaluate
    bench: Bench = Bench()
    cluster: Cluster = Cluster()
    paper: Paper

    @field_validator("platforms", "switched_off")
    @classmethod
    def _names(cls, rows: dict[str, PlatformRow]) -> dict[str, PlatformRow]:
        for name in rows:
            if not NAME.fullmatch(name):
                raise ValueError(f"platform name {name!r}: use lower-case letters, digits, - and _")
            if name == UNIVERSAL:
                raise ValueError(f"platform name {name!r} is taken: it stands for images made for all platforms")
        return rows

    def platform(self, name: str) -> PlatformRow:
        """Find a platform's row, switched off or not; a UserError names those that there are."""
        row = self.platforms.get(name) or self.switched_off.get(name)
        if row is None:
            known = ", ".join([*self.platforms, *self.switched_off])
            raise UserError(f"No platform {name!r} in params.yaml. There are: {known}.")
        return row


@cache
def attacks() -> tuple[str, ...]:
    """List the attacks: the files of attack/attacks, but for the loop that they share."""
    return _modules(ATTACKS)


@cache
def tasks() -> tuple[str, ...]:
    """List the tasks: the files of attack/tasks, but for the class that they share."""
    return _modules(TASKS)


def _modules(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in folder.glob("[!_]*.py") if file.stem != "base"))


def split_attack(name: str) -> tuple[str, str] | None:
    """Split an attack's name into what it goes through and its module: comreadv_mim, diff75_mim, mim; None: unknown.

    `best` goes through `real`, the platform's own encoders where they are known; other attacks without a prefix
    through nothing, `plain`.
    """
    found = SURROGATE.fullmatch(name)
    surrogate, module = found.groups() if found else ("real" if name == "best" else "plain", name)
    return (surrogate, module) if module in attacks() else None


def _different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("the same twice")
    return values


def adapters() -> list[str]:
    """List the adapters: the files of collect/platforms."""
    return sorted(file.stem for file in ADAPTERS.glob("*.py") if not file.stem.startswith("_"))


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and validate the whole file; a UserError names the line to mend."""
    try:
        raw = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not here. Run from the project's folder, or name the file with --params.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UserError(f"{path}, line {line}: not valid YAML: {error.problem}") from None
    except (YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: expected keys such as dataset and platforms, found none")
    try:
        plain = Params.model_validate(raw)
    except ValidationError as error:
        raise UserError("\n".join(_explain(path, raw, each["loc"], each) for each in error.errors())) from None
    try:
        paper = Params.model_validate(_at_paper_scale(raw))
    except ValidationError as error:
        raise UserError(
            "\n".join(_explain(path, raw, ("paper", *each["loc"]), each) for each in error.errors())
        ) from None
    return _with_environment(plain if plain.scale == "laptop" else paper)


def place_of(setting: str) -> str:
    """Name what gives a setting of `ENVIRONMENT`, as a person would look for it."""
    variable = ENVIRONMENT[setting]
    return f"{variable} in the environment" if os.environ.get(variable) else f"{setting} in params.yaml"


def _with_environment(params: Params) -> Params:
    """Put what the environment says over the file."""
    blocks = {}
    for setting, variable in ENVIRONMENT.items():
        block, key = setting.split(".")
        if given := os.environ.get(variable):
            blocks[block] = getattr(params, block).model_copy(update={key: given})
    return params.model_copy(update=blocks)


def _at_paper_scale(raw: dict[str, Any]) -> dict[str, Any]:
    """Put the block `paper` over the others."""
    return dict(raw) | {key: {**raw[key], **block} for key, block in raw["paper"].items()}


def _explain(path: Path, raw: Any, where: tuple[int | str, ...], error: Any) -> str:
    """Name the key, its line in the file and what is wrong with it."""
    line, node, keys = 1, raw, []
    for key in where:
        if not isinstance(node, CommentedMap | CommentedSeq):
            break  # pydantic goes on with the union's branch, which is not in the file
        try:
            line = node.lc.data[key][0] + 1
            node = node[key]
        except (KeyError, IndexError, AttributeError, TypeError):
            keys.append(key)
            break
        keys.append(key)
    message = {"extra_forbidden": "unknown key", "missing": "missing"}.get(
        error["type"], error["msg"].removeprefix("Value error, ")
    )
    return f"{path}, line {line}: {'.'.join(map(str, keys)) or 'the file'}: {message}"
