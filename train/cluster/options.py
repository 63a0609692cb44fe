"""The options --executor and --ray-address, which are the same on every command that has them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from params import Cluster, UserError
from train.cluster.executor import Local, Ray


class ExecutorName(StrEnum):
    local = "local"
    ray = "ray"


ExecutorOption = Annotated[
    ExecutorName | None,
    typer.Option("--executor", help="Where to compute, params.yaml's unless given; docs/scale.md.", show_default=False),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option("--ray-address", help="Of a running Ray cluster, such as 10.0.0.1:6379.", show_default=False),
]


def executor_of(cluster: Cluster, name: ExecutorName | None, address: str | None) -> Local | Ray:
    """Open the executor that the command line, or else params.yaml, asks for; raises what `Ray` does."""
    wanted = name.value if name else cluster.executor
    if address and wanted == "local":
        raise UserError("--ray-address is for --executor ray. Give both, or neither.")
    return Ray(address or cluster.ray_address) if wanted == "ray" else Local()
