"""Page: a report as sections of words, tables and pictures, the same for HTML and Markdown.

Every figure that is printed carries its split, its number of images and, where the evaluation has one, its interval.
"""

from __future__ import annotations

from mien.errors import InputError
from mien.report import plots
from mien.report.by_class import class_by_class, confusions
from mien.report.content import DataReport, StudyReport
from mien.report.cost import accuracy_against_cost
from mien.report.families import leading
from mien.report.layout import Cell, Page, Picture, Section, Table
from mien.report.learning import curves, loss_against_accuracy
from mien.report.pairs import paired_tests
from mien.report.protocol import differences, protocol
from mien.report.question import question_sections
from mien.report.results import results
from mien.report.side_by_side import abstentions, calibrations, over_seeds, people, robustnesses
from mien.report.verdict import verdict_section
from mien.report.wording import plural


def compose(report: StudyReport) -> Page:
    """The page of a report. Raises `InputError` when there is no run, or a run without its `val` evaluation."""
    if not report.runs:
        raise InputError(f"report '{report.title}' has no run. Name at least one finished run")
    for run in report.runs:
        if "val" not in run.evaluations:
            raise InputError(f"run {run.name} has no evaluation on val. Make it: mien evaluate {run.name} --split val")
    sections = (
        verdict_section(report),
        results(report),
        *question_sections(report),
        accuracy_against_cost(report),
        _data(report.data),
        curves(report.runs),
        loss_against_accuracy(report.runs),
        confusions(report.runs),
        class_by_class(report),
        paired_tests(report),
        over_seeds(report.seeds),
        *_evidence(report),
        Section("Protocol", points=protocol(report)),
        Section("Where we differ from the study and why", points=differences(report.runs)),
        _environment(report),
    )
    source = f"{report.data.source}, fingerprint {report.data.fingerprint[:16]}"
    missing = f"; {len(report.not_run)} of the study not run" if report.not_run else ""
    shown = tuple(s for s in sections if s.text or s.points or s.tables or s.pictures or s.code)
    return Page(report.title, f"{len(report.runs)} {plural('run', len(report.runs))} on {source}{missing}", shown)


def _evidence(report: StudyReport) -> tuple[Section, ...]:
    """Of the runs that are looked at on the same split; the leading ones first, for their pictures."""
    split = report.best.final.split
    ordered = sorted(report.runs, key=lambda run: run not in leading(report.runs))
    found = {run.name: run.evidence for run in ordered if run.evidence and run.final.split == split}
    if not found:
        return ()
    return (calibrations(found), abstentions(found), people(found), robustnesses(found))


def _data(data: DataReport) -> Section:
    header = ("Class", *(f"{split}, images" for split in data.counts))
    rows = [
        (Cell(label), *(Cell(f"{images.get(label, 0):,}") for images in data.counts.values())) for label in data.labels
    ]
    rows.append((Cell("all"), *(Cell(f"{sum(images.values()):,}") for images in data.counts.values())))
    points = tuple(f"{what[:1].upper()}{what[1:]}: {count:,}." for what, count in data.repeated.items())
    picture = Picture.of(
        "label-distribution",
        plots.label_distribution(data.counts, data.labels),
        "Images per class and split; the numbers stand in the table above.",
    )
    return Section("Label distribution", points=points, tables=(Table(header, tuple(rows)),), pictures=(picture,))


def _environment(report: StudyReport) -> Section:
    rows = tuple((Cell(what), Cell(value)) for what, value in report.environment.items())
    tables = (Table(("What", "Which"), rows),) if rows else ()
    return Section("Environment and commands", tables=tables, code=tuple(report.commands))
