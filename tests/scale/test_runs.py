"""Sweeps and studies on Ray: the table of one machine; what is finished stays, a run that diverges ends nothing."""

from __future__ import annotations

import pickle
from importlib.metadata import version
from pathlib import Path

import pytest

from mien import FaceSet, InputError, Recipe
from mien.errors import DivergedError, MissingExtraError
from mien.scale.cluster import Cluster
from mien.scale.early import Halving
from mien.scale.runs import _train, on_ray
from mien.studies.grid import combinations
from mien.studies.runs import Errand
from mien.studies.sweep import sweep
from mien.training.hardware import detect
from mien.training.run import Epoch

CPU = ("cpu", "float32")
GRID = ["optimizer.lr=1e-3,1e-4,10"]
SETTINGS = ["epochs=2", "optimizer.name=sgd"]  # of which a rate of 10 diverges


def test_a_worker_of_another_version_or_without_the_folder_says_so(drawn_faces: FaceSet, tmp_path: Path) -> None:
    recipe = Recipe.load("cnn-v1", ["epochs=1"])
    error = _train(("a", recipe, str(tmp_path / "a"), CPU, "9.9"), drawn_faces, None)
    assert f"has mien {version('mien')}, the command has 9.9. Install one on all machines" in str(error)
    error = _train(("a", recipe, str(tmp_path / "none" / "a"), CPU, version("mien")), drawn_faces, None)
    assert "the machines do not share that folder" in str(error)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    error = _train(("b", recipe, str(tmp_path / "b"), CPU, version("mien")), drawn_faces, None)
    assert isinstance(error, InputError)
    assert _train(("c", recipe, str(tmp_path / "c"), CPU, version("mien")), drawn_faces, None) is None
    assert (tmp_path / "c" / "model.onnx").is_file()


@pytest.mark.parametrize("error", [InputError("a"), DivergedError("what", "advice"), MissingExtraError("it", "scale")])
def test_errors_travel_between_processes_as_they_are(error: Exception) -> None:
    found = pickle.loads(pickle.dumps(error))  # noqa: S301  ours
    assert (type(found), str(found), found.__dict__) == (type(error), str(error), error.__dict__)


@pytest.mark.slow
def test_a_sweep_on_ray_is_the_sweep(drawn_faces: FaceSet, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("ray")
    wanted = combinations("cnn-v1", GRID, SETTINGS)
    caplog.set_level("INFO", "mien")
    here = sweep(wanted, drawn_faces, tmp_path / "here", hardware=detect(*CPU))
    there = sweep(wanted, drawn_faces, tmp_path / "there", many=on_ray(Cluster(workers=2), *CPU))
    assert len(there.finished) == 2
    for ours, theirs in zip(there.rows, here.rows, strict=True):
        assert (ours.run, ours.settings, ours.problem) == (theirs.run, theirs.settings, theirs.problem)
        assert ours.val_accuracy == theirs.val_accuracy
        assert ours.val_loss == pytest.approx(theirs.val_loss, abs=1e-4)  # other threads, other last digits
    assert "optimizer.lr=10: diverged" in caplog.text
    before = (tmp_path / "there" / "optimizer.lr=1e-3" / "model.safetensors").stat().st_mtime_ns
    again = sweep(wanted, drawn_faces, tmp_path / "there", many=on_ray(Cluster(workers=1), *CPU))
    assert again.rows[:2] == there.rows[:2]
    assert (tmp_path / "there" / "optimizer.lr=1e-3" / "model.safetensors").stat().st_mtime_ns == before
    assert "2 finished before, 1 to train" in caplog.text


def rows(*accuracies: float) -> list[Epoch]:
    return [
        Epoch(epoch, 1.0, 0.5, 1.0, accuracy, 1e-3, 1.0, 100.0) for epoch, accuracy in enumerate(accuracies, start=1)
    ]


def test_halving_stops_what_falls_behind_at_its_rungs(drawn_faces: FaceSet, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    wanted = combinations("cnn-v1", ["optimizer.lr=1e-3,1e-4,1e-5"], ["epochs=9"])
    errands = [Errand(one.name, one.recipe, drawn_faces, tmp_path / one.name, None, detect(*CPU)) for one in wanted]
    halving = Halving(errands)  # rungs at epochs 1, 3 and 9
    assert halving.verdict("good", rows(0.5, 0.6, 0.7), 9) is None
    assert halving.verdict("better", rows(0.6, 0.6), 9) is None
    assert halving.verdict("good", rows(0.5, 0.6, 0.7, 0.1), 9) is None  # between rungs nothing is held against it
    why = halving.verdict("bad", rows(0.4, 0.9), 9)
    assert why is not None
    assert "val accuracy 0.400 at epoch 1 of 9" in why
    assert "at epoch 3 of 9" in (halving.verdict("better", rows(0.6, 0.6, 0.65), 9) or "")
    assert halving.verdict("good", rows(*[0.5] * 8, 0.0), 9) is None  # at its end there is nothing to stop


@pytest.mark.slow
def test_a_sweep_with_asha_names_what_it_stopped(drawn_faces: FaceSet, tmp_path: Path) -> None:
    """One at a time, so that what is stopped does not depend on which worker is quicker."""
    pytest.importorskip("ray")
    wanted = combinations("cnn-v1", ["optimizer.lr=3e-3,1e-9,1e-8"], ["epochs=24", "early_stopping=null"])
    first = sweep(wanted, drawn_faces, tmp_path / "out", many=on_ray(Cluster(workers=1), *CPU, asha=True))
    assert [row.settings["optimizer.lr"] for row in first.finished] == ["3e-3"]
    assert len(first.stopped) == 2
    for row in first.stopped:
        assert row.problem is not None
        assert "stopped early (ASHA)" in row.problem
        assert 2 < row.epochs < 24
        assert row.val_accuracy is None
    assert first.rivals == ()
    table = (tmp_path / "out" / "sweep.csv").read_text()
    assert table.count(",stopped,") == 2
    again = sweep(wanted, drawn_faces, tmp_path / "out", many=on_ray(Cluster(workers=1), *CPU, asha=True))
    assert again == first  # nothing is trained again
    whole = sweep(wanted, drawn_faces, tmp_path / "out", hardware=detect(*CPU))
    assert len(whole.finished) == 3  # without it they go on to their end
    assert {row.epochs for row in whole.rows} == {24}
