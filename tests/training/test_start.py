"""Start: a training that begins with the weights of an earlier run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mien import FaceSet, InputError, Recipe, Run, train
from mien.labels import FERPLUS8, LabelSet
from mien.training.start import take_weights
from mien.training.train import fresh_network

MODEL = "model={kind: residual, widths: [8], depths: [1], stem: 4, squeeze: true}"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load("cnn-v1", [MODEL, "epochs=1", "data.batch_size=16", "early_stopping=null"])


@pytest.fixture(scope="module")
def first(recipe: Recipe, faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe, faces, tmp_path_factory.mktemp("runs") / "first")


def test_the_same_labels_take_every_weight(first: Run, recipe: Recipe, faces: FaceSet) -> None:
    network = fresh_network(recipe, faces)
    take_weights(network, first, faces.label_set.labels)
    theirs = load_file(first.weights_file)
    assert all(torch.equal(value, theirs[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("labels", [FERPLUS8.labels, tuple("abcdefg")])
def test_other_labels_keep_the_last_layer_fresh(
    first: Run, recipe: Recipe, faces: FaceSet, labels: tuple[str, ...]
) -> None:
    others = replace(faces, label_set=LabelSet("others", labels))
    network = fresh_network(recipe, others)
    fresh = {key: value.clone() for key, value in network.state_dict().items()}
    take_weights(network, first, labels)
    theirs = load_file(first.weights_file)
    for key, value in network.state_dict().items():
        assert torch.equal(value, (fresh if key.startswith("classifier.") else theirs)[key]), key


def test_a_training_begins_there_and_says_so(first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path) -> None:
    slow = recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"lr": 1e-9})})
    fewer = faces.keep(np.flatnonzero((faces.splits != "train") | (np.arange(len(faces)) % 2 == 0)))
    run = train(slow, fewer, tmp_path / "second", start=first)
    assert run.card.training.start == "first"
    theirs = load_file(first.weights_file)["classifier.weight"]
    torch.testing.assert_close(load_file(run.weights_file)["classifier.weight"], theirs, atol=1e-6, rtol=0)
    # What the first run learned from is no new picture to the second.
    np.testing.assert_array_equal(run.seen()[0], first.seen()[0])
    assert len(fewer.select("train")) < len(first.seen()[0])


def test_another_network_or_input_is_refused(first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has another network than recipe 'cnn-v2'.*recipe\.yaml"):
        train(Recipe.load("cnn-v2"), faces, tmp_path / "other", start=first)
    small = Recipe.load("cnn-v1", [MODEL, "data.preprocess.size=32"])
    with pytest.raises(InputError, match=r"sees other input"):
        train(small, faces, tmp_path / "other", start=first)
    assert not (tmp_path / "other").exists()


def test_a_run_is_never_lost_to_its_own_start(first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path) -> None:
    own = Run(Path(shutil.copytree(first.folder, tmp_path / "own")))
    with pytest.raises(InputError, match="cannot begin with its own weights"):
        train(recipe, faces, own.folder, start=own, overwrite=True)
    assert own.finished
    unknown = Run(Path(shutil.copytree(first.folder, tmp_path / "unknown")))
    (unknown.folder / "seen.npz").unlink()
    with pytest.raises(InputError, match=r"seen\.npz: missing or damaged"):
        train(recipe, faces, own.folder, start=unknown, overwrite=True)
    assert own.finished


def test_it_is_resumed_with_the_same_start_alone(first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path) -> None:
    run = train(recipe, faces, tmp_path / "run", start=first)
    assert train(recipe, faces, run.folder, start=first, resume=True).finished
    with pytest.raises(InputError, match=r"was begun with first \w+, this would begin with fresh weights.*--start"):
        train(recipe, faces, run.folder, resume=True)
    with pytest.raises(InputError, match=r"was begun with fresh weights, this would begin with run \w+"):
        train(recipe, faces, first.folder, start=run, resume=True)
