"""Page: a report as sections of words, tables and pictures, the same for HTML and Markdown.

Every figure that is printed carries its split, its number of images and, where the evaluation has one, its interval.
"""

from __future__ import annotations

from pathlib import Path

from mien.errors import InputError
from mien.report.abstention import abstention_side_by_side
from mien.report.calibration import calibration_side_by_side
from mien.report.content import StudyReport
from mien.report.curves import curves_section, turning_section
from mien.report.data import data_section
from mien.report.families import leading
from mien.report.layout import Cell, Page, Section, Table, write_page
from mien.report.people import people_side_by_side
from mien.report.robustness import robustness_side_by_side
from mien.report.scores import class_by_class, confusions_section
from mien.report.words import plural
from mien.studies.cost import cost_section
from mien.studies.pairs import over_seeds, paired_tests
from mien.studies.protocol import differences, protocol
from mien.studies.question import question_sections
from mien.studies.results import results
from mien.studies.verdict import verdict_section


def write_report(report: StudyReport, folder: Path) -> Path:
    """Write `folder/report.html`, `folder/report.md` and `folder/pictures/*.png`; return the path of the HTML.

    Raises `InputError` when the report has no run, or a run without `val`.
    """
    return write_page(compose(report), folder)


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
        cost_section(report),
        data_section(report.data),
        curves_section(report.runs),
        turning_section(report.runs),
        confusions_section(report.runs),
        class_by_class(report),
        paired_tests(report),
        over_seeds(report),
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
    return (
        calibration_side_by_side(found),
        abstention_side_by_side(found),
        people_side_by_side(found),
        robustness_side_by_side(found),
    )


def _environment(report: StudyReport) -> Section:
    rows = tuple((Cell(what), Cell(value)) for what, value in report.environment.items())
    tables = (Table(("What", "Which"), rows),) if rows else ()
    return Section("Environment and commands", tables=tables, code=tuple(report.commands))
