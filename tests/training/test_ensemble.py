"""Ensembles: a run like any other, whose probabilities are the mean of its members'."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mien import FaceSet, InputError, Recipe, Recognizer, Run, Votes, evaluate, export
from mien.training.ensemble import ensemble
from mien.training.hardware import Hardware, detect
from mien.training.predict import classify, predict
from mien.training.targets import Sources
from mien.training.train import train


@pytest.fixture(scope="module")
def members(drawn_faces: FaceSet, tiny_vit: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A CNN that sees mirror images too and a fine-tuned transformer that does not, on the same images."""
    folder = tmp_path_factory.mktemp("members")
    same = ["epochs=1", "data.preprocess={size: 32, color: rgb, mean: [.5, .5, .5], std: [.5, .5, .5]}"]
    recipes = [
        Recipe.load("cnn-v1", [*same, "early_stopping=null", "mirror=true"]),
        Recipe.load("vit-v1.3", [*same, f"model.backbone={tiny_vit}"]),
    ]
    runs = [
        train(recipe, drawn_faces, folder / recipe.name, hardware=detect(precision="float32")) for recipe in recipes
    ]
    for run in runs:
        evaluate(run, drawn_faces, "test")
    return runs


@pytest.fixture(scope="module")
def together(members: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ensemble(members, tmp_path_factory.mktemp("ensemble") / "both")


@pytest.mark.parametrize("split", ["val", "test"])
def test_kept_predictions_are_the_mean_and_those_that_the_network_gives(
    together: Run, members: list[Run], drawn_faces: FaceSet, split: str
) -> None:
    mean = np.mean([run.predictions(split).probabilities for run in members], axis=0)
    np.testing.assert_allclose(together.predictions(split).probabilities, mean, atol=1e-6)
    computed = predict(together, drawn_faces, split, detect("cpu", "float32"))
    np.testing.assert_allclose(computed.probabilities, mean, atol=1e-5)
    np.testing.assert_array_equal(computed.hashes, together.predictions(split).hashes)


def test_it_is_evaluated_exported_and_used_as_any_run(together: Run, members: list[Run], drawn_faces: FaceSet) -> None:
    assert evaluate(Run.open(together.folder), drawn_faces, "test").scores.n == 14
    assert export(together, drawn_faces).largest < 1e-4
    crops = list(drawn_faces.images[:4])
    mean = np.mean([classify(run.load_model(), run.card, crops) for run in members], axis=0)
    np.testing.assert_allclose(Recognizer(together.folder).classify(crops), mean, atol=1e-4)


def test_the_card_tells_its_members(together: Run, members: list[Run]) -> None:
    assert together.card.members == tuple(run.name for run in members)
    assert together.card.parameters == sum(run.card.parameters for run in members)
    assert together.recipe.name == "ensemble"


def test_members_with_a_second_head_and_another_past(drawn_faces: FaceSet, tmp_path: Path) -> None:
    model = "model={kind: residual, widths: [8], depths: [1], stem: 4}"
    recipe = Recipe.load("cnn-v1", [model, "epochs=1", "early_stopping=null", "targets.votes_head=0.5"])
    votes = Votes("votes.csv", ("anger",), {str(name): np.array([10]) for name in drawn_faces.names})
    fewer = drawn_faces.keep(np.flatnonzero(drawn_faces.splits != "test")[::2])
    before = train(recipe, drawn_faces, tmp_path / "before", Sources(votes=votes))
    fresh = train(recipe, fewer, tmp_path / "fresh", Sources(votes=votes))
    started = train(recipe, fewer, tmp_path / "started", Sources(votes=votes, start=before))
    together = Run.open(ensemble([fresh, started], tmp_path / "both").folder)
    assert together.recipe.targets.votes_head == 0.5
    kept, (one, other) = together.predictions("val"), (run.predictions("val") for run in (fresh, started))
    mean = (one.people.probabilities + other.people.probabilities) / 2
    np.testing.assert_allclose(kept.people.probabilities, mean, atol=1e-6)
    # The network itself, head by head, says what the kept predictions say.
    made = predict(together, fewer, "val", Hardware("cpu", "float32"))
    np.testing.assert_allclose(made.probabilities, kept.probabilities, atol=1e-5)
    np.testing.assert_allclose(made.people.probabilities, kept.people.probabilities, atol=1e-5)
    alone = together.load_model("people")
    crops = list(fewer.images[:4])
    assert alone(torch.from_numpy(together.card.preprocess(crops))).shape == (4, 7)
    np.testing.assert_array_equal(together.seen()[0], before.seen()[0])  # what any member has seen


def test_what_makes_no_ensemble(members: list[Run], together: Run, trained_run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two runs, got 1"):
        ensemble(members[:1], tmp_path / "one")
    with pytest.raises(InputError, match="one is named twice"):
        ensemble([members[0], members[0]], tmp_path / "twice")
    with pytest.raises(InputError, match="differ in preprocessing"):
        ensemble([members[0], trained_run], tmp_path / "mixed")
    with pytest.raises(InputError, match="is an ensemble itself"):
        ensemble([members[0], together], tmp_path / "nested")
    for other in (members[::-1], [*members, trained_run][1:]):
        with pytest.raises(InputError, match=r"is not empty|differ in"):
            ensemble(other, together.folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "card.json").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        ensemble(members, tmp_path / "full")
    shutil.rmtree(tmp_path / "full")
    assert [path.name for path in tmp_path.iterdir()] == ["trained"]


def test_an_ensemble_is_not_trained(together: Run, drawn_faces: FaceSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train its members, then mien ensemble"):
        train(together.recipe, drawn_faces, tmp_path / "run")
