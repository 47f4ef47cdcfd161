"""Looks: how often a test split was opened for a model and its relatives, by the ledgers that they left.

A look is the first time that some weights answer on some test images. The same weights on the same images again show
nothing new and count as a repeat; so does reading kept predictions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import compress
from pathlib import Path
from typing import TypeVar

from mien.errors import InputError
from mien.evaluation.bootstrap import Frozen
from mien.ledger import LEDGER, Ledger, Look, read
from mien.model import Model

logger = logging.getLogger(__name__)
One = TypeVar("One")


class Looks(Frozen):
    """What the ledgers tell of one test split; `broken` is not empty where its own or a relative's was changed by hand
    or damaged."""

    fingerprint: str  # of the test images and their labels
    own: int  # looks with this model, under whatever weights
    repeats: int  # of those: nothing new was seen
    relatives: int  # looks with recipes that extend this one or that it extends, and with what it began with
    related: tuple[str, ...]  # the models of those looks
    others: int  # looks with further models whose ledgers lie beside
    reconstructed: int  # of own and relatives: written later, from what was still known
    notes: tuple[str, ...]  # what reconstructed lines say of themselves
    broken: tuple[str, ...]
    head: str  # hash of the last line of the own ledger: who wrote it down sees when lines at the end are missing
    unread: int = 0  # ledgers beside of which no line can be read, so that nobody knows whose looks they hold

    @property
    def total(self) -> int:
        """For this recipe and its relatives."""
        return self.own + self.relatives


def looks(model: Model, fingerprint: str | None = None) -> Looks | None:
    """How often the test images of this `fingerprint` were opened; of the last look, if left out. None without one.

    A damaged ledger of a model that is no relative, as far as its lines tell, is no fault of this record: it is logged,
    once in a process.
    """
    own = [_read(file) for file in model.ledgers]
    mine = [one for ledger in own for one in ledger.looks]
    if fingerprint is None and mine:
        fingerprint = mine[-1].fingerprint
    mine = [one for one in mine if one.fingerprint == fingerprint]
    if fingerprint is None or not mine:
        return None
    beside = [(file, _read(file)) for file in _beside(model)]
    theirs = [one for _, ledger in beside for one in ledger.looks if one.fingerprint == fingerprint]
    related = _related(mine, theirs)
    keys = {one.key for one in mine}
    seen = {one.key for one in related} - keys
    counted = [*mine, *related]
    damaged = [(file, ledger) for file, ledger in beside if ledger.broken]
    ours, strange = _parted(damaged, lambda one: bool(_related(mine, one[1].looks)))
    for file, ledger in strange:
        _warn(file, ledger.broken)
    told = [*zip(model.ledgers, own, strict=True), *ours]
    return Looks(
        fingerprint=fingerprint,
        own=len(keys),
        repeats=len(mine) - len(keys),
        relatives=len(seen),
        related=tuple(sorted({one.model for one in related if one.key in seen})),
        others=len({one.key for one in theirs} - seen - keys),
        reconstructed=sum(one.kept == "reconstructed" for one in counted),
        notes=tuple(dict.fromkeys(one.note for one in counted if one.note)),
        broken=tuple(f"{_short(file)}: {_first(ledger.broken)}" for file, ledger in told if ledger.broken),
        head=own[-1].head,
        unread=sum(not ledger.looks for _, ledger in strange),
    )


def _beside(model: Model) -> list[Path]:
    """Ledgers of the models that lie in the same folder as this one."""
    own = {file.resolve() for file in model.ledgers}
    folders = {file.parent if file.name != LEDGER else file.parent.parent for file in model.ledgers}
    found = {file for folder in folders for pattern in (f"*/{LEDGER}", "*.jsonl") for file in folder.glob(pattern)}
    return sorted(file for file in found if file.resolve() not in own)


def _related(mine: Sequence[Look], theirs: Sequence[Look]) -> list[Look]:
    """Looks of the same recipe, of one above or below it, and of what any of these began with or consists of."""
    recipes = {one.recipe for one in mine}
    above = {name for one in mine for name in one.extends}
    names = {one.model for one in mine}
    found, left = _parted(theirs, lambda one: one.recipe in recipes | above or bool(recipes & set(one.extends)))
    while True:
        used = {name for one in (*mine, *found) for name in _used(one)}
        more, left = _parted(left, lambda one: one.model in used or bool(names & set(_used(one))))  # noqa: B023  called at once
        if not more:
            return found
        found += more


def _parted(ones: Sequence[One], belongs: Callable[[One], bool]) -> tuple[list[One], list[One]]:
    """Those that belong, and the others: each is asked once, since a folder may hold very many."""
    told = [belongs(one) for one in ones]
    return list(compress(ones, told)), [one for one, yes in zip(ones, told, strict=True) if not yes]


def _used(one: Look) -> Iterable[str]:
    return (*one.members, *([one.start] if one.start else []))


def _read(file: Path) -> Ledger:
    try:
        return read(file)
    except InputError as error:  # not a reason to give no figure
        return Ledger((), "", (str(error),))


@cache
def _warn(file: Path, broken: tuple[str, ...]) -> None:
    """Once, however many models lie beside it."""
    logger.warning(
        "%s: a damaged ledger (%s); what cannot be read in it is not counted. Put a copy of it back, or move it away",
        file,
        _first(broken),
    )


def _first(broken: Sequence[str]) -> str:
    """Of a damaged file each line may be broken."""
    more = len(broken) - 1
    return f"{broken[0]}, and so {more:,} more" if more else broken[0]


def _short(file: Path) -> str:
    return f"{file.parent.name}/{file.name}" if file.name == LEDGER else file.name
