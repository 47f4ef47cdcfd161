"""Targets: the distribution over classes that the loss compares the model with, for each train face.

Shapes: N faces, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.errors import InputError, MissingSourceError
from mien.labels import LabelSet
from mien.predictions import Predictions
from mien.recipes.recipe import Recipe

if TYPE_CHECKING:
    from mien.training.run import Run

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sources:
    """What a training learns from, or begins with, beside its faces."""

    votes: Votes | None = None  # of taggers; those of val follow the people's head, those of test are not used
    teacher: Predictions | Run | None = None  # answers for the train split, or who is asked along with each batch
    start: Run | None = None  # whose weights come first; what it has seen counts as seen
    branch: Run | None = None  # a training to go on from where it stands, to another end of its schedule


def check_sources(recipe: Recipe, sources: Sources) -> None:
    """Raise `MissingSourceError` where the recipe lacks what it learns from, `InputError` for what it does not use."""
    how = recipe.targets
    if sources.start and sources.branch:
        raise InputError("--branch continues a run from its own weights: leave out --start")
    for wanted, given, name in (
        (how.of_votes, sources.votes, "votes"),
        (bool(how.teacher), sources.teacher, "teacher"),
    ):
        if wanted and given is None:
            what = "FILE" if name == "votes" else "RUN"
            raise MissingSourceError(f"recipe '{recipe.name}' learns from {name}: pass --{name} {what}")
        if given is not None and not wanted:
            raise InputError(f"recipe '{recipe.name}' does not use --{name}. Give it a share: --set targets.{name}=0.5")
    if sources.teacher is not None and isinstance(sources.teacher, Predictions) == (how.teacher_sees == "batch"):
        takes = {"batch": "a run, to be asked", "faces": "the predictions of one"}[how.teacher_sees]
        raise InputError(f"recipe '{recipe.name}': its teacher sees the {how.teacher_sees}, so it takes {takes}")


def used(votes: Votes | None, recipe: Recipe) -> Votes | None:
    """The votes, where the recipe gives them a share of its targets: among several, some have no use for them."""
    return votes if recipe.targets.of_votes else None


def targets(recipe: Recipe, train: FaceSet, sources: Sources) -> Floats32 | None:
    """`(N, K)` rows that sum to 1, for the train faces; None where the labels say it all.

    Where a face has no votes, its label takes their share. With `data.repeats: merge` identical images share the mean
    of what is said of them. With `targets.votes_head` the shares of the votes stand behind, in a column for each answer
    of that head, zeros where there are no votes. A teacher that is asked with each batch adds its share there.
    """
    how, votes, teacher = recipe.targets, sources.votes, sources.teacher
    if not (how.of_votes or how.teacher or recipe.data.repeats == "merge"):
        return None
    label = np.eye(len(train.label_set), dtype=np.float32)[train.labels]
    wanted = (1 - how.votes - how.teacher) * label
    if votes is not None and how.votes:
        said = _as_labels(train, votes) if how.votes_as == "labels" else votes.shares(train.names, train.label_set)
        wanted += how.votes * np.where(np.isnan(said), label, said)
    if isinstance(teacher, Predictions):
        wanted += how.teacher * _of_teacher(train, teacher)
    if votes is not None and how.votes_head:
        wanted = np.concatenate([wanted, _people(recipe, train, votes)], axis=1)
    return _mean_of_repeats(wanted, train.hashes) if recipe.data.repeats == "merge" else wanted


def followed(recipe: Recipe, val: FaceSet, votes: Votes | None) -> Floats32 | None:
    """`(N, K + P)` what val faces are held against: the label, and the shares of the votes behind it.

    None without a votes' head: the labels say it all then.
    """
    if votes is None or not recipe.targets.votes_head:
        return None
    label = np.eye(len(val.label_set), dtype=np.float32)[val.labels]
    return np.concatenate([label, _people(recipe, val, votes)], axis=1)


def _people(recipe: Recipe, faces: FaceSet, votes: Votes) -> Floats32:
    labels = LabelSet("people", recipe.targets.people_labels(faces.label_set.labels))
    return np.nan_to_num(votes.shares(faces.names, labels))


def _as_labels(train: FaceSet, votes: Votes) -> Floats32:
    """`(N, K)` how likely the votes on a face make each label of this data set; rows without votes are NaN.

    Taggers and labels disagree by habit: FER+ calls neutral what FER2013 calls sad. A multinomial regression from all
    answers to the label, on the train faces, keeps what the votes know and drops their habits.
    """
    table = votes.table(train.names).astype(np.float64)
    voted = table.sum(axis=1) > 0
    if len(np.unique(train.labels[voted])) < 2:
        raise InputError(
            f"{votes.source}: has votes on training faces of one label alone, from which labels cannot be learned. "
            "Use the votes as they are: --set targets.votes_as=shares"
        )
    shares = table[voted] / table[voted].sum(axis=1, keepdims=True)
    # Roots beside the shares: the first of ten votes says more than the tenth.
    seen = np.concatenate([shares, np.sqrt(shares)], axis=1)
    regression = LogisticRegression(C=100, max_iter=2000).fit(seen, train.labels[voted])
    likely = np.full((len(train), len(train.label_set)), np.nan, dtype=np.float32)
    likely[voted] = 0
    likely[np.ix_(voted, regression.classes_)] = regression.predict_proba(seen)
    return likely


def first_of_repeats(faces: FaceSet) -> npt.NDArray[np.bool_]:
    """`(N,)` mask: every face that is not train, and of each set of identical train images the first."""
    train = np.flatnonzero(faces.splits == "train")
    mask: npt.NDArray[np.bool_] = faces.splits != "train"
    mask[train[np.unique(faces.hashes[train], return_index=True)[1]]] = True
    return mask


def _mean_of_repeats(values: Floats32, hashes: npt.NDArray[np.str_]) -> Floats32:
    _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), values.shape[1]), dtype=np.float64)
    np.add.at(sums, group, values)
    return (sums / sizes[:, None])[group].astype(np.float32)


def _of_teacher(train: FaceSet, teacher: Predictions) -> Floats32:
    """The teacher's probabilities, found by pixels, so that order and names do not matter."""
    if teacher.label_names != train.label_set.labels:
        raise InputError(
            f"the teacher knows the classes {', '.join(teacher.label_names)}, the faces have "
            f"{', '.join(train.label_set.labels)}"
        )
    place = {str(name): i for i, name in enumerate(teacher.hashes)}
    rows = [place.get(str(name), -1) for name in train.hashes]
    missing = rows.count(-1)
    if missing:
        raise InputError(
            f"the teacher has no prediction for {missing:,} of the {len(rows):,} training faces. "
            "Make its predictions on the same data: mien evaluate RUN --data PATH --split train"
        )
    return np.asarray(teacher.probabilities[rows], dtype=np.float32)
