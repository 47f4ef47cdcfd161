"""mien evaluate: what a run or a model file scores on a split, with intervals and the leak-free figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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
    note,
    open_faces,
    open_votes,
    progress,
    say,
    table,
)

if TYPE_CHECKING:
    from mien.data.faceset import FaceSet
    from mien.evaluation.evaluate import Evaluation

_FIGURES = ("accuracy", "macro_f1", "weighted_f1", "mean_class_accuracy", "nll")


def evaluate(
    model: Annotated[str, typer.Argument(help="Run folder, a .onnx file that mien export wrote, or a bundled model.")],
    data: DataOption,
    split: Annotated[str, typer.Option("--split", help="val, test, pooled (both, as in the study) or train.")] = "test",
    labels: LabelsOption = None,
    skip_unreadable: SkipOption = False,
    votes: VotesOption = None,
    ferplus: FerplusOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score a model on val, test or both. A run keeps predictions, figures and confusion matrix in its folder."""
    from mien.errors import InputError

    if votes and not ferplus:
        raise InputError("--votes is for --ferplus majority or --ferplus argmax here")

    def faces(size: int) -> FaceSet:
        return open_votes(votes, open_faces(data, labels, skip_unreadable=skip_unreadable, size=size), ferplus)[1]

    evaluation, kept = (_model_file if _is_model(model) else _run)(model, faces, split, device)
    if as_json:
        say(evaluation.model_dump_json(indent=2))
        return
    _show(evaluation)
    if kept:
        say(kept)


def _is_model(name: str) -> bool:
    from mien.recognize.recognizer import bundled

    return name in bundled() or (name.endswith(".onnx") and not Path(name).is_dir())


def _run(folder: str, open_at: Callable[[int], FaceSet], split: str, device: str) -> tuple[Evaluation, str]:
    """The evaluation, and a line for each file that it left in the run folder."""
    from mien.evaluation.runs import evaluate as evaluate_run
    from mien.evaluation.runs import evaluation_file
    from mien.report.plots import confusion
    from mien.report.style import save
    from mien.training.run import Run

    run = Run.open(folder)
    faces = open_at(run.card.preprocess.size)
    with progress() as bar:
        evaluation = evaluate_run(run, faces, split, device=device, progress=bar)
    file = evaluation_file(run, faces, split)
    picture = file.with_name(f"confusion-{split}.png")
    save(confusion(evaluation), picture)
    return evaluation, f"figures: {file}\nconfusion matrix: {picture}"


def _model_file(name: str, open_at: Callable[[int], FaceSet], split: str, device: str) -> tuple[Evaluation, str]:
    """The evaluation; nothing is kept."""
    from mien.errors import InputError
    from mien.evaluation.evaluate import score
    from mien.evaluation.model_files import predictions_of_model
    from mien.recognize.recognizer import Recognizer

    if device not in ("auto", "cpu"):
        raise InputError(f"{name}: a model file computes on the cpu. Leave out --device {device}, or name a run folder")
    recognizer = Recognizer(name)
    faces, training = open_at(recognizer.card.preprocess.size), recognizer.card.training
    other = faces.select("train", "val").fingerprint != training.fingerprint
    if other or training.start:
        whence = (
            f"learned from other data ({training.data})" if other else f"began with the weights of {training.start}"
        )
        note(f"{name} {whence}: leak-free leaves out what stands in train and val here; it may have seen more")
    with progress() as bar:
        predictions = predictions_of_model(recognizer, name, faces, split, bar)
        return score(predictions, name, temperature=recognizer.card.temperature), ""


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
    _show_calibration(evaluation)
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


def _show_calibration(evaluation: Evaluation) -> None:
    from mien.evaluation.evaluate import figure_text

    found, before = evaluation.calibration, evaluation.untempered
    if found is None:
        return
    low, high = found.ece_if_perfect
    fits = "as a perfectly calibrated model would show" if found.as_good_as_perfect else "more than chance explains"
    at = f" at temperature {evaluation.temperature:.2f} ({figure_text(before.ece)} without)" if before else ""
    say(
        f"calibration: ECE {figure_text(found.ece)}{at}, {fits} ({figure_text(low)} to {figure_text(high)}); bins of "
        f"equal mass {figure_text(found.ece_mass)}, classwise {figure_text(found.classwise_ece)}, "
        f"Brier {found.brier:.3f}"
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
