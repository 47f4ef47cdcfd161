"""Leaks: the score without near-duplicates of what was learned from, and without persons who are in it.

Shapes: N images.
"""

from __future__ import annotations

import numpy as np

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.leaks import THRESHOLD, near_duplicates
from mien.errors import InputError
from mien.evaluation.bootstrap import Frozen
from mien.evaluation.evaluate import Scores, score
from mien.predictions import Predictions


class StrictScore(Frozen):
    """What is left of the leak-free images, and what they score."""

    near: int  # leak-free images that show a photo of train (for test: or of val) again
    persons: int  # further ones of a person who is there too
    known_persons: bool  # False: pictures do not tell, so persons were not looked for
    threshold: float  # similarity from which two images count as one photo
    scores: Scores | None  # without all of these; None where no image is left


def strict_score(
    predictions: Predictions, faces: FaceSet, temperature: float = 1.0, progress: Progress | None = None
) -> StrictScore:
    """Score `predictions` of a split of `faces` on images that are new by photo and by person, too.

    `faces`: all of the data that the model was trained on, with train and val. Raises `InputError` where they lack the
    images of the predictions, or the training set.
    """
    if not (faces.splits == "train").any():
        raise InputError(f"{faces.source}: has no train split to look for near-duplicates in")
    earlier = ("train", "val") if predictions.split == "test" else ("train",)
    later = ("val", "test") if predictions.split == "pooled" else (predictions.split,)
    rows = np.concatenate([np.flatnonzero(faces.splits == split) for split in later])
    if not np.array_equal(faces.hashes[rows], predictions.hashes):
        raise InputError(f"predictions for '{predictions.split}' are not of the images of {faces.source}")
    near = {
        pair.later
        for split in later
        for other in earlier
        for pair in near_duplicates(faces, split, other, progress)
        if pair.similarity >= THRESHOLD
    }
    known = set(faces.persons[np.isin(faces.splits, earlier)].tolist()) - {""}
    near_N, same_N = np.isin(rows, sorted(near)), np.isin(faces.persons[rows], sorted(known))
    kept_N = predictions.leak_free & ~near_N & ~same_N
    left = predictions.keep(kept_N)
    return StrictScore(
        near=int((predictions.leak_free & near_N).sum()),
        persons=int((predictions.leak_free & ~near_N & same_N).sum()),
        known_persons=bool(faces.persons.any()),
        threshold=THRESHOLD,
        scores=score(left, "", temperature=temperature).scores if len(left) else None,
    )
