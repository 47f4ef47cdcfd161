"""Training from faces to a finished run folder."""

from __future__ import annotations

import json
import os
import runpy
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mien import FaceSet, InputError, Recipe, Run, Votes
from mien.cards import Alignment, Card
from mien.errors import InterruptedRunError
from mien.files import write_whole
from mien.recipes.sections import Optimizer, Residual, Schedule, Targets
from mien.training import module, trainer
from mien.training import train as training
from mien.training.hardware import detect, threads_of
from mien.training.resume import Existing, Request, begin, decide
from mien.training.run import Epoch, best_epoch
from mien.training.targets import Sources
from mien.training.train import train

TIMES = ("seconds", "images_per_second")


def numbers(run: Run) -> list[Epoch]:
    """The history without what the clock says."""
    return [replace(row, seconds=0, images_per_second=0) for row in run.history]


def weights_equal(first: Run, second: Run) -> bool:
    a, b = load_file(first.weights_file), load_file(second.weights_file)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def finished(faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = Recipe.load("cnn-v1", ["epochs=6", "data.batch_size=8", "early_stopping=null"])
    return train(recipe, faces, tmp_path_factory.mktemp("runs") / "finished")


def stop_in(epoch: int, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] = KeyboardInterrupt) -> None:
    step = module.TrainingModule.training_step

    def stopping(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        if self.current_epoch == epoch - 1 and batch_idx == 1:
            raise error
        return step(self, batch, batch_idx)

    monkeypatch.setattr(module.TrainingModule, "training_step", stopping)


def interrupt(
    recipe: Recipe,
    faces: FaceSet,
    out: Path,
    epoch: int,
    match: str | None = None,
    precision: str = "auto",
    branch: Run | None = None,
) -> None:
    """Train and press Ctrl-C in the given epoch."""
    with pytest.MonkeyPatch.context() as patch:
        stop_in(epoch, patch)
        with pytest.raises(InterruptedRunError, match=match):
            train(recipe, faces, out, Sources(branch=branch), hardware=detect(precision=precision))


def test_it_learns(finished: Run) -> None:
    history = finished.history
    assert history[-1].train_loss < history[0].train_loss * 0.8
    assert history[-1].train_accuracy > 0.4  # the largest class holds .24


def test_the_run_folder_holds_what_the_design_says(finished: Run, faces: FaceSet) -> None:
    for name in ("recipe.yaml", "card.json", "model.safetensors", "history.csv", "predictions/val.npz", "seen.npz"):
        assert (finished.folder / name).is_file(), name
    card = Card.model_validate(json.loads((finished.folder / "card.json").read_text()))
    assert card.labels == faces.label_set.labels
    assert card.training.train_images == int((faces.splits == "train").sum())
    assert card.training.epochs == len(finished.history) == 6
    assert card.parameters == sum(p.numel() for p in finished.load_model().parameters())


def test_the_weights_are_those_of_the_best_epoch(finished: Run) -> None:
    best = max(finished.history, key=lambda row: row.val_accuracy)
    kept = finished.predictions("val")
    # Training follows val in the training precision, predictions are float32: an image or two may differ.
    assert float((kept.predicted == kept.labels).mean()) == pytest.approx(best.val_accuracy, abs=2.1 / len(kept))
    assert finished.card.training.best_epoch == best.epoch


def test_best_epoch_follows_the_monitor() -> None:
    rows = [
        Epoch(
            epoch=i,
            train_loss=1,
            train_accuracy=0,
            val_loss=loss,
            val_accuracy=accuracy,
            lr=0,
            seconds=0,
            images_per_second=0,
        )
        for i, (loss, accuracy) in enumerate([(1.0, 0.5), (0.8, 0.6), (0.9, 0.7), (0.9, 0.7)], start=1)
    ]
    assert best_epoch(rows, Recipe.load("cnn-v2")).epoch == 3
    assert best_epoch(rows, Recipe.load("cnn-v2", ["early_stopping.monitor=val_loss"])).epoch == 2
    assert best_epoch(rows, Recipe.load("cnn-v2", ["early_stopping=null"])).epoch == 3


def test_same_seed_same_numbers_other_seed_others(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    runs = [
        train(recipe.model_copy(update={"seed": seed, "epochs": 2}), faces, tmp_path / name)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert numbers(runs[0]) == numbers(runs[1])
    assert weights_equal(runs[0], runs[1])
    assert numbers(runs[0]) != numbers(runs[2])


def test_resumed_with_muon_and_a_second_head_equals_uninterrupted(
    faces: FaceSet, recipe: Recipe, tmp_path: Path
) -> None:
    """The optimizer of two kinds of step, with a head that no weights file holds."""
    model = Residual(kind="residual", widths=(8,), depths=(1,), stem=4)
    recipe = recipe.model_copy(
        update={
            "model": model,
            "targets": Targets(votes_head=0.5),
            "optimizer": Optimizer(name="muon", lr=0.02, weight_decay=0.05),
        }
    )
    columns = ("anger", "happiness")
    votes = Votes("votes.csv", columns, {str(name): np.array([i % 11, 10]) for i, name in enumerate(faces.names)})
    whole = train(recipe, faces, tmp_path / "whole", Sources(votes=votes))
    with pytest.MonkeyPatch.context() as patch:
        stop_in(3, patch)
        with pytest.raises(InterruptedRunError):
            train(recipe, faces, tmp_path / "parts", Sources(votes=votes))
    resumed = train(recipe, faces, tmp_path / "parts", Sources(votes=votes), existing="resume")
    assert numbers(resumed) == numbers(whole)
    assert weights_equal(resumed, whole)


@pytest.mark.slow
def test_a_branch_equals_an_uninterrupted_run_of_its_recipe(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    """Epochs at a constant rate do not depend on the end of the run, so a trunk has many ends and goes on."""

    def until(epochs: int, decay: float) -> Recipe:
        schedule = Schedule(name="constant", warmup_epochs=1, decay_epochs=decay)
        return recipe.model_copy(update={"schedule": schedule, "epochs": epochs, "early_stopping": None})

    trunk = tmp_path / "trunk"
    interrupt(until(100, 5), faces, trunk, 3)
    before = {path: path.read_bytes() for path in trunk.rglob("*") if path.is_file()}
    ended = train(until(4, 2), faces, tmp_path / "branch", Sources(branch=Run(trunk)))
    whole = train(until(4, 2), faces, tmp_path / "whole")
    assert numbers(ended) == numbers(whole)
    assert weights_equal(ended, whole)
    assert {path: path.read_bytes() for path in trunk.rglob("*") if path.is_file()} == before
    interrupt(
        until(5, 2), faces, tmp_path / "parts", 4, branch=Run(trunk)
    )  # a branch is stopped and taken up as any run
    parts = train(until(5, 2), faces, tmp_path / "parts", existing="resume")
    assert numbers(parts) == numbers(train(until(5, 2), faces, tmp_path / "longer"))
    with pytest.raises(InputError, match=r"has finished 2 epochs.*ends after 5 at the earliest: --set epochs=5"):
        train(until(4, 3), faces, tmp_path / "early", Sources(branch=Run(trunk)))
    with pytest.raises(
        InputError, match=r"another recipe \(different: seed\).*epochs and schedule\.decay_epochs alone"
    ):
        train(until(4, 2).model_copy(update={"seed": 5}), faces, tmp_path / "other", Sources(branch=Run(trunk)))
    with pytest.raises(InputError, match=r"its learning rate falls already"):
        train(until(9, 1), faces, tmp_path / "fallen", Sources(branch=ended))
    with pytest.raises(InputError, match=r"leave out --start"):
        train(until(4, 2), faces, tmp_path / "both", Sources(branch=Run(trunk), start=whole))
    with pytest.raises(InputError, match=r"checkpoints/last\.ckpt is missing"):
        train(until(4, 2), faces, tmp_path / "none", Sources(branch=Run(tmp_path)))
    assert not (tmp_path / "early").exists()


@pytest.mark.slow
def test_a_branch_keeps_the_start_of_its_trunk(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    plain = recipe.model_copy(update={"schedule": Schedule(), "epochs": 2, "early_stopping": None})
    start = train(plain.model_copy(update={"epochs": 1}), faces, tmp_path / "start")
    trunk = train(plain, faces, tmp_path / "trunk", Sources(start=start))
    longer = plain.model_copy(update={"epochs": 3, "schedule": Schedule(decay_epochs=1)})
    branch = train(longer, faces, tmp_path / "branch", Sources(branch=trunk))
    assert branch.card.training.start == "start"
    assert numbers(branch) == numbers(train(longer, faces, tmp_path / "whole", Sources(start=start)))


def test_resumed_equals_uninterrupted(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    whole = train(recipe, faces, tmp_path / "whole")
    interrupt(recipe, faces, tmp_path / "parts", 3, r"2 finished epochs are saved.*--resume")
    assert not Run(tmp_path / "parts").finished
    resumed = train(recipe, faces, tmp_path / "parts", existing="resume")
    assert numbers(resumed) == numbers(whole)
    assert weights_equal(resumed, whole)
    assert np.array_equal(resumed.predictions("val").probabilities, whole.predictions("val").probabilities)


@pytest.mark.parametrize(
    ("epoch", "told"), [(1, "before the first epoch was saved"), (2, "1 finished epochs are saved")]
)
def test_an_epoch_that_is_written_down_but_not_saved_is_not_counted(
    epoch: int, told: str, faces: FaceSet, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = trainer.write_history

    def stopping(path: Path, history: Sequence[Epoch]) -> None:
        write(path, history)
        if len(history) == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "write_history", stopping)
    with pytest.raises(InterruptedRunError, match=told):
        train(recipe, faces, tmp_path / "run")
    assert len(Run(tmp_path / "run").history) == epoch
    monkeypatch.undo()
    assert train(recipe, faces, tmp_path / "run", existing="resume").finished


@contextmanager
def with_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_a_run_keeps_the_number_of_threads_that_it_was_begun_with(
    faces: FaceSet, recipe: Recipe, tmp_path: Path
) -> None:
    """Sums over another number of parts are rounded otherwise."""
    with with_threads(2):
        whole = train(recipe, faces, tmp_path / "whole")
        interrupt(recipe, faces, tmp_path / "parts", 3)
    with with_threads(1):
        other = train(recipe, faces, tmp_path / "other")
        resumed = train(recipe, faces, tmp_path / "parts", existing="resume")
        assert torch.get_num_threads() == 1
    assert (whole.card.training.threads, other.card.training.threads) == (2, 1)
    assert numbers(other) != numbers(whole), "here the number would not matter"
    assert resumed.card.training.threads == 2
    assert numbers(resumed) == numbers(whole)
    assert weights_equal(resumed, whole)
    assert np.array_equal(resumed.predictions("val").probabilities, whole.predictions("val").probabilities)


def test_a_checkpoint_without_or_with_strange_threads(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    for saved in ({}, {"threads": before}):
        torch.save(saved, tmp_path / "last.ckpt")
        with threads_of(tmp_path / "last.ckpt"):
            assert torch.get_num_threads() == before
    for strange in (0, 10**9, "two"):
        torch.save({"threads": strange}, tmp_path / "last.ckpt")
        with (
            pytest.raises(InputError, match=r"last\.ckpt: was begun with .* threads"),
            threads_of(tmp_path / "last.ckpt"),
        ):
            pass


def test_two_trainings_at_once_do_not_share_a_folder(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    """The second is told so at its start, whatever it would do with the folder; the first notices nothing."""
    short = recipe.model_copy(update={"epochs": 2})
    told: list[str] = []
    step = module.TrainingModule.training_step

    def second(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        if not told:
            for existing in get_args(Existing):
                with pytest.raises(InputError) as refused:
                    train(short, faces, tmp_path / "link", existing=existing)
                told.append(str(refused.value))
        return step(self, batch, batch_idx)

    (tmp_path / "link").symlink_to(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.TrainingModule, "training_step", second)
        run = train(short, faces, tmp_path / "run")
    assert set(told) == {
        f"{tmp_path}/link: another mien is writing it now. Wait until that one has ended, or choose another name"
    }
    assert len(told) == 3
    assert numbers(run) == numbers(train(short, faces, tmp_path / "alone"))
    assert train(short, faces, tmp_path / "link", existing="resume").card == run.card


def test_interrupted_in_the_first_epoch_says_so_and_can_be_resumed(
    faces: FaceSet, recipe: Recipe, tmp_path: Path
) -> None:
    short = recipe.model_copy(update={"epochs": 2})
    interrupt(short, faces, tmp_path / "run", 1, "before the first epoch")
    with pytest.raises(InputError, match="is not empty"):
        train(short, faces, tmp_path / "run")
    assert len(train(short, faces, tmp_path / "run", existing="resume").history) == 2


def test_early_stopping_keeps_patience(faces: FaceSet, tmp_path: Path) -> None:
    recipe = Recipe.load("cnn-v2", ["epochs=30", "early_stopping.patience=2", "optimizer.lr=1e-9"])
    run = train(recipe, faces, tmp_path / "run")
    history = run.history
    best = best_epoch(history, recipe)
    assert len(history) == best.epoch + 2 < 30
    # Finished: nothing more is trained, even when the end of the program was lost.
    (run.folder / "card.json").unlink()
    again = train(recipe, faces, tmp_path / "run", existing="resume")
    assert numbers(again) == [replace(row, seconds=0, images_per_second=0) for row in history]


def test_the_test_split_changes_nothing(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    short = recipe.model_copy(update={"epochs": 2})
    without = train(short, faces.select("train", "val"), tmp_path / "without")
    with_test = train(short, faces, tmp_path / "with")
    assert weights_equal(without, with_test)
    assert without.card.training.fingerprint == with_test.card.training.fingerprint


def test_a_non_empty_folder_is_left_alone(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"is not empty.*--resume.*--overwrite"):
        train(recipe, faces, tmp_path)
    with pytest.raises(InputError, match="no run in it, so --overwrite does not replace it"):
        train(recipe, faces, tmp_path, existing="replace")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_overwrite_replaces_the_run_and_nothing_else(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    short = recipe.model_copy(update={"epochs": 2})
    train(short, faces, tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    again = train(short.model_copy(update={"seed": 5}), faces, tmp_path / "run", existing="replace")
    assert again.card.training.seed == 5
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_resume_refuses_another_recipe_or_other_data(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    interrupt(recipe, faces, tmp_path / "run", 2)
    with pytest.raises(InputError, match=r"another recipe \(different: seed\)"):
        train(recipe.model_copy(update={"seed": 9}), faces, tmp_path / "run", existing="resume")
    fewer = replace(faces, splits=np.where(np.cumsum(faces.splits == "train") == 1, "test", faces.splits))
    with pytest.raises(InputError, match="begun on other data"):
        train(recipe, fewer, tmp_path / "run", existing="resume")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("name", ["last.ckpt", "best.safetensors"])
def test_disk_full_keeps_the_last_good_checkpoint(
    faces: FaceSet, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In the third epoch the new file is one on a device without room; the system's own error follows."""
    recipe = recipe.model_copy(update={"early_stopping": None})
    step = module.TrainingModule.training_step
    epoch: list[int] = []

    def counting(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        epoch[:] = [self.current_epoch]
        return step(self, batch, batch_idx)

    def filling(path: Path, content: str | bytes | memoryview) -> None:
        if epoch == [2] and path.name == name:
            with Path("/dev/full").open("wb") as file:
                file.write(content)
        write_whole(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(module.TrainingModule, "training_step", counting)
        patch.setattr(trainer, "write_whole", filling)
        patch.setattr(trainer, "best_epoch", lambda rows, recipe: rows[-1])  # every epoch writes its weights
        with pytest.raises(InputError, match=r"No space left on device.*--resume"):
            train(recipe, faces, tmp_path / "run")
    resumed = train(recipe, faces, tmp_path / "run", existing="resume")
    whole = train(recipe, faces, tmp_path / "whole")
    assert numbers(resumed) == numbers(whole)


def test_the_card_says_how_faces_are_cut_and_when_answers_are_unsure(
    faces: FaceSet, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Alignment(eye_distance=0.4, eye_x=0.5, eye_y=0.3, eyes_to_mouth=0.35, faces=60)
    seen: list[bytes] = []

    def measured(images) -> Alignment:  # type: ignore[no-untyped-def]
        seen.extend(image.tobytes() for image in images)
        return cut

    monkeypatch.setattr(training, "measure_alignment", measured)
    monkeypatch.setattr(training, "_LOOKED_AT", 60)
    run = train(recipe.model_copy(update={"epochs": 2, "early_stopping": None}), faces, tmp_path / "run")
    assert run.card.alignment == cut
    shown = {image.tobytes() for image in faces.select("train").images}
    assert len(seen) == 60
    assert set(seen) <= shown
    val = run.predictions("val")
    assert run.card.temperature == pytest.approx(val.fitted_temperature(), abs=1e-4)
    assert run.card.threshold == pytest.approx(val.tempered(run.card.temperature).threshold_for(0.2), abs=1e-4)
    assert run.card.risk == 0.2


def test_overwrite_keeps_the_old_run_until_all_else_fits(faces: FaceSet, finished: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(finished.folder, tmp_path / "run")))
    with pytest.raises(InputError, match="at least 16 pixels"):
        train(Recipe.load("cnn-v2", ["data.preprocess.size=8"]), faces, run.folder, existing="replace")
    assert weights_equal(run, finished)


def test_resume_leaves_other_folders_alone(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: mine")
    with pytest.raises(InputError, match="no run to resume"):
        train(recipe, faces, tmp_path, existing="resume")
    assert (tmp_path / "recipe.yaml").read_text() == "name: mine"


def test_resuming_a_finished_run_changes_nothing(faces: FaceSet, finished: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*") if path.is_file()}
    assert train(finished.recipe, faces, finished.folder, existing="resume").card == finished.card
    assert {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*") if path.is_file()} == before


def test_resume_in_another_precision_is_refused(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    interrupt(recipe, faces, tmp_path / "run", 2, precision="float32")
    with pytest.raises(InputError, match=r"was begun in precision float32.*--precision float32"):
        train(recipe, faces, tmp_path / "run", hardware=detect(precision="bfloat16"), existing="resume")


def test_a_damaged_record_of_what_was_seen_is_named(finished: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(finished.folder, tmp_path / "run")))
    file = run.folder / "seen.npz"
    for content in (b"", file.read_bytes()[:200]):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"seen\.npz.*leak-free"):
            run.seen()


def test_a_loss_that_is_no_number_stops_with_advice(faces: FaceSet, tmp_path: Path) -> None:
    recipe = Recipe.load("cnn-v1", ["epochs=20", "optimizer.lr=10", "optimizer.name=sgd"])
    with pytest.raises(InputError, match=r"no longer a number.*--set optimizer\.lr=1\b"):
        train(recipe, faces, tmp_path / "run", hardware=detect(precision="float32"))


def test_checkpoints_are_read_without_running_code(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    interrupt(recipe, faces, tmp_path / "run", 2)
    run = Run(tmp_path / "run")
    torch.load(run.last_checkpoint, weights_only=True)  # raises on anything but plain state

    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / "owned",))

    torch.save(Evil(), run.last_checkpoint)
    with pytest.raises(InputError, match=r"last\.ckpt.*cannot be read"):
        train(recipe, faces, tmp_path / "run", existing="resume")
    assert not (tmp_path / "owned").exists()


def test_training_needs_train_and_val(faces: FaceSet, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a train split"):
        train(recipe, faces.select("val", "test"), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["new", "replace", "branch"])
def test_the_same_command_begins_a_run_whenever_it_was_killed(
    finished: Run, faces: FaceSet, tmp_path: Path, how: str
) -> None:
    """Before every change of the file system, of a folder that is new and of one that is to be replaced."""
    if not hasattr(os, "fork"):
        pytest.skip("children are forked")
    count_changes = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "faults.py"))["count_changes"]
    seen = faces.select("train", "val")
    recipe = finished.recipe if how == "branch" else finished.recipe.model_copy(update={"seed": 5})
    request = Request(recipe, seen, detect().precision, branch=finished if how == "branch" else None)
    existing: Existing = "replace" if how == "replace" else "resume"
    for kill in range(1, 200, 3 if how == "branch" else 1):  # its copies take a while
        run = Run(tmp_path / f"{kill}")
        if how == "replace":
            shutil.copytree(finished.folder, run.folder)
            (run.folder / "notes.txt").write_text("mine")
        child = os.fork()
        if not child:
            try:
                count_changes(f"{tmp_path}/", kill)
                begin(run, request, how if how == "replace" else "new")  # type: ignore[arg-type]
            finally:
                os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        asked = Request(recipe, seen, detect().precision)
        decision = decide(run, asked, existing)
        if how == "branch" and run.begun:
            assert decision == "resume", "a branch that has begun has all of its trunk"
        else:
            assert decision in ("new", "replace"), kill
            begin(run, asked, decision)
        assert run.begun
        assert run.recipe == recipe
        assert (run.folder / "notes.txt").is_file() == (how == "replace")
        if not run.last_checkpoint.is_file():
            assert not list(run.folder.glob(".mien-*"))
        if not killed:
            break
    assert kill > 5
