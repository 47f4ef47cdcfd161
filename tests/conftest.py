"""Shared by all tests: a cache of their own, a drawn data set, and the real one where it is at hand."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mien import FaceSet, Recipe, Run
from mien.data.draw import draw_set
from mien.training import train as training
from mien.training.train import train

DRAWN = 140  # faces: 112 for training, 14 public and 14 private

# The tests run in several processes: each keeps to one thread, or they wait for each other (torch reads this once).
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def mien_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Decoded faces go to a folder of this session, never to the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C works, in programs that tests start too; a shell's background job would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command that runs within a test sets up the log of its process; the next test finds it as it was."""
    loggers = [logging.getLogger(name) for name in ("mien", "mien.images", "uvicorn.error", "asyncio")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    yield
    for one, (handlers, propagate, level) in zip(loggers, before, strict=True):
        one.handlers, one.propagate = handlers, propagate
        one.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def few_faces_are_looked_at() -> Iterator[None]:
    """To learn how train faces are cut takes half a second of a training; drawn faces are hardly found anyway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_LOOKED_AT", 20)
        yield


@pytest.fixture(scope="session", autouse=True)
def small_pictures() -> Iterator[None]:
    """A report of twenty pictures takes its time in their pixels; what is on them is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.report.style.DPI", 60)
        yield


@pytest.fixture(scope="session", autouse=True)
def short_timings() -> Iterator[None]:
    """How long a network takes is measured for 2 s at every study, for numbers that no test reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.evaluation.latency.SECONDS", 0.01)
        yield


@pytest.fixture(scope="module")
def no_onnx() -> Iterator[None]:
    """Studies leave no model.onnx, which takes as long as a short training; test_readme.py sees that they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.studies.runs.leave_onnx", lambda *_: None)
        yield


@pytest.fixture
def no_onnx_of_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `no_onnx`, of `mien train`: for tests that look at something else of its run."""
    monkeypatch.setattr("mien.studies.runs.leave_onnx", lambda *_: None)


@pytest.fixture(scope="session")
def drawn_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cartoon faces in the Kaggle layout, as a zip. Read it, never change it."""
    return draw_set(tmp_path_factory.mktemp("drawn") / "drawn.zip", DRAWN, seed=7)


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The faces of `drawn_zip`, as a folder. Read it, never change it."""
    return draw_set(tmp_path_factory.mktemp("drawn") / "drawn", DRAWN, seed=7)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data; tests that ask for it are skipped without it."""
    folder = Path(os.environ.get("MIEN_SHARED") or Path(__file__).parents[2] / "shared") / "data"
    if not (folder / "fer2013.zip").is_file():
        pytest.skip(f"{folder} holds no fer2013.zip; set MIEN_SHARED to the folder that holds data/fer2013.zip")
    return folder


@pytest.fixture(scope="session")
def fer2013(real_data: Path) -> FaceSet:
    """The real FER2013."""
    return FaceSet.open(real_data / "fer2013.zip", size=48)


@pytest.fixture(scope="session")
def drawn_faces(drawn_zip: Path) -> FaceSet:
    """The drawn set, opened."""
    return FaceSet.open(drawn_zip, size=48)


@pytest.fixture
def trained_run(trained_folder: Path, tmp_path: Path) -> Run:
    """A finished run of cnn-v1 on the drawn faces, in a folder of this test's own."""
    return Run(Path(shutil.copytree(trained_folder, tmp_path / "trained")))


@pytest.fixture(scope="session")
def trained_folder(drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe.load("cnn-v1", ["epochs=3"])
    return train(recipe, drawn_faces, tmp_path_factory.mktemp("runs") / "trained").folder


@pytest.fixture(scope="session")
def save_checkpoint() -> Callable[..., Path]:
    """`save_checkpoint(folder, architecture, preprocessor=True, blocks=None)`: a tiny one with random weights."""
    return _save_checkpoint


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision transformer of four blocks for 32 x 32 pixels, as a local checkpoint. Read it, never change it."""
    return _save_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny-vit", "vit")


_TRANSFORMER = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32,
}  # fmt: skip
_ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTConfig", {**_TRANSFORMER, "patch_size": 8}),
    "deit": ("DeiTConfig", {**_TRANSFORMER, "patch_size": 8}),
    "beit": ("BeitConfig", {**_TRANSFORMER, "patch_size": 8, "use_relative_position_bias": True}),
    "mae": ("ViTMAEConfig", {**_TRANSFORMER, "patch_size": 8}),
    "dinov2": ("Dinov2Config", {**_TRANSFORMER, "patch_size": 8}),
    "dinov2-registers": ("Dinov2WithRegistersConfig", {**_TRANSFORMER, "patch_size": 8}),
    "swin": (
        "SwinConfig",
        {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2], "window_size": 4},
    ),
    "resnet": ("ResNetConfig", {"embedding_size": 8, "hidden_sizes": [8, 16, 24], "depths": [1, 1, 1]}),
    "convnextv2": ("ConvNextV2Config", {"hidden_sizes": [8, 16, 24], "depths": [1, 1, 2], "num_stages": 3}),
    "efficientnet": (
        "EfficientNetConfig", {"width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320, "image_size": 32}
    ),
}  # fmt: skip


def _save_checkpoint(folder: Path, name: str, *, preprocessor: bool = True, blocks: int | None = None) -> Path:
    import torch
    import transformers

    kind, settings = _ARCHITECTURES[name]
    settings = {**settings, **({"num_hidden_layers": blocks} if blocks else {})}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.AutoModel.from_config(getattr(transformers, kind)(**settings)).save_pretrained(folder)
    if preprocessor:
        said = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
        (folder / "preprocessor_config.json").write_text(json.dumps(said))
    return folder


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def mien(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """The command line, called in this process."""
    from mien.cli.main import main

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["mien", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return call
