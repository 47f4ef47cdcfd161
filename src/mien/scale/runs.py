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

from mien.errors import InputError, InterruptedRunError, MienError, StoppedEarlyError, first_line
from mien.scale.cluster import Cluster, RayCluster, check_version
from mien.scale.early import Halving
from mien.studies.runs import Errand, Many, carry_out, stop_early, stopped_early
from mien.training.hardware import detect
from mien.training.run import Run

_TRIES = 5  # of a run whose workers are lost
_LOOK_S = 0.5  # between looks at the histories of runs that may be stopped early
_STOPPED = "stopped. Finished runs and epochs are kept: run the same command again"


def on_ray(cluster: Cluster, device: str = "auto", precision: str = "auto", *, asha: bool = False) -> Many:
    """What trains many runs for `mien.studies`: at most `cluster.workers` at a time, a core (and GPUs) each.

    `asha`: runs of a sweep that fall behind are stopped early (`mien.scale.early`), and stay so.

    What it is given to train may raise `InputError` for workers of another version, or to which a folder is another.
    """

    def many(errands: Sequence[Errand]) -> Iterator[tuple[Errand, MienError | None]]:
        if not errands:
            return
        with RayCluster(cluster) as connected:
            try:
                yield from _together(errands, cluster, int(connected.cores), (device, precision), asha=asha)
            except KeyboardInterrupt as stop:
                raise InterruptedRunError(_STOPPED) from stop

    return many


def _together(
    errands: Sequence[Errand], cluster: Cluster, most: int, hardware: tuple[str, str], *, asha: bool
) -> Iterator[tuple[Errand, MienError | None]]:
    import ray

    put: dict[int, Any] = {}  # references by what they are of: runs of a study share their faces

    def shared(thing: object) -> Any:
        if id(thing) not in put:
            put[id(thing)] = ray.put(thing)
        return put[id(thing)]

    task = ray.remote(_train).options(num_cpus=1, num_gpus=cluster.gpus or None, max_retries=_TRIES)
    halving = Halving(errands) if asha else None
    waiting: list[Errand] = []
    for one in errands:
        if halving and (why := stopped_early(Run(one.out))):
            yield one, StoppedEarlyError(why)
        else:
            waiting.append(one)
    running: dict[Any, Errand] = {}
    stopping: dict[str, str] = {}  # why, by name
    while waiting or running:
        while waiting and len(running) < most:
            one = waiting.pop(0)
            out = one.out.resolve()
            out.parent.mkdir(parents=True, exist_ok=True)
            told = (one.name, one.recipe, str(out), hardware, version("mien"))
            running[task.remote(told, shared(one.faces), shared(one.votes))] = one
        ended, going = ray.wait(list(running), num_returns=1, timeout=_LOOK_S if halving else None)
        for reference in going if halving else ():
            one = running[reference]
            if one.name not in stopping and (why := _verdict(halving, one)):
                stopping[one.name] = why
                ray.cancel(reference)
        for done in ended:
            errand = running.pop(done)
            if (why := stopping.get(errand.name)) and not Run(errand.out).finished:
                ray.wait([done])
                stop_early(Run(errand.out), why)
                yield errand, StoppedEarlyError(why)
                continue
            try:
                found = ray.get(done)
            except ray.exceptions.RayError as error:
                raise _lost(errand, error) from error
            if halving:
                _verdict(halving, errand)  # the others are held against its last epochs too
            yield errand, found


def _verdict(halving: Halving | None, errand: Errand) -> str | None:
    run = Run(errand.out)
    if halving is None or not run.history_file.is_file():
        return None
    return halving.verdict(errand.name, run.history, errand.recipe.epochs)


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
