from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from collect.command_line import command_line
from params import Cluster
from train.bench import rows as bench_rows
from train.bench.compare import check, check_writable, compare
from train.cluster import ExecutorOption, RayAddressOption, executor_of
from train.data import synthetic_pairs


def bench(
    train: Annotated[Path, typer.Option(help="A folder of photos to train on.")],
    test: Annotated[Path, typer.Option(help="A folder of other photos, to measure on.")],
    codec: Annotated[list[str], typer.Option(help="A codec or a chain, such as jpeg:75; give as many as you like.")],
    minutes: Annotated[float, typer.Option(help="Time for each model, identifying the codec included.", min=0.001)],
    out: Annotated[Path, typer.Option(help="JSON lines; rows that stand there already are not made again.")],
    model: Annotated[
        list[str], typer.Option(default_factory=lambda: ["hybrid"], help="hybrid or paper; give both to compare.")
    ],
    size: Annotated[int, typer.Option(help="Photos are squashed to size × size.", min=16, max=4096)] = 224,
    limit_train: Annotated[int | None, typer.Option(help="At most so many photos to train on.", min=3)] = None,
    limit_test: Annotated[int | None, typer.Option(help="At most so many photos to measure on.", min=1)] = None,
    work: Annotated[Path | None, typer.Option(help="Keep the photos and renditions in this folder.")] = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
) -> None:
    """Train ComModels for the same minutes on the same photos, and measure them on photos not trained on."""
    check(train, test, codec, model, size)
    check_writable(out, work)
    on = executor_of(Cluster(), executor, ray_address)
    with TemporaryDirectory() if work is None else nullcontext(str(work)) as folder:
        kept = Path(folder) / f"{size}"
        training = synthetic_pairs.prepare(train, kept / "photos", size, limit_train)
        tested = synthetic_pairs.prepare(test, kept / "photos", size, limit_test)
        synthetic_pairs.refuse_shared(training, tested, (train, test))
        rows = list(compare(training, tested, codec, model, minutes, kept, out, on))
    Console().print(bench_rows.to_table(rows))


app = command_line(bench)

if __name__ == "__main__":
    app(prog_name="python -m train.bench")
