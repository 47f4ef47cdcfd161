"""Summed: the tables of what videos showed, by face, by video and by group: beside --out, or on standard output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from mien.cli.console import note, say, table
from mien.errors import InputError, unknown_name

if TYPE_CHECKING:
    from mien.recognize.summaries import By
    from mien.recognize.summary import Summary

_TOLD = 10  # names at most in a note


@dataclass(frozen=True)
class SummaryOptions:
    """What --summary, --metadata and --group-by ask for. `out`: the table beside which summaries are written."""

    by: tuple[By, ...] = ()
    metadata: Path | None = None
    group_by: str | None = None
    out: Path | None = None

    @classmethod
    def checked(
        cls, by: Sequence[str], metadata: Path | None, group_by: str | None, out: Path | None
    ) -> SummaryOptions:
        """Raises `InputError` for names of no summary, and for options that do nothing without another one."""
        from mien.recognize.summaries import By

        for name in by:
            if name not in get_args(By):
                raise unknown_name("summary", name, get_args(By))
        if group_by and not metadata:
            raise InputError("--group-by names a column of a CSV about the videos: give it with --metadata")
        if metadata and not by and not group_by:
            raise InputError(
                "--metadata is for summaries: add --summary by-face, --summary by-video or --group-by COLUMN"
            )
        return cls(tuple(cast("By", name) for name in dict.fromkeys(by)), metadata, group_by, out)

    @property
    def wanted(self) -> bool:
        return bool(self.by or self.group_by)


class Summed:
    """Gathers the summaries of videos, and writes or tells them in the end."""

    def __init__(self, options: SummaryOptions, labels: Sequence[str], *, overwrite: bool) -> None:
        """Raises `InputError` for metadata that cannot be read and for places that cannot be written."""
        from mien.outputs import SUMMARY, check_output
        from mien.recognize.about import About
        from mien.recognize.summaries import Summaries, taken

        self._options = options
        about = About.read(options.metadata, taken(labels)) if options.metadata else None
        if about and options.group_by:
            about.check_column(options.group_by)
        self._summaries = Summaries(labels, about)
        for name in self._names():
            if place := self._place(name):
                read = [options.metadata] if options.metadata else []
                check_output(place, SUMMARY, read, overwrite=overwrite)

    def add(self, source: str, summary: Summary) -> None:
        if self._options.wanted:
            self._summaries.add(source, summary)

    def add_failed(self, source: str, why: str) -> None:
        if self._options.wanted:
            self._summaries.add_failed(source, why)

    def end(self, *, as_json: bool) -> None:
        """Write the tables that were asked for beside the table of faces; without one, print them."""
        if not self._options.wanted:
            return
        from mien.recognize.summaries import write_summary

        _note_names("not in the metadata", self._summaries.unnamed())
        _note_names("in the metadata, but no video here", self._summaries.unseen())
        for name in self._names():
            columns, rows = self._table(name)
            if place := self._place(name):
                write_summary(place, columns, rows)
                note(f"summary: {place} ({len(rows):,} {'row' if len(rows) == 1 else 'rows'})")
            elif as_json:
                say(json.dumps({"summary": name, "rows": rows}))
            else:
                _print(name, columns, rows)

    def _names(self) -> list[str]:
        group = [f"by-{self._options.group_by}"] if self._options.group_by else []
        return [*self._options.by, *group]

    def _table(self, name: str) -> tuple[list[str], list[dict[str, Any]]]:
        if name in self._options.by:
            return self._summaries.columns(name), self._summaries.rows(name)
        assert self._options.group_by is not None
        return self._summaries.group_columns(), self._summaries.groups(self._options.group_by)

    def _place(self, name: str) -> Path | None:
        out = self._options.out
        plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
        return out.with_name(f"{out.stem}-{plain}{out.suffix}") if out else None


def _print(name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Shares in percent, zeros and means left out: a terminal is narrow."""
    shares = [column for column in columns if column.startswith("share_")]
    others = [column for column in columns if not column.startswith(("share_", "mean_")) and column != "format"]
    shown = [column for column in others if column != "error" or any(row[column] for row in rows)]
    head = [*shown, "emotions, by share of the time"]
    lines = [[*(_cell(row[column]) for column in shown), _shares(row, shares)] for row in rows]
    table(name, head, lines)


def _shares(row: dict[str, Any], shares: Sequence[str]) -> str:
    told = sorted(((row[name] or 0.0, name.removeprefix("share_")) for name in shares), key=lambda item: -item[0])
    return ", ".join(f"{label} {share:.0%}" for share, label in told if share >= 0.005).replace("%", " %")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return "" if value is None else str(value)


def _note_names(what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - _TOLD:,} more" if len(names) > _TOLD else ""
        note(f"note: {what}: {', '.join(names[:_TOLD])}{more}")
