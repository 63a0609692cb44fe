"""The command for a person who wants photos protected from recognition models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import params
from params import UserError

if TYPE_CHECKING:
    from attack.photo_model import Processing

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
LARGE = 20 * 2**20  # bytes: more than some platforms take


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


@app.command()
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
    models: Annotated[Path, typer.Option(help="The folder of the platforms' models.")] = Path("models"),
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
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

    from attack import photo

    found = photo.find(photos, out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file. Give a folder.")

    from attack import classifiers
    from attack.photo_model import Processing
    from attack.protect import Protector, Wish
    from attack.protect_run import run
    from train import device

    on = device.pick()
    platforms = [Processing.load(name, models, on) for name in rows]
    wish = Wish(
        goal=GOALS[goal],
        eps=None if visibility is not None else eps or 5,
        visibility=visibility,
        kind=kind.value,
        keep_metadata=keep_metadata,
    )
    own = settings.attack.classifier
    loaded = {name: classifiers.load(name, settings.attack.weights if name == own else None, on) for name in names}
    depends_on = _depends_on(wish, platforms, models, names, settings.attack.weights)
    rows_done, skipped, failed = run(Protector(wish, platforms, loaded, depends_on), found, out, photo.SUFFIXES[kind])
    if as_json:
        import json

        failures = [{"source": str(source), "reason": reason} for source, reason in failed.items()]
        typer.echo(
            json.dumps({"photos": rows_done, "skipped": skipped, "failed": failures}, ensure_ascii=False, indent=2)
        )
    else:
        for row in rows_done:
            typer.echo(_describe(row, done_before=row["source"] in skipped))
    for source, reason in failed.items():
        typer.echo(f"Not protected: {source}: {reason}.", err=True)
    if failed:
        raise typer.Exit(1)


def _kind(wanted: Kind | None, rows: dict[str, params.PlatformRow]) -> Kind:
    """Choose the kind of file that all platforms take."""
    from collect.platform import load

    takes = {name: load(name, row).takes for name, row in rows.items()}
    kinds = [each for each in ([wanted] if wanted else Kind) if all(each.value in taken for taken in takes.values())]
    if not kinds:
        said = ", ".join(f"{name} takes {' and '.join(taken)}" for name, taken in takes.items())
        raise UserError(f"No kind of file suits all: {said}. Give another --format, or one --platform at a time.")
    return kinds[0]


def _depends_on(
    wish: object, platforms: list[Processing], models: Path, classifiers: list[str], weights: Path | None
) -> dict[str, Any]:
    """Return JSON values that say what a copy depends on, beside the photo."""
    import hashlib
    import json
    from dataclasses import asdict

    files = [models / f"{each.platform}{suffix}" for each in platforms for suffix in (".emulator.json", ".safetensors")]
    hashes = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files if each.exists()}
    asked: dict[str, Any] = asdict(wish)  # type: ignore[call-overload]
    asked |= {"platforms": [each.platform for each in platforms], "classifiers": classifiers, "models": hashes}
    result: dict[str, Any] = json.loads(json.dumps(asked | {"weights": str(weights) if weights else None}))
    return result


def _describe(row: dict[str, Any], *, done_before: bool) -> str:
    """Tell a person what became of a photo."""
    verdicts, seen = row["verdicts"], row["visibility"]
    lines = [f"{_near(row['source'])} → {_near(row['output'])}" + (" (done before)" if done_before else "")]
    several = len({each["classifier"] for each in verdicts}) > 1
    first = {each["classifier"]: each["before"] for each in verdicts}
    lines += [f"  {name if several else 'the model'} said: {_say(answer)}" for name, answer in first.items()]
    for each in verdicts:
        who = each["classifier"] if several else "the model"
        fate = "will survive" if each["survives"] else "WILL NOT SURVIVE"
        lines.append(f"  {each['platform']}: {fate}; after it ({each['how']}) {who} says {_say(each['after'])}")
    figures = [f"{seen['largest']} grey levels at most"]
    figures += [f"PSNR {seen['psnr']:.1f} dB"] if seen["psnr"] is not None else []
    figures += [f"SSIM {seen['ssim']:.3f}"]
    figures += [f"LPIPS {seen['lpips']:.3f}"] if seen["lpips"] is not None else []
    lines.append(f"  the change is {seen['word']}: {', '.join(figures)}")
    if not row["survives"]:
        lines.append("  To make it survive, allow more change (--eps, --visibility), or protect for fewer platforms.")
    if row["bytes"] > LARGE:
        lines.append(
            f"  The file has {row['bytes'] >> 20} MB, more than some platforms take; --format jpeg makes less."
        )
    return "\n".join(lines)


def _near(file: str) -> str:
    """Write a file's path as seen from here, where it lies below."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _say(answer: dict[str, Any]) -> str:
    return f"“{answer['name']}” ({100 * answer['confidence']:.0f} %)"
