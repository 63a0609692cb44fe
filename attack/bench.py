"""Attacks side by side on real codecs: ours, the literature's, and the peers' own code from their packages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from attack import bench_rows
from attack.bench_rows import Row
from params import Goal, UserError

PLAIN = ("fgsm", "bim", "pgd", "mim", "mim_official", "ni", "vmi")
RESISTANT = ("average_bim", "diff90_mim", "diff75_mim", "diff50_mim")
PACKAGES = ("torchattacks_mifgsm", "foolbox_mifgsm")
OURS = ("comreadv_fgsm", "comreadv_bim", "comreadv_mim", "best")
ANY_CODEC = (*PLAIN, *RESISTANT, *PACKAGES)  # attacks that know nothing of the codec: their images are made once
SIZE = 224  # pixels, of the prepared photos
MOST_TRAINING = 100  # photos to learn a codec from

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
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
    goal: Annotated[Goal, typer.Option(help="targeted, least_likely or untargeted.")] = "targeted",
    norm: Annotated[str, typer.Option(help="In which eps is measured: linf or l2 (peers' packages: linf).")] = "linf",
    minutes: Annotated[float, typer.Option(help="Time to learn a codec, where it is not identified.", min=0.01)] = 2.0,
    paper_minutes: Annotated[
        float, typer.Option(help="Train the paper's net for so long too, and attack through it; 0: don't.", min=0)
    ] = 0.0,
    limit: Annotated[int | None, typer.Option(help="At most so many photos to attack.", min=1)] = None,
    work: Annotated[Path | None, typer.Option(help="Keep the photos and adversarial images in this folder.")] = None,
) -> None:
    """Attack the same photos, towards the same targets, by every attack, and count what survives each real codec."""
    from attack.bench_run import Bench
    from train import bench as com_models
    from train import real_pairs

    com_models.check(train, test, codec, ["hybrid"], SIZE)
    com_models.check_writable(out, work)
    known = bench_rows.read(out)
    for name in attack or []:
        check_name(name)
    if norm not in ("linf", "l2"):
        raise UserError(f"--norm {norm}: there are linf and l2.")
    with TemporaryDirectory() if work is None else nullcontext(str(work)) as folder:
        kept = Path(folder)
        training = real_pairs.prepare(train, kept / "photos", SIZE, MOST_TRAINING)
        tested = real_pairs.prepare(test, kept / "photos", SIZE, limit)
        real_pairs.refuse_shared(training, tested, (train, test))
        run = Bench(
            tested,
            classifier or ["efficientnet_lite0"],
            transfer or [],
            kept,
            steps=steps,
            step_size=step_size,
            goal=goal,
            norm="l2" if norm == "l2" else "linf",
        )
        rows = []
        for chain in codec:
            chosen = (
                dict.fromkeys(attack)
                if attack
                else list(every_attack(chain, paper=paper_minutes > 0, linf=norm == "linf"))
            )
            todo = [(each, name) for each in eps for name in chosen]
            for row in made(run, known, out, training, chain, todo, minutes, paper_minutes):
                rows.append(row)
    for file in draw(rows, out):
        typer.echo(f"Success against ε: {file}")
    Console(width=None if Console().is_terminal else 120).print(bench_rows.table(rows))


def check_name(name: str) -> None:
    """Raise UserError for an attack that is not there."""
    from attack.attack import load
    from attack.bench_run import KORNIA
    from attack.peers import PEERS

    if not KORNIA.fullmatch(name) and name not in PEERS:
        load(name.removeprefix("paper_"))


def every_attack(chain: str, *, paper: bool, linf: bool) -> Iterator[str]:
    """List the attacks for a codec; JPEG-resistant ones of the codec's own quality where it is a JPEG."""
    yield from PLAIN
    yield from RESISTANT
    quality = re.fullmatch(r"jpeg:(\d+)(:.*)?", chain)
    if quality:
        yield f"diff{quality[1]}_bim"
        if f"diff{quality[1]}_mim" not in RESISTANT:
            yield f"diff{quality[1]}_mim"
    if linf:
        yield from PACKAGES
        yield f"kornia{quality[1] if quality else 75}_mim"
    if paper:
        yield "paper_mim"
    yield from OURS


def made(
    run: Bench,  # type: ignore[name-defined]  # noqa: F821
    known: list[Row],
    out: Path,
    training: list[Path],
    chain: str,
    todo: list[tuple[int, str]],
    minutes: float,
    paper_minutes: float,
) -> Iterator[Row]:
    """Give each attack's row, from an earlier run where it stands there; write new ones as they come."""
    learned = None
    for eps, name in todo:
        key = run.key(chain, name, eps)
        row = next((row for row in known if all(row.get(each) == value for each, value in key.items())), None)
        if row is None:
            if learned is None and name not in ANY_CODEC:
                learned = run.learn(training, chain, minutes, paper_minutes)
            row = run.row(chain, name, eps, learned)
            bench_rows.append(out, row)
        yield row


def draw(rows: list[Row], out: Path) -> list[Path]:
    """Write success against ε for each codec beside `out`, where there are several; return the files."""
    from attack.bench_run import safe
    from attack.plots import eps_plot

    files = []
    for chain in dict.fromkeys(row["codec"] for row in rows):
        lines: dict[str, list[Row]] = {}
        for row in rows:
            if row["codec"] == chain:
                lines.setdefault(row["attack"], []).append(row)
        if len({row["eps"] for some in lines.values() for row in some}) > 1:
            files.append(out.with_name(f"{out.stem}-{safe(chain)}.svg"))
            files[-1].write_text(eps_plot(lines, ["best"]), encoding="utf-8")
    return files


if __name__ == "__main__":
    app(prog_name="python -m attack.bench")
