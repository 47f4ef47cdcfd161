"""Card: what travels with a set of weights, so that nobody has to guess how to use them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mien import formats
from mien.confidence import RISK, RISK_OF_PEOPLE, tempered
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


class Head(BaseModel):
    """One set of answers of a model, and what makes its probabilities mean what they say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...] = Field(min_length=2, max_length=1000)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    threshold: float | None = Field(default=None, ge=0, le=1)
    risk: float | None = Field(default=None, gt=0, lt=1)


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
    mirror: bool = False  # each face is seen with its mirror image, and the two answers are averaged
    alignment: Alignment | None = None  # None: the train faces hold no faces that a detector finds, or an older card
    temperature: float = Field(
        default=1.0, gt=0, allow_inf_nan=False
    )  # fitted on val images that are not in train; every answer has it
    threshold: float | None = Field(default=None, ge=0, le=1)  # confidence below which an answer is marked unsure
    risk: float | None = Field(default=None, gt=0, lt=1)  # wanted share of wrong among those above it, on val
    people: Head | None = None  # what people see: shares of votes
    truth: Truth = "labels"  # the head that answers where nobody asks for one
    adapted: Adapted | None = None  # to the faces of one camera; None: as it was trained
    training: Training
    license: str = "Weights: terms of the training data apply. Code: Apache-2.0."
    use: str = "Apparent expression in a face crop, not inner feeling. See docs/responsible-use.md."

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
        return Head(labels=self.labels, temperature=self.temperature, threshold=self.threshold, risk=self.risk)

    def columns(self, truth: Truth) -> slice:
        """Where the outputs of a head stand."""
        return slice(len(self.labels), sum(self.widths)) if truth == "people" else slice(0, len(self.labels))

    def answers(self, said: npt.NDArray[np.float32], truth: Truth | None = None) -> npt.NDArray[np.float32]:
        """Probabilities `(N, K)` of the head of `truth`, at its temperature, among those `(N, O)` of all heads."""
        head = self.head(truth)
        return tempered(said[:, self.columns(truth or self.truth)], head.temperature).astype(np.float32)

    def people_of(self, said: npt.NDArray[np.float32]) -> People | None:
        """The people's head among the probabilities `(N, O)` of all heads, its votes not known yet."""
        if self.people is None:
            return None
        none = np.zeros((len(said), len(self.people.labels)), dtype=np.int64)
        return People(self.people.labels, said[:, self.columns("people")], none)

    def calibrated(self, val: Predictions, risk: float | None = None) -> Card:
        """With temperature and threshold of each head fitted on `val`, the network's own predictions, untempered.

        The labels' head is held against the labels. The people's head gives the chance that one person sees an emotion:
        its temperature is fitted on single votes. Its threshold keeps the risk that most taggers see something else.
        `risk` is of both; without it each keeps the one that it has, or `RISK` and `RISK_OF_PEOPLE`. Without votes of
        these images the people's head stays as it is.
        """
        own = _fitted(val, val, risk if risk is not None else self.risk or RISK)
        card = self.model_copy(update=own)
        if self.people and val.people is not None and val.people.votes.any():
            wanted = risk if risk is not None else self.people.risk or RISK_OF_PEOPLE
            people = self.people.model_copy(update=_fitted(val.each_vote(), val.by_votes(), wanted))
            card = card.model_copy(update={"people": people})
        return card

    def with_head(self, truth: Truth, **changes: float | None) -> Card:
        """With another temperature, threshold or risk of one head."""
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
