"""Models as those who ask: what a file, a bundled model or a run answers. Torch is imported for runs without a file.

Shapes: N faces, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.errors import unknown_name
from mien.images import Pixels
from mien.predictions import Predictions, Truth, pool
from mien.recognize.recognizer import Recognizer
from mien.training.run import Run

SPLITS = ("val", "test", "pooled", "train")
_BATCH = 256

Classify: TypeAlias = Callable[[Sequence[Pixels]], npt.NDArray[np.float32]]  # face crops → probabilities (N, K)


def predictions_of_model(
    model: Recognizer, name: str, faces: FaceSet, split: str, progress: Progress | None = None
) -> Predictions:
    """Probabilities `(N, K)` of the model called `name`, for `val`, `test`, `train` or `pooled` (val and test).

    As those that runs keep, they are the network's own, before the temperature of its card.

    A file does not say which images it learned from, so images count as seen when they stand in the train and val
    splits of `faces`. Raises `InputError` for other labels than the model's, or an empty split.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if split == "pooled":
        first, second = (predictions_of_model(model, name, faces, part, progress) for part in ("val", "test"))
        return pool(first, second)
    card = model.card
    chosen = faces.for_model(card.labels, name, split)
    starts = range(0, len(chosen), _BATCH)
    blocks = []
    for step, start in enumerate(starts, start=1):
        rows = np.arange(start, min(start + _BATCH, len(chosen)))
        blocks.append(model.of_all_heads(list(chosen.gather(rows))))
        if progress:
            progress("predicting", step, len(starts))
    said = np.concatenate(blocks)
    return Predictions(
        split=split,
        label_names=card.labels,
        names=chosen.names,
        hashes=chosen.hashes,
        labels=chosen.labels,
        probabilities=said[:, card.columns("labels")],
        in_train=np.isin(chosen.hashes, faces.hashes[faces.splits == "train"]),
        in_val=np.isin(chosen.hashes, faces.hashes[faces.splits == "val"]),
        people=card.people_of(said),
    )


def of_split(faces: FaceSet, split: str) -> FaceSet:
    """The faces of a split, in the order of its predictions: pooled is val, then test."""
    if split != "pooled":
        return faces.select(split)
    return faces.keep(np.concatenate([np.flatnonzero(faces.splits == part) for part in ("val", "test")]))


def classifier_of(run: Run, truth: Truth | None = None, device: str = "auto") -> Classify:
    """What answers for the run, with the head of `truth` at its temperature.

    It is the run's model file where there is one and no GPU is there, or its network on `device`.
    """
    if _answers_by_file(run, device):
        return Recognizer(run.folder, detector="none", truth=truth).classify
    from mien.training.hardware import detect
    from mien.training.predict import classify

    network, card = run.load_model().to(detect(device).device), run.card
    return lambda crops: classify(network, card, list(crops), truth)


def outputs_of(run: Run, device: str = "auto") -> Classify:
    """The same of all heads, side by side, before any temperature."""
    if _answers_by_file(run, device):
        return Recognizer(run.folder, detector="none").of_all_heads
    from mien.training.hardware import detect
    from mien.training.predict import outputs

    network, card = run.load_model().to(detect(device).device), run.card
    return lambda crops: outputs(network, card, list(crops))


def _answers_by_file(run: Run, device: str) -> bool:
    if not (run.folder / "model.onnx").is_file():
        return False
    if find_spec("torch") is None:
        return True
    from mien.training.hardware import detect

    return detect(device).device == "cpu"
