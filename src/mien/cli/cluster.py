"""Cluster options: the same words for every command that can use many machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from mien.cli.console import refuse
from mien.errors import unknown_name

if TYPE_CHECKING:
    from mien.scale.batch import Engine
    from mien.scale.cluster import Cluster
    from mien.studies.runs import Many

PANEL = "Many machines"
TrainEngineOption = Annotated[
    str | None, typer.Option("--engine", help="ray: train on a cluster.", rich_help_panel=PANEL)
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Ray cluster; one on this machine if left out.", rich_help_panel=PANEL),
]
RunsOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Runs trained at a time, at most; a core each.", rich_help_panel=PANEL),
]
NumGpusOption = Annotated[
    float, typer.Option("--num-gpus", min=0.0, help="GPUs of each worker; a share will do.", rich_help_panel=PANEL)
]


def known_engine(name: str) -> Engine:
    """What --engine names; raises `InputError` for anything else."""
    from mien.scale.batch import ENGINES

    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    return cast("Engine", name)


def train_cluster(engine: str | None, address: str | None, workers: int | None, num_gpus: float) -> Cluster | None:
    """Where to train; None: on this machine, as without --engine. Raises `InputError` for options that go nowhere."""
    if engine is not None and known_engine(engine) == "ray":
        from mien.scale.cluster import Cluster

        return Cluster(address, workers, num_gpus)
    refuse({"--address": address, "--workers": workers, "--num-gpus": num_gpus}, "for --engine ray")
    return None


def many_on(cluster: Cluster | None, device: str, precision: str, *, asha: bool = False) -> Many | None:
    """Who trains the runs of a study or a sweep; None: this process, one after another."""
    if cluster is None:
        refuse({"--asha": asha}, "for --engine ray")
        return None
    from mien.scale.runs import on_ray

    return on_ray(cluster, device, precision, asha=asha)
