"""Evaluation: the numbers that a set of predictions earns, each with its uncertainty.

Shapes: N images, K classes, B bootstrap draws, C columns of a tally, G clusters.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.cache import Progress
from mien.data.faceset import FaceSet
from mien.data.votes import Votes
from mien.errors import InputError
from mien.evaluation.bootstrap import (
    Estimate,
    Frozen,
    Ints,
    bootstrap_figures,
    class_figures,
    confusion_counts,
    estimate,
    point_figures,
    tally,
)
from mien.evaluation.calibration import Calibration, calibration
from mien.evaluation.printed import figure_text, format_estimate
from mien.files import write_whole
from mien.model import Model, Named
from mien.predictions import Predictions
from mien.shown import Shown, Value

HEADLINE = ("accuracy", "macro_f1", "weighted_f1", "mean_class_accuracy", "nll")  # fields of `Scores`


class Scores(Frozen):
    """The headline figures over `n` images; accuracies and F1 are 0–1, nll is in nats."""

    n: int
    accuracy: Estimate
    macro_f1: Estimate
    weighted_f1: Estimate
    mean_class_accuracy: Estimate
    nll: Estimate


class ClassScore(Frozen):
    """One class: `support` images; precision, recall, F1 in 0–1, None where they are undefined."""

    label: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None


class Evaluation(Shown, Frozen):
    """What one model scores on one split."""

    model: str
    split: str
    labels: tuple[str, ...]
    scores: Scores
    leak_free: Scores | None  # over images that training never saw; None when there is no such image
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]  # (K, K) counts: row is the true class, column the predicted one
    calibration: Calibration | None = None  # None in what earlier versions wrote
    temperature: float = 1.0  # of the card; all figures above are of the answers that it gives
    untempered: Calibration | None = None  # of the network's own probabilities; None where the temperature is 1

    def __str__(self) -> str:
        """The headline figures with their intervals, and the class that is found least."""
        clean = self.leak_free
        lines = [f"{self.model} on {self.split}, n = {self.scores.n:,}; in brackets 95 % intervals"]
        lines.append(f"  accuracy {format_estimate(self.scores.accuracy)}")
        if clean:
            lines[-1] += f"; leak-free {format_estimate(clean.accuracy)}, n = {clean.n:,}"
        lines.append(f"  macro F1 {format_estimate(self.scores.macro_f1)}")
        found = [(row.recall, row) for row in self.per_class if row.recall is not None]
        if found:
            recall, row = min(found, key=lambda pair: pair[0])
            lines.append(f"  found least: {row.label}, recall {figure_text(recall)} of {row.support:,} images")
        return "\n".join(lines)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row for each figure: over which images, of which class, how many, the value, and its 95 % interval.

        `images` is all or leak_free; figures of a single class have no interval here.
        """
        rows: list[tuple[Value, ...]] = []
        for images, scores in (("all", self.scores), ("leak_free", self.leak_free)):
            for figure in HEADLINE if scores else ():
                found: Estimate = getattr(scores, figure)
                told = (figure, None, scores.n if scores else 0, found.value, found.low, found.high)
                rows.append((images, *told))
        for one in self.per_class:
            of_class = (("precision", one.precision), ("recall", one.recall), ("f1", one.f1))
            rows += [("all", figure, one.label, one.support, value, None, None) for figure, value in of_class]
        names = ("images", "figure", "label", "n", "value", "low", "high")
        return [{"model": self.model, "split": self.split, **dict(zip(names, row, strict=True))} for row in rows]


def evaluate(
    model: Named,
    faces: FaceSet,
    split: str = "test",
    *,
    device: str = "auto",
    votes: Votes | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model on `val`, `test`, `pooled` (both, as the study did) or `all` of `faces`; or on `train`.

    `model`: a run, its folder, a `.onnx` file or a bundled name. A run keeps predictions and the evaluation as JSON in
    its folder; on other data than it was trained on, under the name of that data. Of a model with two heads the labels'
    head is scored; predictions keep both, and the `votes` that the people's head is held against. Classes go by the
    model's names for them; `faces` may lack some. Raises `InputError` for classes that the model does not know, or an
    empty split.
    """
    opened = Model.open(model, device=device)
    faces = faces.for_labels(opened.card.labels, opened.name)
    return scored(opened, faces, opened.predictions(faces, split, votes=votes, progress=progress))


def scored(model: Model, faces: FaceSet, predictions: Predictions) -> Evaluation:
    """What the model's `predictions` of `faces` are worth; a run keeps it in its folder."""
    evaluation = score(predictions, model.name, temperature=model.card.temperature)
    if model.run is not None:
        write_whole(evaluation_file(model, faces, predictions.split), evaluation.model_dump_json(indent=2) + "\n")
    return evaluation


def evaluation_file(model: Model, faces: FaceSet, split: str) -> Path:
    """Where a run keeps its evaluation."""
    return model.folder_for(faces, "report") / f"evaluation-{split}.json"


def score(
    predictions: Predictions,
    model: str,
    *,
    temperature: float = 1.0,
    clusters: Ints | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """What `predictions` of the model named `model` are worth, with 95 % intervals from `draws` bootstrap resamples.

    `predictions` are the network's own; what is scored are the answers that it gives at the `temperature` of its card.
    `clusters` `(N,)`: which images belong together, as those of a person; resamples then are of whole clusters (Davison
    and Hinkley 1997, section 3.8), of single images without it.
    Macro F1 and mean class accuracy run over the classes that have an image here; nll counts probabilities as at least
    1e-7. Raises `InputError` when there is no image, or a label that is no class.
    """
    check_scorable(predictions, model)
    untempered = None if temperature == 1 else calibration(predictions, seed=seed)
    predictions = predictions.tempered(temperature)
    k, mask = len(predictions.label_names), predictions.leak_free
    together = np.arange(len(predictions)) if clusters is None else clusters
    scores = _scores(predictions, together, draws, seed)
    leak_free = None
    if mask.any():
        leak_free = scores if mask.all() else _scores(predictions.keep(mask), together[mask], draws, seed)
    counts = confusion_counts(predictions.labels, predictions.predicted, k)
    return Evaluation(
        model=model,
        split=predictions.split,
        labels=predictions.label_names,
        scores=scores,
        leak_free=leak_free,
        per_class=class_scores(predictions),
        confusion=tuple(tuple(int(count) for count in row) for row in counts),
        calibration=calibration(predictions, seed=seed),
        temperature=temperature,
        untempered=untempered,
    )


def class_scores(predictions: Predictions) -> tuple[ClassScore, ...]:
    """Each of the K classes, in label order."""
    figures = class_figures(predictions.labels, predictions.predicted, len(predictions.label_names))
    return tuple(
        ClassScore(
            label=label,
            support=int(figures.support[i]),
            precision=_defined(figures.precision[i]),
            recall=_defined(figures.recall[i]),
            f1=_defined(figures.f1[i]),
        )
        for i, label in enumerate(predictions.label_names)
    )


def check_scorable(predictions: Predictions, model: str) -> None:
    """Raise `InputError` unless there is an image and every label is an index into the label names."""
    where, k = f"predictions of {model} for '{predictions.split}'", len(predictions.label_names)
    if len(predictions) == 0:
        raise InputError(f"{where}: no image to score. Check that this split of the data holds pictures")
    outside = (predictions.labels < 0) | (predictions.labels >= k)
    if outside.any():
        i = int(outside.argmax())
        raise InputError(
            f"{where}: {predictions.names[i]} has label {predictions.labels[i]}, expected 0 to {k - 1} "
            f"({', '.join(predictions.label_names)}). Make the predictions again: mien evaluate RUN --data PATH"
        )


def _scores(predictions: Predictions, clusters_N: Ints, draws: int, seed: int) -> Scores:
    point = point_figures(predictions.labels, predictions.probabilities)
    tally_NC = tally(predictions.labels, predictions.probabilities)
    # What a cluster adds is the sum of what its images add; one image a cluster is the bootstrap of images.
    cluster_N = np.unique(clusters_N, return_inverse=True)[1]
    sums_GC = tally_NC
    if cluster_N.max() + 1 < len(cluster_N):
        sums_GC = np.zeros((int(cluster_N.max()) + 1, tally_NC.shape[1]))
        np.add.at(sums_GC, cluster_N, tally_NC)
    (samples,) = bootstrap_figures([sums_GC], draws, seed)
    return Scores(
        n=len(predictions),
        accuracy=estimate(point.accuracy[0], samples.accuracy),
        macro_f1=estimate(point.macro_f1[0], samples.macro_f1),
        weighted_f1=estimate(point.weighted_f1[0], samples.weighted_f1),
        mean_class_accuracy=estimate(point.mean_class_accuracy[0], samples.mean_class_accuracy),
        nll=estimate(point.nll[0], samples.nll),
    )


def _defined(figure: float) -> float | None:
    return None if math.isnan(figure) else float(figure)
