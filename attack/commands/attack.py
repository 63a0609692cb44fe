"""The commands that make adversarial images, send them round, and tell what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import params
from params import UNIVERSAL, UserError
from train.cluster.options import ExecutorOption, RayAddressOption, chosen

ONLY_BEST = {"attacks": ("best",)}

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def attack(
    platform: Annotated[str | None, typer.Option(help="A platform of params.yaml.")] = None,
    universal: Annotated[
        bool, typer.Option("--universal", help="One image a photo for all platforms that are on, and for none.")
    ] = False,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Make adversarial images of the prepared test images, plain and through a platform's ComModel.

    With --universal, `best` alone, through the ComModels of all platforms that are on and without compression at once.
    Reads data/images and models/<platform>.safetensors. Writes data/adversarial/<platform>, or
    data/adversarial/universal. Stops and resumes.
    """
    settings = params.load(params_file)
    if (platform is None) != universal:
        raise UserError("Name a platform with --platform, or give --universal for all that are on; one of the two.")
    if platform is None:
        name, platforms, how = UNIVERSAL, list(settings.platforms), settings.attack.model_copy(update=ONLY_BEST)
    else:
        settings.platform(platform)
        name, platforms, how = platform, [platform], settings.attack

    from attack.generate import generate

    out = Path("data/adversarial") / name
    com_models = [Path("models") / f"{each}.safetensors" for each in platforms]
    made = generate(how, Path("data/images"), com_models, out, chosen(settings.cluster, executor, ray_address))
    typer.echo(f"{name}: {len(made)} adversarial images in {out}.")


@app.command()
def evaluate(
    platform: Annotated[str, typer.Option(help="A platform of params.yaml.")],
    origin: Annotated[
        str | None, typer.Option(help="Talk to the site at this address, such as http://127.0.0.1:8001.")
    ] = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Send the adversarial images through a platform and count those that still work when they come back.

    A real site has to be asked for, by COMREADV_LIVE=1 in the environment.
    Reads data/adversarial/<platform> and data/images. Writes data/evaluation/<platform>, reports/<platform>.json
    and reports/<platform>.svg. Stops and resumes.
    """
    settings = params.load(params_file)
    settings.platform(platform)

    from attack.evaluation.evaluate import evaluate as run
    from attack.report import page as report
    from collect.codecs import fingerprint

    generation = fingerprint.generation(platform)
    out = Path("data/evaluation") / platform
    adversarial = Path("data/adversarial") / platform
    on = chosen(settings.cluster, executor, ray_address)
    outcomes = run(
        platform, settings, adversarial, Path("data/images"), out, generation=generation, origin=origin, executor=on
    )
    report.write_metrics(platform, settings, outcomes, generation, Path("reports"))
    typer.echo(f"{platform}: {len(outcomes)} adversarial images evaluated, in reports/{platform}.json.")


@app.command()
def transfer(
    platform: Annotated[str, typer.Option(help="The platform of params.yaml that is to read them.")],
    origin: Annotated[
        str | None, typer.Option(help="Talk to the site at this address, such as http://127.0.0.1:8001.")
    ] = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Send what `best` made for the other platforms, and for all at once, through a platform, and count what works.

    A real site has to be asked for, by COMREADV_LIVE=1 in the environment.
    Reads data/adversarial and data/images. Writes data/transfer/<platform> and reports/transfer/<platform>.json.
    Stops and resumes.
    """
    settings = params.load(params_file)
    settings.platform(platform)

    from attack.evaluation.transfer import transfer as run
    from attack.evaluation.transfer import write_metrics
    from collect.codecs import fingerprint

    generation = fingerprint.generation(platform)
    out = Path("data/transfer") / platform
    on = chosen(settings.cluster, executor, ray_address)
    success = run(platform, settings, Path("data/images"), out, generation=generation, origin=origin, executor=on)
    write_metrics(platform, settings, success, generation, Path("reports"))
    images = sum(row["images"] for rows in success.values() for row in rows.values())
    typer.echo(f"{platform}: {images} images made for others evaluated, in reports/transfer/{platform}.json.")


@app.command("report")
def report_command(
    params_file: Annotated[Path, typer.Option("--params", help="The settings.")] = Path("params.yaml"),
) -> None:
    """Write reports/index.html, one page about all platforms that are on."""
    settings = params.load(params_file)

    from attack.report.page import write_page

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

    from attack.evaluation import transfer
    from attack.report.tables import model_table, table, transfer_table

    found = [Path("reports") / f"{name}.json" for name in settings.platforms]
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in found if file.exists()]
    if not reports:
        raise UserError("Nothing has been evaluated yet. Run `dvc repro`.")
    Console().print(table(reports, settings.attack.attacks))
    for matrix in transfer.matrices(list(settings.platforms), Path("reports")):
        Console().print(transfer_table(matrix))
    metrics = [Path("models") / f"{name}.json" for name in settings.platforms]
    models = [json.loads(file.read_text(encoding="utf-8")) for file in metrics if file.exists()]
    if models:
        Console().print(model_table(models))
