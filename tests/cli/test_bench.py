"""mien bench: figures of every model and detector on this machine, without what only training needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import typer
from typer.testing import CliRunner, Result

from mien import InputError
from mien.cli.bench import bench
from mien.recognize import speed
from mien.recognize.vendored import vendored_folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verb with turns of a single call and one round."""
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    monkeypatch.setattr(speed, "ROUNDS", 1)
    monkeypatch.setattr(speed, "cores", lambda: 2)
    app = typer.Typer()
    app.command()(bench)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def test_json_holds_every_bundled_model_on_one_core_and_on_all(run: Callable[..., Result]) -> None:
    result = run("--json")
    assert result.exception is None, result.exception
    found = json.loads(result.stdout)
    assert found["machine"].keys() == {"processor", "cores", "system", "onnxruntime"}
    assert found["provider"] == "cpu"
    rows = [(row["model"], row["threads"]) for row in found["speeds"]]
    assert rows == [(model, threads) for threads in (1, 2) for model in ("mien-small", "mien-tiny")]
    for row in found["speeds"]:
        assert row["pictures"].keys() == {"default", "fast"}
        assert min(row["faces_single"], row["faces_batch"], *row["pictures"].values()) > 0
    assert "timing mien-small, mien-tiny on 1 core" in result.stderr


def test_a_table_for_named_models(run: Callable[..., Result]) -> None:
    file = vendored_folder("weights") / "mien-tiny.onnx"
    before = cv2.getNumThreads()
    result = run("--model", str(file))
    assert result.exception is None, result.exception
    assert "onnxruntime" in result.stdout.splitlines()[0]
    assert "faces/s" in result.stdout
    assert "mien-small" not in result.stdout
    assert cv2.getNumThreads() == before


def test_an_unknown_model_is_an_error(run: Callable[..., Result]) -> None:
    result = run("--model", "mien-tniy")
    assert isinstance(result.exception, InputError)
    assert "Did you mean 'mien-tiny'?" in str(result.exception)


def test_a_provider_that_is_not_there_is_told_before_anything_is_timed(run: Callable[..., Result]) -> None:
    result = run("--provider", "cuad")
    assert isinstance(result.exception, InputError)
    assert "Did you mean 'cuda'?" in str(result.exception)
    assert "timing" not in result.stderr


def test_turns_alternate_and_give_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    clock = iter([0, 1, 0, 10, 0, 20, 0, 3, 0, 2, 0, 30])  # a 1, b 10; b 20, a 3; a 2, b 30
    monkeypatch.setattr(speed, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(speed, "ROUNDS", 3)
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    assert speed.turns(calls) == {"a": 2, "b": 20}
    assert "".join(order) == "ab" + "abbaab"  # the first of each warms up


def test_it_needs_nothing_of_the_extra_train(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'sklearn', 'scipy', 'lightning', 'onnx'): sys.modules[name] = None\n"
        "from mien.recognize import speed\n"
        "speed.SECONDS, speed.ROUNDS = 0.0, 1\n"
        "print(speed.machine(), speed.measure_speed(['mien-tiny'], 1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mien-tiny" in done.stdout
