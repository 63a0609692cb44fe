"""Attacks side by side on real codecs: ours, the literature's, and the peers' own code from their packages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from attack.bench import rows as bench_rows
from attack.bench.rows import Row
from params import Cluster, Goal, UserError
from train.cluster.options import ExecutorOption, RayAddressOption, chosen

if TYPE_CHECKING:
    from attack.bench.runner import Settings
    from train.cluster.executor import Local, Ray

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
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
) -> None:
    """Attack the same photos, towards the same targets, by every attack, and count what survives each real codec."""
    from attack.bench.runner import Settings
    from train.bench import compare as com_models
    from train.data import synthetic_pairs as real_pairs

    com_models.check(train, test, codec, ["hybrid"], SIZE)
    com_models.check_writable(out, work)
    known = bench_rows.read(out)
    for name in attack or []:
        check_name(name)
    if norm not in ("linf", "l2"):
        raise UserError(f"--norm {norm}: there are linf and l2.")
    on = chosen(Cluster(), executor, ray_address)
    with TemporaryDirectory() if work is None else nullcontext(str(work)) as folder:
        kept = Path(folder)
        training = real_pairs.prepare(train, kept / "photos", SIZE, MOST_TRAINING)
        tested = real_pairs.prepare(test, kept / "photos", SIZE, limit)
        real_pairs.refuse_shared(training, tested, (train, test))
        settings = Settings(
            training=real_pairs.names(training, kept),
            photos=real_pairs.names(tested, kept),
            attacked=classifier or ["efficientnet_lite0"],
            transfer=transfer or [],
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
        rows = list(made(settings, asked, known, kept, out, on))
    for file in draw(rows, out):
        typer.echo(f"Success against ε: {file}")
    Console(width=None if Console().is_terminal else 120).print(bench_rows.table(rows))


def check_name(name: str) -> None:
    """Raise UserError for an attack that is not there."""
    from attack.attacks.base import load
    from attack.bench.peers import PEERS
    from attack.bench.runner import KORNIA

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
    settings: Settings,
    asked: Mapping[str, Sequence[tuple[int, str]]],
    known: Sequence[Row],
    work: Path,
    out: Path,
    on: Local | Ray,
) -> Iterator[Row]:
    """Give each codec's rows, from an earlier run where they stand there; write new ones as they come.

    Args:
        asked: eps and attacks by codec.
    """
    from attack.bench.runner import Bench, Todo
    from train.cluster.file_transfer import map_with_files

    found: dict[tuple[str, int, str], Row] = {}
    for chain, attacks in asked.items():
        for eps, name in attacks:
            key = settings.key(chain, name, eps)
            row = next((row for row in known if all(row.get(each) == value for each, value in key.items())), None)
            if row is not None:
                found[chain, eps, name] = row
    todo = [
        Todo(chain, left)
        for chain, attacks in asked.items()
        if (left := [(eps, name) for eps, name in attacks if (chain, eps, name) not in found])
    ]
    photos = [work / photo for photo in {*settings.training, *settings.photos}]
    for new in map_with_files(on, partial(Bench, settings), work, photos, todo):
        for row in new:
            bench_rows.append(out, row)
            found[row["codec"], row["eps"], row["attack"]] = row
    for chain, attacks in asked.items():
        yield from (found[chain, eps, name] for eps, name in attacks)


def draw(rows: list[Row], out: Path) -> list[Path]:
    """Write success against ε for each codec beside `out`, where there are several; return the files."""
    from attack.bench.runner import safe
    from attack.report.plots import eps_plot

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
