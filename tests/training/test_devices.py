"""`mien train --devices 2`: two processes share each batch (gloo, on the CPU) and come to what one comes to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mien import FaceSet, Recipe, Run, train
from mien.training.hardware import detect

pytestmark = pytest.mark.slow

PLAIN = ("cnn-v1", "data.batch_size=32")  # neither batch norm nor augmentation nor dropout
_WAIT = 120  # seconds


def command(data: Path, out: Path, settings: tuple[str, ...], *further: str) -> list[str]:
    recipe, *changed = settings
    sets = [word for change in changed for word in ("--set", change)]
    return [sys.executable, "-m", "mien", "train", recipe, "--data", str(data), "--out", str(out), "--device", "cpu",
            "--precision", "float32", *sets, *further]  # fmt: skip


def trained(data: Path, out: Path, settings: tuple[str, ...], *further: str) -> tuple[Run, str]:
    done = subprocess.run(command(data, out, settings, *further), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Run(out), done.stderr


def alone(data: Path, out: Path, settings: tuple[str, ...]) -> Run:
    recipe, *changed = settings
    return train(Recipe.load(recipe, changed), FaceSet.open(data), out, hardware=detect("cpu", "float32"))


def same(ours: Run, theirs: Run, tolerance: float) -> None:
    """Weights and history; the figures of val are counted, so they agree to the digit where the weights do."""
    found, wanted = load_file(ours.weights_file), load_file(theirs.weights_file)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance, msg=name)
    for row, other in zip(ours.history, theirs.history, strict=True):
        assert row.train_loss == pytest.approx(other.train_loss, abs=tolerance)
        assert row.val_loss == pytest.approx(other.val_loss, abs=tolerance)


def test_two_processes_come_to_the_weights_of_one(drawn_zip: Path, tmp_path: Path) -> None:
    settings = (*PLAIN, "epochs=2", "data.imbalance=loss")  # whose mean divides by the classes' weights
    one = alone(drawn_zip, tmp_path / "one", settings)
    two, said = trained(drawn_zip, tmp_path / "two", settings, "--devices", "2")
    same(two, one, 2e-4)
    assert "Initializing distributed" not in said


@pytest.mark.parametrize(
    ("unfreeze", "once"),
    [("unfreeze.schedule={2: 1, 3: 1}", True), ("unfreeze.schedule={2: 4}", False)],
)
def test_frozen_work_is_done_once_and_blocks_are_released(
    drawn_zip: Path, tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unfreeze: str, once: bool
) -> None:
    """Across the epochs in which blocks are released, which gives the processes more to share."""
    settings = (
        "vit-v1.3", f"model.backbone={tiny_vit}", "data.preprocess.size=32", "epochs=3",
        "model.head.dropout=0", "optimizer.lr=0.001", unfreeze,
    )  # fmt: skip
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache-one"))
    one = alone(drawn_zip, tmp_path / "one", settings)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache-two"))
    two, said = trained(drawn_zip, tmp_path / "two", settings, "--devices", "2")
    same(two, one, 2e-4)
    assert said.count("frozen blocks: done") == int(once)
    assert one.history[-1].train_loss < one.history[0].train_loss


def test_whichever_process_is_killed_the_run_goes_on_to_the_same_numbers(drawn_zip: Path, tmp_path: Path) -> None:
    settings = ("cnn-v1", "data.batch_size=8", "epochs=15", "data.augment.flip=0.5")  # long enough to be killed
    whole, _ = trained(drawn_zip, tmp_path / "whole", settings, "--devices", "2")
    stopped = Run(tmp_path / "stopped")
    for after, first in ((1, False), (2, True)):  # the second process is killed, then the one that started it
        resumed = ["--resume"] if after > 1 else []
        with subprocess.Popen(
            command(drawn_zip, stopped.folder, settings, "--devices", "2", *resumed), stderr=subprocess.DEVNULL
        ) as running:
            began = time.monotonic()
            while not (stopped.last_checkpoint.is_file() and len(stopped.history) >= after):
                assert running.poll() is None
                assert time.monotonic() - began < _WAIT
                time.sleep(0.01)
            children = _children(running.pid)
            assert len(children) == 1
            os.kill(running.pid if first else children[0], 9)
            running.wait(_WAIT)  # not for ever: whoever is left over ends too
            _until_gone(children[0])
    assert 2 <= len(stopped.history) < 15
    done, _ = trained(drawn_zip, stopped.folder, settings, "--devices", "2", "--resume")
    same(done, whole, 0)


def test_a_batch_that_cannot_be_shared_is_told(drawn_zip: Path, tmp_path: Path) -> None:
    settings = ("cnn-v1", "data.batch_size=3")
    said = subprocess.run(
        command(drawn_zip, tmp_path / "run", settings, "--devices", "2"), capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    assert "a batch of 3 images cannot be shared by 2 devices" in said.stderr
    assert not (tmp_path / "run").exists()


def _children(parent: int) -> list[int]:
    found = subprocess.run(
        ["ps", "--ppid", str(parent), "-o", "pid=,args="], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "mien" in line]


def _until_gone(process: int) -> None:
    began = time.monotonic()
    while Path(f"/proc/{process}").exists() and "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text():
        assert time.monotonic() - began < _WAIT, "a process was left over"
        time.sleep(0.1)
