"""Batch: the parts of a job, one after another here (`local`) or side by side on a Ray cluster (`ray`).

Exactly once: a part has a number and a name, is written whole or not at all, and is passed over where it is there. So
whatever dies, and however often a part is begun, each picture has one row. Ray Data's own checkpoints
(`ray.data.checkpoint`) would read the ids of all finished pictures into the memory of one task at each start and hold
them in up to ten filtering actors; a number a part does the same with one listing of a folder.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from mien.errors import InputError, MissingExtraError, first_line, shortened
from mien.recognize.recognizer import Recognizer
from mien.recognize.session import CPU, available_providers, cores
from mien.scale import places
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
_ADDRESSES = (
    "Expected HOST:6379 as `ray start --head` prints it, or auto on a machine of the cluster. A cluster that wants a "
    "token (Ray's default) has to be given its own: RAY_AUTH_TOKEN"
)
_ANSWER_S = 10
_TRIES_FOLDER = "_tries"


@dataclass(frozen=True)
class Cluster:
    """Where parts are worked on by Ray. `address`: None starts one here; `workers`: at most so many at a time."""

    address: str | None = None
    workers: int | None = None
    gpus: float = 0.0  # of each worker


def run_here(job: Job, left: Sequence[int], recognizer: Recognizer) -> Iterator[Tally]:
    """Do the parts that are left, in order; what came of each as it is done."""
    for part in left:
        yield do_part(job, part, recognizer)


class RayCluster:
    """A connection to Ray. A context manager; the cluster that it started ends with it, one at an address does not."""

    def __init__(self, cluster: Cluster) -> None:
        """Raises `MissingExtraError` without Ray, `InputError` for an address where none answers."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its default warns of a coming change
        try:
            import ray
            import ray.data

            for name in ("ray", "ray.data"):  # what a person is to know of it, we say
                logging.getLogger(name).setLevel(logging.ERROR)
        except ModuleNotFoundError as error:
            raise MissingExtraError("--engine ray", "scale") from error
        self._cluster = cluster
        if cluster.address:
            _check_address(cluster.address)
        own = {} if cluster.address else {"include_dashboard": False, **_own_size(cluster)}
        try:
            ray.init(
                address=cluster.address or "local", logging_level=logging.ERROR, log_to_driver=False,
                runtime_env={"env_vars": _passed_on()}, **own,
            )  # fmt: skip
        except (ConnectionError, TimeoutError, RuntimeError, ValueError, OSError) as error:
            raise _no_cluster(cluster.address or "Ray on this machine", error) from error

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    @property
    def cores(self) -> float:
        """That work at a time."""
        import ray

        has = float(ray.cluster_resources().get("CPU", 0.0))  # type: ignore[no-untyped-call]
        return min(has, self._cluster.workers or has)

    def run(self, job: Job, left: Sequence[int], recognizer: Recognizer) -> Iterator[Tally]:
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
        most = max(1, min(self._cluster.workers or int(self.cores), len(left)))
        parts = ray.data.from_items([{"part": part} for part in left], override_num_blocks=min(len(left), _BLOCKS))
        done = parts.map_batches(
            _Worker,
            fn_constructor_kwargs={"out": job.out, "fingerprint": job.fingerprint, "run": secrets.token_hex(4),
                                   "mien": version("mien"), "recognizer": recognizer.__getstate__(),
                                   "gpu": self._cluster.gpus > 0},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
            num_cpus=_CPUS,
            num_gpus=self._cluster.gpus or None,
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


def _check_address(address: str) -> None:
    """Raise `InputError` where nobody listens: Ray itself asks for minutes."""
    host, colon, port = address.rpartition(":")
    if address in ("auto", "local"):
        return
    if not colon or not port.isdigit() or "/" in address:
        raise InputError(f"address {address}: {_ADDRESSES}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(where: str, error: Exception) -> InputError:
    return InputError(f"{where}: no Ray cluster answers ({first_line(error)}). {_ADDRESSES}")


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
    return Recognizer(**{**given, "threads": 1, "provider": "cuda" if on_gpu else given["provider"]})


def _opened(out: str, fingerprint: str, mien: str) -> Job:
    here = socket.gethostname()
    if version("mien") != mien:
        raise InputError(
            f"worker {here} has mien {version('mien')}, the job was begun by {mien}. Install the same on all machines"
        )
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


def _own_size(cluster: Cluster) -> dict[str, Any]:
    """Of a cluster on this machine alone. Little goes through its store: parts are written where they are made."""
    return {"num_cpus": max(cores(), cluster.workers or 0), "object_store_memory": 200 * 2**20}


def _passed_on() -> dict[str, str]:
    """Of this process' environment, what workers need: where the stores are. Credentials are each machine's own."""
    names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_NO_SIGN_REQUEST")
    return {name: os.environ[name] for name in names if name in os.environ}


def _explained(error: BaseException) -> InputError:
    """What a person can do about an error of Ray's own."""
    why = shortened(" ".join(str(error).split()), 300)
    if "memory" in f"{type(error).__name__} {error}".lower():
        return InputError(f"workers were killed for want of memory ({why}). {_FEWER}. Finished parts stay")
    return InputError(f"Ray stopped the job ({why}). Finished parts stay; the same command goes on")
