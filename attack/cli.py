"""The commands that make adversarial images, send them round, and tell what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import params
from params import UserError

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def attack(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Make adversarial images of the prepared test images, plain and through a platform's ComModel.

    Reads data/images and models/<platform>.safetensors. Writes data/adversarial/<platform>. Stops and resumes.
    """
    settings = params.load(params_file)
    settings.platform(platform)

    from attack.generate import generate

    out = Path("data/adversarial") / platform
    made = generate(settings.attack, Path("data/images"), [Path("models") / f"{platform}.safetensors"], out)
    typer.echo(f"{platform}: {len(made)} adversarial images in {out}.")


@app.command()
def evaluate(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    origin: Annotated[
        str | None, typer.Option(help="Talk to the site at this address, such as http://127.0.0.1:8001.")
    ] = None,
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Send the adversarial images through a platform and count those that still work when they come back.

    Reads data/adversarial/<platform> and data/images. Writes data/evaluation/<platform>, reports/<platform>.json
    and reports/<platform>.svg. Stops and resumes.
    """
    settings = params.load(params_file)
    settings.platform(platform)

    from attack import report
    from attack.evaluate import evaluate as run
    from collect import fingerprint

    generation = fingerprint.generation(platform)
    out = Path("data/evaluation") / platform
    adversarial = Path("data/adversarial") / platform
    outcomes = run(platform, settings, adversarial, Path("data/images"), out, generation=generation, origin=origin)
    report.write_metrics(platform, settings, outcomes, generation, Path("reports"))
    typer.echo(f"{platform}: {len(outcomes)} adversarial images evaluated, in reports/{platform}.json.")


@app.command("report")
def report_command(
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Write reports/index.html, one page about all platforms that are on."""
    settings = params.load(params_file)

    from attack.report import write_page

    page = Path("reports/index.html")
    missing = write_page(settings, page)
    typer.echo(f"Wrote {page}." + (f" Not evaluated yet: {', '.join(missing)}." if missing else ""))


@app.command()
def results(
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Print the last evaluation of every platform that is on, and its ComModel's error, as tables."""
    settings = params.load(params_file)

    import json

    from rich.console import Console

    from attack.results import model_table, table

    found = [Path("reports") / f"{name}.json" for name in settings.platforms]
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in found if file.exists()]
    if not reports:
        raise UserError("Nothing has been evaluated yet. Run `dvc repro`.")
    Console().print(table(reports, settings.attack.attacks))
    metrics = [Path("models") / f"{name}.json" for name in settings.platforms]
    models = [json.loads(file.read_text(encoding="utf-8")) for file in metrics if file.exists()]
    if models:
        Console().print(model_table(models))
