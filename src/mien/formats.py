"""Formats: a number for each kind of file that mien writes. Older ones are read, newer ones are refused.

Number 1 is what version 0.1 wrote, which held no number.
"""

from __future__ import annotations

from mien.errors import InputError

CARD = 5  # 2: a people's head, and whose truth answers; 3: threads; 4: sets, shares, adaption; 5: `mirror_below`
RUN = 2  # 2: `val_people` in the history
PREDICTIONS = 2  # 2: the people's head and its votes
TABLE = 5  # 2: the number itself, as the last column; 3: `status` and `error`, rows without a face; 4: quality; 5: set
SUMMARY = 1
REFERENCE = 1
JOURNAL = 5  # 2: the number itself; 3: what was named, who is who whatever the path, what failed; 4: quality; 5: set
LEDGER = 1
FINISHED = 1  # what is finished of a run over several videos
HUB = 1  # `mien.json` of a repository on the hub
PARTS = 3  # what a job of several machines leaves: one row a picture, with a list of faces; 2: quality; 3: set


def check(found: object, known: int, source: object) -> None:
    """Raise `InputError` where `source` says that a newer mien wrote it; a missing number is the first."""
    number = 1 if found is None else found
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InputError(f"{source}: has no number of a format where one should be, but {found!r}")
    if number > known:
        raise InputError(
            f"{source}: was written by a newer mien (format {number}; this one reads up to {known}). Upgrade mien"
        )
