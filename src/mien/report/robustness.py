"""Robustness: what a model withstands, in sentences, a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping

from mien.evaluation.corruptions import SEVERITIES, STRENGTHS, Corruption
from mien.evaluation.evaluate import Estimate, figure_text
from mien.evaluation.robustness import Robustness, in_words
from mien.report import plots_robustness
from mien.report.layout import Cell, Picture, Section, Table

_TEXT = (
    "Strengths are relative to the crop, so that they mean the same at every size; JPEG alone harms small crops more. "
    "They were chosen by eye: 1 can hardly be seen, bars apart; 5 is hard for people too. Five severities and "
    "the mean over them are the idea of Hendrycks and Dietterich (ICLR 2019, arXiv:1903.12261), the strengths are "
    "ours, so figures compare between models here and not with other papers."
)
_UNITS: Mapping[Corruption, tuple[int, str]] = {  # what a strength is multiplied with, and how it is said
    "blur": (100, "sigma {} % of the side"),
    "noise": (100, "deviation {} % of white"),
    "brightness": (100, "± {} % of white"),
    "contrast": (100, "{} % are left"),
    "jpeg": (1, "quality {}"),
    "resolution": (1, "{} pixels a side"),
    "rotation": (1, "± {} degrees"),
    "shift": (100, "{} % of the side"),
    "eyes": (100, "bar of {} % of the way to the mouth"),
    "mouth": (100, "bar of {} % of the way to the eyes"),
}


def robustness_section(found: Robustness) -> Section:
    """Accuracy under every corruption and severity, on the faces that `found` speaks of."""
    alt = f"Accuracy on {found.split} over severity, a panel for each corruption; the table holds the numbers."
    figure = plots_robustness.accuracy_by_severity({"this model": found})
    return Section(
        "Robustness",
        text=(_TEXT,),
        points=in_words(found),
        tables=(_table(found),),
        pictures=(Picture.of("robustness", figure, alt),),
    )


def _table(found: Robustness) -> Table:
    header = ("Corruption", *(f"Severity {severity}" for severity in SEVERITIES), "Mean", "Lost")
    rows = [
        (
            Cell(plots_robustness.title(score.corruption), _strengths(score.corruption)),
            *map(_cell, score.accuracy),
            _cell(score.mean),
            _cell(score.drop),
        )
        for score in found.corruptions
    ]
    rows.append((Cell("all"), Cell("", span=len(SEVERITIES)), _cell(found.mean), _cell(found.drop)))
    count = f"n = {found.n:,}" if found.n == found.of else f"n = {found.n:,} of {found.of:,}"
    note = f"Accuracy on {found.split}, {count}, below it the 95 % bootstrap interval over faces; without corruption "
    note += f"{figure_text(found.clean.value)} {_brackets(found.clean)}. Lost: that minus the mean, a paired interval. "
    note += f"Seed {found.seed}."
    return Table(header, tuple(rows), note)


def _strengths(corruption: Corruption) -> str:
    factor, text = _UNITS[corruption]
    return text.format(", ".join(f"{factor * strength:g}" for strength in STRENGTHS[corruption]))


def _cell(estimate: Estimate) -> Cell:
    return Cell(figure_text(estimate.value), _brackets(estimate))


def _brackets(estimate: Estimate) -> str:
    return f"[{figure_text(estimate.low)}, {figure_text(estimate.high)}]"
