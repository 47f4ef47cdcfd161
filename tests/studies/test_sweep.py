"""A sweep: what a grid becomes, what it trains, and what it says of it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mien import FaceSet, InputError, Run
from mien.errors import InterruptedRunError
from mien.evaluation.bootstrap import Estimate
from mien.report import style
from mien.studies import runs
from mien.studies.grid import combinations
from mien.studies.sweep import Outcome, Sweep, sweep
from mien.training import module
from mien.training.train import train

FAST = ("epochs=2", "optimizer.name=sgd", "data.batch_size=8")
GRID = ("optimizer.lr=1e-2,1e-4,10",)  # at 10 the loss is no number from the second epoch on

pytestmark = [pytest.mark.usefixtures("no_onnx"), pytest.mark.slow]


@pytest.fixture(scope="module")
def swept(no_onnx: None, drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep]:
    """A sweep of three learning rates, one of which diverges; its folder is read, never changed."""
    out = tmp_path_factory.mktemp("sweeps") / "lr"
    return out, sweep(combinations("cnn-v1", GRID, FAST), lambda size: drawn_faces, out)


def test_plan_is_the_product_of_the_grids() -> None:
    settings = combinations("cnn-v2", ["optimizer.lr=1e-3,1e-4", "data.batch_size=8,16"], ["epochs=3"])
    assert [setting.name for setting in settings] == [
        *(f"optimizer.lr={lr},data.batch_size={size}" for lr in ("1e-3", "1e-4") for size in (8, 16)),
    ]  # fmt: skip
    assert [(setting.recipe.optimizer.lr, setting.recipe.data.batch_size) for setting in settings] == [
        (1e-3, 8), (1e-3, 16), (1e-4, 8), (1e-4, 16),
    ]  # fmt: skip
    assert all(setting.recipe.epochs == 3 for setting in settings)
    assert settings[0].values == {"optimizer.lr": "1e-3", "data.batch_size": "8"}


def test_plan_completes_each_recipe_from_its_checkpoint(tiny_vit: Path) -> None:
    settings = combinations(
        "vit-v1.3", ["model.head.hidden=[],[16, 8],[16]", "unfreeze=all,{last: 2}"], [f"model.backbone={tiny_vit}"]
    )
    assert [setting.name for setting in settings] == [
        f"model.head.hidden={hidden},unfreeze={unfreeze}"
        for hidden in ("empty", "16-8", "16")
        for unfreeze in ("all", "last-2")
    ]
    assert [setting.recipe.model.head.hidden for setting in settings[::2]] == [(), (16, 8), (16,)]
    assert settings[1].recipe.unfreeze.last == 2
    assert settings[0].recipe.preprocess.mean == (0.5, 0.4, 0.3)  # what the checkpoint says


def test_names_are_safe_different_and_not_too_long() -> None:
    kinds = combinations("cnn-v1", ["optimizer.name=adam,sgd", "schedule.name=constant,cosine"])
    assert kinds[3].name == "optimizer.name=sgd,schedule.name=cosine"
    words = combinations("cnn-v1", ["describe=a b/../c,a b:..:c,A b/../c,plain"])
    names = [setting.name for setting in words]
    assert len({name.lower() for name in names}) == 4
    assert names[3] == "describe=plain"
    for name in names:
        assert not set(name) & set("/\\: *?'\"<>|")
    long = combinations("cnn-v1", [f"describe={'x' * 300},{'x' * 301}"])
    assert len({setting.name for setting in long}) == 2
    assert all(len(setting.name) < 200 for setting in long)
    again = combinations("cnn-v1", [f"describe={'x' * 300},{'x' * 301}"])
    assert [setting.name for setting in again] == [setting.name for setting in long]


@pytest.mark.parametrize(
    ("grids", "overrides", "words"),
    [
        ([], [], "a sweep needs a grid"),
        (["optimizer.lr"], [], r"expected KEY=VALUE,VALUE"),
        (["=1"], [], r"expected KEY=VALUE,VALUE"),
        (["optimizer.lr="], [], "a value is empty"),
        (["optimizer.lr=1e-3,,1e-4"], [], "a value be empty"),
        (["unfreeze={last: 1,{last: 2}"], [], "a bracket may not be closed"),
        (["unfreeze=last: 1}"], [], "a bracket may not be closed"),
        (["optimizer.lr=1e-3,1e-3"], [], r"optimizer\.lr=1e-3 is there twice"),
        (["optimizer.lr=1e-3,0.001"], [], r"optimizer\.lr=1e-3 and optimizer\.lr=0\.001 mean the same"),
        (["seed=1", "seed=2"], [], "has a grid already"),
        (["seed=1,2"], ["seed=3"], "also given by --set"),
        (["optimizer.lrr=1,2"], [], r"lrr: unknown key\. Did you mean 'lr'"),
        (["name.x=1"], [], r"^--grid name\.x=1: 'name' has a single value"),
        (["seed=[1"], [], "a bracket may not be closed"),
        (["seed=1,2"], ["epochs=0"], r"^recipe 'cnn-v1' has 1 problem:\n  epochs: .* got 0$"),
    ],
)
def test_mistakes_in_a_grid(grids: list[str], overrides: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        combinations("cnn-v1", grids, overrides)


def test_every_bad_value_is_named_at_once_with_its_grid() -> None:
    with pytest.raises(InputError) as caught:
        combinations("cnn-v1", ["optimizer.lr=1e-3,abc,20", "seed=0,1"])
    text = str(caught.value)
    assert text.startswith("--grid optimizer.lr=abc seed=0 and 1 more: recipe 'cnn-v1'")
    assert "got 'abc'" in text
    assert "--grid optimizer.lr=20 seed=0 and 1 more" in text
    assert "optimizer.lr=1e-3" not in text


def test_rows_hold_what_the_runs_hold_best_first(swept: tuple[Path, Sweep], drawn_faces: FaceSet) -> None:
    out, found = swept
    n = int((drawn_faces.splits == "val").sum())
    assert found.n == n
    assert len(found.finished) == 2
    for row in found.finished:
        run = Run(out / row.run)
        kept = run.predictions("val")
        right = float((kept.probabilities.argmax(axis=1) == kept.labels).mean())
        assert row.val_accuracy is not None
        assert row.val_accuracy.value == pytest.approx(right)
        assert row.val_accuracy.low <= right <= row.val_accuracy.high
        best = max(run.history, key=lambda epoch: epoch.val_accuracy)
        assert (row.best_epoch, row.val_loss) == (best.epoch, best.val_loss)
        assert row.settings["optimizer.lr"] in row.run
    accuracies = [row.val_accuracy.value for row in found.finished if row.val_accuracy]
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_setting_that_diverges_ends_nothing_and_is_told(swept: tuple[Path, Sweep]) -> None:
    out, found = swept
    (row,) = found.diverged
    assert found.rows[-1] is row
    assert row.run == "optimizer.lr=10"
    assert "no longer a number" in str(row.problem)
    assert "--set" not in str(row.problem)  # the advice for one run would contradict the grid
    assert row.val_accuracy is None
    assert not Run(out / row.run).finished


def test_csv_and_picture(swept: tuple[Path, Sweep]) -> None:
    out, found = swept
    with (out / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == [row.run for row in found.rows]
    assert [row["status"] for row in rows] == ["finished", "finished", "diverged"]
    best = found.rows[0]
    assert best.val_accuracy is not None
    assert float(rows[0]["val_accuracy_high"]) == best.val_accuracy.high
    assert rows[0]["optimizer.lr"] == best.settings["optimizer.lr"]
    assert int(rows[0]["val_n"]) == found.n
    assert rows[2]["val_accuracy"] == rows[2]["best_epoch"] == ""
    assert Image.open(out / "sweep.png").width > 6 * style.DPI


def test_repeated_it_keeps_what_is_finished_and_tries_again_what_diverged(
    swept: tuple[Path, Sweep], drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, found = swept
    trained = []

    def noting(recipe, faces, folder, *how):  # type: ignore[no-untyped-def]
        trained.append(folder.name)
        return train(recipe, faces, folder, *how)

    monkeypatch.setattr(runs, "train", noting)
    again = sweep(combinations("cnn-v1", GRID, FAST), lambda size: drawn_faces, out)
    assert trained == ["optimizer.lr=10"]
    assert again.finished == found.finished
    assert [row.run for row in again.diverged] == ["optimizer.lr=10"]


def test_stopped_it_says_how_to_go_on_and_goes_on_to_the_same_numbers(
    swept: tuple[Path, Sweep], drawn_faces: FaceSet, tmp_path: Path
) -> None:
    step = module.TrainingModule.training_step

    def stopping(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        if self.recipe.optimizer.lr == 1e-4 and self.current_epoch == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    settings = combinations("cnn-v1", ["optimizer.lr=1e-2,1e-4"], FAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.TrainingModule, "training_step", stopping)
        with pytest.raises(InterruptedRunError, match=r"stopped at optimizer.lr=1e-4\. .*run the same command again"):
            sweep(settings, lambda size: drawn_faces, tmp_path)
    found = sweep(settings, lambda size: drawn_faces, tmp_path)
    whole, _ = swept
    assert len(found.finished) == 2
    for name in ("optimizer.lr=1e-2", "optimizer.lr=1e-4"):
        first, second = Run(tmp_path / name).history, Run(whole / name).history
        assert [epoch.val_loss for epoch in first] == [epoch.val_loss for epoch in second]


def test_training_never_receives_the_test_split(
    drawn_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[FaceSet] = []

    def noting(recipe, faces, folder, *how):  # type: ignore[no-untyped-def]
        seen.append(faces)
        return train(recipe, faces, folder, *how)

    monkeypatch.setattr(runs, "train", noting)
    sweep(combinations("cnn-v1", ["seed=3"], ["epochs=1"]), lambda size: drawn_faces, tmp_path)
    assert set(np.unique(seen[0].splits)) == {"train", "val"}
    assert not (tmp_path / "seed=3" / "predictions" / "test.npz").exists()


def test_each_size_is_opened_once_and_trained_on(drawn_zip: Path, tmp_path: Path) -> None:
    opened = []

    def open_faces(size: int) -> FaceSet:
        opened.append(size)
        return FaceSet.open(drawn_zip, size=size)

    settings = combinations("cnn-v1", ["data.preprocess.size=30,40", "seed=0,1"], ["epochs=1"])
    found = sweep(settings, open_faces, tmp_path)
    assert opened == [30, 40]
    assert {Run(tmp_path / row.run).card.preprocess.size for row in found.finished} == {30, 40}


def test_what_would_end_it_halfway_ends_it_before_the_first_training(
    drawn_faces: FaceSet, swept: tuple[Path, Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("trained"))
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match=r"seed=1: has no run to resume"):
        sweep(combinations("cnn-v1", ["seed=0,1"]), lambda size: drawn_faces, tmp_path)
    sizes = combinations("cnn-v1", ["model.kind=cnn-v1,cnn-v2"], ["data.preprocess.size=8"])
    with pytest.raises(InputError, match=r"model.kind=cnn-v2: cnn-v2 needs images of at least 16 pixels"):
        sweep(sizes, lambda size: drawn_faces, tmp_path / "other")
    out, _ = swept
    with pytest.raises(InputError, match=r"optimizer.lr=1e-4: was begun with another recipe \(different: epochs\)"):
        sweep(combinations("cnn-v1", ["optimizer.lr=1,1e-4"], ["epochs=9", *FAST[1:]]), lambda size: drawn_faces, out)
    with pytest.raises(InputError, match=r"is a run\. A sweep holds runs"):
        sweep(combinations("cnn-v1", ["seed=0"]), lambda size: drawn_faces, out / "optimizer.lr=1e-2")
    assert not (tmp_path / "other").exists()


def test_an_error_names_the_setting_that_met_it(
    drawn_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB")

    monkeypatch.setattr(module.TrainingModule, "training_step", full)
    with pytest.raises(InputError, match=r"^data.batch_size=64: out of memory"):
        sweep(combinations("cnn-v1", ["data.batch_size=64"]), lambda size: drawn_faces, tmp_path)


def test_all_diverged_leaves_a_table_and_no_picture(drawn_faces: FaceSet, tmp_path: Path) -> None:
    style.save(Figure(), tmp_path / "sweep.png")  # of an earlier time
    many = ["optimizer.name=sgd", "data.batch_size=2", "epochs=2"]  # 56 steps: it is noticed in the first epoch
    found = sweep(combinations("cnn-v1", ["optimizer.lr=10"], many), lambda size: drawn_faces, tmp_path)
    assert found.finished == ()
    assert found.n == 0
    assert (tmp_path / "sweep.csv").read_text().count("diverged") == 1
    assert not (tmp_path / "sweep.png").exists()


def test_rivals_are_those_whose_interval_reaches_the_best_one_s() -> None:
    def row(name: str, value: float, low: float, high: float) -> Outcome:
        accuracy = Estimate(value=value, low=low, high=high)
        return Outcome(run=name, settings={}, status="finished", epochs=1, best_epoch=1, val_accuracy=accuracy,
                   val_loss=1.0, minutes=0.0)  # fmt: skip

    lost = Outcome(run="d", settings={}, status="diverged", problem="x", epochs=0, minutes=0.0)
    rows = (row("a", 0.7, 0.65, 0.75), row("b", 0.66, 0.6, 0.7), row("c", 0.5, 0.4, 0.64), lost)
    found = Sweep(recipe="r", folder="f", n=9, rows=rows)
    assert [rival.run for rival in found.rivals] == ["b"]
