"""Card: what travels with a set of weights, so that nobody has to guess how to use them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Self, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mien import formats
from mien.confidence import RISK, RISK_OF_PEOPLE, in_set, tempered
from mien.errors import InputError, first_line, unknown_name
from mien.files import write_whole
from mien.predictions import People, Predictions, Truth
from mien.preprocess import Preprocess

_ANEW = "Copy it again, or write it anew: mien export RUN"
_MOST_TOLD = 3  # problems of one card


class Training(BaseModel):
    """How the weights came to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str  # name of the source, without its folder
    votes: str | None = None  # name of the file of taggers' votes that gave targets, where there was one
    start: str | None = None  # name of the run whose weights it began with, where they were not fresh
    fingerprint: str  # of the FaceSet: the same for every lossless copy of the images
    train_images: int  # that were fitted, repeats counted once where the recipe merges them
    val_images: int
    seed: int
    epochs: int  # finished
    best_epoch: int  # whose weights these are, counted from 1
    best_value: float  # of the monitored figure at that epoch
    device: str
    precision: str
    threads: int | None = None  # of a CPU: with another number its sums are rounded otherwise; None in older cards
    minutes: float  # of all epochs, and of frozen work done once before them
    versions: dict[str, str]
    commit: str | None  # of the project's own checkout; None when it runs from an installed package


class Alignment(BaseModel):
    """How the train faces are cut: medians over those that a detector found, as shares of the side of the crop."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    eye_distance: float = Field(gt=0.05, lt=1)
    eye_x: float = Field(gt=0, lt=1, description="middle between the eyes, from the left")
    eye_y: float = Field(gt=0, lt=1, description="the same from the top")
    eyes_to_mouth: float = Field(gt=0.05, lt=1, description="from that middle to the middle of the mouth")
    faces: int  # that were looked at


class Sets(BaseModel):
    """What makes sets of labels that hold the truth with probability `level`, in each class."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    level: float = Field(gt=0, lt=1)
    thresholds: tuple[float, ...]  # probability from which each label lies in the set, at the head's temperature
    images: tuple[float, ...]  # of each label that it was fitted on; of votes, their shares added up

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.thresholds) != len(self.images) or any(not 0 <= one <= 1 for one in self.thresholds):
            raise ValueError("sets need a threshold of 0 to 1 and a number of images for each label")
        return self

    def holds(self, probs_NK: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """`(N, K)` which labels lie in the set of each face: see `confidence.in_set`."""
        return in_set(probs_NK, np.array(self.thresholds))


class Head(BaseModel):
    """One set of answers of a model, and what makes its probabilities mean what they say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...] = Field(min_length=2, max_length=1000)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    threshold: float | None = Field(default=None, ge=0, le=1)
    risk: float | None = Field(default=None, gt=0, lt=1)
    sets: Sets | None = None
    shares: tuple[float, ...] | None = None  # of the classes in what it learned from; None in older cards

    @model_validator(mode="after")
    def _of_its_labels(self) -> Self:
        if self.shares and not (
            len(self.shares) == len(self.labels)
            and all(0 <= share <= 1 for share in self.shares)
            and abs(sum(self.shares) - 1) < 1e-3
        ):
            raise ValueError(f"shares need one of 0 to 1 for each of {len(self.labels)} labels, that sum to 1")
        if self.sets and len(self.sets.thresholds) != len(self.labels):
            raise ValueError(f"{len(self.sets.thresholds)} thresholds of sets for {len(self.labels)} labels")
        return self

    def set_of(self, probs_K: npt.NDArray[np.floating]) -> tuple[str, ...] | None:
        """The labels of a face's set, the most probable first; None of a model that has no sets."""
        if self.sets is None:
            return None
        (held_K,) = self.sets.holds(probs_K[None])
        return tuple(self.labels[k] for k in np.argsort(-probs_K, kind="stable") if held_K[k])


class Learned(BaseModel):
    """Biases of one head, learned of few faces, and what they gained on faces that were left out.

    Gains are the figure and its 95 % interval: of accuracy (0–1), and of the negative log-likelihood, in nats a face.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    truth: Truth
    biases: tuple[float, ...] = Field(min_length=2)  # added to the logarithm of each label's probability
    spread: float = Field(ge=0)  # that they were allowed; 0: no biases
    baseline: float = Field(ge=0)  # share of the neutral faces' mean log-probabilities that is taken away
    before: float = Field(ge=0, le=1)  # accuracy on these faces without biases …
    after: float = Field(ge=0, le=1)  # … and with biases of the other faces
    accuracy: tuple[float, float, float]
    nll: tuple[float, float, float]

    @property
    def certain(self) -> bool:
        """Whether a gain was told: the likelihood rose beyond chance, and no right answers were lost."""
        return self.nll[1] > 0 and self.accuracy[0] >= 0


class Adapted(BaseModel):
    """That a model file is one that was adapted to a camera's faces; its biases are a part of its network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str  # that it was made of
    day: str  # as in 2026-01-31
    data: str  # name of the source of the faces
    fingerprint: str  # of the faces
    faces: dict[str, int]  # of each label; their shares were learned too
    persons: int | None  # that were left out one after another; None where single faces were
    heads: tuple[Learned, ...]  # those that have biases

    def __str__(self) -> str:
        """In a sentence, with what was gained."""
        who = f"of {self.persons} persons" if self.persons else "persons not told apart"
        gains = "; ".join(
            f"{one.truth}: {100 * one.accuracy[0]:+.1f} points of accuracy [{100 * one.accuracy[1]:.1f}, "
            f"{100 * one.accuracy[2]:.1f}] on faces left out" + ("" if one.certain else " (no gain that can be told)")
            for one in self.heads
        )
        count = sum(self.faces.values())
        return f"adapted from {self.model} on {self.day} to {count} faces of {self.data}, {who}; {gains}"


class Card(BaseModel):
    """Labels and preprocessing of a model, and where it comes from. JSON round trip by pydantic.

    A model that learned from labels and from votes has two heads: the outputs of `people` stand behind those of the
    labels. `temperature`, `threshold` and `risk` of the card itself are of the labels' head.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = formats.CARD
    recipe: str
    labels: tuple[str, ...] = Field(min_length=2, max_length=1000)
    preprocess: Preprocess
    backbone: str | None = None  # the pre-trained network that the weights started from
    architecture: str | None = None  # its kind: `model_type` of its own config, as in "dinov2"; None in older cards
    members: tuple[str, ...] = ()  # runs whose probabilities an ensemble averages; `training` is then of the first
    parameters: int
    mirror: bool = False  # each face is seen with its mirror image, and the two answers are averaged …
    mirror_below: float | None = Field(default=None, gt=0, le=1)  # … only where it is unsure: see `seen_twice`
    alignment: Alignment | None = None  # None: the train faces hold no faces that a detector finds, or an older card
    temperature: float = Field(
        default=1.0, gt=0, allow_inf_nan=False
    )  # fitted on val images that are not in train; every answer has it
    threshold: float | None = Field(default=None, ge=0, le=1)  # confidence below which an answer is marked unsure
    risk: float | None = Field(default=None, gt=0, lt=1)  # wanted share of wrong among those above it, on val
    sets: Sets | None = None  # of labels, of the labels' head
    shares: tuple[float, ...] | None = None  # of the labels in what it learned from; None in older cards
    people: Head | None = None  # what people see: shares of votes
    truth: Truth = "labels"  # the head that answers where nobody asks for one
    adapted: Adapted | None = None  # to the faces of one camera; None: as it was trained
    training: Training
    license: str = "Weights: terms of the training data apply. Code: Apache-2.0."
    use: str = "Apparent expression in a face crop, not inner feeling. See docs/responsible-use.md."

    @model_validator(mode="after")
    def _heads_are_whole(self) -> Self:
        self.head("labels")
        return self

    @model_validator(mode="after")
    def _mirror_images_are_seen(self) -> Self:
        if self.mirror_below is not None and not self.mirror:
            raise ValueError("mirror_below says which mirror images are seen, and mirror that none are")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Outputs of each head, in the order in which they stand side by side."""
        return (len(self.labels), len(self.people.labels)) if self.people else (len(self.labels),)

    @property
    def truths(self) -> tuple[Truth, ...]:
        """What its heads answer to, in the order of their outputs."""
        return ("labels", "people") if self.people else ("labels",)

    def head(self, truth: Truth | None = None) -> Head:
        """The head of this truth, or the one that answers by default. Raises `InputError` where the model lacks it."""
        wanted = truth or self.truth
        if wanted not in get_args(Truth):
            raise unknown_name("truth", wanted, get_args(Truth))
        if wanted == "people":
            if self.people is None:
                raise InputError(
                    f"the model '{self.recipe}' has one head, of labels. "
                    "Leave out the truth, or take a model that keeps one of votes too (targets.votes_head)"
                )
            return self.people
        own = ("labels", "temperature", "threshold", "risk", "sets", "shares")
        return Head(**{name: getattr(self, name) for name in own})

    def columns(self, truth: Truth) -> slice:
        """Where the outputs of a head stand."""
        return slice(len(self.labels), sum(self.widths)) if truth == "people" else slice(0, len(self.labels))

    def answers(self, said: npt.NDArray[np.float32], truth: Truth | None = None) -> npt.NDArray[np.float32]:
        """Probabilities `(N, K)` of the head of `truth`, at its temperature, among those `(N, O)` of all heads."""
        head = self.head(truth)
        return tempered(said[:, self.columns(truth or self.truth)], head.temperature).astype(np.float32)

    def seen_twice(self, said: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """`(N,)` whether the mirror image of a face is seen too, by the probabilities `(N, O)` of the face itself.

        With `mirror_below` it is where some head's highest probability, before any temperature, is lower; else always,
        or never. So it depends on the face alone, not on the head that is asked or on the faces beside it.
        """
        if not self.mirror or self.mirror_below is None:
            return np.full(len(said), self.mirror)
        highest = [said[:, self.columns(truth)].max(axis=1) for truth in self.truths]
        return np.asarray(np.min(highest, axis=0).astype(np.float64) < self.mirror_below)

    def people_of(self, said: npt.NDArray[np.float32]) -> People | None:
        """The people's head among the probabilities `(N, O)` of all heads, its votes not known yet."""
        if self.people is None:
            return None
        none = np.zeros((len(said), len(self.people.labels)), dtype=np.int64)
        return People(self.people.labels, said[:, self.columns("people")], none)

    def calibrated(self, val: Predictions, risk: float | None = None, level: float | None = None) -> Card:
        """With temperature, threshold and sets of each head fitted on `val`, the network's own predictions, untempered.

        The labels' head is held against the labels. The people's head gives the chance that one person sees an emotion:
        its temperature is fitted on single votes. Its threshold keeps the risk that most taggers see something else.
        `risk` is of both; without it each keeps the one that it has, or `RISK` and `RISK_OF_PEOPLE`. Without votes of
        these images the people's head stays as it is.

        `level`: probability with which sets hold the truth, the label or, of the people's head, what a tagger drawn at
        random sees; without it that of the sets there are, where enough images can tell, or no sets. Raises
        `InputError` where no class has enough images for it.
        """
        own = _fitted(val, val, risk if risk is not None else self.risk or RISK)
        sets = _sets(level, self.sets, val.tempered(own["temperature"]), val.label_shares)
        card = self.model_copy(update={**own, "sets": sets})
        if self.people and val.people is not None and val.people.votes.any():
            wanted = risk if risk is not None else self.people.risk or RISK_OF_PEOPLE
            own = _fitted(val.each_vote(), val.by_votes(), wanted)
            said = val.answers("people").tempered(own["temperature"])
            sets = _sets(level, self.people.sets, said, val.vote_shares)
            card = card.model_copy(update={"people": self.people.model_copy(update={**own, "sets": sets})})
        return card

    def with_head(self, truth: Truth, **changes: float | None) -> Card:
        """With another temperature, threshold or risk of one head; None for `sets` or `shares`, which then are lost."""
        if truth == "people" and self.people is not None:
            return self.model_copy(update={"people": self.people.model_copy(update=changes)})
        return self.model_copy(update=changes)

    def text(self) -> str:
        """As `save` writes it."""
        return self.model_dump_json(indent=2) + "\n"

    def save(self, path: Path) -> None:
        write_whole(path, self.text())

    @classmethod
    def load(cls, path: Path) -> Card:
        """Read what `save` wrote; `InputError` when it is missing or damaged."""
        if not path.is_file():
            raise InputError(f"{path}: missing. Is {path.parent} a finished run? Continue it: mien train … --resume")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not a card that this version reads ({first_line(error)})") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> Card:
        """A card as it was saved; `InputError`, which names `source`, for anything else or for one of a newer mien."""
        try:
            told = json.loads(text)
            formats.check(told.get("format") if isinstance(told, dict) else None, formats.CARD, source)
            return cls.model_validate(
                {**told, "format": formats.CARD} if isinstance(told, dict) else told, strict=False
            )
        except ValidationError as error:
            raise InputError(f"{source}: not a card that this version reads ({_problems(error)}). {_ANEW}") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: not a card that this version reads ({first_line(error)}). {_ANEW}") from error


def _problems(error: ValidationError) -> str:
    """The first of what is wrong, without the values, which may be of any length."""
    found = error.errors(include_input=False, include_url=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'card'}: {one['msg']}" for one in found[:_MOST_TOLD]]
    return "; ".join([*told, *([f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else [])])


def _fitted(for_temperature: Predictions, for_threshold: Predictions, risk: float) -> dict[str, float]:
    temperature = round(for_temperature.fitted_temperature(), 4)
    exact = for_threshold.tempered(temperature).threshold_for(risk)
    upward = math.ceil(exact * 1e4) / 1e4  # downward it would let through answers that were not tested
    return {"temperature": temperature, "threshold": upward if upward < 1 else exact, "risk": risk}


def _sets(
    level: float | None, before: Sets | None, said: Predictions, shares_NK: npt.NDArray[np.float64]
) -> Sets | None:
    """Sets of the answers `said`, at the level wanted, or at that of the sets before if these images allow it."""
    wanted = level if level is not None else before.level if before else None
    if wanted is None:
        return None
    exact_K = said.set_thresholds(wanted, shares_NK)
    images_K = shares_NK[said.leak_free].sum(axis=0)
    if not exact_K.any() and level is None:
        return None  # nobody asked for the level that a model brought along
    if not exact_K.any():
        raise InputError(
            f"sets {wanted:g}: need {math.ceil(wanted / (1 - wanted) - 1e-6)} val images of a class, not in train, "
            f"and no class has more than {images_K.max():.0f}: every set would hold every label. Take a lower level"
        )
    # Rounded downward: sets grow, and what is computed again in another precision stays within.
    thresholds = tuple(math.floor(exact * 1e6) / 1e6 for exact in exact_K)
    return Sets(level=wanted, thresholds=thresholds, images=tuple(round(float(n), 1) for n in images_K))
