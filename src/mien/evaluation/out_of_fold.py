"""Out of fold: what a simple classifier on frozen features says of each face, learned from the other faces alone.

Shapes: N faces, F features, K classes.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.errors import InputError
from mien.models import checkpoints
from mien.recipes.sections import Input, Pretrained
from mien.training.hardware import detect
from mien.training.loaders import stored_pixels
from mien.training.prepare import prepare

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_BATCH = 64
_STRENGTH = 0.001  # inverse of the penalty, the best of powers of ten by out-of-fold nll on FER2013's val
_STEPS = 1000


def frozen_features(
    faces: FaceSet, backbone: str, size: int, *, device: str = "auto", progress: Progress | None = None
) -> Floats:
    """`(N, F)` of the pre-trained `backbone` as it comes, for faces of `size` pixels: means over its patches.

    `InputError` for a backbone that is not at hand, a size that it does not take, or an unknown device.
    """
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
    features_NF: Floats, labels_N: Ints, fold_N: Ints, classes: int, *, progress: Progress | None = None
) -> npt.NDArray[np.float64]:
    """`(N, K)` probabilities for each face of multinomial logistic regression that saw the other folds alone.

    Features are standardized by the faces that are learned from. A class that no other fold holds has probability 0.
    """
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
