"""Frozen work done once: the same numbers as without, from a bounded store that is found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien import FaceSet, Recipe
from mien.models.build import build, complete
from mien.models.pretrained import PretrainedClassifier
from mien.training import features as module
from mien.training import train as training
from mien.training.features import Features, frozen_features
from mien.training.hardware import Hardware, detect
from mien.training.train import train

CPU = Hardware("cpu", "float32")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def opened(checkpoint: Path, *overrides: str) -> tuple[Recipe, PretrainedClassifier]:
    base = ["unfreeze=none", "data.imbalance=none", "epochs=2", f"model.backbone={checkpoint}"]
    recipe = complete(Recipe.load("vit-v1.6.7", [*base, "data.preprocess.size=32", *overrides]))
    torch.manual_seed(0)
    network = build(recipe.model, recipe.preprocess, 7).eval()
    assert isinstance(network, PretrainedClassifier)
    return recipe, network


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_kept_is_what_the_frozen_part_gives(depth: int, tiny_vit: Path, drawn_faces: FaceSet, cache: Path) -> None:
    recipe, network = opened(tiny_vit)
    kept = frozen_features(network, depth, drawn_faces, recipe.preprocess, CPU)
    assert kept is not None
    chosen = np.array([5, 0, 17])
    images = torch.from_numpy(recipe.preprocess(drawn_faces.gather(chosen)))
    with torch.no_grad():
        expected = network.frozen_part(images, depth)
        assert torch.allclose(kept.gather(chosen), expected, atol=2e-3)  # stored pixels shrink by cv2, exactly as here
        assert torch.allclose(network.moving_part(kept.gather(chosen), depth), network(images), atol=2e-3)
    assert kept.seconds > 0


def test_bfloat16_tokens_take_half_the_room(tiny_vit: Path, drawn_faces: FaceSet, cache: Path) -> None:
    recipe, network = opened(tiny_vit)
    full = frozen_features(network, 2, drawn_faces, recipe.preprocess, CPU)
    half = frozen_features(network, 2, drawn_faces, recipe.preprocess, replace(CPU, precision="bfloat16"))
    assert full is not None
    assert half is not None
    assert half.store.nbytes * 2 == full.store.nbytes
    indices = np.arange(9)
    assert torch.allclose(half.gather(indices), full.gather(indices), atol=0.05, rtol=0.05)


def test_kept_in_memory_where_there_is_room_and_trained_on_from_there(
    tiny_vit: Path, drawn_faces: FaceSet, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, network = opened(tiny_vit, "epochs=1")
    on_disk = frozen_features(network, 2, drawn_faces, recipe.preprocess, CPU)
    first = train(recipe, drawn_faces, tmp_path / "first", hardware=detect(device="cpu", precision="float32"))
    before = set(cache.iterdir())
    monkeypatch.setattr(module, "room", lambda _: 2**30)
    in_memory = frozen_features(network, 2, drawn_faces, recipe.preprocess, CPU)
    assert on_disk is not None
    assert in_memory is not None
    assert in_memory.path is None
    indices = np.array([3, 1, 60])
    mask = np.arange(len(drawn_faces)) % 2 == 0
    assert torch.equal(in_memory.select(mask).gather(indices), on_disk.select(mask).gather(indices))
    second = train(recipe, drawn_faces, tmp_path / "second", hardware=detect(device="cpu", precision="float32"))
    assert set(cache.iterdir()) == before
    assert second.history[0].val_loss == pytest.approx(first.history[0].val_loss, rel=1e-5)


def test_found_again_for_the_same_and_only_the_same(
    tiny_vit: Path, drawn_faces: FaceSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, network = opened(tiny_vit)
    first = frozen_features(network, 4, drawn_faces, recipe.preprocess, CPU)
    monkeypatch.setattr(module, "_fill", lambda *_: pytest.fail("computed again"))
    again = frozen_features(network, 4, drawn_faces, recipe.preprocess, CPU)
    assert first is not None
    assert again is not None
    assert again.path == first.path
    assert again.seconds == first.seconds
    keys = {first.path.name}
    other_network = opened(tiny_vit)[1]
    with torch.no_grad():
        other_network.backbone.units[1][0].add_(1e-3)
    other_pixels = recipe.preprocess.model_copy(update={"mean": (0.1, 0.1, 0.1)})
    for arguments in (
        (other_network, 4, drawn_faces, recipe.preprocess, CPU),
        (network, 3, drawn_faces, recipe.preprocess, CPU),
        (network, 4, drawn_faces.select("val"), recipe.preprocess, CPU),
        (network, 4, drawn_faces, other_pixels, CPU),
        (network, 4, drawn_faces, recipe.preprocess, replace(CPU, precision="bfloat16")),
    ):
        keys.add(f"features-{module._key(*arguments)}.npy")
    assert len(keys) == 6


def test_a_run_with_the_store_has_the_numbers_of_a_run_without(
    tiny_vit: Path, drawn_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, _ = opened(tiny_vit, "unfreeze={schedule: {2: 2}}", "epochs=2", "optimizer={name: sgd, lr: 1e-2}")
    cached = train(recipe, drawn_faces, tmp_path / "cached", hardware=detect(precision="float32"))
    monkeypatch.setattr(training, "frozen_depth", lambda *_: None)
    plain = train(recipe, drawn_faces, tmp_path / "plain", hardware=detect(precision="float32"))
    # Batch norm on the nearly equal features of random weights enlarges rounding from step to step; after another epoch
    # it is a matter of the number of threads.
    for with_store, without, tolerance in zip(cached.history, plain.history, (1e-4, 1e-3), strict=True):
        for key in ("train_loss", "val_loss"):
            assert getattr(with_store, key) == pytest.approx(getattr(without, key), abs=tolerance), key


def test_the_features_of_other_faces_would_be_noticed(
    tiny_vit: Path, drawn_faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the comparison above can fail: every face with its neighbor's features."""
    recipe, _ = opened(tiny_vit, "unfreeze={last: 1}", "epochs=1", "optimizer={name: sgd, lr: 1e-2}")
    right = train(recipe, drawn_faces, tmp_path / "right", hardware=detect(precision="float32"))
    monkeypatch.setattr(Features, "select", lambda self, mask: replace(self, rows=np.roll(self.rows[mask], 1)))
    wrong = train(recipe, drawn_faces, tmp_path / "wrong", hardware=detect(precision="float32"))
    assert abs(wrong.history[0].train_loss - right.history[0].train_loss) > 1e-3


def test_a_network_that_cannot_be_split_is_used_whole(
    save_checkpoint, drawn_faces: FaceSet, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # type: ignore[no-untyped-def]
    recipe, network = opened(save_checkpoint(tmp_path / "swin", "swin"), "model.features=mean")
    assert frozen_features(network, 1, drawn_faces, recipe.preprocess, CPU) is None
    assert "cannot be split after block 1" in caplog.text
    assert frozen_features(network, 2, drawn_faces, recipe.preprocess, CPU) is not None  # the whole of it


def test_no_room_on_the_disk_is_no_error(
    tiny_vit: Path, drawn_faces: FaceSet, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe, network = opened(tiny_vit)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    assert frozen_features(network, 4, drawn_faces, recipe.preprocess, CPU) is None
    assert "they are computed in every epoch" in caplog.text


def test_large_stores_go_with_their_run_small_ones_stay(
    tiny_vit: Path, drawn_faces: FaceSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, network = opened(tiny_vit)
    kept = frozen_features(network, 4, drawn_faces, recipe.preprocess, CPU)
    assert isinstance(kept, Features)
    kept.discard()
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr(module, "KEPT_BYTES", 10)
    kept.discard()
    assert not list(cache.iterdir())
