"""Predict: what a run says of a split, as `Predictions`.

Shapes: N faces, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mien.cards import Card
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.images import Pixels
from mien.models.head import probabilities
from mien.predictions import Predictions, Truth
from mien.training.hardware import Hardware, repeatable
from mien.training.loaders import Batches, Examples
from mien.training.prepare import prepare
from mien.training.run import Run

_BATCH = 256


def predict(run: Run, faces: FaceSet, split: str, hardware: Hardware, progress: Progress | None = None) -> Predictions:
    """Probabilities of a run's network for one split of `faces`, in float32, before the card's temperature.

    So the temperature can be fitted on them, and ensembles and pupils have what the network itself says.
    """
    card = run.card
    chosen = faces.for_model(card.labels, str(run.folder), split)
    said = _probabilities(run.load_model(), chosen, card, hardware, progress)
    return chosen.predictions(card, split, said, run.seen())


def classify(model: nn.Module, card: Card, images: list[Pixels], truth: Truth | None = None) -> npt.NDArray[np.float32]:
    """Probabilities `(N, K)` of one head, in its order and at its temperature; of `truth`, or the card's own."""
    return card.answers(outputs(model, card, images), truth)


def outputs(model: nn.Module, card: Card, images: list[Pixels]) -> npt.NDArray[np.float32]:
    """`(N, O)` probabilities of all heads, before any temperature, for face crops of any size, gray or RGB."""
    with torch.inference_mode():
        shown = torch.from_numpy(card.preprocess(images)).to(next(model.parameters()).device)
        said = probabilities(model, shown, mirror=card.mirror, widths=card.widths).cpu().numpy()
    return np.asarray(said, dtype=np.float32)


def _probabilities(
    model: nn.Module, faces: FaceSet, card: Card, hardware: Hardware, progress: Progress | None
) -> npt.NDArray[np.float32]:
    """`(N, O)` of all heads, side by side."""
    if hardware.device == "cuda":
        repeatable()
    device = torch.device(hardware.device)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = Batches(Examples(faces), card.preprocess, _BATCH, np.arange(len(faces)))
    blocks = []
    with torch.inference_mode():
        for step, (pixels, _) in enumerate(batches, start=1):
            shown = prepare(pixels.to(device), card.preprocess)
            blocks.append(probabilities(model, shown, mirror=card.mirror, widths=card.widths).cpu().numpy())
            if progress:
                progress("predicting", step, len(batches))
    return np.concatenate(blocks)
