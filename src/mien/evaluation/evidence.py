"""Evidence: all that is known of one model on one split, each part beside the scores or not asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mien.cards import Card, Head
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes, beside
from mien.evaluation.abstention import Abstention, abstention
from mien.evaluation.bootstrap import Frozen
from mien.evaluation.calibration import Calibration, calibration
from mien.evaluation.evaluate import Evaluation, score
from mien.evaluation.groups import Groups, by_group
from mien.evaluation.leaks import StrictScore
from mien.evaluation.looks import Looks
from mien.evaluation.people import HumanCeiling, human_ceiling
from mien.evaluation.priors import PriorChange, prior_change
from mien.evaluation.robustness import Draw, Robustness, robustness, robustness_of_heads
from mien.evaluation.sets import PredictionSets, prediction_sets
from mien.evaluation.shift import FEWEST_SHOWN, ShiftAlarm, shift_alarm
from mien.evaluation.stability import MOST, Stability, stability
from mien.model import Classify, Features
from mien.predictions import Predictions
from mien.recognize.prior import Prior
from mien.recognize.shift import Reference, Shift


class PeopleHead(Frozen):
    """What a model's second head is worth against its own truth, the votes of taggers; `humans` has its agreement."""

    n: int  # images with votes for what the head answers
    labels: tuple[str, ...]
    temperature: float
    calibration: Calibration  # a row for each vote: whether the confidence is the chance that one person agrees
    untempered: Calibration
    abstention: Abstention  # wrong is what is not the most frequent vote
    robustness: Robustness | None = None  # right is the most frequent vote
    sets: PredictionSets | None = None  # hold what a tagger drawn at random sees


class Evidence(Frozen):
    """Parts that were not asked for are None. JSON round trip by pydantic.

    Of a model with two heads `evaluation`, `abstention`, `robustness` and `groups` are of the labels' head, `humans`
    and `people` of the people's.
    """

    evaluation: Evaluation
    abstention: Abstention
    robustness: Robustness | None = None
    humans: HumanCeiling | None = None
    groups: Groups | None = None
    people: PeopleHead | None = None
    shift: ShiftAlarm | None = None
    look: Shift | None = None  # of other data than the model was trained on: whether its faces are alike
    sets: PredictionSets | None = None  # None of a card without sets, too
    prior: PriorChange | None = None
    strict: StrictScore | None = None  # without near-duplicates of what was learned from, and persons who are in it
    looks: Looks | None = None  # how often test was opened, at the time of this one
    stability: Stability | None = None

    def with_measured(self, before: Evidence) -> Evidence:
        """With what takes long from `before`, evidence of the same answers, wherever it was not measured again."""
        people = self.people or before.people
        if people and before.people:
            robust = people.robustness or before.people.robustness
            people = people.model_copy(update={"robustness": robust})
        names = ("robustness", "humans", "groups", "shift", "stability", "strict")
        parts = {name: getattr(self, name) or getattr(before, name) for name in names}
        return self.model_copy(update={**parts, "people": people})


@dataclass(frozen=True)
class Asked:
    """What is asked for beside the scores, and what it takes."""

    faces: FaceSet | None = None  # those of the split; with them and `classify` robustness and stability are measured
    classify: Classify | None = None  # the model itself, all its heads side by side
    watched: tuple[Features, Reference] | None = None  # what its alarm is measured with, beside robustness
    most: int | None = None  # faces at most for robustness; all of them if left out
    votes: Votes | None = None  # of taggers, for the human ceiling, and for the figures of a people's head
    groups: Mapping[str, str] | None = None  # name → group
    prior: Prior = "train"  # of the labels' head; with another its change is measured
    known: Collection[str] | None = None  # names of all images of the data, which groups may speak of


def evidence(
    predictions: Predictions,
    name: str,
    card: Card,
    asked: Asked | None = None,
    *,
    evaluation: Evaluation | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evidence:
    """What `predictions`, the network's own, say of the model `name` with this `card`.

    `evaluation`: their score at the card's temperature, where it is known already. Raises `InputError` for what is
    asked and does not belong to these images.
    """
    asked = asked or Asked()
    votes = asked.votes
    answers = predictions.tempered(card.temperature)
    voted = beside(predictions, votes)
    people = voted.answers("people").tempered(card.head("people").temperature) if votes and voted.people else None
    humans = human_ceiling(people or answers, votes, seed=seed) if votes else None
    robust: Robustness | None = None
    robust_people: Robustness | None = None
    stable: Stability | None = None
    if asked.faces is not None and asked.classify is not None:
        faces, classify, draw = asked.faces, asked.classify, Draw(most=asked.most, seed=seed)
        how = (card.alignment, draw, progress)
        if people is not None:
            robust, robust_people = robustness_of_heads(classify, faces, answers, people, *how)
        else:
            robust = robustness(lambda crops: classify(crops)[:, card.columns("labels")], faces, answers, *how)
        most = min(asked.most or MOST, MOST)
        stable = stability(classify, faces, card, predictions.split, most=most, seed=seed, progress=progress)
    shift = None
    if robust is not None and robust.n >= FEWEST_SHOWN and asked.faces is not None and asked.watched is not None:
        shift = shift_alarm(asked.watched, asked.faces, robust, seed=seed, progress=progress)
    return Evidence(
        evaluation=evaluation or score(predictions, name, temperature=card.temperature, seed=seed),
        abstention=abstention(answers, card.threshold, card.risk),
        robustness=robust,
        humans=humans,
        groups=by_group(answers, asked.groups, known=asked.known, seed=seed) if asked.groups else None,
        people=_people_head(voted, card.head("people"), robust_people, seed) if people is not None else None,
        shift=shift,
        prior=prior_change(answers, card.head("labels"), asked.prior, name, seed=seed)
        if asked.prior != "train"
        else None,
        sets=prediction_sets(answers, answers.label_shares, card.head("labels"), seed=seed),
        stability=stable,
    )


def _people_head(voted: Predictions, head: Head, robust: Robustness | None, seed: int) -> PeopleHead:
    """Of predictions with votes beside them."""
    single, most_frequent = voted.each_vote(), voted.by_votes()
    return PeopleHead(
        n=len(most_frequent),
        labels=head.labels,
        temperature=head.temperature,
        calibration=calibration(single.tempered(head.temperature), seed=seed),
        untempered=calibration(single, seed=seed),
        abstention=abstention(most_frequent.tempered(head.temperature), head.threshold, head.risk),
        robustness=robust,
        sets=prediction_sets(
            voted.answers("people").tempered(head.temperature), voted.vote_shares, head, of_votes=True, seed=seed
        ),
    )
