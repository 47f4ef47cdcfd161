"""Persons: who is on which picture, and splits that hold nobody twice.

Shapes: N faces, G groups that must not be parted, K classes, F folds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from mien.data.csv_rows import rows
from mien.errors import InputError, printable, shortened

Ints = npt.NDArray[np.int64]

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
            return [match["person"].upper() for match in found if match]
    return [""] * len(stems)


def read_subjects(path: str | Path) -> dict[str, str]:
    """A CSV with the columns `name`, as the data set names its pictures or the file alone, and `subject`.

    Raises `InputError` for other files, and for a name of two subjects.
    """
    place = Path(path)
    found = rows(place) if place.exists() else iter(())
    header = [name.lower() for name in next(found, (0, []))[1]]
    if not {"name", "subject"} <= set(header):
        told = shortened(", ".join(header), 300) or ("none" if place.exists() else "no such file")
        raise InputError(f"{path}: expected a CSV with the columns name and subject, found: {told}")
    name_at, subject_at = header.index("name"), header.index("subject")
    subjects: dict[str, str] = {}
    for line, row in found:
        if len(row) <= max(name_at, subject_at) or not row[name_at] or not row[subject_at]:
            raise InputError(f"{path}, line {line}: expected a name and a subject. Fill them in, or remove the line")
        name, subject = (normalize("NFC", printable(row[at])) for at in (name_at, subject_at))
        if subjects.setdefault(name, subject) != subject:
            raise InputError(
                f"{path}, line {line}: {shortened(name, 80)} is of {subjects[name]} and of {subject}. Keep one of them"
            )
    return subjects


def named_subjects(names: Sequence[str], subjects: Mapping[str, str], source: str) -> list[str]:
    """The subject of each picture, by its whole name or that of its file alone; empty where none is told.

    Raises `InputError` where not one is told, which is another data set's file.
    """
    keys = [normalize("NFC", name) for name in names]
    found = [subjects.get(key, subjects.get(key.rpartition("/")[2], "")) for key in keys]
    if names and not any(found):
        raise InputError(
            f"{source}: speaks of none of the {len(names):,} faces. It names pictures like "
            f"{shortened(next(iter(subjects), 'none'), 80)}, the faces are named like {shortened(names[0], 80)}"
        )
    return found


def groups_of(persons_N: npt.NDArray[np.str_], hashes_N: npt.NDArray[np.str_]) -> Ints:
    """`(N,)` number of what must not be parted: faces of one person, and identical pictures, whoever is on them.

    Groups are numbered by content, so that names and order do not matter.
    """
    parent: dict[str, str] = {}

    def top(one: str) -> str:
        while parent.setdefault(one, one) != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for person, picture in zip(persons_N.tolist(), hashes_N.tolist(), strict=True):
        if person:
            first, second = top(f"person {person}"), top(picture)
            parent[first] = second
    tops = np.array([top(picture) for picture in hashes_N.tolist()])
    smallest: dict[str, str] = {}
    for name, picture in zip(tops.tolist(), hashes_N.tolist(), strict=True):
        smallest[name] = min(smallest.get(name, picture), picture)
    return np.unique([smallest[name] for name in tops.tolist()], return_inverse=True)[1].astype(np.int64)


def fold_of(groups_N: Ints, labels_N: Ints, folds: int, seed: int) -> Ints:
    """`(N,)` fold of each face, from 0: no group is parted, and folds are as alike in classes as groups allow.

    Groups are dealt out in an order by chance, large ones first, each to the fold that has least of its classes.
    """
    counts_GK = np.zeros((int(groups_N.max()) + 1, int(labels_N.max()) + 1))
    np.add.at(counts_GK, (groups_N, labels_N), 1)
    order = np.random.default_rng(seed).permutation(len(counts_GK))
    order = order[np.argsort(-counts_GK[order].sum(axis=1), kind="stable")]
    weight_K = 1 / np.maximum(counts_GK.sum(axis=0), 1) ** 2  # so that a rare class counts as much as a frequent one
    held_FK = np.zeros((folds, counts_GK.shape[1]))
    chosen_G = np.zeros(len(counts_GK), dtype=np.int64)
    for group in order:
        crowded_F = held_FK @ (weight_K * counts_GK[group])
        sizes_F = held_FK.sum(axis=1)
        fold = int(np.lexsort((sizes_F, crowded_F))[0])
        chosen_G[group] = fold
        held_FK[fold] += counts_GK[group]
    return chosen_G[groups_N]


def tenth_of_groups(groups_N: Ints, labels_N: Ints, seed: int) -> npt.NDArray[np.bool_] | None:
    """`(N,)` about a tenth of the faces, in whole groups, without which every class still has a face.

    None where groups allow no such part.
    """
    folds = min(10, len(np.unique(groups_N)))
    if folds < 2:
        return None
    fold_N = fold_of(groups_N, labels_N, folds, seed)
    classes = len(np.unique(labels_N))
    able = [f for f in range(folds) if (fold_N == f).any() and len(np.unique(labels_N[fold_N != f])) == classes]
    if not able:
        return None
    return np.equal(fold_N, min(able, key=lambda f: abs((fold_N == f).mean() - 0.1)))
