"""Audit: what is wrong with a set of faces: repeats, leaks between splits, conflicting labels, bad pictures."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from mien.data.faceset import SPLITS, FaceSet

TINY = 24  # pixels; a face with a shorter side shows hardly any expression


class Group(BaseModel):
    """Files with identical pixels."""

    model_config = ConfigDict(frozen=True)

    names: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...]


class Audit(BaseModel):
    """Counts are images unless said otherwise. JSON by pydantic."""

    model_config = ConfigDict(frozen=True)

    source: str
    fingerprint: str
    images: dict[str, int]  # per split
    repeated_groups: int  # sets of two or more identical images, anywhere
    surplus: int  # images beyond the first of each group
    repeats_within: dict[str, int]  # split → surplus images inside it
    shared: dict[str, int]  # "test in train" → test images whose pixels also stand in train
    persons: int  # that are known; 0 where pictures do not tell
    shared_persons: dict[str, int]  # "test in train" → persons of test who are in train too; empty without persons
    conflicts: tuple[Group, ...]  # groups of identical images with different labels
    leak_free: dict[str, int]  # split → images that the leak-free score keeps
    blank: tuple[str, ...]  # names of pictures with one value everywhere
    tiny: tuple[str, ...]  # names of pictures with a side under TINY pixels
    unreadable: dict[str, str]  # name → why


def audit(faces: FaceSet) -> Audit:
    """Look at every face of `faces` once. Open it with `skip_unreadable=True`, so that bad files are listed too."""
    unique, group, sizes = np.unique(faces.hashes, return_inverse=True, return_counts=True)
    in_split = {split: _present(group, faces.splits == split, len(unique)) for split in SPLITS}
    shared = {
        f"{later} in {earlier}": int(in_split[earlier][group[faces.splits == later]].sum())
        for earlier, later in combinations(SPLITS, 2)
    }
    return Audit(
        source=faces.source,
        fingerprint=faces.fingerprint,
        images={split: int((faces.splits == split).sum()) for split in SPLITS},
        repeated_groups=int((sizes > 1).sum()),
        surplus=int((sizes - 1).sum()),
        repeats_within={split: int((faces.splits == split).sum() - in_split[split].sum()) for split in SPLITS},
        shared=shared,
        persons=len(set(faces.persons.tolist()) - {""}),
        shared_persons=faces.shared_persons(),
        conflicts=_conflicts(faces, group, sizes),
        leak_free=_leak_free(faces.splits, group, in_split),
        blank=tuple(map(str, faces.names[faces.blank])),
        tiny=tuple(map(str, faces.names[faces.shapes.min(axis=1) < TINY])),
        unreadable=dict(faces.unreadable),
    )


def _present(group: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_], groups: int) -> npt.NDArray[np.bool_]:
    """`(groups,)` whether any image of the group lies where `mask` is true."""
    present = np.zeros(groups, dtype=bool)
    present[group[mask]] = True
    return present


def _conflicts(faces: FaceSet, group: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> tuple[Group, ...]:
    lowest = np.full(len(sizes), len(faces.label_set))
    highest = np.full(len(sizes), -1)
    np.minimum.at(lowest, group, faces.labels)
    np.maximum.at(highest, group, faces.labels)
    found = []
    for number in np.flatnonzero(lowest != highest):
        members = np.flatnonzero(group == number)
        found.append(
            Group(
                names=tuple(map(str, faces.names[members])),
                splits=tuple(map(str, faces.splits[members])),
                labels=tuple(faces.label_set.labels[i] for i in faces.labels[members]),
            )
        )
    return tuple(found)


def _leak_free(
    splits: npt.NDArray[np.str_], group: npt.NDArray[np.int64], in_split: dict[str, npt.NDArray[np.bool_]]
) -> dict[str, int]:
    """Images that `Predictions.leak_free` keeps, for each split that is scored."""
    new = ~in_split["train"][group]
    counts = {
        "val": int((new & (splits == "val")).sum()),
        "test": int((new & ~in_split["val"][group] & (splits == "test")).sum()),
        "pooled": int((new & (splits != "train")).sum()),
    }
    return {split: count for split, count in counts.items() if split == "val" or (splits == "test").any()}
