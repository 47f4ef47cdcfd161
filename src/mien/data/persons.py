"""Persons: who is on which picture, by the rule that a data set names its pictures with."""

from __future__ import annotations

import re
from collections.abc import Sequence

CKPLUS = re.compile(r"(?P<person>S\d{3})_\d{3}_\d{8}")
JAFFE = re.compile(r"(?P<person>[A-Z]{2})[.](?P<emotion>AN|DI|FE|HA|NE|SA|SU)\d[.]\d+")
# Session A or B of the same people comes first.
KDEF = re.compile(r"[AB](?P<person>[FM]\d{2})(?P<emotion>AF|AN|DI|HA|NE|SA|SU)(?:FL|HL|S|HR|FR)", re.IGNORECASE)


def persons_of(stems: Sequence[str]) -> list[str]:
    """The person of each picture, by its name without suffix; all empty unless one rule fits every name.

    >>> persons_of(["AF01ANS", "BF01HAFL", "AM07SUS"]), persons_of(["AF01ANS", "holiday"])
    (['F01', 'F01', 'M07'], ['', ''])
    """
    for rule in (CKPLUS, JAFFE, KDEF):
        found = [rule.fullmatch(stem) for stem in stems]
        if all(found):
            return [match["person"] for match in found if match]
    return [""] * len(stems)
