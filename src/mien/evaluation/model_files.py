"""Evaluating a model file or a bundled model: what it answers for a split. Needs no torch.

Shapes: N faces, K classes.
"""

from __future__ import annotations

import numpy as np

from mien.confidence import tempered
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.errors import unknown_name
from mien.predictions import Predictions, pool
from mien.recognize.recognizer import Recognizer

SPLITS = ("val", "test", "pooled", "train")
_BATCH = 256


def predictions_of_model(
    model: Recognizer, name: str, faces: FaceSet, split: str, progress: Progress | None = None
) -> Predictions:
    """Probabilities `(N, K)` of the model called `name`, for `val`, `test`, `train` or `pooled` (val and test).

    As those that runs keep, they are the network's own: the temperature of the card is taken out again.

    A file does not say which images it learned from, so images count as seen when they stand in the train and val
    splits of `faces`. Raises `InputError` for other labels than the model's, or an empty split.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if split == "pooled":
        first, second = (predictions_of_model(model, name, faces, part, progress) for part in ("val", "test"))
        return pool(first, second)
    chosen = faces.for_model(model.labels, name, split)
    starts = range(0, len(chosen), _BATCH)
    blocks = []
    for step, start in enumerate(starts, start=1):
        rows = np.arange(start, min(start + _BATCH, len(chosen)))
        blocks.append(model.classify(list(chosen.gather(rows))))
        if progress:
            progress("predicting", step, len(starts))
    return Predictions(
        split=split,
        label_names=model.labels,
        names=chosen.names,
        hashes=chosen.hashes,
        labels=chosen.labels,
        probabilities=tempered(np.concatenate(blocks), 1 / model.card.temperature).astype(np.float32),
        in_train=np.isin(chosen.hashes, faces.hashes[faces.splits == "train"]),
        in_val=np.isin(chosen.hashes, faces.hashes[faces.splits == "val"]),
    )
