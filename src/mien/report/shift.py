"""Shift: what the alarm of `mien check` tells of corrupted faces and what it misses, in sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping

from mien.evaluation.corruptions import SEVERITIES
from mien.evaluation.evidence import Evidence
from mien.evaluation.printed import figure_text, format_estimate
from mien.evaluation.shift import COSTLY, ShiftAlarm
from mien.recognize.shift import Shift
from mien.report.layout import Cell, Section, Table
from mien.report.robustness import WORDS, title
from mien.report.words import listed

_TEXT = (
    "mien check holds faces against those that a model was measured on, by what the network sees in them beyond its "
    "own answers. Here draws of {drawn} faces of {n:,} are looked at, clean and corrupted. Draws share faces, so that "
    "intervals over draws say how steady the count is, not how it is on other data."
)


def shift_section(found: ShiftAlarm) -> Section:
    """How often it is an alarm, by corruption and severity."""
    header = ("Corruption", *(f"severity {severity}" for severity in SEVERITIES))
    rows = [
        (
            Cell(title(one.corruption)),
            *(
                Cell(f"{share:.0%}", _cost(cost))
                for cost, share in zip(one.cost, one.alarms, strict=True)
            ),
        )
        for one in found.corruptions
    ]  # fmt: skip
    note = f"Share of {found.draws} draws that are an alarm; below it the points of accuracy that the corruption costs."
    return Section(
        "Shift alarm",
        text=(_TEXT.format(drawn=found.drawn, n=found.n),),
        points=shift_sentences(found),
        tables=(Table(header, tuple(rows), note),),
    )


def shift_side_by_side(found: Mapping[str, Evidence]) -> Section:
    """Sentences of each model; empty where it was not measured."""
    known = {name: one.shift for name, one in found.items() if one.shift}
    if not known:
        return Section("Shift alarm")
    first = next(iter(known.values()))
    points = tuple(f"{name}: {' '.join(shift_sentences(one))}" for name, one in known.items())
    return Section("Shift alarm", text=(_TEXT.format(drawn=first.drawn, n=first.n),), points=points)


def look_sentence(found: Shift) -> str:
    """Whether faces of other data are like those of the measurement."""
    how = f"(n = {found.n:,}, distance {found.distance:.0f}, limit {found.limit:.0f})"
    if found.alarm:
        return (
            f"These faces are unlike those that the model was measured on {how}: its threshold, its sets and its "
            "calibration were made for others."
        )
    return f"No sign that these faces are unlike those that the model was measured on {how}."


def shift_sentences(found: ShiftAlarm) -> tuple[str, ...]:
    """False alarms, and what costs accuracy without being told."""
    false = f"{format_estimate(found.clean)} of {found.clean_draws:,} draws of clean faces are a false alarm."
    points = f"{100 * COSTLY:g} points"
    if not found.costly:
        return (false, f"No corruption here costs more than {points} of accuracy.")
    told = found.costly - len(found.missed)
    if not found.missed:
        return false, f"Each of the {told} corruptions that cost more than {points} is told in at least 95 % of draws."
    missed = [f"{WORDS[name]} at {severity} ({figure_text(share)})" for name, severity, _, share in found.missed]
    return (
        false,
        f"Of {found.costly} corruptions that cost more than {points}, {told} are told in at least 95 % of draws; "
        f"less often {listed(missed)}.",
    )


def _cost(cost: float) -> str:
    points = round(100 * cost, 1) + 0.0  # no -0.0
    return f"{points:.1f}"
