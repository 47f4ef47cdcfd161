"""Training on Ray: the numbers of one process, after any kill too, and what stops it told in a line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mien import FaceSet, InputError, Recipe, Run, train
from mien.scale.cluster import Cluster
from mien.scale.train import _check, _Order, train_on_ray
from mien.training.hardware import detect
from mien.training.train import begin_run

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from scale import PATIENCE_S, descendants, name_of

SETTINGS = ("epochs=15", "data.batch_size=8", "data.augment.flip=0.5")  # long enough to be killed on its way


@pytest.fixture
def order(drawn_faces: FaceSet, tmp_path: Path) -> _Order:
    recipe = Recipe.load("cnn-v1", ["epochs=1"])
    run = begin_run(recipe, drawn_faces, tmp_path / "run")
    return _Order(
        recipe, None, None, str(run.folder), run.seen_fingerprint, "cpu", "float32", None, version("mien"), None
    )


def test_a_run_that_is_begun_is_gone_on_with(drawn_faces: FaceSet, tmp_path: Path) -> None:
    recipe = Recipe.load("cnn-v1", ["epochs=1"])
    begun = begin_run(recipe, drawn_faces, tmp_path / "run")
    assert begun.begun
    assert not begun.finished
    with pytest.raises(InputError, match="is not empty"):
        begin_run(recipe, drawn_faces, tmp_path / "run")
    hardware = detect("cpu", "float32")
    done = train(recipe, drawn_faces, tmp_path / "run", hardware=hardware, existing="resume")
    alone = train(recipe, drawn_faces, tmp_path / "alone", hardware=hardware)
    assert [(row.train_loss, row.val_loss) for row in done.history] == [
        (row.train_loss, row.val_loss) for row in alone.history
    ]
    assert begin_run(recipe, drawn_faces, tmp_path / "run", existing="resume").finished  # nothing left to do


def test_a_worker_of_another_version_or_without_the_folder_says_so(order: _Order) -> None:
    _check(order)
    with pytest.raises(InputError, match=r"worker .* has mien .*, the command has 9\.9\. Install one"):
        _check(replace(order, mien="9.9"))
    with pytest.raises(InputError, match="the machines do not share that folder"):
        _check(replace(order, out=order.out + "-elsewhere"))
    with pytest.raises(InputError, match="the machines do not share that folder"):
        _check(replace(order, fingerprint="other faces"))


@pytest.mark.parametrize("option", [("--workers", "2"), ("--address", "auto"), ("--num-gpus", "1")])
def test_options_of_a_cluster_want_one(option: tuple[str, str], drawn_zip: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    said = _mien(drawn_zip, tmp_path / "run", *option)
    assert said.returncode == 2
    assert f"{option[0]} is for --engine ray; leave it out" in said.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_workers_come_to_the_numbers_of_one(drawn_zip: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    # Adam divides by the size of each gradient, so where one is nearly 0 it makes a step of what rounding leaves.
    plain = ("epochs=2", "data.batch_size=32", "optimizer.name=sgd", "optimizer.lr=0.02")
    done = _mien(drawn_zip, tmp_path / "ray", "--engine", "ray", "--workers", "2", settings=plain)
    assert done.returncode == 0, done.stderr
    assert f"next: mien evaluate {tmp_path / 'ray'}" in done.stdout
    run = Run(tmp_path / "ray")
    assert (run.folder / "model.onnx").is_file()
    recipe = Recipe.load("cnn-v1", list(plain))
    alone = train(recipe, FaceSet.open(drawn_zip), tmp_path / "one", hardware=detect("cpu", "float32"))
    _close(run, alone, 1e-5)


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_driver_change_no_number(drawn_zip: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    whole = _mien(drawn_zip, tmp_path / "whole", "--engine", "ray", "--workers", "2")
    assert whole.returncode == 0, whole.stderr
    attacked = Run(tmp_path / "attacked")
    command = _command(drawn_zip, attacked.folder, "--engine", "ray", "--workers", "2")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as driver:
        _until(attacked, 1, driver)
        family = descendants(driver.pid)
        workers = [pid for pid in family if "RayTrainWorker" in name_of(pid)]
        assert len(workers) == 2
        subprocess.run(["kill", "-9", str(workers[0])], check=True)
        _until(attacked, 2, driver)  # others have taken over, from the first epoch
        family |= descendants(driver.pid)
        driver.kill()
        driver.wait(PATIENCE_S)
    began = time.monotonic()
    while any(
        name in name_of(pid) for pid in family for name in ("RayTrainWorker", "TrainController", "raylet/raylet")
    ):
        assert time.monotonic() - began < PATIENCE_S, "processes were left over"
        time.sleep(0.2)
    for pid in family:  # two agents of Ray's own stay when their cluster was killed
        if "ray::" in name_of(pid):
            os.kill(pid, signal.SIGKILL)
    assert 2 <= len(attacked.history) < 15
    done = _mien(drawn_zip, attacked.folder, "--engine", "ray", "--workers", "2", "--resume")
    assert done.returncode == 0, done.stderr
    _close(attacked, Run(tmp_path / "whole"), 0)


@pytest.mark.slow
def test_an_error_of_ours_is_told_once_in_its_own_words(drawn_faces: FaceSet, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    recipe = Recipe.load("cnn-v1", ["epochs=2", "data.batch_size=3"])
    with pytest.raises(InputError, match="a batch of 3 images cannot be shared by 2 devices"):
        train_on_ray(recipe, drawn_faces, tmp_path / "run", Cluster(workers=2), device="cpu")


def _command(data: Path, out: Path, *further: str, settings: tuple[str, ...] = SETTINGS) -> list[str]:
    sets = [word for setting in settings for word in ("--set", setting)]
    return [sys.executable, "-m", "mien", "train", "cnn-v1", "--data", str(data), "--out", str(out), "--device", "cpu",
            "--precision", "float32", *sets, *further]  # fmt: skip


def _mien(
    data: Path, out: Path, *further: str, settings: tuple[str, ...] = SETTINGS
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(data, out, *further, settings=settings), capture_output=True, text=True, check=False)


def _until(run: Run, epochs: int, driver: subprocess.Popen[bytes]) -> None:
    """Until so many epochs are finished; a training that stands still for a minute beside its start is a failure."""
    began = time.monotonic()
    while not (run.last_checkpoint.is_file() and len(run.history) >= epochs):
        assert driver.poll() is None
        assert time.monotonic() - began < 2 * PATIENCE_S
        time.sleep(0.01)


def _close(ours: Run, theirs: Run, tolerance: float) -> None:
    found, wanted = load_file(ours.weights_file), load_file(theirs.weights_file)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance, msg=name)
    for row, other in zip(ours.history, theirs.history, strict=True):
        assert (row.train_loss, row.val_loss) == pytest.approx((other.train_loss, other.val_loss), abs=tolerance)
