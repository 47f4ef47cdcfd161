"""Cluster: a connection to Ray, started here or at an address, and what its workers have to agree in."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from mien.errors import InputError, MissingExtraError, first_line
from mien.recognize.session import cores

_ADDRESSES = (
    "Expected HOST:6379 as `ray start --head` prints it, or auto on a machine of the cluster. A cluster that wants a "
    "token (Ray's default) has to be given its own: RAY_AUTH_TOKEN"
)
_ANSWER_S = 10


@dataclass(frozen=True)
class Cluster:
    """Where Ray works. `address`: None starts one here; `workers`: at most so many at a time."""

    address: str | None = None
    workers: int | None = None
    gpus: float = 0.0  # of each worker


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
        self.cluster = cluster
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
        return min(has, self.cluster.workers or has)


def check_version(mien: str) -> None:
    """Raise `InputError` in a worker whose mien is not that of the command."""
    if version("mien") != mien:
        raise InputError(
            f"worker {socket.gethostname()} has mien {version('mien')}, the command has {mien}. "
            "Install one on all machines"
        )


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


def _own_size(cluster: Cluster) -> dict[str, Any]:
    """Of a cluster on this machine alone. Little goes through its store: parts are written where they are made."""
    return {"num_cpus": max(cores(), cluster.workers or 0), "object_store_memory": 200 * 2**20}


def _passed_on() -> dict[str, str]:
    """Of this process' environment, what workers need: where the stores are. Credentials are each machine's own."""
    names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_NO_SIGN_REQUEST")
    return {name: os.environ[name] for name in names if name in os.environ}
