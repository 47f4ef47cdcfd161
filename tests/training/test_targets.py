"""Targets: what the loss compares train faces with, computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mien import FaceSet, Recipe, Votes
from mien.errors import InputError
from mien.predictions import Predictions
from mien.training.targets import Sources, check_sources, first_of_repeats, followed, targets

K = 7
RESIDUAL = "{kind: residual, widths: [8], depths: [1], stem: 4}"


@pytest.fixture
def train(faces: FaceSet) -> FaceSet:
    """Six faces, of which the third and the sixth are one image under two labels."""
    six = faces.keep(np.flatnonzero(faces.splits == "train")[:6])
    hashes, labels = six.hashes.copy(), np.array([0, 1, 2, 3, 4, 5])
    hashes[5] = hashes[2]
    return replace(six, hashes=hashes, labels=labels)


def votes_of(train: FaceSet, rows: dict[int, list[int]]) -> Votes:
    columns = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    return Votes("votes.csv", columns, {str(train.names[i]): np.array(row) for i, row in rows.items()})


def teacher_of(faces: FaceSet, probabilities: np.ndarray) -> Predictions:
    unseen = np.zeros(len(faces), dtype=bool)
    labels = faces.label_set.labels
    return Predictions("train", labels, faces.names, faces.hashes, faces.labels, probabilities, ~unseen, unseen)


def test_labels_alone_need_no_targets(train: FaceSet) -> None:
    assert targets(Recipe.load("cnn-v2"), train, Sources()) is None
    assert targets(Recipe.load("cnn-v2", ["targets.smoothing=0.1"]), train, Sources()) is None  # the loss does that


def test_votes_take_their_share_where_there_are_any(train: FaceSet) -> None:
    recipe = Recipe.load("cnn-v2", ["targets.votes=0.25"])
    found = targets(recipe, train, Sources(votes_of(train, {0: [2, 0, 6, 0, 0, 0, 0]})))
    np.testing.assert_allclose(found[0], [0.75 + 0.25 * 0.25, 0, 0.25 * 0.75, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(found[1:], np.eye(K, dtype=np.float32)[1:6])


def test_votes_as_labels_say_how_often_each_label_goes_with_such_votes(faces: FaceSet) -> None:
    """Taggers who call half of the sad faces neutral: then a vote for neutral is a face labelled sad now and then."""
    neutral, sad, happiness = (faces.label_set.labels.index(name) for name in ("neutral", "sad", "happy"))
    train = faces.keep(np.flatnonzero(faces.splits == "train")[:20])
    train = replace(train, hashes=train.names, labels=np.array(9 * [neutral] + 3 * [sad] + 7 * [happiness] + [sad]))
    for_neutral, for_happiness = [0, 0, 0, 0, 10, 0, 0], [0, 0, 0, 10, 0, 0, 0]
    votes = votes_of(train, {i: for_neutral if i < 12 else for_happiness for i in range(19)})
    found = targets(Recipe.load("cnn-v2", ["targets.votes=0.5", "targets.votes_as=labels"]), train, Sources(votes))
    assert found is not None
    np.testing.assert_allclose(found[0, [neutral, sad]], [0.5 + 0.5 * 0.75, 0.5 * 0.25], atol=0.01)
    np.testing.assert_allclose(found[9, [neutral, sad]], [0.5 * 0.75, 0.5 + 0.5 * 0.25], atol=0.01)
    np.testing.assert_allclose(found[12, happiness], 1, atol=0.01)
    np.testing.assert_array_equal(found[19], np.eye(K, dtype=np.float32)[sad])  # nobody voted on it
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_votes_as_labels_need_faces_of_two_labels_with_votes(train: FaceSet) -> None:
    recipe = Recipe.load("cnn-v2", ["targets.votes=0.5", "targets.votes_as=labels"])
    with pytest.raises(InputError, match=r"votes on training faces of one label alone"):
        targets(recipe, train, Sources(votes_of(train, {0: [2, 0, 6, 0, 0, 0, 0]})))


def test_a_second_head_has_the_shares_of_the_votes_behind_the_labels(train: FaceSet) -> None:
    recipe = Recipe.load("cnn-v2", ["targets.votes_head=0.5"])
    votes = votes_of(train, {1: [2, 0, 6, 0, 0, 0, 0]})
    found = targets(recipe, train, Sources(votes))
    assert found is not None
    np.testing.assert_array_equal(found[:, :K], np.eye(K, dtype=np.float32)[train.labels])
    np.testing.assert_array_equal(found[1, K:], [0.25, 0, 0.75, 0, 0, 0, 0])  # in the order of the labels
    np.testing.assert_array_equal(found[[0, 2, 3, 4, 5], K:], np.zeros((5, K)))
    np.testing.assert_array_equal(followed(recipe, train, votes), found)
    assert followed(Recipe.load("cnn-v2", ["targets.votes=0.5"]), train, votes) is None
    with pytest.raises(InputError, match=r"learns from votes: pass --votes FILE"):
        check_sources(recipe, Sources())


def test_contempt_stands_behind_the_labels_where_it_is_asked_for(train: FaceSet) -> None:
    columns = ("neutral", "contempt")
    votes = Votes("votes.csv", columns, {str(train.names[1]): np.array([6, 2])})
    recipe = Recipe.load("cnn-v2", ["targets={votes_head: 0.5, contempt: true}"])
    assert recipe.targets.people_labels(train.label_set.labels) == (*train.label_set.labels, "contempt")
    found = targets(recipe, train, Sources(votes))
    assert found is not None
    np.testing.assert_array_equal(found[1, K:], [0, 0, 0, 0, 0.75, 0, 0, 0.25])


def test_a_teacher_is_found_by_pixels_in_any_order(train: FaceSet) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(K), 6).astype(np.float32)
    probabilities[5] = probabilities[2]  # one image, one answer
    order = np.array([3, 1, 5, 0, 4, 2])
    shuffled = teacher_of(train, probabilities)
    shuffled = replace(shuffled, hashes=train.hashes[order], probabilities=probabilities[order])
    found = targets(Recipe.load("cnn-v2", ["targets.teacher=0.6"]), train, Sources(teacher=shuffled))
    np.testing.assert_allclose(found, 0.4 * np.eye(K)[train.labels] + 0.6 * probabilities, rtol=1e-5)


def test_merged_repeats_share_the_mean_of_their_labels(train: FaceSet) -> None:
    found = targets(Recipe.load("cnn-v2", ["data.repeats=merge"]), train, Sources())
    half = np.zeros(K)
    half[[2, 5]] = 0.5
    np.testing.assert_allclose(found[2], half)
    np.testing.assert_allclose(found[5], half)
    np.testing.assert_array_equal(found[[0, 1, 3, 4]], np.eye(K)[[0, 1, 3, 4]])


def test_the_first_of_each_repeat_stays_and_all_of_val(train: FaceSet) -> None:
    np.testing.assert_array_equal(first_of_repeats(train), [True] * 5 + [False])
    val = replace(train, splits=np.array(["val"] * 6))
    assert first_of_repeats(val).all()


def test_sources_and_shares_must_fit(train: FaceSet) -> None:
    plain, asking = Recipe.load("cnn-v2"), Recipe.load("cnn-v2", ["targets.votes=0.5"])
    votes, teacher = votes_of(train, {}), teacher_of(train, np.full((6, K), 1 / K, dtype=np.float32))
    check_sources(plain, Sources())
    check_sources(asking, Sources(votes))
    with pytest.raises(InputError, match=r"recipe 'cnn-v2' learns from votes: pass --votes FILE"):
        check_sources(asking, Sources())
    with pytest.raises(InputError, match=r"does not use --teacher\. Give it a share: --set targets\.teacher=0\.5"):
        check_sources(plain, Sources(teacher=teacher))
    with pytest.raises(InputError, match=r"votes 0\.7 and teacher 0\.5 are shares of one target"):
        Recipe.load("cnn-v2", ["targets.votes=0.7", "targets.teacher=0.5"])


def test_a_teacher_of_other_faces_or_labels_is_refused(train: FaceSet) -> None:
    recipe = Recipe.load("cnn-v2", ["targets.teacher=0.5"])
    teacher = teacher_of(train, np.full((6, K), 1 / K, dtype=np.float32))
    with pytest.raises(InputError, match="has no prediction for 1 of the 6 training faces"):
        targets(recipe, train, Sources(teacher=teacher.keep(np.arange(6) != 3)))
    with pytest.raises(InputError, match="the teacher knows the classes a, b"):
        targets(recipe, train, Sources(teacher=replace(teacher, label_names=tuple("abcdefg"))))
