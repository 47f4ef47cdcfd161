"""The GPU queue without a GPU: packing with checksums, the plan of epochs in the time that is left, what is done."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mien import FaceSet, Recipe
from mien.training.run import Epoch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODULES = ("gpu_pack", "gpu_plan", "gpu_queue", "gpu_worker")


@pytest.fixture(scope="module")
def gpu() -> Iterator[Any]:
    """`gpu.pack`, `gpu.plan`, `gpu.queue`, `gpu.worker`: scripts that import each other by their file names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield SimpleNamespace(**{name[4:]: importlib.import_module(name) for name in MODULES})
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def clock(gpu: Any) -> Any:
    speeds = {"vit-224": 2000.0, "vit-112": 8000.0, "small-v2": 20_000.0, "tiny-v2": 20_000.0, "base-v2": None}
    return gpu.plan.Clock(speeds, startup=10.0, together=2)


def training(gpu: Any, name: str) -> Any:
    return next(one for one in gpu.plan.order() if one.name == name)


# packing


def test_parts_come_back_whole_and_under_their_names(gpu: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    noise = np.random.default_rng(0).bytes(50_000)
    (tmp_path / "model" / "weights").write_bytes(noise)
    (tmp_path / "votes.csv").write_text("path,happiness\n")
    members = gpu.pack.files_of([tmp_path / "model", tmp_path / "votes.csv"])
    made = gpu.pack.make(tmp_path / "parts", members, 20_000)
    assert [path.name for path in made] == ["part-0", "part-1", "part-2", "SHA256SUMS"]
    assert max(path.stat().st_size for path in made) == 20_000
    gpu.pack.join(tmp_path / "parts", tmp_path / "there")
    assert (tmp_path / "there" / "model" / "weights").read_bytes() == noise
    assert (tmp_path / "there" / "votes.csv").read_text() == "path,happiness\n"


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_part_is_named_and_nothing_unpacked(gpu: Any, tmp_path: Path, damage: str) -> None:
    (tmp_path / "data").write_bytes(np.random.default_rng(0).bytes(3000))
    gpu.pack.make(tmp_path / "parts", {"data": tmp_path / "data"}, 1000)
    part = tmp_path / "parts" / "part-1"
    part.write_bytes(part.read_bytes()[::-1]) if damage == "changed" else part.unlink()
    with pytest.raises(gpu.pack.PackError, match="part-1 missing or damaged"):
        gpu.pack.join(tmp_path / "parts", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_eight_bits_are_within_half_a_step_of_their_row(gpu: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(64, 8, 3, 3)).astype(np.float32) * np.arange(64).reshape(-1, 1, 1, 1),
        "bias": rng.normal(size=64).astype(np.float32),
        "steps": np.array(7),
    }
    path = tmp_path / f"model{gpu.pack.EIGHT}"
    save_file(gpu.pack.rounded(weights), path)
    assert path.stat().st_size < 0.3 * sum(value.nbytes for value in weights.values()) + 500
    gpu.pack.make(tmp_path / "parts", {f"run/{path.name}": path}, 10_000)
    gpu.pack.join(tmp_path / "parts", tmp_path / "there")
    back = load_file(tmp_path / "there" / "run" / "model.safetensors")
    step = np.abs(weights["kernel"]).max(axis=(1, 2, 3), keepdims=True) / 127
    assert (np.abs(back["kernel"] - weights["kernel"]) <= 0.51 * step + 1e-3 * np.abs(weights["kernel"])).all()
    assert np.allclose(back["bias"], weights["bias"], rtol=1e-3)
    assert back["steps"] == 7
    assert [one.name for one in (tmp_path / "there" / "run").iterdir()] == ["model.safetensors"]


# the plan


def test_every_training_names_a_recipe_and_takes_its_overrides(gpu: Any) -> None:
    trainings = gpu.plan.order()
    assert len({one.name for one in trainings}) == len(trainings)
    for one in trainings:
        job = gpu.plan.Job(one, one.sides[0], one.least, 0.0)
        assert Recipe.load(one.recipe, job.overrides("dinov2-small")).epochs == one.least
        assert gpu.plan.Job.from_json(job.to_json()) == job


def test_as_many_epochs_as_fit_and_no_more_than_the_recipe_has(gpu: Any, clock: Any) -> None:
    tuned = training(gpu, "vit-tuned-s0")
    # 2,000 images/s, shared by two, 15 % kept back: 850. An epoch is 28,709 + 7,178 / 6 faces, the answers 2 x 7,178.
    epoch, answers = (28_709 + 7_178 / 6) / 850, 2 * 7_178 / 850
    for seconds, epochs in ((10 + answers + 7.5 * epoch, 7), (10 + answers + 40 * epoch, 12)):
        job = clock.planned(tuned, 100.0, 100.0 + seconds)
        assert job.epochs == epochs
        assert job.deadline == pytest.approx(100 + seconds - answers)
    assert clock.planned(tuned, 100.0, 100 + 10 + answers + 5.9 * epoch) is None
    assert clock.planned(training(gpu, "small-v2-s0"), 0.0, 900.0).epochs == 400  # its clock ends it


def test_a_smaller_side_where_the_time_is_short(gpu: Any, clock: Any) -> None:
    one = training(gpu, "vit-v1.3")
    assert clock.planned(one, 0.0, 400.0).name == "vit-v1.3"
    job = clock.planned(one, 0.0, 150.0)
    assert (job.name, job.side) == ("vit-v1.3@112px", 112)
    assert "data.preprocess.size=112" in job.overrides("dinov2-small")
    assert clock.planned(training(gpu, "vit-v1.6.7-s0"), 0.0, 150.0) is None  # asked at 224 px alone


def test_the_most_wanted_that_fits_comes_first_and_nothing_twice(gpu: Any, clock: Any) -> None:
    wanted, taken, begun = gpu.plan.order(), set[str](), []
    while job := clock.next_job(wanted, taken, 0.0, 900.0):
        taken.add(job.training.name)
        begun.append(job.name)
    assert begun[:3] == ["small-v2-s0", "vit-tuned-s0", "vit-v1.6.7-s0"]
    assert len(set(begun)) == len(begun)
    assert "base-v2-s0" not in begun  # its proof failed
    assert clock.next_job(wanted, {"small-v2-s0"}, 0.0, 900.0).name == "vit-tuned-s0"
    assert clock.next_job(wanted, {"vit-v1.3@112px", *taken} - {"vit-v1.3"}, 0.0, 150.0) is None


def test_a_pupil_waits_for_its_teacher(gpu: Any, clock: Any) -> None:
    taken = {"small-v2-s0", "vit-tuned-s0"}
    assert clock.next_job(gpu.plan.order(), taken, 0.0, 900.0).name != "small-v2-taught"
    assert clock.next_job(gpu.plan.order(), taken, 0.0, 900.0, {"vit-tuned-s0"}).name == "small-v2-taught"
    row = gpu.plan.Done("vit-tuned-s0", "vit-tuned", "finished", 224, 12, 12, 500.0)
    assert gpu.plan.finished([row]) == set()  # its weights are not at hand any more
    pupils = [replace(row, name=name) for name in ("small-v2-taught", "tiny-v2-taught")]
    assert gpu.plan.finished([row, pupils[0]]) == {"small-v2-taught"}  # the other still waits for it
    assert gpu.plan.finished([row, *pupils]) == {"vit-tuned-s0", "small-v2-taught", "tiny-v2-taught"}


def test_asking_a_teacher_takes_its_time(gpu: Any) -> None:
    clock = gpu.plan.Clock({"small-v2": 30_000.0, "vit-224": 2_500.0}, 10.0, 1)
    pupil = training(gpu, "small-v2-taught")
    # 6,000 images/s: 30,000 of its own and 7,500 of its teacher, which goes forward alone; 15 % are kept back.
    epoch, answers = (28_709 + 7_178 / 6) / (0.85 * 6_000), 2 * 7_178 / (0.85 * 6_000)
    assert clock.planned(pupil, 0.0, 10 + answers + 44.9 * epoch) is None
    assert clock.planned(pupil, 0.0, 10 + answers + 45.1 * epoch) is not None


def test_work_of_a_mean_epoch(gpu: Any) -> None:
    share = gpu.plan.share_moving
    assert share(Recipe.load("vit-tuned")) == share(Recipe.load("small-v2")) == 1
    assert share(Recipe.load("vit-v1.6.7", ["unfreeze=none"])) == 0  # all of it is computed once
    assert share(Recipe.load("vit-v1.6.7", ["unfreeze={last: 6}"])) == pytest.approx(0.5)
    # 9 of 12 blocks at the end, one more every second epoch from the second: 135 blocks in 24 epochs
    assert share(Recipe.load("vit-v1.6.7")) == pytest.approx((9 + 2 * 135 / 24) / 36)


# what is done


def test_the_list_of_what_is_done_grows_and_only_what_is_finished_is_left_out(gpu: Any, tmp_path: Path) -> None:
    path = tmp_path / "gpu_done.json"
    assert gpu.plan.read_done(path) == []
    row = gpu.plan.Done("small-v2-s0", "small-v2", "finished", 48, 210, 400, 301.5, 0.71)
    rows = [row, replace(row, name="vit-tuned-s0", state="failed", val_accuracy=None, note="code 1: no memory")]
    gpu.plan.write_done(path, rows)
    assert gpu.plan.read_done(path) == rows
    assert gpu.plan.finished(rows) == {"small-v2-s0"}


def test_what_is_kept_in_the_repository_can_be_read(gpu: Any) -> None:
    names = {one.name for one in gpu.plan.order()}
    assert all(row.name.partition("@")[0] in names for row in gpu.plan.read_done(gpu.queue.DONE))


def test_a_training_that_failed_says_why(gpu: Any, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "base-v2-s0.log").write_text("Traceback\n  …\nRuntimeError: out of memory\n")
    job = gpu.plan.Job(training(gpu, "base-v2-s0"), 48, 100, 0.0)
    row = gpu.queue.outcome(job, tmp_path, 1, 12.0)
    assert (row.state, row.epochs, row.note) == ("failed", 0, "code 1: RuntimeError: out of memory")


def test_weights_as_exact_as_there_is_room(gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "best.safetensors"
    save_file({"kernel": np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)}, weights)
    size = weights.stat().st_size
    assert gpu.queue.carried(weights, tmp_path / "0", size)[0] == "float32"
    monkeypatch.setattr(gpu.queue, "_SMALL", 100)
    for room, how in ((size, "rounded to float16"), (size / 3, "rounded to 8 bits"), (100, "left out, no room")):
        said, path = gpu.queue.carried(weights, tmp_path / how.replace(" ", "-"), room)
        assert said == how
        assert path is None or path.stat().st_size < room


def test_a_share_of_the_faces_has_every_label_in_every_split(gpu: Any, drawn_faces: FaceSet) -> None:
    share = gpu.worker.stratified(drawn_faces, 0.25, least=1)
    counts = share.counts()
    for split, labels in drawn_faces.counts().items():
        assert counts[split] == {label: max(1, round(0.25 * count)) if count else 0 for label, count in labels.items()}
    assert gpu.worker.stratified(drawn_faces, 0.25, least=1).fingerprint == share.fingerprint
    assert gpu.worker.stratified(drawn_faces, 1.0) is drawn_faces


def test_graphs_are_used_where_they_are_quicker_and_train_the_same(gpu: Any) -> None:
    plain = Epoch(2, 1.8, 0.3, 1.7, 0.3, 0.01, 1.0, 10_000.0)
    assert gpu.worker.agree(plain, replace(plain, train_loss=1.805, images_per_second=15_000.0))
    assert not gpu.worker.agree(plain, replace(plain, train_loss=1.9, images_per_second=15_000.0))
    assert not gpu.worker.agree(plain, replace(plain, val_loss=float("nan"), images_per_second=15_000.0))
    assert not gpu.worker.agree(plain, replace(plain, images_per_second=9_000.0))
