"""Suspects: images whose label the rest of the split speaks against, for people to look at.

Torch and scikit-learn are imported when they are needed. Shapes: N faces, F features, K classes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.data.cache import Progress
from mien.data.faceset import SPLITS, FaceSet
from mien.errors import InputError, MissingExtraError, unknown_name
from mien.evaluation.bootstrap import Estimate, Floats, Frozen, Ints, estimates

BACKBONE = "efficientnet-lite0"
MOST = 500  # images that are listed
_BATCH = 64
_STRENGTH = 0.001  # inverse of the penalty, the best of powers of ten by out-of-fold nll on FER2013's val
_STEPS = 1000

Bools = npt.NDArray[np.bool_]


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


@dataclass(frozen=True)
class Judge:
    """Who doubts: logistic regression on frozen features."""

    backbone: str = BACKBONE  # a name or a local folder
    size: int = 112  # pixels of a face
    folds: int = 5
    seed: int = 0  # of the folds


def suspects(
    faces: FaceSet,
    split: str = "test",
    judge: Judge | None = None,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> Suspects:
    """Images of `split` whose label a classifier doubts that learned from the other folds of the same split.

    The classifier is multinomial logistic regression on what the frozen backbone of `judge` gives; identical images
    stay in one fold. Which of its doubts count is confident learning
    (Northcutt et al., JAIR 2021) as cleanlab does it: more images of a class than it takes to be mislabeled are not
    listed. `faces` may hold further splits; they only tell where identical images carry other labels.

    Raises `InputError` for a split without images, or with fewer different images of a class than folds;
    `MissingExtraError` without cleanlab.
    """
    check_suspects(split)
    from mien.models.checkpoints import display_name

    judge = judge or Judge()

    seen, classes = faces.select(split), faces.label_set.labels
    if not len(seen):
        raise InputError(f"{faces.source} has no {split} split. It has: {', '.join(sorted(set(faces.splits)))}")
    fold_N = assign_folds(seen, judge.folds, judge.seed)
    features_NF = backbone_features(seen, judge.backbone, judge.size, device=device, progress=progress)
    probs_NK = out_of_fold(features_NF, seen.labels, fold_N, len(classes), progress=progress)
    issue_N, quality_N = _doubts(seen.labels, probs_NK)
    return Suspects(
        source=seen.source,
        split=split,
        n=len(seen),
        backbone=display_name(judge.backbone),
        size=judge.size,
        folds=judge.folds,
        seed=judge.seed,
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


def backbone_features(
    faces: FaceSet, backbone: str, size: int, *, device: str = "auto", progress: Progress | None = None
) -> npt.NDArray[np.float32]:
    """`(N, F)` of the pre-trained `backbone` as it comes, for faces of `size` pixels: means over its patches.

    `InputError` for a backbone that is not at hand, a size that it does not take, or an unknown device.
    """
    import torch

    from mien.models import checkpoints
    from mien.recipes.sections import Input, Pretrained
    from mien.training.hardware import detect
    from mien.training.loaders import stored_pixels
    from mien.training.prepare import prepare

    hardware = detect(device, "float32")
    how = Input(size=size, color="rgb", mean=None, std=None).filled(checkpoints.native_input(backbone))
    if how.missing:
        raise InputError(f"{backbone}: its preprocessor_config.json does not say {' and '.join(how.missing)}")
    preprocess = how.preprocess()
    network = checkpoints.load(Pretrained(kind="pretrained", backbone=backbone, features="mean"), size)
    network = network.to(hardware.device).eval()
    features_NF = np.empty((len(faces), network.width), np.float32)
    for start in range(0, len(faces), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(faces)))
        pixels = torch.from_numpy(stored_pixels(faces, rows, preprocess)).to(hardware.device)
        with torch.inference_mode():
            features_NF[rows] = network(prepare(pixels, preprocess)).float().cpu().numpy()
        if progress:
            progress("features of faces", int(rows[-1]) + 1, len(faces))
    return features_NF


def assign_folds(faces: FaceSet, folds: int, seed: int) -> Ints:
    """`(N,)` fold of each face, 0 to `folds` - 1: classes spread evenly, identical images together.

    `InputError` for fewer than two folds, or a class with fewer different images than folds; one with none is left out.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 2:
        raise InputError(f"folds: expected at least 2, got {folds}")
    counts = Counter(label for label, _ in {*zip(faces.labels.tolist(), faces.hashes.tolist(), strict=True)})
    for k, label in enumerate(faces.label_set.labels):
        if 0 < counts[k] < folds:
            raise InputError(
                f"{faces.source}: {label} has {counts[k]} different images here, expected at least as many as the "
                f"{folds} folds, so that each can be held against others. Look at a larger split, such as train"
            )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_N = np.empty(len(faces), np.int64)
    for fold, (_, held) in enumerate(splitter.split(fold_N, faces.labels, faces.hashes)):
        fold_N[held] = fold
    return fold_N


def out_of_fold(
    features_NF: npt.NDArray[np.float32],
    labels_N: Ints,
    fold_N: Ints,
    classes: int,
    *,
    progress: Progress | None = None,
) -> Floats:
    """`(N, K)` probabilities for each face of multinomial logistic regression that saw the other folds alone.

    Features are standardized by the faces that are learned from. A class that no other fold holds has probability 0.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probs_NK = np.zeros((len(labels_N), classes))
    folds = int(fold_N.max()) + 1
    for fold in range(folds):
        held_N = fold_N == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=_STEPS))
        model.fit(features_NF[~held_N], labels_N[~held_N])
        probs_NK[np.ix_(held_N, model.classes_)] = model.predict_proba(features_NF[held_N])
        if progress:
            progress("folds", fold + 1, folds)
    return probs_NK


def _doubts(labels_N: Ints, probs_NK: Floats) -> tuple[Bools, Floats]:
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
