"""Explanation: which pixels of a face a model's answer depends on, by the way that fits the model.

It says what the answer depends on, not why a person looks so. Torch is imported for the gradients of a run's network.
Shapes: N faces, K classes, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from mien.cards import Card, Head
from mien.confidence import tempered
from mien.errors import InputError, unknown_name
from mien.explanation.occlusion import occlusion
from mien.images import Pixels
from mien.model import Classify, Model, Named
from mien.predictions import Truth
from mien.recipes.sections import Ensemble
from mien.training.run import Run

if TYPE_CHECKING:
    from torch import nn

    from mien.data.cache import Progress
    from mien.explanation.saliency import Way

Method = Literal["grad-cam", "attention", "occlusion"]
METHODS = ("auto", *get_args(Method))
CAVEAT = "The map shows which pixels the model's answer depends on, not why a person looks so."
_TOGETHER = 8  # faces whose gradients are in memory at once

Floats32: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """Which pixels of one face the probability of `label` depends on.

    `heat` is 0–1: what speaks against the label is cut to 0, and the rest divided by its largest value; where nothing
    speaks for the label it is 0 all over.
    """

    method: Method
    label: str
    probabilities: dict[str, float]  # of all labels, in the model's order
    face: Pixels  # (H, W) gray or (H, W, 3) RGB uint8, as the model sees it
    heat: Floats32  # (H, W)
    drop: float | None = None  # of occlusion: what the probability of `label` loses at most, by covering one place

    @property
    def emotion(self) -> str:
        """The most probable class, whichever is explained."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def probability(self) -> float:
        """Of `label`."""
        return self.probabilities[self.label]


_Found: TypeAlias = tuple[Floats32, int, Floats32, float | None]  # probabilities (K,), the class, its map (H, W), drop
_Find: TypeAlias = Callable[[Sequence[Pixels], int | None], Iterator[_Found]]  # of faces at the model's size


class Explainer:
    """One model, opened to have its answers explained in one way."""

    def __init__(
        self, model: Named, method: str = "auto", label: str | None = None, truth: Truth | None = None
    ) -> None:
        """`model`: a run folder, a model file or a bundled name. `label`: the class to explain; None takes the most
        probable one of each face. `truth`: the head to explain, of a model with two; the card's own if left out.

        `method`: grad-cam (convolutional runs), attention (vision transformers), occlusion (any model), or auto: by
        gradients where a run and torch are there and it fits, else by occlusion. Raises `InputError` for unknown names
        and for a method that does not fit the model.
        """
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        opened = Model.open(model)
        self.card = opened.card
        self.method, self._find = _way(opened, method, truth)
        self._labels = self.card.head(truth).labels
        if label is not None and label not in self._labels:
            raise unknown_name("label", label, self._labels)
        self._label = None if label is None else self._labels.index(label)

    def __call__(self, faces: Sequence[Pixels], progress: Progress | None = None) -> Iterator[Explanation]:
        """An explanation for each of `faces`, crops of any size, gray or RGB, as it comes."""
        seen = [self.card.preprocess.pixels(face) for face in faces]
        for done, (face, found) in enumerate(zip(seen, self._find(seen, self._label), strict=True), start=1):
            probs_K, label, map_HW, drop = found
            if progress:
                progress("explaining", done, len(seen))
            yield Explanation(
                method=self.method,
                label=self._labels[label],
                probabilities=dict(zip(self._labels, map(float, probs_K), strict=True)),
                face=face,
                heat=scaled(map_HW),
                drop=drop,
            )


def scaled(map_HW: Floats32) -> Floats32:
    """A map as `heat`: below 0 becomes 0, the rest is divided by its largest value."""
    rest_HW = np.maximum(map_HW, 0)
    largest = rest_HW.max()
    return np.asarray(rest_HW / largest if largest > 0 else rest_HW, dtype=np.float32)


def _way(model: Model, method: str, truth: Truth | None) -> tuple[Method, _Find]:
    """How a model is explained: by the gradients of a run where they are asked for or fit, else by occlusion."""
    by_occlusion: tuple[Method, _Find] = "occlusion", partial(_by_occlusion, partial(model.classify, truth=truth))
    if method == "occlusion" or (method == "auto" and (model.run is None or find_spec("torch") is None)):
        return by_occlusion
    if model.run is None:
        raise InputError(f"{model.name}: an .onnx file has no gradients; use the run or --method occlusion")
    import torch

    from mien.explanation.saliency import way_of

    run, card = model.run, model.card
    network = run.load_model(truth or card.truth)
    way = way_of(network, torch.zeros(1, card.preprocess.channels, card.preprocess.size, card.preprocess.size))
    if way is None and method == "auto":
        return by_occlusion
    if way is None or method not in ("auto", way):
        raise _unfit(run, method, way)
    return way, partial(_by_gradients, network, card, card.head(truth), way)


def _unfit(run: Run, method: str, way: Way | None) -> InputError:
    needs = "a CNN run" if method == "grad-cam" else "a vision transformer in which every patch attends to all"
    if isinstance(run.recipe.model, Ensemble):
        what = "is an ensemble"
    else:
        what = {
            "grad-cam": "is a CNN",
            "attention": "is a vision transformer",
            None: "is neither a CNN nor such a transformer",
        }[way]
    instead = f"{way} or occlusion" if way else "occlusion"
    return InputError(f"{method} needs {needs}; {run.folder} {what}: use --method {instead}")


def _by_occlusion(classify: Classify, faces: Sequence[Pixels], label: int | None) -> Iterator[_Found]:
    for face in faces:
        (probs_K,) = classify([face])
        chosen = int(probs_K.argmax()) if label is None else label
        yield probs_K, chosen, *occlusion(classify, face, chosen)


def _by_gradients(
    network: nn.Module, card: Card, head: Head, way: Way, faces: Sequence[Pixels], label: int | None
) -> Iterator[_Found]:
    import torch

    from mien.explanation.saliency import saliency

    for start in range(0, len(faces), _TOGETHER):
        images = torch.from_numpy(card.preprocess(faces[start : start + _TOGETHER]))
        found = saliency(network, images, way, label=label, mirror=card.mirror)
        probs_BK = tempered(found.probabilities.numpy(), head.temperature).astype(np.float32)
        for probs_K, chosen, map_HW in zip(probs_BK, found.labels.tolist(), found.maps.numpy(), strict=True):
            yield probs_K, chosen, map_HW, None
