"""Start: a training that begins with the weights of an earlier run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mien import FaceSet, InputError, Recipe, Recognizer, Run, Votes
from mien.labels import FERPLUS8, LabelSet
from mien.training import module
from mien.training.predict import classify
from mien.training.start import check_start, open_start, take_weights
from mien.training.targets import Sources
from mien.training.train import fresh_network, train

MODEL = "model={kind: residual, widths: [8], depths: [1], stem: 4, squeeze: true}"
SETTINGS = (MODEL, "epochs=1", "data.batch_size=16", "early_stopping=null")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.load("cnn-v1", SETTINGS)


@pytest.fixture(scope="module")
def first(recipe: Recipe, faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe, faces, tmp_path_factory.mktemp("runs") / "first")


def test_the_same_labels_take_every_weight(first: Run, recipe: Recipe, faces: FaceSet) -> None:
    network = fresh_network(recipe, faces)
    take_weights(network, first, recipe, faces.label_set.labels)
    theirs = load_file(first.weights_file)
    assert all(torch.equal(value, theirs[key]) for key, value in network.state_dict().items())


def test_other_labels_take_the_rows_of_the_emotions_that_are_known(first: Run, recipe: Recipe, faces: FaceSet) -> None:
    labels = (*FERPLUS8.labels, "bored")  # contempt and bored are new
    others = replace(faces, label_set=LabelSet("others", labels))
    network = fresh_network(recipe, others)
    fresh = network.classifier.weight.clone()
    take_weights(network, first, recipe, labels)
    theirs = load_file(first.weights_file)
    own = network.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in own.items() if not key.startswith("classifier."))
    assert faces.label_set.labels == ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    for row, old in enumerate([4, 3, 6, 5, 0, 1, 2]):
        assert torch.equal(own["classifier.weight"][row], theirs["classifier.weight"][old])
        assert own["classifier.bias"][row] == theirs["classifier.bias"][old]
    assert torch.equal(own["classifier.weight"][7:], fresh[7:])


def test_a_people_s_head_begins_as_the_labels_head_and_then_as_itself(
    first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path
) -> None:
    both = Recipe.load("cnn-v1", [*SETTINGS, "targets={votes_head: 1.0, contempt: true}", "optimizer.lr=1e-9"])
    labels = faces.label_set.labels
    network = fresh_network(both, faces)
    fresh = network.classifier.weight.clone()
    take_weights(network, first, both, labels)
    theirs = load_file(first.weights_file)["classifier.weight"]
    assert torch.equal(network.classifier.weight, torch.cat([theirs, theirs, fresh[14:]]))
    votes = Votes("votes.csv", ("anger", "contempt"), {str(name): np.array([3, 7]) for name in faces.names})
    second = train(both, faces, tmp_path / "second", Sources(votes=votes))
    again = fresh_network(both, faces)
    take_weights(again, second, both, labels)
    assert torch.equal(again.classifier.weight, load_file(second.weights_file)["classifier.weight"])
    rows = load_file(second.weights_file)["classifier.weight"]  # of which one head takes those of its truth
    for truth, place in (("people", slice(7, 14)), ("labels", slice(0, 7))):
        alone = fresh_network(recipe, faces)
        take_weights(alone, second, recipe.model_copy(update={"truth": truth}), labels)
        assert torch.equal(alone.classifier.weight, rows[place])


def test_the_batches_are_not_those_of_the_start_with_the_same_seed(
    first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[int], float]] = []
    step = module.TrainingModule.training_step

    def watched(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        seen.append((batch[0].sum(dim=(1, 2)).tolist(), float(torch.rand(()))))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(module.TrainingModule, "training_step", watched)
    train(recipe, faces, tmp_path / "fresh")
    own = len(seen)
    train(recipe, faces, tmp_path / "started", Sources(start=first))
    fresh, started = seen[:own], seen[own:]
    faces_of = [sorted(face for batch, _ in part for face in batch) for part in (fresh, started)]
    assert faces_of[0] == faces_of[1]
    assert all(ours[0] != theirs[0] for ours, theirs in zip(fresh, started, strict=True))
    assert {chance for _, chance in fresh}.isdisjoint(chance for _, chance in started)


@pytest.mark.parametrize("name", ["mien-small", "mien-tiny"])
def test_a_bundled_model_can_be_trained_on(name: str) -> None:
    run, recognizer = open_start(name), Recognizer(name, detector="none")
    check_start(run, run.recipe, Run(Path("elsewhere")))
    faces = [np.random.default_rng(i).integers(0, 256, (48, 48), dtype=np.uint8) for i in range(16)]
    ours = classify(run.load_model(), run.card, faces)
    # The weights of mien-small are rebuilt from its file: the same network, but for their half precision.
    np.testing.assert_allclose(ours, recognizer.classify(faces), atol=0.02)


def test_a_recipe_can_name_what_it_begins_with(faces: FaceSet, tmp_path: Path) -> None:
    run = train(Recipe.load("tiny-ft", ["epochs=1", "schedule.warmup_epochs=0.5"]), faces, tmp_path / "on")
    assert run.card.training.start == "mien-tiny"
    fresh = ["epochs=1", "schedule.warmup_epochs=0.5", "start=null"]
    assert train(Recipe.load("tiny-ft", fresh), faces, tmp_path / "fresh").card.training.start is None


def test_what_the_bundled_models_have_seen_is_fer2013(fer2013: FaceSet) -> None:
    for name in ("mien-small", "mien-tiny"):
        for split, seen in zip(("train", "val"), open_start(name).seen(), strict=True):
            np.testing.assert_array_equal(seen, np.unique(fer2013.select(split).hashes))


def test_what_cannot_be_begun_with_says_what_can(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"unknown model 'mien-smal'\. Did you mean 'mien-small'\? Expected a run folder or one of mien-s",
    ):
        open_start("mien-smal")
    with pytest.raises(InputError, match="runs/none: no such run folder"):
        open_start("runs/none")
    with pytest.raises(InputError, match=r"no trainable weights in an \.onnx file\. Begin with a run folder"):
        open_start(str(tmp_path / "model.onnx"))


def test_a_training_begins_there_and_says_so(first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path) -> None:
    slow = recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"lr": 1e-9})})
    fewer = faces.keep(np.flatnonzero((faces.splits != "train") | (np.arange(len(faces)) % 2 == 0)))
    run = train(slow, fewer, tmp_path / "second", Sources(start=first))
    assert run.card.training.start == "first"
    theirs = load_file(first.weights_file)["classifier.weight"]
    torch.testing.assert_close(load_file(run.weights_file)["classifier.weight"], theirs, atol=1e-6, rtol=0)
    # What the first run learned from is no new picture to the second.
    np.testing.assert_array_equal(run.seen()[0], first.seen()[0])
    assert len(fewer.select("train")) < len(first.seen()[0])


def test_another_network_or_input_is_refused(first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has another network than recipe 'cnn-v2'.*recipe\.yaml"):
        train(Recipe.load("cnn-v2"), faces, tmp_path / "other", Sources(start=first))
    small = Recipe.load("cnn-v1", [MODEL, "data.preprocess.size=32"])
    with pytest.raises(InputError, match=r"takes other input"):
        train(small, faces, tmp_path / "other", Sources(start=first))
    assert not (tmp_path / "other").exists()


def test_a_run_is_never_lost_to_its_own_start(first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path) -> None:
    own = Run(Path(shutil.copytree(first.folder, tmp_path / "own")))
    with pytest.raises(InputError, match="cannot begin with its own weights"):
        train(recipe, faces, own.folder, Sources(start=own), existing="replace")
    assert own.finished
    unknown = Run(Path(shutil.copytree(first.folder, tmp_path / "unknown")))
    (unknown.folder / "seen.npz").unlink()
    with pytest.raises(InputError, match=r"seen\.npz: missing or damaged"):
        train(recipe, faces, own.folder, Sources(start=unknown), existing="replace")
    assert own.finished


def test_it_is_resumed_with_the_same_start_alone(first: Run, recipe: Recipe, faces: FaceSet, tmp_path: Path) -> None:
    run = train(recipe, faces, tmp_path / "run", Sources(start=first))
    assert train(recipe, faces, run.folder, Sources(start=first), existing="resume").finished
    with pytest.raises(InputError, match=r"was begun with first \w+, this would begin with fresh weights.*--start"):
        train(recipe, faces, run.folder, existing="resume")
    with pytest.raises(InputError, match=r"was begun with fresh weights, this would begin with run \w+"):
        train(recipe, faces, first.folder, Sources(start=run), existing="resume")
