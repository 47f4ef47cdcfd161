"""Evaluating and comparing runs: their predictions for a split, kept in their folders, and what these score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes, beside
from mien.errors import InputError, unknown_name
from mien.evaluation.compare import Comparison, compare_predictions
from mien.evaluation.evaluate import Evaluation, score
from mien.evaluation.seeds import RecipeComparison, compare_recipes, same_recipe
from mien.files import write_whole
from mien.predictions import Predictions, Truth, pool
from mien.training.hardware import detect
from mien.training.predict import predict
from mien.training.run import Run

SPLITS = ("val", "test", "pooled")
_KNOWN = (*SPLITS, "train")  # the last for its predictions alone, which another model may learn from


def evaluate(
    run: Run,
    faces: FaceSet,
    split: str = "test",
    *,
    device: str = "auto",
    votes: Votes | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a run on `val`, `test` or `pooled` (both, as the study did) of `faces`; or on `train`, for its predictions.

    Predictions and the evaluation as JSON are kept in the run folder; on other data than the run was trained on,
    under the name of that data. Of a run with two heads the labels' head is scored; the predictions keep both, and the
    `votes` that the people's head is held against. Raises `InputError` for other labels than the run's, or an empty
    split.
    """
    predictions = predictions_of(run, faces, split, device=device, votes=votes, progress=progress)
    evaluation = score(predictions, run.name, temperature=run.card.temperature)
    write_whole(evaluation_file(run, faces, split), evaluation.model_dump_json(indent=2) + "\n")
    return evaluation


def predictions_of(
    run: Run,
    faces: FaceSet,
    split: str,
    *,
    device: str = "auto",
    votes: Votes | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Predictions of a run's network, untempered; read back when it made them before for the same images.

    `votes` are kept beside the answers of a people's head.
    """
    if split not in _KNOWN:
        raise unknown_name("split", split, _KNOWN)
    if split == "pooled":
        first, second = (
            predictions_of(run, faces, part, device=device, votes=votes, progress=progress) for part in ("val", "test")
        )
        return pool(first, second)
    path = _folder(run, faces, "predictions") / f"{split}.npz"
    if path.is_file():
        kept = Predictions.load(path)
        if _same_images(kept, faces.select(split)):
            if votes is None or kept.people is None:
                return kept
            voted = beside(kept, votes)
            voted.save(path)
            return voted
    made = beside(predict(run, faces, split, detect(device), progress), votes)
    made.save(path)
    return made


def evaluation_file(run: Run, faces: FaceSet, split: str) -> Path:
    return _folder(run, faces, "report") / f"evaluation-{split}.json"


def _folder(run: Run, faces: FaceSet, kind: str) -> Path:
    """The run's own folder for the data that it was trained on, a folder below it for any other data."""
    own = run.seen_fingerprint == faces.select("train", "val").fingerprint
    return run.folder / kind if own else run.folder / kind / f"{faces.source}-{faces.fingerprint[:8]}"


def _same_images(kept: Predictions, faces: FaceSet) -> bool:
    return (
        kept.label_names == faces.label_set.labels
        and np.array_equal(kept.hashes, faces.hashes)
        and np.array_equal(kept.labels, faces.labels)
    )


def load_predictions(run: Run, split: str) -> Predictions:
    """Predictions that `evaluate` kept in a run folder, untempered, on the data that it was trained on."""
    if split not in _KNOWN:
        raise unknown_name("split", split, _KNOWN)
    if split == "pooled":
        return pool(load_predictions(run, "val"), load_predictions(run, "test"))
    return run.predictions(split)


def compare(*runs: Run, split: str = "test", names: Sequence[str] = (), truth: Truth = "labels") -> Comparison:
    """Compare two or more runs on the predictions that `evaluate` kept; they must be of the same images.

    `names` are for the tables; the folders' names are used without them. `truth`: labels of the data, or people: the
    most frequent vote, by the people's heads, on the images that have votes.
    """
    shown = names or [run.name for run in runs]
    return compare_predictions([(name, answers(run, split, truth)) for name, run in zip(shown, runs, strict=True)])


def answers(run: Run, split: str, truth: Truth = "labels") -> Predictions:
    """What the run answers, beside that truth: its kept predictions at the temperature of its card, if it has one."""
    kept = load_predictions(run, split)
    if truth == "labels":
        has_card = (run.folder / "card.json").is_file()
        return kept.tempered(run.card.temperature) if has_card else kept.answers("labels")
    head = run.card.head("people")  # raises where the run has none
    found = kept.by_votes()
    if not len(found):
        raise InputError(
            f"{run.folder}: keeps no votes beside its predictions for '{split}'. "
            f"Evaluate it with them: mien evaluate {run.folder} --data PATH --votes FILE"
        )
    return found.tempered(head.temperature)


def compare_over_seeds(*runs: Run, split: str = "test") -> RecipeComparison:
    """Compare recipes, each by its runs that differ in their seed alone, on the predictions that `evaluate` kept.

    Raises `InputError` unless two recipes have two runs each, and for one training that is named twice.
    """
    names: dict[str, list[Predictions]] = {}
    for members in same_recipe(runs):
        seeds = [run.recipe.seed for run in members]
        if len(set(seeds)) < len(seeds):
            raise InputError(
                f"{' and '.join(run.name for run in members)}: two runs of one recipe with the same seed are one "
                "training. Name one of them"
            )
        name = members[0].recipe.name
        name = name if name not in names else f"{name} ({members[0].name})"
        names[name] = [answers(run, split) for run in members]
    return compare_recipes(names)
