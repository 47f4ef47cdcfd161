"""Views: of which faces the mirror image is looked at too, chosen on val, and what that costs in accuracy.

A model that sees each face and its mirror image computes everything twice. Where it is sure of a face, the second look
hardly ever changes the answer: `Card.mirror_below` leaves it out there. The lowest such confidence at which no head
loses right answers on val is one that was picked because it does well on these very images, so the difference that is
told for it is flattering by what chance gave it; it lies within the interval.

Shapes: N faces, V views of a face (it, and its mirror image where the card asks for both), O outputs of all heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mien.cards import Card
from mien.confidence import FEWEST_IMAGES
from mien.data.faceset import FaceSet
from mien.data.votes import Votes, beside
from mien.errors import InputError, unknown_name
from mien.evaluation.bootstrap import Estimate, Floats, Frozen, Ratio, estimates
from mien.images import Pixels
from mien.model import Model
from mien.predictions import Predictions, Truth
from mien.recognize.classifier import Classifier

MirrorBelow: TypeAlias = float | Literal["auto", "always"]
WORDS = ("auto", "always")
GRID = tuple(step / 100 for step in range(50, 100))  # at 1 hardly any second look would be left out
_BATCH = 256
_NEEDS_VOTES = "The people's head is fitted anew on taggers' votes. Name them: --votes FILE"


class HeadViews(Frozen):
    """Accuracy of one head by the views of a face that it sees; the people's: agreement with most taggers."""

    truth: Truth
    n: int
    always: Estimate  # each face and its mirror image
    rule: Estimate
    never: Estimate  # each face alone
    rule_change: Estimate  # from `always`, paired
    never_change: Estimate  # from `always`, paired


class MirrorRule(Frozen):
    """What a rule for mirror images does on val faces that are not in train."""

    below: float | None  # confidence below which a mirror image is seen; None: always
    n: int
    seen_twice: float  # share of the faces whose mirror image is seen
    heads: tuple[HeadViews, ...]


@dataclass(frozen=True, eq=False)
class Views:
    """What a model file says of faces and of their mirror images."""

    card: Card
    said: Floats  # (2, N, O) before any temperature
    beside: Predictions  # labels, votes and names of the faces; what it says is not looked at

    @classmethod
    def of(cls, model: Model, faces: FaceSet, votes: Votes | None) -> Views:
        """Of the val images of `faces` that are not in train. Raises `InputError` where there are none of them."""
        card = model.card
        faces.for_model(card.labels, model.name, "val")  # raises, and says which splits there are
        free = model.unseen(faces.for_labels(card.labels, model.name), "val")
        if not len(free):
            raise InputError(
                f"{model.name}: every val image is also among those that the model learned from, so nothing can be "
                "chosen on them"
            )
        look = _looker(model.content, card, model.name)
        rows = np.array_split(np.arange(len(free)), -(-len(free) // _BATCH))
        said = np.concatenate([look(list(free.gather(some))) for some in rows], axis=1)
        nothing = np.zeros(0, dtype=free.hashes.dtype)
        given = free.predictions(card, "val", said[0].astype(np.float32), (nothing, nothing))
        return cls(card, said, beside(given, votes))

    def seen_twice(self, below: float | None) -> npt.NDArray[np.bool_]:
        """`(N,)` faces whose mirror image is seen where it is seen below this confidence; None: always."""
        return self.card.model_copy(update={"mirror_below": below}).seen_twice(self.said[0])

    def under(self, below: float | None) -> Predictions:
        """What a file answers, before any temperature, whose card holds this `mirror_below`."""
        return self._answers(self.seen_twice(below))

    def chosen(self, wanted: MirrorBelow) -> float | None:
        """The `mirror_below` that is wanted; of `auto` the lowest of `GRID` from which on no head loses accuracy.

        None: always. Raises `InputError` where so few images are there that chance would choose, and where a people's
        head has no votes on them.
        """
        people = self.beside.people
        if people is not None and not people.votes.any():
            raise InputError(f"--mirror-below: no votes on these {len(self.beside)} val images. {_NEEDS_VOTES}")
        if wanted == "always":
            return None
        if wanted != "auto":
            return wanted
        n = len(self.beside)
        if n < FEWEST_IMAGES:
            raise InputError(
                f"--mirror-below auto: {n} val images that are not in train; at least {FEWEST_IMAGES} are needed to "
                "choose on. Give a number of your own, or more val images"
            )
        least = {truth: right_N.sum() for truth, right_N in _right(self.under(None)).items()}
        found = None
        for below in reversed(GRID):
            if any(right_N.sum() < least[truth] for truth, right_N in _right(self.under(below)).items()):
                break
            found = below
        return found

    def rule(self, below: float | None, *, draws: int = 2000, seed: int = 0) -> MirrorRule:
        """Each head's accuracy with a rule beside that with every mirror image, and with none."""
        twice_N = self.seen_twice(below)
        found = [_right(self._answers(some_N)) for some_N in (np.ones_like(twice_N), twice_N, np.zeros_like(twice_N))]
        heads = []
        for truth in found[0]:
            always_N, rule_N, never_N = (one[truth].astype(np.float64) for one in found)
            each = {
                "always": always_N, "rule": rule_N, "never": never_N,
                "rule_change": rule_N - always_N, "never_change": never_N - always_N,
            }  # fmt: skip
            ratios: dict[str, Ratio] = {name: (one_N, np.ones(len(one_N))) for name, one_N in each.items()}
            heads.append(HeadViews(truth=truth, n=len(rule_N), **estimates(ratios, draws=draws, seed=seed)))
        return MirrorRule(below=below, n=len(twice_N), seen_twice=float(twice_N.mean()), heads=tuple(heads))

    def _answers(self, twice_N: npt.NDArray[np.bool_]) -> Predictions:
        said_NO = np.where(twice_N[:, None], self.said.mean(axis=0), self.said[0]).astype(np.float32)
        people = self.beside.people
        if people is not None:
            people = replace(people, probabilities=said_NO[:, self.card.columns("people")])
        return replace(self.beside, probabilities=said_NO[:, self.card.columns("labels")], people=people)


def views_of(content: bytes, card: Card, crops: Sequence[Pixels], source: str) -> Floats:
    """`(V, N, O)` probabilities of all heads of a model file for each view of the crops, before they are averaged."""
    return _looker(content, card, source)(crops)


def wanted_rule(text: str) -> MirrorBelow:
    """What `--mirror-below` says: auto, always, or a number. Raises `InputError` for anything else."""
    try:
        return float(text)
    except ValueError:
        return _word(text)


def check_rule(model: Model, wanted: MirrorBelow, *, voted: bool) -> None:
    """Raise `InputError` where `wanted` can be no rule of this model's mirror images. `voted`: votes are given."""
    if model.run is not None:
        raise InputError(
            f"{model.name}: --mirror-below is for a model file, and a run has its network. Write the file first, then "
            f"calibrate that: mien export {model.word} --data PATH --to model.onnx; "
            "mien calibrate model.onnx --data PATH --mirror-below auto --to NEW.onnx"
        )
    if not model.card.mirror:
        raise InputError(f"{model.name}: sees no mirror images, so none can be spared. Leave out --mirror-below")
    if isinstance(wanted, str):
        _word(wanted)
    elif not 0 < wanted <= 1:
        raise InputError(f"--mirror-below {wanted:g}: expected a probability above 0, up to 1, or auto, or always")
    if model.card.people is not None and not voted:
        raise InputError(f"{model.name}: other answers need another temperature and threshold. {_NEEDS_VOTES}")


def _word(text: str) -> Literal["auto", "always"]:
    if text not in WORDS:
        raise unknown_name("--mirror-below", text, (*WORDS, "a number such as 0.9"))
    return "auto" if text == "auto" else "always"


def _right(said: Predictions) -> dict[Truth, npt.NDArray[np.bool_]]:
    """Of each head `(n,)` whether its answer is right, on the images that tell."""
    found: dict[Truth, npt.NDArray[np.bool_]] = {"labels": np.asarray(said.predicted == said.labels)}
    if said.people is not None and said.people.votes.any():
        voted = said.by_votes()
        found["people"] = np.asarray(voted.predicted == voted.labels)
    return found


def _looker(content: bytes, card: Card, source: str) -> Callable[[Sequence[Pixels]], Floats]:
    """`views_of` of a file that is opened once."""
    alone = Classifier.read(content, source, card=card.model_copy(update={"mirror": False, "mirror_below": None}))

    def look(crops: Sequence[Pixels]) -> Floats:
        views = [crops, [np.ascontiguousarray(crop[:, ::-1]) for crop in crops]] if card.mirror else [crops]
        return np.stack([alone.probabilities(view) for view in views]).astype(np.float64)

    return look
