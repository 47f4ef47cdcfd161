"""Looks: how often test was opened, in words beside the figure."""

from __future__ import annotations

from mien.evaluation.looks import Looks
from mien.report.words import listed, plural

_MOST_NAMES = 6


def looks_sentences(looks: Looks) -> tuple[str, ...]:
    """How often, what that means for the figure, what is not known, and where the record is broken."""
    if looks.total == 1:
        told = ["By its ledger test was opened once for this model, and for no relative of it."]
    else:
        told = [
            f"By the ledgers test was opened {_times(looks.total)} for this model and its relatives: {_share(looks)}. "
            "Of several looks the best flatters, however each was made; what was chosen on val alone does not."
        ]
    if looks.repeats:
        told.append(f"{looks.repeats:,} {plural('repeat', looks.repeats)} with the same weights showed nothing new.")
    if looks.others:
        told.append(f"Models that are no relatives, kept beside it, opened the same images {_times(looks.others)}.")
    if looks.reconstructed:
        were = "was" if looks.reconstructed == 1 else "were"
        told.append(
            f"{looks.reconstructed:,} of these lines {were} reconstructed later; there may have been more looks than "
            "are known."
        )
    if looks.unread:
        ledgers = "1 ledger" if looks.unread == 1 else f"{looks.unread:,} ledgers"
        told.append(f"{ledgers} beside it cannot be read; looks in there, a relative's maybe, are not counted.")
    if looks.broken:
        told.append(f"The record is broken, so it may miss looks: {'; '.join(looks.broken)}.")
    return tuple(told)


def _share(looks: Looks) -> str:
    own = f"{_times(looks.own)} with this one"
    if not looks.relatives:
        return f"{own}, trained anew each time"
    names = list(looks.related[:_MOST_NAMES])
    more = len(looks.related) - len(names)
    who = listed([*names, *([f"{more} more"] if more else [])])
    return f"{own}, {_times(looks.relatives)} with {who}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
