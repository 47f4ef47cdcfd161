"""Ray: the same table as on one machine, whatever is killed; and what stops a job is told in one sentence."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from mien import InputError, MienError, Recognizer
from mien.scale import batch
from mien.scale.batch import _Worker
from mien.scale.cluster import Cluster, RayCluster
from mien.scale.job import How, Job
from mien.scale.source import items

SCALE = Path(__file__).parents[2] / "benchmarks" / "scale.py"


@pytest.fixture
def recognizer() -> Recognizer:
    return Recognizer("mien-tiny", detector="fast", threads=1)


@pytest.fixture
def job(album: Path, tmp_path: Path, recognizer: Recognizer) -> Job:
    """Begun, and nothing of it done."""
    listed = list(items([str(album)]))
    begun = Job.planned(str(tmp_path / "faces"), How(part=8), recognizer, listed)
    assert begun.begin(listed) == set()
    return begun


def worker(job: Job, recognizer: Recognizer, **other: str) -> _Worker:
    given = {"out": job.out, "fingerprint": job.fingerprint, "mien": version("mien"), "run": "1", **other}
    return _Worker(**given, recognizer=recognizer.__getstate__(), gpu=False)


def test_a_worker_does_a_part_and_leaves_nothing_beside_it(job: Job, recognizer: Recognizer) -> None:
    ours = worker(job, recognizer)
    (told,), (trouble,) = ours({"part": [1]}).values()
    assert trouble == ""
    assert json.loads(told)["inputs"] == 8
    assert ours({"part": [1]})["tally"] == [told]  # of the part that is there
    assert [path.name for path in Path(job.out, "_tries").iterdir()] == []
    assert job.done() == {1}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"mien": "9.9"}, "the command has 9.9. Install one on all machines"),
        ({"out": "/elsewhere/faces"}, "does not see /elsewhere/faces: it is no folder that the machines share"),
        ({"fingerprint": "x"}, "sees another job in"),
    ],
)
def test_a_worker_that_cannot_help_says_why(job: Job, recognizer: Recognizer, other: dict[str, str], told: str) -> None:
    assert told in worker(job, recognizer, **other)({"part": [0]})["trouble"][0]


def test_a_part_that_kills_its_workers_ends_the_job(
    job: Job, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(batch, "do_part", killed)
        for _ in range(5):
            with pytest.raises(SystemExit):
                worker(job, recognizer)({"part": [2]})
    stopped = worker(job, recognizer)({"part": [2]})["trouble"][0]
    assert "5 workers in turn were killed at it" in stopped
    assert "--workers" in stopped
    assert worker(job, recognizer, run="2")({"part": [2]})["trouble"] == [""]  # the same command, given again


def test_a_worker_with_a_gpu_takes_cuda_where_onnxruntime_has_it(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(batch, "reopened", lambda _, **given: asked.append(given["provider"] or "as given"))
    for has, gpu in ((["cpu", "cuda"], True), (["cpu", "cuda"], False), (["cpu"], True)):
        monkeypatch.setattr(batch, "available_providers", lambda has=has: has)
        batch._recognizer(recognizer.__getstate__(), gpu=gpu)
    assert asked == ["cuda", "as given", "as given"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MienError, match='needs the extra "scale"'):
        RayCluster(Cluster())


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"{address}: no Ray cluster answers"):
            RayCluster(Cluster(address))
    with pytest.raises(InputError, match="Expected HOST:6379"):
        RayCluster(Cluster("ray://head:10001"))


@pytest.mark.slow
def test_the_table_is_that_of_one_machine(mien: Callable, album: Path, plain: bytes, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    command = [
        sys.executable, "-m", "mien", "recognize", album, "--engine", "ray", "--part", "8", "--workers", "2",
        "--out", tmp_path / "faces", "--table", tmp_path / "job.csv", "--model", "mien-tiny", "--detector", "fast",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "21 pictures: 18 with a face, 19 faces, 2 failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "job.csv").read_bytes() == plain


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for workers in /proc")
def test_kills_lose_and_double_nothing() -> None:
    """Three of those of `benchmarks/scale.py`, which does as many as one likes."""
    pytest.importorskip("ray")
    command = [sys.executable, str(SCALE), "--kills", "3", "--jobs", "1", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no row lost, none doubled, no deadlock" in done.stdout.splitlines()[-1]
