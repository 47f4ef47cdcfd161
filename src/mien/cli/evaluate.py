"""mien evaluate: what a run or a model file scores on a split, with intervals and the leak-free figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import (
    DeviceOption,
    FerplusOption,
    JsonOption,
    LabelsOption,
    ModelArgument,
    OverwriteOption,
    PriorOption,
    Reading,
    SkipOption,
    SubjectsOption,
    VotesOption,
    note,
    open_labeled,
    progress,
    refuse,
    say,
)
from mien.cli.figures import show
from mien.cli.photos import score_marked

if TYPE_CHECKING:
    from mien.cards import Card
    from mien.data.faceset import FaceSet
    from mien.evaluation.evaluate import Evaluation
    from mien.evaluation.evidence import Evidence
    from mien.evaluation.leaks import StrictScore
    from mien.model import Model
    from mien.predictions import Predictions


def evaluate(
    model: ModelArgument,
    data: Annotated[
        str | None, typer.Option("--data", help="Labeled faces: folder, zip, fer2013.csv or Parquet.")
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            help="val, test, pooled (both, as in the study), train; or all: every face, of data without splits.",
        ),
    ] = "test",
    photos: Annotated[
        Path | None,
        typer.Option(
            "--photos",
            help="Instead of --data: CSV of faces marked in photos, columns source, x, y, width, height, label, and "
            "group where wanted. Says what is missed, and what is worth photo in, emotion out.",
        ),
    ] = None,
    detector: Annotated[
        str, typer.Option("--detector", help="With --photos: default (CenterFace) or fast (BlazeFace).")
    ] = "default",
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    votes: VotesOption = None,
    ferplus: FerplusOption = None,
    groups: Annotated[
        str | None, typer.Option("--groups", help="CSV with the columns name and group: figures and gaps of groups.")
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Measure everything, robustness included, and write one HTML page; takes minutes."
        ),
    ] = False,
    robust_faces: Annotated[
        int | None,
        typer.Option("--robust-faces", min=0, help="With --report: faces for robustness; all if left out, 0: none."),
    ] = None,
    leaks: Annotated[
        bool,
        typer.Option(
            "--leaks",
            help="Also score without near-duplicates of training images and persons who are there; part of --report.",
        ),
    ] = False,
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
    prior: PriorOption = "train",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Score a model on val, test or both. A run keeps predictions, figures and confusion matrix in its folder.

    With --votes the model is compared with the people who tagged the faces, with --groups groups with each other.
    """
    from mien.errors import InputError

    if photos is not None:
        of_crops = {
            "--data": data is not None, "--split": split != "test", "--subjects": subjects is not None,
            "--skip-unreadable": skip_unreadable, "--votes": votes is not None, "--ferplus": ferplus is not None,
            "--groups": groups is not None, "--report": report, "--robust-faces": robust_faces is not None,
            "--suspects": suspects, "--device": device != "auto", "--leaks": leaks, "--prior": prior != "train",
        }  # fmt: skip
        refuse(of_crops, "for face crops", " with --photos, or run mien evaluate a second time with --data")
        score_marked(model, photos, detector, labels, out, as_json=as_json, overwrite=overwrite)
        return
    if data is None:
        raise InputError("nothing to score: name labeled face crops (--data PATH), or marked photos (--photos CSV)")
    refuse({"--detector": detector != "default"}, "for --photos, and faces of --data are crops already")
    from mien.evaluation.evaluate import scored
    from mien.evaluation.evidence import Asked, evidence
    from mien.evaluation.groups import read_groups
    from mien.evaluation.looks import looks
    from mien.evaluation.shift import shift_look
    from mien.evaluation.suspects import check_suspects
    from mien.model import Model, of_split

    if suspects:
        check_suspects(split)
    if robust_faces is not None and not report:
        raise InputError("--robust-faces is a part of --report: ask for that too")
    of_groups = read_groups(Path(groups)) if groups else None
    opened = Model.open(model, device=device)
    pages = [name for name, asked in (("report", report), ("suspects", suspects)) if asked]
    if out or not opened.run:  # before the data, whose names a run's folder for them has, are opened
        _check_free(pages, split, out or _folder(opened, None), overwrite=overwrite)
    how = Reading(labels, subjects, skip_unreadable)
    everything, tagged, faces = open_labeled(data, how, votes, ferplus, size=opened.card.preprocess.size)
    faces = faces.for_labels(opened.card.labels, opened.name)
    if why := opened.unsure_what_it_saw(faces):
        left_out = "no image" if split == "all" else "images of the training set and val here"
        note(f"{why}: leak-free leaves out {left_out}; the model may have seen more")
    with progress() as bar:
        predictions = opened.predictions(faces, split, votes=tagged, progress=bar)
    evaluation = scored(opened, faces, predictions)
    folder = out or _folder(opened, faces)
    _check_free(pages, split, folder, overwrite=overwrite)
    lines = _write_scores(opened, faces, evaluation) if opened.run else []
    lines += _write_suspects(faces, split, folder, device, overwrite) if suspects else []
    robust = report and robust_faces != 0
    with progress() as bar:
        found = evidence(
            predictions,
            opened.name,
            opened.card,
            Asked(
                faces=of_split(faces, split) if robust else None,
                classify=opened.outputs if robust else None,
                watched=opened.watched if robust else None,
                most=robust_faces or None,
                votes=tagged,
                groups=of_groups,
                known=everything.known,
                prior=prior,
            ),
            evaluation=evaluation,
            progress=bar,
        )
    if split in ("test", "pooled", "all") and (faces.splits == "test").any():
        found = found.model_copy(update={"looks": looks(opened, of_split(faces, "test").fingerprint)})
    if not opened.learned_from(faces) and opened.watched:
        found = found.model_copy(update={"look": shift_look(opened.watched, of_split(faces, split))})
    if (leaks or report) and split != "train":
        found = found.model_copy(update={"strict": _strict(opened, faces, predictions, asked=leaks)})
    lines += _write_report(found, opened.card, split, folder, overwrite) if report else []
    if as_json:
        more = found.model_dump(mode="json", exclude={"evaluation"}, exclude_none=True)
        say(json.dumps(found.evaluation.model_dump(mode="json") | more, indent=2, ensure_ascii=False))
        return
    show(found)
    for line in lines:
        say(line)


def _strict(model: Model, faces: FaceSet, predictions: Predictions, *, asked: bool) -> StrictScore | None:
    """None where the data are not those that the model was trained on: what it saw cannot be looked at."""
    from mien.evaluation.leaks import strict_score

    if not model.learned_from(faces):
        if asked:
            note(f"--leaks: {model.name} was trained on other data than {faces.source}, so its images are not at hand")
        return None
    with progress() as bar:
        return strict_score(predictions, faces, model.card.temperature, bar)


def _folder(model: Model, faces: FaceSet | None) -> Path:
    """Where pages go: the run's own folder for this data, or one beside for a model that has none."""
    return model.folder_for(faces, "report") if model.run and faces else Path(f"{model.name}-report")


def _check_free(pages: Sequence[str], split: str, folder: Path, *, overwrite: bool) -> None:
    """Raise `InputError` where pages or their numbers would replace somebody else's files."""
    from mien.outputs import check_output, json_with
    from mien.report.layout import check_page

    kinds = {
        "report": ("evidence", json_with("evaluation", "abstention")),
        "suspects": ("suspects", json_with("ranked")),
    }
    for page in pages:
        numbers, kind = kinds[page]
        check_page(folder, f"{page}-{split}", overwrite=overwrite)
        check_output(folder / f"{numbers}-{split}.json", kind, overwrite=overwrite)


def _write_scores(model: Model, faces: FaceSet, evaluation: Evaluation) -> list[str]:
    from mien.evaluation.evaluate import evaluation_file
    from mien.report.scores import confusion
    from mien.report.style import save

    file = evaluation_file(model, faces, evaluation.split)
    picture = file.with_name(f"confusion-{evaluation.split}.png")
    save(confusion(evaluation), picture)
    return [f"figures: {file}", f"confusion matrix: {picture}"]


def _write_report(found: Evidence, card: Card, split: str, folder: Path, overwrite: bool) -> list[str]:
    from mien.files import write_whole
    from mien.report.layout import write_page
    from mien.report.model_page import evidence_page

    numbers = folder / f"evidence-{split}.json"
    page = write_page(evidence_page(found, card), folder, f"report-{split}", overwrite=overwrite)
    write_whole(numbers, found.model_dump_json(indent=2) + "\n")
    return [f"report: {page}", f"its numbers: {numbers}"]


def _write_suspects(faces: FaceSet, split: str, folder: Path, device: str, overwrite: bool) -> list[str]:
    from mien.evaluation.suspects import suspects
    from mien.files import write_whole
    from mien.report.layout import Page, write_page
    from mien.report.suspects import suspects_section

    with progress() as bar:
        found = suspects(faces, split, device=device, progress=bar)
    section = suspects_section(found, faces)
    where = f"{faces.source}, {split}, n = {found.n:,}"
    page = Page("Faces whose label may be wrong", where, (section,))
    file = write_page(page, folder, f"suspects-{split}", overwrite=overwrite)
    numbers = folder / f"suspects-{split}.json"
    write_whole(numbers, found.model_dump_json(indent=2) + "\n")
    return [f"suspects: {file}", f"all of them: {numbers}"]
