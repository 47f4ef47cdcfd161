"""Evidence: all that is known of one model on one split, each part beside the scores or not asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mien.card import Card
from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.evaluation.abstain import Abstention, abstention
from mien.evaluation.evaluate import Evaluation, Frozen, score
from mien.evaluation.groups import Groups, by_group
from mien.evaluation.humans import HumanCeiling, human_ceiling
from mien.evaluation.model_files import Classify
from mien.evaluation.robustness import Robustness, robustness
from mien.predictions import Predictions


class Evidence(Frozen):
    """Parts that were not asked for are None. JSON round trip by pydantic."""

    evaluation: Evaluation
    abstention: Abstention
    robustness: Robustness | None = None
    humans: HumanCeiling | None = None
    groups: Groups | None = None


def evidence(
    predictions: Predictions,
    name: str,
    card: Card,
    *,
    evaluation: Evaluation | None = None,
    faces: FaceSet | None = None,
    classify: Classify | None = None,
    votes: Votes | None = None,
    groups: Mapping[str, str] | None = None,
    known: Collection[str] | None = None,
    most: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evidence:
    """What `predictions`, the network's own, say of the model `name` with this `card`.

    `evaluation`: their score at the card's temperature, where it is known already. Robustness is measured where there
    are `faces`, those of the split, and `classify`, the model itself: on `most` of them, or all. `votes` of taggers
    give the human ceiling; `groups` (name → group) the groups, and `known` the names of all images of the data. Raises
    `InputError` for what does not belong to these images.
    """
    answers = predictions.tempered(card.temperature)
    robust = None
    if faces is not None and classify is not None:
        robust = robustness(classify, faces, answers, alignment=card.alignment, seed=seed, most=most, progress=progress)
    return Evidence(
        evaluation=evaluation or score(predictions, name, temperature=card.temperature, seed=seed),
        abstention=abstention(answers, card.threshold, card.risk),
        robustness=robust,
        humans=human_ceiling(answers, votes, seed=seed) if votes else None,
        groups=by_group(answers, groups, known=known, seed=seed) if groups else None,
    )
