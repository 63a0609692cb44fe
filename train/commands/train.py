"""The command `train`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

import params
from collect.command_line import PARAMS, ParamsOption
from params import UserError
from train.cluster import Executor, ExecutorOption, Local, RayAddressOption, executor_of
from train.retraining import model_archive
from train.retraining.model_archive import WARM_START
from train.training import TrainingMetrics

if TYPE_CHECKING:
    from train.cluster.job import Job


def train(
    platform: Annotated[list[str], typer.Option(help="A platform of params.yaml; give it again for another.")],
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start",
            envvar=WARM_START,
            help="Start from the model that `comreadv retrain` kept; stay with it where it is the better one.",
        ),
    ] = False,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    ranks: Annotated[
        int | None,
        typer.Option(min=1, help="On Ray: processes that train a model together.", show_default=False),
    ] = None,
    params_file: ParamsOption = PARAMS,
) -> None:
    """Identify platforms' codecs, and fit a ComModel to the pairs of each.

    Reads data/pairs/<platform>.db. Writes models/<platform>.safetensors, .emulator.json, .json and .csv at the
    end. A run that is interrupted leaves <platform>.part, and the same command goes on from there.
    """
    settings = params.load(params_file)
    for name in platform:
        settings.platform(name)
    on = executor_of(settings.cluster, executor, ray_address)

    from train.cluster.job import Job

    if ranks and isinstance(on, Local):
        raise UserError(
            "--ranks is for --executor ray. On this machine alone, run"
            f" `torchrun --nproc-per-node {ranks} --module train --platform {platform[0]}`."
        )
    names = list(dict.fromkeys(platform))
    jobs = [Job(name, settings.train, model_archive.start_checkpoint(name) if warm_start else None) for name in names]
    failed = []
    for job, found in _fit(jobs, on, ranks or settings.cluster.ranks):
        if isinstance(found, UserError):
            failed.append(found.message if len(jobs) == 1 else f"{job.platform}: {found.message}")
        elif found is not None:
            _print_result(job.platform, found)
    if failed:
        raise UserError("\n".join(failed))


def _fit(jobs: Sequence[Job], on: Executor, ranks: int) -> Iterator[tuple[Job, TrainingMetrics | UserError | None]]:
    """Train; give each job with its metrics or what has to be mended, nothing in processes that only help."""
    from train.cluster.executor import Ray
    from train.cluster.worker_group import fit_all
    from train.training.process_group import joined_group

    if isinstance(on, Ray):
        yield from fit_all(jobs, ranks, on)
        return
    with joined_group() as together:
        for job in jobs:
            try:
                yield job, job.fit(together)
            except UserError as error:
                if together.count > 1:  # the others wait for this one, and can't go on to another platform
                    raise
                yield job, error


def _print_result(platform: str, found: TrainingMetrics) -> None:
    if emulator := found.emulator:
        typer.echo(f"{platform}: {emulator.words} ({emulator.chain}), {emulator.verdict}.")
    paper = "" if found.paper_mae is None else f" {found.paper_mae:.2f} by the paper's net,"
    typer.echo(
        f"{platform}: mean absolute error {found.mae:.2f} grey levels on the test images;{paper}"
        f" {found.identity_mae:.2f} without a model. Kept in models/{platform}.safetensors."
    )
    if before := found.before:
        typer.echo(f"{platform}: the model before (generation {before.generation}): {before.mae:.2f} on them.")
