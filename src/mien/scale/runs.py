"""Runs: those of a study or a sweep side by side on a Ray cluster, a task each.

A task whose worker is lost is begun again and goes on from the last finished epoch of its run, whose folder has to be
one that all machines share. Faces and votes travel once to each machine.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mien.errors import InputError, InterruptedRunError, MienError, first_line
from mien.scale.cluster import Cluster, RayCluster, check_version
from mien.studies.runs import Errand, Many, carry_out
from mien.training.hardware import detect

_TRIES = 5  # of a run whose workers are lost
_STOPPED = "stopped. Finished runs and epochs are kept: run the same command again"


def on_ray(cluster: Cluster, device: str = "auto", precision: str = "auto") -> Many:
    """What trains many runs for `mien.studies`: at most `cluster.workers` at a time, a core (and GPUs) each.

    What it is given to train may raise `InputError` for workers of another version, or to which a folder is another.
    """

    def many(errands: Sequence[Errand]) -> Iterator[tuple[Errand, MienError | None]]:
        if not errands:
            return
        with RayCluster(cluster) as connected:
            try:
                yield from _together(errands, cluster, int(connected.cores), (device, precision))
            except KeyboardInterrupt as stop:
                raise InterruptedRunError(_STOPPED) from stop

    return many


def _together(
    errands: Sequence[Errand], cluster: Cluster, most: int, hardware: tuple[str, str]
) -> Iterator[tuple[Errand, MienError | None]]:
    import ray

    put: dict[int, Any] = {}  # references by what they are of: runs of a study share their faces

    def shared(thing: object) -> Any:
        if id(thing) not in put:
            put[id(thing)] = ray.put(thing)
        return put[id(thing)]

    task = ray.remote(_train).options(num_cpus=1, num_gpus=cluster.gpus or None, max_retries=_TRIES)
    waiting = list(errands)
    running: dict[Any, Errand] = {}
    while waiting or running:
        while waiting and len(running) < most:
            one = waiting.pop(0)
            out = one.out.resolve()
            out.parent.mkdir(parents=True, exist_ok=True)
            told = (one.name, one.recipe, str(out), hardware, version("mien"))
            running[task.remote(told, shared(one.faces), shared(one.votes))] = one
        (done,), _ = ray.wait(list(running), num_returns=1)
        errand = running.pop(done)
        try:
            yield errand, ray.get(done)
        except ray.exceptions.RayError as error:
            raise _lost(errand, error) from error


def _train(told: tuple[Any, ...], faces: Any, votes: Any) -> MienError | None:
    """A task: one run, to its end."""
    name, recipe, out, (device, precision), mien = told
    folder = Path(out)
    try:
        check_version(mien)
    except InputError as error:
        return error
    if not folder.parent.is_dir():
        return InputError(
            f"worker {socket.gethostname()} does not see {folder.parent}: the machines do not share that folder. "
            "Choose an --out that all of them have mounted under this name"
        )
    return carry_out(Errand(name, recipe, faces, folder, votes, detect(device, precision)))


def _lost(errand: Errand, error: Exception) -> InputError:
    memory = "memory" in str(error).lower()
    advice = "Let fewer train at a time (--workers)" if memory else "The same command goes on from its last epoch"
    return InputError(
        f"{errand.name}: {_TRIES + 1} workers in turn were lost"
        f"{' for want of memory' if memory else f' ({first_line(error)})'}. {advice}"
    )
