"""Loggers are told what stands in history.csv, also when a training was stopped and went on."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from mien import FaceSet, InputError, Recipe, Run
from mien.training import loggers
from mien.training.loggers import check_logger, open_logger
from mien.training.train import train

SHORT = ["epochs=2"]


def logged(run: Run) -> list[dict[str, str]]:
    with (run.folder / "logs" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_holds_the_history(drawn_faces: FaceSet, tmp_path: Path) -> None:
    run = train(Recipe.load("cnn-v1", SHORT), drawn_faces, tmp_path / "run", logger="csv")
    rows = logged(run)
    assert [int(row["step"]) for row in rows] == [1, 2]
    for row, epoch in zip(rows, run.history, strict=True):
        assert float(row["val_accuracy"]) == pytest.approx(epoch.val_accuracy)
        assert float(row["train_loss"]) == pytest.approx(epoch.train_loss)
    assert "cnn-v1" in (run.folder / "logs" / "hparams.yaml").read_text()


def test_a_resumed_run_has_all_its_epochs(
    drawn_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = loggers.Record.on_train_epoch_end

    def stop(self: loggers.Record, trainer, module) -> None:  # type: ignore[no-untyped-def]
        seen(self, trainer, module)
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    recipe = Recipe.load("cnn-v1", ["epochs=3"])
    with monkeypatch.context() as patch:
        patch.setattr(loggers.Record, "on_train_epoch_end", stop)
        with pytest.raises(BaseException, match="stopped"):
            train(recipe, drawn_faces, tmp_path / "run", logger="csv")
    run = train(recipe, drawn_faces, tmp_path / "run", existing="resume", logger="csv")
    assert [int(row["step"]) for row in logged(run)] == [1, 2, 3]
    replaced = train(Recipe.load("cnn-v1", SHORT), drawn_faces, tmp_path / "run", existing="replace")
    assert not (replaced.folder / "logs").exists()


def test_tensorboard_reads_the_same(drawn_faces: FaceSet, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(Recipe.load("cnn-v1", SHORT), drawn_faces, tmp_path / "run", logger="tensorboard")
    found = EventAccumulator(str(run.folder / "logs")).Reload()
    told = found.Scalars("val_accuracy")
    assert [one.step for one in told] == [1, 2]
    assert [one.value for one in told] == pytest.approx([row.val_accuracy for row in run.history])


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=f"logger {name}: .* Install it: pip install {name}"):
        check_logger(name)


def test_names(tmp_path: Path, drawn_faces: FaceSet) -> None:
    assert (check_logger(None), check_logger("csv")) == (None, "csv")
    with pytest.raises(InputError, match=r"unknown logger 'tensorbord'\. Did you mean 'tensorboard'"):
        train(Recipe.load("cnn-v1"), drawn_faces, tmp_path / "run", logger="tensorbord")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_opened_loggers_write_nothing_yet(tmp_path: Path) -> None:
    open_logger("csv", Run(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert "wandb" not in sys.modules
