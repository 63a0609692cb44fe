"""The command line of the bench."""

from contextlib import nullcontext
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from attack.bench.compare import compare, write_plots
from attack.bench.rows import read_bench, table
from attack.bench.settings import Settings
from attack.bench.suites import SHORT, check_name, every_attack
from params import Cluster, Goal, UserError, tasks
from train.cluster import ExecutorOption, RayAddressOption, executor_of

PHOTO_SIZE = 224  # pixels, side, of the prepared photos
MOST_TRAINING = 100  # photos to learn a codec from


def bench(
    train: Annotated[Path, typer.Option(help="A folder of photos to learn the codecs from.")],
    test: Annotated[Path, typer.Option(help="A folder of other photos, to attack.")],
    codec: Annotated[list[str], typer.Option(help="A codec or a chain, such as jpeg:50; give as many as you like.")],
    out: Annotated[Path, typer.Option(help="JSON lines; rows that stand there already are not made again.")],
    eps: Annotated[list[int], typer.Option(help="Largest change, grey levels; several for a plot.", min=1, max=255)],
    steps: Annotated[int, typer.Option(help="Gradient evaluations of each attack.", min=1)] = 10,
    step_size: Annotated[
        float | None, typer.Option(help="Grey levels a step of all attacks but best; eps / steps unless given.")
    ] = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(help="What is attacked; several are attacked at once, and the first one judges."),
    ] = None,
    transfer: Annotated[
        list[str] | None, typer.Option(help="A classifier that is not attacked, to read the files as well.")
    ] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Only these attacks; all unless given.")] = None,
    short: Annotated[
        bool, typer.Option("--short", help="Only one attack of each kind, at the largest ε, for a first look.")
    ] = False,
    task: Annotated[str, typer.Option(help="What the recogniser is asked.")] = "classify",
    goal: Annotated[Goal, typer.Option(help="targeted, least_likely or untargeted.")] = "targeted",
    norm: Annotated[str, typer.Option(help="In which eps is measured: linf or l2 (peers' packages: linf).")] = "linf",
    minutes: Annotated[float, typer.Option(help="Time to learn a codec, where it is not identified.", min=0.01)] = 2.0,
    paper_minutes: Annotated[
        float, typer.Option(help="Train the paper's net for so long too, and attack through it; 0: don't.", min=0)
    ] = 0.0,
    limit: Annotated[int | None, typer.Option(help="At most so many photos to attack.", min=1)] = None,
    work: Annotated[Path | None, typer.Option(help="Keep the photos and adversarial images in this folder.")] = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
) -> None:
    """Attack the same photos, towards the same targets, by every attack, and count what survives each real codec."""
    from train.bench import compare as trained
    from train.data import synthetic_pairs

    trained.check(train, test, codec, ["hybrid"], PHOTO_SIZE)
    trained.check_writable(out, work)
    known = read_bench(out)
    for name in attack or []:
        check_name(name)
    if task not in tasks():
        raise UserError(f"No task {task!r}. There are {', '.join(tasks())}.")
    if norm not in ("linf", "l2"):
        raise UserError(f"--norm {norm}: there are linf and l2.")
    if short:
        eps, attack = [max(eps)], attack or list(SHORT)
    executed = executor_of(Cluster(), executor, ray_address)
    with TemporaryDirectory() if work is None else nullcontext(str(work)) as folder:
        kept = Path(folder)
        training = synthetic_pairs.prepare(train, kept / "photos", PHOTO_SIZE, MOST_TRAINING)
        tested = synthetic_pairs.prepare(test, kept / "photos", PHOTO_SIZE, limit)
        synthetic_pairs.refuse_shared(training, tested, (train, test))
        settings = Settings(
            training=synthetic_pairs.names(training, kept),
            photos=synthetic_pairs.names(tested, kept),
            attacked=classifier or ["efficientnet_lite0"],
            transfer=transfer or [],
            task=task,
            steps=steps,
            step_size=step_size,
            goal=goal,
            norm="l2" if norm == "l2" else "linf",
            minutes=minutes,
            paper_minutes=paper_minutes,
        )
        asked = {
            chain: list(
                product(eps, dict.fromkeys(attack or every_attack(chain, paper=paper_minutes > 0, linf=norm == "linf")))
            )
            for chain in codec
        }
        rows = list(compare(settings, asked, known, kept, out, executed))
    for file in write_plots(rows, out):
        typer.echo(f"Success against ε: {file}")
    Console(width=None if Console().is_terminal else 120).print(table(rows))
