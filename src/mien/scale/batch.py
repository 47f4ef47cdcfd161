"""Batch: the parts of a job, one after another here (`local`) or side by side on a Ray cluster (`ray`).

Exactly once: a part has a number and a name, is written whole or not at all, and is passed over where it is there. So
whatever dies, and however often a part is begun, each picture has one row. Ray Data's own checkpoints
(`ray.data.checkpoint`) would read the ids of all finished pictures into the memory of one task at each start and hold
them in up to ten filtering actors; a number a part does the same with one listing of a folder.
"""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Literal

from mien.errors import InputError, MissingExtraError, shortened
from mien.recognize.recognizer import Recognizer, reopened
from mien.recognize.session import CPU, available_providers
from mien.scale import places
from mien.scale.cluster import RayCluster, check_version
from mien.scale.job import Job
from mien.scale.look import do_part
from mien.scale.parts import Tally

Engine = Literal["local", "ray"]
ENGINES = ("local", "ray")
# Of a core, for an actor: with whole ones, whatever else Ray wants to run would wait for an actor to end.
_CPUS = 0.9
_TRIES = 5  # of a part in one run, whose workers die at it: Ray itself would begin it again without end
_BLOCKS = 10_000  # at most that Ray counts; each then holds several parts
_FEWER = "Let fewer work at a time (--workers), or take machines with more memory for each core"
_TRIES_FOLDER = "_tries"


def run_here(job: Job, left: Sequence[int], recognizer: Recognizer) -> Iterator[Tally]:
    """Do the parts that are left, in order; what came of each as it is done."""
    for part in left:
        yield do_part(job, part, recognizer)


def run_on(connected: RayCluster, job: Job, left: Sequence[int], recognizer: Recognizer) -> Iterator[Tally]:
    """Do the parts that are left, in any order; what came of each as it is known.

    Raises `InputError` for what stops the job: a place that does not answer, a worker that is killed again and
    again, one of another version, or one that does not see the folder.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = 0  # more would leave out whole blocks: errors are rows
    context.actor_task_retry_on_errors = False  # of ours: what is worth it has been tried again
    most = max(1, min(connected.cluster.workers or int(connected.cores), len(left)))
    parts = ray.data.from_items([{"part": part} for part in left], override_num_blocks=min(len(left), _BLOCKS))
    done = parts.map_batches(
        _Worker,
        fn_constructor_kwargs={"out": job.out, "fingerprint": job.fingerprint, "run": secrets.token_hex(4),
                               "mien": version("mien"), "recognizer": recognizer.__getstate__(),
                               "gpu": connected.cluster.gpus > 0},
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
        num_cpus=_CPUS,
        num_gpus=connected.cluster.gpus or None,
    )  # fmt: skip
    try:
        for batch in done.iter_batches(batch_size=1, prefetch_batches=0):
            for told, trouble in zip(batch["tally"], batch["trouble"], strict=True):
                if trouble:
                    raise InputError(str(trouble))
                yield _tally(str(told))
    except ray.exceptions.RayError as error:
        raise _explained(error) from error
    tries = places.joined(job.out, _TRIES_FOLDER)
    for name in places.names_in(tries):  # of workers that were killed; the parts are done since
        places.remove(places.joined(tries, name))


class _Worker:
    """An actor: one recognizer, which does part after part."""

    def __init__(
        self, out: str, fingerprint: str, mien: str, run: str, recognizer: dict[str, Any], *, gpu: bool
    ) -> None:
        self._job: Job | None = None
        self._run = run
        self._recognizer: Recognizer | None = None
        self._given, self._recognizer_given, self._gpu = (out, fingerprint, mien), recognizer, gpu

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """One part. What stops the job is told in words: Ray would wrap an error in pages of its own."""
        try:
            self._job = self._job or _opened(*self._given)
            self._recognizer = self._recognizer or _recognizer(self._recognizer_given, gpu=self._gpu)
            tallies = [self._do(self._job, int(part), self._recognizer) for part in batch["part"]]
            return {"tally": [json.dumps(asdict(tally)) for tally in tallies], "trouble": [""] * len(tallies)}
        except (InputError, MissingExtraError) as error:
            return {"tally": [""], "trouble": [str(error)]}

    def _do(self, job: Job, part: int, recognizer: Recognizer) -> Tally:
        """A part, with a note of it beside, which stays where this process is killed at it."""
        noted = places.joined(places.joined(job.out, _TRIES_FOLDER), f"{self._run}-{part:07d}")
        before = int(places.content(noted)) if places.exists(noted) else 0
        if before == _TRIES:
            raise InputError(
                f"part {part} ({job.items(part)[0].source} and those after it): {_TRIES} workers in turn were killed "
                f"at it, most likely for want of memory. {_FEWER}. Finished parts stay; the same command goes on"
            )
        places.write(noted, str(before + 1).encode())
        done = do_part(job, part, recognizer)
        places.remove(noted)
        return done


def _recognizer(given: dict[str, Any], *, gpu: bool) -> Recognizer:
    import cv2

    cv2.setNumThreads(1)  # an actor has a core
    on_gpu = gpu and given["provider"] == CPU and "cuda" in available_providers()
    return reopened(given, threads=1, provider="cuda" if on_gpu else None)


def _opened(out: str, fingerprint: str, mien: str) -> Job:
    here = socket.gethostname()
    check_version(mien)
    if not places.exists(places.joined(out, "_job.json")):
        raise InputError(
            f"worker {here} does not see {out}: it is no folder that the machines share. Name s3://, gs:// or a folder "
            "that all of them have mounted under this name"
        )
    job = Job.read(out)
    if job.fingerprint != fingerprint:
        raise InputError(f"worker {here} sees another job in {out}. Name a folder that the machines share")
    return job


def _tally(told: str) -> Tally:
    return Tally(**json.loads(told))


def _explained(error: BaseException) -> InputError:
    """What a person can do about an error of Ray's own."""
    why = shortened(" ".join(str(error).split()), 300)
    if "memory" in f"{type(error).__name__} {error}".lower():
        return InputError(f"workers were killed for want of memory ({why}). {_FEWER}. Finished parts stay")
    return InputError(f"Ray stopped the job ({why}). Finished parts stay; the same command goes on")
