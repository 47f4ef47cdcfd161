"""Suspects: images whose label the rest of the split speaks against, for people to look at.

Torch and scikit-learn are imported when they are needed. Shapes: N faces, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.data.cache import Progress
from mien.data.faceset import SPLITS, FaceSet
from mien.errors import InputError, MissingExtraError, unknown_name
from mien.evaluation.evaluate import Estimate, Frozen
from mien.evaluation.ratios import estimates

BACKBONE = "efficientnet-lite0"
MOST = 500  # images that are listed

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Suspect(Frozen):
    """One image whose label is in doubt."""

    name: str
    label: str
    suggested: str  # the most probable class
    quality: float  # 0–1, the out-of-fold probability of the label: the lower, the more in doubt
    conflict: bool  # identical images, in any split, carry other labels


class LabelIssues(Frozen):
    """One class: `images` labeled so, and how many of those labels cleanlab doubts."""

    label: str
    images: int
    issues: int


class Suspects(Frozen):
    """Doubtful labels of one split, the most doubtful first. A weak classifier doubts many that are right, above all of
    classes with few images."""

    source: str
    split: str
    n: int
    backbone: str
    size: int
    folds: int
    seed: int
    accuracy: Estimate  # out of fold, against the labels that are in question
    issues: int
    per_class: tuple[LabelIssues, ...]
    ranked: tuple[Suspect, ...]  # of the issues, at most `MOST`


def suspects(
    faces: FaceSet,
    split: str = "test",
    *,
    backbone: str = BACKBONE,
    folds: int = 5,
    size: int = 112,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Suspects:
    """Images of `split` whose label a classifier doubts that learned from the other folds of the same split.

    The classifier is multinomial logistic regression on what the frozen `backbone` (a name or a local folder) gives
    for faces of `size` pixels; identical images stay in one fold. Which of its doubts count is confident learning
    (Northcutt et al., JAIR 2021) as cleanlab does it: more images of a class than it takes to be mislabeled are not
    listed. `faces` may hold further splits; they only tell where identical images carry other labels.

    Raises `InputError` for a split without images, or with fewer different images of a class than folds;
    `MissingExtraError` without cleanlab.
    """
    check_suspects(split)
    from mien.evaluation.out_of_fold import assign_folds, frozen_features, out_of_fold
    from mien.models.checkpoints import display_name

    seen, classes = faces.select(split), faces.label_set.labels
    if not len(seen):
        raise InputError(f"{faces.source} has no {split} split. It has: {', '.join(sorted(set(faces.splits)))}")
    fold_N = assign_folds(seen, folds, seed)
    features_NF = frozen_features(seen, backbone, size, device=device, progress=progress)
    probs_NK = out_of_fold(features_NF, seen.labels, fold_N, len(classes), progress=progress)
    issue_N, quality_N = _doubts(seen.labels, probs_NK)
    return Suspects(
        source=seen.source,
        split=split,
        n=len(seen),
        backbone=display_name(backbone),
        size=size,
        folds=folds,
        seed=seed,
        accuracy=_share(probs_NK.argmax(axis=1) == seen.labels),
        issues=int(issue_N.sum()),
        per_class=tuple(
            LabelIssues(
                label=label, images=int((seen.labels == k).sum()), issues=int((issue_N & (seen.labels == k)).sum())
            )
            for k, label in enumerate(classes)
        ),
        ranked=_ranked(seen, probs_NK, issue_N, quality_N, _conflicting(faces)),
    )


def check_suspects(split: str) -> None:
    """Raise, before any work is done, for a split that is none of a data set's own, or without cleanlab."""
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    try:
        import cleanlab.filter  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("the search for wrong labels", "audit") from error


def _doubts(labels_N: npt.NDArray[np.int64], probs_NK: Floats) -> tuple[Bools, Floats]:
    """`(N,)` whether cleanlab takes the label for wrong, and `(N,)` its quality, by cleanlab's own defaults."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    issue_N = np.asarray(find_label_issues(labels_N, probs_NK, n_jobs=1), dtype=bool)
    return issue_N, np.asarray(get_label_quality_scores(labels_N, probs_NK), dtype=np.float64)


def _share(right_N: Bools) -> Estimate:
    return estimates({"accuracy": (right_N.astype(np.float64), np.ones(len(right_N)))})["accuracy"]


def _conflicting(faces: FaceSet) -> frozenset[str]:
    """Hashes of the pictures that stand in `faces` under several labels."""
    pairs = {*zip(faces.hashes.tolist(), faces.labels.tolist(), strict=True)}
    first: dict[str, int] = {}
    return frozenset(pixels for pixels, label in pairs if first.setdefault(pixels, label) != label)


def _ranked(
    seen: FaceSet, probs_NK: Floats, issue_N: Bools, quality_N: Floats, conflicting: frozenset[str]
) -> tuple[Suspect, ...]:
    order = sorted(np.flatnonzero(issue_N).tolist(), key=lambda i: (quality_N[i], str(seen.names[i])))
    classes, answer_N = seen.label_set.labels, probs_NK.argmax(axis=1)
    return tuple(
        Suspect(
            name=str(seen.names[i]),
            label=classes[seen.labels[i]],
            suggested=classes[answer_N[i]],
            quality=float(quality_N[i]),
            conflict=str(seen.hashes[i]) in conflicting,
        )
        for i in order[:MOST]
    )
