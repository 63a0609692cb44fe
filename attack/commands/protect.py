"""The command `protect`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import params
from collect.command_line import PARAMS, ParamsOption
from params import UserError
from train.cluster import ExecutorOption, RayAddressOption, executor_of

if TYPE_CHECKING:
    from attack.protect.photo_model import Processing
    from attack.protect.protector import ProtectionRequest


class Goal(StrEnum):
    untargeted = "untargeted"
    targeted = "targeted"
    least_likely = "least-likely"


GOALS: dict[Goal, params.Goal] = {
    Goal.untargeted: "untargeted",
    Goal.targeted: "targeted",
    Goal.least_likely: "least_likely",
}


class Kind(StrEnum):
    png = "png"
    jpeg = "jpeg"


def protect(
    photos: Annotated[list[Path], typer.Argument(help="Photos, and folders of photos.", metavar="PHOTO...")],
    platform: Annotated[list[str], typer.Option(help="A platform of params.yaml; give it again for another.")],
    eps: Annotated[
        int | None, typer.Option(min=1, max=255, help="The largest change of a colour, grey levels; 5 unless given.")
    ] = None,
    visibility: Annotated[
        float | None, typer.Option(help="Instead of --eps: the most SSIM that may be lost, such as 0.02.")
    ] = None,
    goal: Annotated[
        Goal, typer.Option(help="Away from what the model says, to a class far off, or to the least likely one.")
    ] = Goal.untargeted,
    classifier: Annotated[
        list[str] | None, typer.Option(help="A model to be protected from, params.yaml's unless given; repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of the protected copies.")] = Path("protected"),
    kind: Annotated[
        Kind | None, typer.Option("--format", help="Of the copies; PNG unless a platform takes none.")
    ] = None,
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep EXIF and XMP: place, time and camera.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    models: Annotated[Path, typer.Option(help="The folder of the platforms' models.")] = Path("models"),
    params_file: ParamsOption = PARAMS,
) -> None:
    """Protect photos, so that recognition models err on them even after a platform has recompressed them.

    Reads models/<platform>.emulator.json and .safetensors. Writes the copies and protected.jsonl to OUT, and never a
    source. Stops and resumes; what is done is skipped.
    """
    settings = params.load(params_file)
    rows = {name: settings.platform(name) for name in platform}
    if eps is not None and visibility is not None:
        raise UserError("--eps and --visibility are two ways to say how much may change. Give one of them.")
    if visibility is not None and not 0 < visibility < 1:
        raise UserError(f"--visibility {visibility:g}: give a loss of SSIM between 0 and 1, such as 0.02.")
    kind = _kind(kind, rows)
    names = list(dict.fromkeys(classifier or [settings.attack.classifier]))

    from attack.protect import photo

    found = photo.find_photos(photos, out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file. Give a folder.")

    from attack.models import classifiers
    from attack.protect.batch import Result, protect_all
    from attack.protect.output import FEW, Each, Failures, Json, Reporter, Summary
    from attack.protect.photo_model import Processing
    from attack.protect.protector import ProtectionRequest, Protector
    from train import device

    executed = executor_of(settings.cluster, executor, ray_address)
    on = device.best()
    platforms = [Processing.load(name, models, on) for name in rows]
    request = ProtectionRequest(
        goal=GOALS[goal],
        eps=None if visibility is not None else eps or 5,
        visibility=visibility,
        kind=kind.value,
        keep_metadata=keep_metadata,
        task=settings.attack.task,
    )
    own = settings.attack.classifier
    loaded = {name: classifiers.load(name, settings.attack.weights if name == own else None, on) for name in names}
    depends_on = _depends_on(request, platforms, models, names, settings.attack.weights)
    failures = Failures()
    reporter: Reporter = Json() if as_json else Each() if len(found) <= FEW else Summary(out)

    def tell(result: Result) -> None:
        reporter.tell(result)
        failures.tell(result)

    protector = Protector(request, platforms, loaded, depends_on)
    protect_all(protector, found, out, photo.SUFFIXES[kind], tell, executed)
    reporter.end()
    failures.end()
    if failures.count:
        raise typer.Exit(1)


def _kind(wanted: Kind | None, rows: dict[str, params.PlatformRow]) -> Kind:
    """Choose the kind of file that all platforms take."""
    from collect.platform import load_platform

    takes = {name: load_platform(name, row).takes for name, row in rows.items()}
    kinds = [each for each in ([wanted] if wanted else Kind) if all(each.value in taken for taken in takes.values())]
    if not kinds:
        said = ", ".join(f"{name} takes {' and '.join(taken)}" for name, taken in takes.items())
        raise UserError(f"No kind of file suits all: {said}. Give another --format, or one --platform at a time.")
    return kinds[0]


def _depends_on(
    request: ProtectionRequest, platforms: list[Processing], models: Path, classifiers: list[str], weights: Path | None
) -> dict[str, Any]:
    """Return JSON values that say what a copy depends on, beside the photo."""
    import hashlib

    from pydantic import TypeAdapter

    files = [models / f"{each.platform}{suffix}" for each in platforms for suffix in (".emulator.json", ".safetensors")]
    hashes = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files if each.exists()}
    # without defaults, so that what an earlier version protected stays done
    asked: dict[str, Any] = TypeAdapter(type(request)).dump_python(request, mode="json", exclude_defaults=True)
    asked |= {"platforms": [each.platform for each in platforms], "classifiers": classifiers, "models": hashes}
    return asked | {"weights": str(weights) if weights else None}
