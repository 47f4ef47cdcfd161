"""mien evaluate: what a run scores on a split, with intervals and the leak-free figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import (
    DataOption,
    DeviceOption,
    FerplusOption,
    JsonOption,
    LabelsOption,
    SkipOption,
    VotesOption,
    open_faces,
    open_votes,
    progress,
    say,
    table,
)

if TYPE_CHECKING:
    from mien.evaluation.evaluate import Evaluation

_FIGURES = ("accuracy", "macro_f1", "weighted_f1", "mean_class_accuracy", "nll")


def evaluate(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    data: DataOption,
    split: Annotated[str, typer.Option("--split", help="val, test, pooled (both, as in the study) or train.")] = "test",
    labels: LabelsOption = None,
    skip_unreadable: SkipOption = False,
    votes: VotesOption = None,
    ferplus: FerplusOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score a run on val, test or both; predictions and figures are kept in the run folder."""
    from mien.errors import InputError
    from mien.evaluation.runs import evaluate as evaluate_run
    from mien.evaluation.runs import evaluation_file
    from mien.report.plots import confusion
    from mien.report.style import save
    from mien.training.run import Run

    if votes and not ferplus:
        raise InputError("--votes is for --ferplus majority or --ferplus argmax here")
    opened = Run.open(run)
    faces = open_faces(data, labels, skip_unreadable=skip_unreadable, size=opened.card.preprocess.size)
    _, faces = open_votes(votes, faces, ferplus)
    with progress() as bar:
        evaluation = evaluate_run(opened, faces, split, device=device, progress=bar)
    file = evaluation_file(opened, faces, split)
    picture = file.with_name(f"confusion-{split}.png")
    save(confusion(evaluation), picture)
    if as_json:
        say(evaluation.model_dump_json(indent=2))
        return
    _show(evaluation)
    say(f"figures: {file}\nconfusion matrix: {picture}")


def _show(evaluation: Evaluation) -> None:
    from mien.evaluation.evaluate import format_estimate

    scores, leak_free = evaluation.scores, evaluation.leak_free
    header = ["", f"{evaluation.split} (n={scores.n:,})"]
    if leak_free:
        header.append(f"leak-free (n={leak_free.n:,})")
    rows = [
        [name.replace("_", " "), *(format_estimate(getattr(s, name)) for s in (scores, leak_free) if s)]
        for name in _FIGURES
    ]
    table(f"{evaluation.model} on {evaluation.split}, 95 % bootstrap intervals", header, rows)
    per_class = [
        [row.label, f"{row.support:,}", *(_figure(value) for value in (row.precision, row.recall, row.f1))]
        for row in evaluation.per_class
    ]
    table("per class", ["class", "images", "precision", "recall", "F1"], per_class)
    matrix = [
        [label, *(f"{count:,}" for count in counts)]
        for label, counts in zip(evaluation.labels, evaluation.confusion, strict=True)
    ]
    table("confusion matrix (rows: true, columns: predicted)", ["", *evaluation.labels], matrix)
    if evaluation.split == "pooled":
        say("pooled holds the images that the best epoch was chosen on: for comparison with the study only")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
