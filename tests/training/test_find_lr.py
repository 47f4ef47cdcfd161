"""The learning rate search: what it suggests, what it leaves behind, what it refuses."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from mien import FaceSet, InputError, Recipe
from mien.errors import InterruptedRunError
from mien.training import find_lr as search
from mien.training import module
from mien.training.find_lr import find_lr, save_csv, smooth, suggest

RATES = np.geomspace(1e-6, 1, 200)
SMALL = ("data.batch_size=8",)


def bowl(low: float, high: float, depth: float, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """A loss of 2 that falls by `depth` between the rates `low` and `high`, and rises steeply a decade later."""
    x = np.log10(RATES)
    fallen = np.clip((x - np.log10(low)) / (np.log10(high) - np.log10(low)), 0, 1)
    risen = np.clip(x - np.log10(high) - 1, 0, None)
    return 2 - depth * fallen + 8 * risen + np.random.default_rng(seed).normal(0, noise, len(x))


@pytest.mark.parametrize("seed", range(5))
def test_the_suggestion_lies_inside_the_fall(seed: int) -> None:
    rate = suggest(RATES, bowl(1e-5, 1e-2, depth=0.8, seed=seed))
    assert rate is not None
    assert 1e-4 < rate < 1e-2


def test_the_suggestion_moves_with_the_fall() -> None:
    early, late = (suggest(RATES, bowl(low, 300 * low, depth=0.8)) for low in (3e-6, 3e-4))
    assert early is not None
    assert late is not None
    assert 30 < late / early < 300


def test_the_way_back_from_a_divergence_is_no_fall() -> None:
    losses = bowl(1e-5, 1e-3, depth=0.5)
    peak = np.flatnonzero(RATES > 2e-2)[0]
    losses[peak:] = np.linspace(9, 1.2, len(losses) - peak)  # falls longer and deeper than the loss did before
    rate = suggest(RATES, losses)
    assert rate is not None
    assert rate < 1e-2


def test_noise_alone_seldom_gets_a_suggestion() -> None:
    flat = [suggest(RATES, np.random.default_rng(seed).normal(2, 0.2, len(RATES))) for seed in range(40)]
    assert sum(rate is not None for rate in flat) <= 4
    assert suggest(RATES, np.full(len(RATES), 2.0)) is None
    assert suggest(RATES, np.linspace(2, 3, len(RATES))) is None


def test_losses_that_are_no_number_are_left_out() -> None:
    losses = bowl(1e-5, 1e-2, depth=0.8)
    whole = suggest(RATES, losses)
    losses[-20:] = np.nan
    assert suggest(RATES, losses) == whole
    losses[10] = np.nan
    assert suggest(RATES, losses) is None


def test_smoothing_keeps_a_constant_and_has_no_lag_at_the_start() -> None:
    assert smooth(RATES, np.full(len(RATES), 3.0)) == pytest.approx(np.full(len(RATES), 3.0))
    assert smooth(RATES, np.array([5.0, *np.ones(199)]))[0] == pytest.approx(5.0)


def test_a_search_rises_through_the_rates_and_leaves_nothing(
    faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    told: list[tuple[int, int]] = []
    recipe = Recipe.load("cnn-v1", SMALL)
    found = find_lr(recipe, faces, steps=60, progress=lambda what, done, total: told.append((done, total)))
    assert found.rates[0] == pytest.approx(1e-6)
    assert (np.diff(np.log(found.rates)) > 0).all()
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 60
    assert told == [(done, 60) for done in range(1, len(told) + 1)]
    assert np.log(7) == pytest.approx(found.losses[:5].mean(), abs=0.1)  # seven classes, nothing learned yet
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_gives_the_same_curve_and_changes_no_other_numbers(faces: FaceSet) -> None:
    recipe = Recipe.load("cnn-v2", [*SMALL, "data.augment.flip=0.5"])
    state = torch.get_rng_state()
    first = find_lr(recipe, faces, steps=20)
    assert find_lr(recipe, faces, steps=20).losses.tolist() == first.losses.tolist()
    other = find_lr(Recipe.load("cnn-v2", [*SMALL, "data.augment.flip=0.5", "seed=1"]), faces, steps=20)
    assert other.losses.tolist() != first.losses.tolist()
    torch.set_rng_state(state)


@pytest.mark.slow
def test_blocks_keep_their_share_of_the_rate(tiny_vit: Path, faces: FaceSet) -> None:
    """Layer decay .5 over four blocks: the finder alone would give every group one rate."""
    seen: list[list[float]] = []
    hook = register_optimizer_step_post_hook(
        lambda optimizer, *_: seen.append([group["lr"] for group in optimizer.param_groups])
    )
    recipe = Recipe.load("vit-v1.6.7-layer-decay", [f"model.backbone={tiny_vit}", "optimizer.layer_decay=0.5", *SMALL])
    try:
        found = find_lr(recipe, faces, steps=12)
    finally:
        hook.remove()
    assert [rates[0] for rates in seen] == pytest.approx(found.rates.tolist())
    for head, *blocks in seen:
        assert blocks == pytest.approx([head * 0.5**i for i in range(len(blocks))])
        assert len(blocks) == 6  # final norm, four blocks, what lies below them


@pytest.mark.slow
def test_the_phase_of_unfreezing_stays_that_of_the_first_epoch(
    tiny_vit: Path, faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty steps are two epochs of this data; in the second a block would be released."""
    trained: list[int] = []
    step = module.TrainingModule.training_step

    def noting(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        trained.append(sum(p.requires_grad for p in self.network.backbone.parameters()))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(module.TrainingModule, "training_step", noting)
    recipe = Recipe.load("vit-v1.6", [f"model.backbone={tiny_vit}", "unfreeze={schedule: {2: 1}}", *SMALL])
    find_lr(recipe, faces, steps=20)
    assert trained == [0] * 20


def test_a_loss_that_is_no_number_ends_the_search_without_an_error(
    faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, calls = module.TrainingModule._logits, []

    def poisoned(self, shown, changes=None):  # type: ignore[no-untyped-def]
        calls.append(1)
        return logits(self, shown, changes) * (float("nan") if len(calls) > 15 else 1.0)

    monkeypatch.setattr(module.TrainingModule, "_logits", poisoned)
    found = find_lr(Recipe.load("cnn-v1", SMALL), faces, steps=40)
    assert len(found.losses) == 16
    assert np.isfinite(found.losses[:15]).all()
    assert np.isnan(found.losses[15])


def test_too_few_batches_say_which_size_would_do(faces: FaceSet) -> None:
    n = int((faces.splits == "train").sum())
    with pytest.raises(
        InputError, match=rf"{n} training images make 4 batches of 32.* 10.*data\.batch_size={n // 10}\b"
    ):
        find_lr(Recipe.load("cnn-v1"), faces)
    find_lr(Recipe.load("cnn-v1", [f"data.batch_size={n // 10}"]), faces, steps=3)
    with pytest.raises(InputError, match=r"0 training images make 0 batches.*Use more images"):
        find_lr(Recipe.load("cnn-v1"), faces.select("val"))


def test_stopped_and_out_of_memory(faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(error: BaseException) -> None:
        def step(self, batch, batch_idx):  # type: ignore[no-untyped-def]
            raise error

        monkeypatch.setattr(module.TrainingModule, "training_step", step)

    raising(KeyboardInterrupt())
    with pytest.raises(InterruptedRunError, match="wrote nothing"):
        find_lr(Recipe.load("cnn-v1", SMALL), faces, steps=5)
    raising(RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB"))
    with pytest.raises(InputError, match=r"out of memory\. Lower data\.batch_size"):
        find_lr(Recipe.load("cnn-v1", SMALL), faces, steps=5)


def test_csv_holds_the_curve(tmp_path: Path) -> None:
    losses = bowl(1e-5, 1e-2, depth=0.8)
    found = search.LrSearch(RATES, losses, smooth(RATES, losses), None)
    save_csv(found, tmp_path / "curve.csv")
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["learning_rate"]) for row in rows] == RATES.tolist()
    assert [float(row["loss"]) for row in rows] == losses.tolist()
    assert len(rows[0]) == 3
