"""What is particular to one system has another way on the others; looked at from here."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import FaceSet
from mien.cli.streams import set_up_streams
from mien.data.cache import new_array
from mien.errors import InterruptedRunError
from mien.models.build import build, complete
from mien.models.pretrained import PretrainedClassifier
from mien.recipes.recipe import Recipe
from mien.recognize.journal import Journal
from mien.serve.listen import open_socket
from mien.training import features
from mien.training.hardware import Hardware, keep_memory
from mien.training.trainer import told_when_stopped

MAPS = Path("/proc/self/maps")


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_allocator_is_left_alone_where_it_is_not_of_linux(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("the C library was opened"))
    keep_memory()


def test_an_allocator_without_settings_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # as musl
    keep_memory()


def test_ctrl_c_is_told_where_no_signal_can_be_set() -> None:
    """In a thread, as notebooks and servers have them."""
    told: list[BaseException] = []

    def stopped() -> None:
        try:
            with told_when_stopped(lambda: InterruptedRunError("stopped")):
                raise SystemExit(1)
        except InterruptedRunError as error:
            told.append(error)

    thread = threading.Thread(target=stopped)
    thread.start()
    thread.join()
    assert [str(error) for error in told] == ["stopped"]


def test_ctrl_c_works_again_after_a_training_was_stopped() -> None:
    def stop() -> None:
        with told_when_stopped(lambda: InterruptedRunError("stopped")):
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Lightning does
            raise SystemExit(1)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(InterruptedRunError):
        stop()
    assert signal.getsignal(signal.SIGINT) is before


def test_room_on_disk_is_taken_as_far_as_the_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    new_array(tmp_path / "a.npy", (3, 2), np.dtype(np.uint8))[:] = 7
    assert np.load(tmp_path / "a.npy").tolist() == [[7, 7]] * 3


def test_a_port_is_shared_with_nobody_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with open_socket("127.0.0.1", 0) as bound:
        assert not bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_every_sign_can_be_printed_into_a_pipe_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding="cp1252"))
    monkeypatch.setattr(sys, "platform", "win32")
    set_up_streams()
    sys.stdout.write("a − b █\n")
    assert pipe.getvalue().decode("utf-8").strip() == "a − b █"


def test_a_journal_is_closed_before_it_is_removed(tmp_path: Path) -> None:
    with Journal(tmp_path / "table.csv", {}) as journal:
        journal.remove()
        assert journal._file.closed


@pytest.fixture
def no_mapped_file_is_renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses it."""
    if not MAPS.is_file():
        pytest.skip("the system does not say which files are mapped")

    def refusing(name: str) -> None:
        plain = getattr(Path, name)

        def rename(path: Path, target: Path) -> Path:
            mapped = {line.split(maxsplit=5)[-1] for line in MAPS.read_text().splitlines()}
            below = [one for one in mapped if one.startswith(str(path.resolve()))]
            assert not below, f"{below} renamed while mapped"
            assert str(target.resolve()) not in mapped, f"{target} replaced while mapped"
            return plain(path, target)

        monkeypatch.setattr(Path, name, rename)

    for name in ("rename", "replace"):
        refusing(name)


@pytest.mark.usefixtures("no_mapped_file_is_renamed")
def test_decoded_faces_are_closed_before_they_are_renamed(tmp_path: Path) -> None:
    """Sizes and channels change on the way, so that the store is written anew."""
    shapes = {"happy": [(30, 30), (40, 30), (48, 48, 3)], "sad": [(20, 20), (20, 20), (30, 30, 3)]}
    rng = np.random.default_rng(0)
    for label, wanted in shapes.items():
        (tmp_path / "faces" / "train" / label).mkdir(parents=True)
        for i, shape in enumerate(wanted):
            image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            image.save(tmp_path / "faces" / "train" / label / f"{i}.png")
    assert FaceSet.open(tmp_path / "faces", size=32, labels=["happy", "sad"]).images.shape == (6, 32, 32, 3)


@pytest.mark.usefixtures("no_mapped_file_is_renamed")
def test_frozen_work_is_closed_before_it_is_renamed(
    drawn_faces: FaceSet, tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "cache_folder", lambda: tmp_path)
    settings = ["unfreeze=none", "data.imbalance=none", f"model.backbone={tiny_vit}", "data.preprocess.size=32"]
    recipe = complete(Recipe.load("vit-v1.6.7", settings))
    network = build(recipe.model, recipe.preprocess, 7)
    assert isinstance(network, PretrainedClassifier)
    kept = features.frozen_features(network, 2, drawn_faces, recipe.preprocess, Hardware("cpu", "float32"))
    assert kept is not None
    assert len(kept.store) == len(drawn_faces)
