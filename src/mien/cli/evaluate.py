"""mien evaluate: what a run or a model file scores on a split, with intervals and the leak-free figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    from mien.card import Card
    from mien.data.faceset import FaceSet
    from mien.data.votes import Votes
    from mien.evaluation.evaluate import Evaluation
    from mien.evaluation.evidence import Evidence
    from mien.evaluation.groups import Groups
    from mien.evaluation.model_files import Classify
    from mien.predictions import Predictions

_FIGURES = ("accuracy", "macro_f1", "weighted_f1", "mean_class_accuracy", "nll")


@dataclass(frozen=True)
class _Opened:
    """A model and what it said of a split."""

    name: str
    card: Card
    predictions: Predictions  # the network's own
    evaluation: Evaluation | None  # where it was scored to be kept
    faces: FaceSet  # of all splits
    classify: Callable[[], Classify]  # opens the model for further questions: all heads side by side
    folder: Path  # for what is written
    kept: tuple[str, ...]  # what was written already, a line each


def evaluate(
    model: Annotated[str, typer.Argument(help="Run folder, a .onnx file that mien export wrote, or a bundled model.")],
    data: DataOption,
    split: Annotated[str, typer.Option("--split", help="val, test, pooled (both, as in the study) or train.")] = "test",
    labels: LabelsOption = None,
    skip_unreadable: SkipOption = False,
    votes: VotesOption = None,
    ferplus: FerplusOption = None,
    groups: Annotated[
        str | None, typer.Option("--groups", help="CSV with the columns name and group: figures and gaps of groups.")
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Measure all, robustness too, and write it as one HTML page; minutes, not seconds."
        ),
    ] = False,
    robust_faces: Annotated[
        int | None,
        typer.Option("--robust-faces", min=0, help="With --report: faces for robustness; all if left out, 0: none."),
    ] = None,
    suspects: Annotated[
        bool,
        typer.Option(
            "--suspects", help="Also write a page of faces whose label may be wrong, by a classifier of its own."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for what is written: the run's own, or NAME-report, if left out."),
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score a model on val, test or both. A run keeps predictions, figures and confusion matrix in its folder.

    With --votes the model stands beside the people who tagged the faces, with --groups groups stand beside each other.
    """
    from mien.errors import InputError
    from mien.evaluation.evidence import evidence
    from mien.evaluation.groups import read_groups
    from mien.evaluation.model_files import of_split
    from mien.evaluation.suspects import check_suspects
    from mien.recognize.recognizer import is_model_file

    if suspects:
        check_suspects(split)
    if robust_faces is not None and not report:
        raise InputError("--robust-faces is a part of --report: ask for that too")
    of_groups = read_groups(Path(groups)) if groups else None
    tagged: list[Votes | None] = []
    known: list[str] = []  # names of all pictures, also of those that get no label

    def faces(size: int) -> FaceSet:
        everything = open_faces(data, labels, skip_unreadable=skip_unreadable, size=size)
        known.extend([*everything.names.tolist(), *everything.unreadable])
        found, chosen = open_votes(votes, everything, ferplus)
        tagged.append(found)
        return chosen

    if is_model_file(model):
        opened = _model_file(model, faces, split, device, out)
    else:
        opened = _run(model, faces, split, device, out, tagged)
    lines = [*opened.kept, *(_write_suspects(opened, split, device) if suspects else ())]
    robust = report and robust_faces != 0
    with progress() as bar:
        found = evidence(
            opened.predictions,
            opened.name,
            opened.card,
            evaluation=opened.evaluation,
            faces=of_split(opened.faces, split) if robust else None,
            classify=opened.classify() if robust else None,
            votes=tagged[0],
            groups=of_groups,
            known=known,
            most=robust_faces or None,
            progress=bar,
        )
    lines += _write_report(found, opened, split) if report else []
    if as_json:
        more = found.model_dump(mode="json", exclude={"evaluation"}, exclude_none=True)
        say(json.dumps(found.evaluation.model_dump(mode="json") | more, indent=2, ensure_ascii=False))
        return
    _show(found)
    for line in lines:
        say(line)


def _run(
    folder: str,
    open_at: Callable[[int], FaceSet],
    split: str,
    device: str,
    out: Path | None,
    tagged: Sequence[Votes | None],  # holds what came with the faces once they are open
) -> _Opened:
    from mien.evaluation.model_files import outputs_of
    from mien.evaluation.runs import evaluate as evaluate_run
    from mien.evaluation.runs import evaluation_file, predictions_of
    from mien.report.plots import confusion
    from mien.report.style import save
    from mien.training.run import Run

    run = Run.open(folder)
    faces = open_at(run.card.preprocess.size)
    with progress() as bar:
        evaluation = evaluate_run(run, faces, split, device=device, votes=tagged[0], progress=bar)
    file = evaluation_file(run, faces, split)
    picture = file.with_name(f"confusion-{split}.png")
    save(confusion(evaluation), picture)
    return _Opened(
        name=run.name,
        card=run.card,
        predictions=predictions_of(run, faces, split, device=device),
        evaluation=evaluation,
        faces=faces,
        classify=lambda: outputs_of(run, device),
        folder=out or file.parent,
        kept=(f"figures: {file}", f"confusion matrix: {picture}"),
    )


def _model_file(name: str, open_at: Callable[[int], FaceSet], split: str, device: str, out: Path | None) -> _Opened:
    from mien.errors import InputError
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
    return _Opened(
        name=name,
        card=recognizer.card,
        predictions=predictions,
        evaluation=None,
        faces=faces,
        classify=lambda: recognizer.of_all_heads,
        folder=out or Path(f"{Path(name).stem}-report"),
        kept=(),
    )


def _write_report(found: Evidence, opened: _Opened, split: str) -> list[str]:
    from mien.files import write_whole
    from mien.report.evidence import evidence_page
    from mien.report.html import write_page

    numbers = opened.folder / f"evidence-{split}.json"
    page = write_page(evidence_page(found, opened.card), opened.folder, f"report-{split}")
    write_whole(numbers, found.model_dump_json(indent=2) + "\n")
    return [f"report: {page}", f"its numbers: {numbers}"]


def _write_suspects(opened: _Opened, split: str, device: str) -> list[str]:
    from mien.evaluation.suspects import suspects
    from mien.files import write_whole
    from mien.report.html import write_page
    from mien.report.layout import Page
    from mien.report.suspects import suspects_section

    with progress() as bar:
        found = suspects(opened.faces, split, device=device, progress=bar)
    section = suspects_section(found, opened.faces)
    where = f"{opened.faces.source}, {split}, n = {found.n:,}"
    page = write_page(Page("Faces whose label may be wrong", where, (section,)), opened.folder, f"suspects-{split}")
    numbers = opened.folder / f"suspects-{split}.json"
    write_whole(numbers, found.model_dump_json(indent=2) + "\n")
    return [f"suspects: {page}", f"all of them: {numbers}"]


def _show(found: Evidence) -> None:
    from mien.evaluation.evaluate import format_estimate

    evaluation = found.evaluation

    scores, leak_free = evaluation.scores, evaluation.leak_free
    header = ["", f"{evaluation.split} (n={scores.n:,})"]
    if leak_free:
        header.append(f"leak-free (n={leak_free.n:,})")
    rows = [
        [name.replace("_", " "), *(format_estimate(getattr(s, name)) for s in (scores, leak_free) if s)]
        for name in _FIGURES
    ]
    table(f"{evaluation.model} on {evaluation.split}, 95 % bootstrap intervals", header, rows)
    _show_sentences(found)
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


def _show_sentences(found: Evidence) -> None:
    from mien.evaluation.humans import sentences
    from mien.report.confidence import abstention_sentence, calibration_sentence
    from mien.report.groups import gap_sentences
    from mien.report.humans import people_sentences

    say(f"calibration: {calibration_sentence(found.evaluation)}")
    say(f"abstention: {abstention_sentence(found.abstention)}")
    if found.humans:
        say(f"people: {' '.join(sentences(found.humans))}")
    if found.people:
        say(f"people's head: {' '.join(people_sentences(found.people))}")
    if found.groups:
        _show_groups(found.groups)
        say(f"groups: {' '.join(gap_sentences(found.groups))}")


def _show_groups(groups: Groups) -> None:
    from mien.evaluation.evaluate import format_estimate

    rows = [
        [f"{one.name}{' (few)' if one.few else ''}", f"{one.n:,}", format_estimate(one.accuracy),
         format_estimate(one.macro_f1)]
        for one in groups.scores
    ]  # fmt: skip
    table("groups", ["group", "images", "accuracy", "macro F1"], rows)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
