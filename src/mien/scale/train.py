"""Train: one training over the workers of a Ray cluster, that goes on after any of them, or all, are killed.

Ray Train starts the workers and joins them; what they compute is `mien.training`'s own. The run folder has to be
one that all machines share: the first worker writes it, each epoch whole or not at all, and all read it when they begin
again. Faces and votes travel once to each machine, through Ray's object store, which its workers map.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mien.data.faceset import FaceSet
from mien.errors import InputError, MienError, first_line
from mien.recipes.recipe import Recipe
from mien.scale.cluster import Cluster, RayCluster, check_version
from mien.training.hardware import Hardware, detect
from mien.training.loggers import LoggerName
from mien.training.processes import Launched
from mien.training.resume import Existing
from mien.training.run import Run
from mien.training.targets import Sources
from mien.training.train import begin_run, train

_TRIES = 5  # that a training begins again by itself after a worker was lost
_FEWER = "Let fewer work on one machine (--workers), or lower data.batch_size"


@dataclass(frozen=True)
class _Order:
    """What each worker is told."""

    recipe: Recipe
    faces: Any  # reference to a FaceSet in the object store
    sources: Any  # to Sources
    out: str
    fingerprint: str  # of the faces that the run in it is begun with
    device: str
    precision: str
    logger: LoggerName | None
    mien: str
    board: Any  # actor that keeps what cannot be mended by beginning again


def train_on_ray(
    recipe: Recipe,
    faces: FaceSet,
    out: str | Path,
    cluster: Cluster,
    sources: Sources | None = None,
    device: str = "auto",
    precision: str = "auto",
    existing: Existing = "refuse",
    logger: LoggerName | None = None,
) -> Run:
    """Train `recipe` on the workers of a cluster, as `mien.training.train.train` does on one machine.

    They share each batch of the recipe, so with any number of them each image is seen once an epoch, and without batch
    norm, dropout and augmentation the numbers are those of one. A worker that is lost is replaced and the training goes
    on from the last finished epoch; after the end of this program, the same call with `existing="resume"` does so. Both
    come to the numbers of an undisturbed training with as many workers.

    Raises the errors of `train`, and `InputError` where no cluster answers, where it has too few cores, and for workers
    of another version of mien or to which `out` is another folder.
    """
    run = begin_run(recipe, faces, Path(out).resolve(), sources, precision, existing, logger)
    if run.finished:
        return run
    with RayCluster(cluster) as connected:
        workers = cluster.workers or 1
        if workers > connected.cores:
            raise InputError(
                f"{workers} workers need a core each; the cluster has {connected.cores:g}. Lower --workers"
            )
        import ray

        order = _Order(
            recipe, ray.put(faces), ray.put(_absolute(sources or Sources())), str(run.folder), run.seen_fingerprint,
            device, precision, logger, version("mien"), ray.remote(_Board).options(num_cpus=0).remote(),
        )  # fmt: skip
        trouble = _fit(order, cluster)
    if trouble is not None:
        raise trouble
    return run


def _fit(order: _Order, cluster: Cluster) -> MienError | None:
    import ray.train
    from ray.train.torch import TorchTrainer

    kept = Path(tempfile.mkdtemp(prefix="mien-ray-"))  # for what Ray notes of its own; nothing of it is needed
    try:
        result = TorchTrainer(
            _work,  # type: ignore[arg-type]  # what it returns is `Result.return_value`
            train_loop_config={"order": order},
            scaling_config=ray.train.ScalingConfig(
                num_workers=cluster.workers or 1,
                use_gpu=cluster.gpus > 0,
                resources_per_worker={"CPU": 1, **({"GPU": cluster.gpus} if cluster.gpus else {})},
            ),
            run_config=ray.train.RunConfig(
                name="train",
                storage_path=str(kept),
                failure_config=ray.train.FailureConfig(max_failures=_TRIES),
            ),
        ).fit()
    except ray.train.TrainingFailedError as error:
        raise _explained(error) from error
    finally:
        shutil.rmtree(kept, ignore_errors=True)
    told: MienError | None = result.return_value  # type: ignore[attr-defined]
    return told


def _absolute(sources: Sources) -> Sources:
    """With folders named as other processes find them."""
    teacher = sources.teacher
    return replace(
        sources,
        teacher=Run(teacher.folder.resolve()) if isinstance(teacher, Run) else teacher,
        start=sources.start and Run(sources.start.folder.resolve()),
        branch=sources.branch and Run(sources.branch.folder.resolve()),
    )


class _Board:
    """An actor that outlives the workers: an error of ours would otherwise be tried again."""

    def __init__(self) -> None:
        self.trouble: MienError | None = None

    def put(self, trouble: MienError) -> None:
        self.trouble = self.trouble or trouble

    def get(self) -> MienError | None:
        return self.trouble


def _work(config: dict[str, Any]) -> MienError | None:
    """What a worker does, the same in each of them. An error of ours ends all of them, whichever had it: Ray begins
    again, and they find it on the board.
    """
    import ray

    order: _Order = config["order"]
    told: MienError | None = ray.get(order.board.get.remote())
    if told is not None:
        return told
    try:
        _check(order)
        _train(order)
    except MienError as error:
        ray.get(order.board.put.remote(error))
        raise
    return None


def _check(order: _Order) -> None:
    here, run = socket.gethostname(), Run(Path(order.out))
    check_version(order.mien)
    if not run.begun or run.seen_fingerprint != order.fingerprint:
        raise InputError(
            f"worker {here} does not see the run in {order.out}: the machines do not share that folder. Choose an "
            "--out that all of them have mounted under this name"
        )


def _train(order: _Order) -> None:
    import ray
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment

    def strategy(frozen: bool) -> Any:
        return RayDDPStrategy(find_unused_parameters=frozen)  # type: ignore[no-untyped-call]

    found = detect(order.device, order.precision)
    workers = ray.train.get_context().get_world_size()
    environment = RayLightningEnvironment()  # type: ignore[no-untyped-call]
    hardware = Hardware(found.device, found.precision, workers, launched=Launched(strategy, environment))
    train(
        order.recipe, ray.get(order.faces), order.out, ray.get(order.sources), hardware, "resume", logger=order.logger
    )


def _explained(error: Exception) -> MienError:
    """Why a training came to no end."""
    failures = getattr(error, "worker_failures", {})
    for failure in failures.values():
        if isinstance(failure, MienError):
            return failure
    said = first_line(next(iter(failures.values()), error))
    memory = any("OutOfMemory" in repr(failure) or "memory" in str(failure) for failure in failures.values())
    advice = f"They were killed for want of memory. {_FEWER}" if memory else "Finished epochs are kept"
    return InputError(f"training on Ray: workers were lost {_TRIES + 1} times ({said}). {advice}; go on with --resume")
