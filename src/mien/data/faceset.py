"""FaceSet: labeled faces with their splits, as arrays over a memory-mapped store.

Shapes: N faces, H and W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.cards import Card
from mien.data.cache import Progress, decoded
from mien.data.entry import Entry
from mien.data.persons import groups_of, named_subjects, read_subjects, tenth_of_groups
from mien.data.sources import open_source
from mien.errors import InputError, printable, unknown_name
from mien.images import Pixels
from mien.labels import LabelSet, Naming, canonical, match, named_by_class
from mien.predictions import Predictions, fingerprint_of
from mien.shown import Shown
from mien.walk import told

SPLITS = ("train", "val", "test")
VAL_FRACTION = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class FaceSet(Shown):
    """Faces of one source. All arrays have one row per face; pixels stay on disk until they are asked for."""

    source: str  # file or folder name, without the path to it
    label_set: LabelSet
    store: Pixels  # (M, H, W) or (M, H, W, 3), memory-mapped
    rows: npt.NDArray[np.int64]  # (N,) place of each face in the store
    labels: npt.NDArray[np.int64]  # (N,)
    names: npt.NDArray[np.str_]  # (N,)
    splits: npt.NDArray[np.str_]  # (N,) train, val or test
    hashes: npt.NDArray[np.str_]  # (N,) identity of the native pixels
    shapes: npt.NDArray[np.int32]  # (N, 2) native height and width
    blank: npt.NDArray[np.bool_]  # (N,) one value everywhere
    persons: npt.NDArray[np.str_]  # (N,) who is on it; empty where nobody is known
    unreadable: Mapping[str, str]  # name → why, of the files that were skipped
    left_out: tuple[str, ...] = ()  # names of pictures that have no class here: none in the source, or one left out

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        size: int = 224,
        labels: Naming | None = None,
        subjects: str | Path | None = None,
        skip_unreadable: bool = False,
        val_seed: int = 0,
        progress: Progress | None = None,
    ) -> FaceSet:
        """Open a folder, zip, CSV or Parquet of labeled faces; decode it into the cache if it is new.

        `size`: largest side that is kept, in pixels; give the recipe's, so that no more is stored than it needs.
        `labels`: class names in order, overriding what the source's names suggest; or by class its name here, None for
        a class that is left out. Without a `val` split a tenth of
        train becomes val: stratified, identical images and all of a person together, drawn by content and `val_seed`,
        never from test. `subjects`: a CSV with the columns name and subject, who is on which picture, in place of what
        the names of a known set tell.
        Raises `InputError`, also for unreadable pictures unless `skip_unreadable`.
        """
        place = Path(path)
        source = open_source(place, labels)
        if source.left_out:
            logger.warning("%s: left out, as no pictures: %s", path, told(source.left_out))
        classes = {entry.class_name for entry in source.entries}
        if isinstance(labels, Mapping):
            label_set, index = named_by_class(classes, labels, source=str(path))
        else:
            label_set, index = match(classes, source=str(path), wanted=labels or source.labels)
        pixels = decoded(source, size, progress)
        chosen = [i for i, entry in enumerate(source.entries) if entry.class_name in index]
        unreadable = {i: pixels.unreadable[i] for i in chosen if i in pixels.unreadable}
        if unreadable and not skip_unreadable:
            raise _unreadable_error(place, len(chosen), list(unreadable.values()))
        kept = np.array([i for i in chosen if i not in unreadable], dtype=np.int64)
        if not len(kept):
            raise InputError(f"{path}: not one of its {len(chosen)} pictures can be read")
        if len(chosen) < len(source.entries):
            out = ", ".join(sorted(classes - set(index)))
            logger.info("%s: --labels leaves out %d faces of %s", path, len(source.entries) - len(chosen), out)
        entries = [source.entries[i] for i in kept]
        faces = cls(
            source=printable(place.resolve().name),
            label_set=label_set,
            store=pixels.images,
            rows=kept,
            labels=np.array([index[entry.class_name] for entry in entries], dtype=np.int64),
            names=np.array([entry.name for entry in entries]),
            splits=np.array([entry.split or "train" for entry in entries], dtype="<U5"),
            hashes=pixels.hashes[kept],
            shapes=pixels.shapes[kept],
            blank=pixels.blank[kept],
            persons=_persons(entries, subjects),
            unreadable={source.entries[i].name: why for i, why in unreadable.items()},
            left_out=(*source.unlabeled, *(entry.name for entry in source.entries if entry.class_name not in index)),
        )
        return faces._checked(str(path), val_seed)

    def _checked(self, path: str, val_seed: int) -> FaceSet:
        faces = self if "val" in self.splits else self._with_val(path, val_seed)
        for pair, count in faces.shared_persons().items():
            if count:
                later, _, earlier = pair.partition(" in ")
                logger.warning(
                    "%s: %d persons of %s are also in %s: a figure on %s says less of new people",
                    path, count, later, earlier, later,
                )  # fmt: skip
        counts = faces.counts()
        for split, per_label in counts.items():
            absent = [label for label, count in per_label.items() if not count]
            if not sum(per_label.values()) or not absent:
                continue
            if split == "train":
                raise InputError(f"{path}: train has no images of {', '.join(absent)}. Add some, or set --labels")
            logger.warning("%s: %s has no images of %s", path, split, ", ".join(absent))
        if not sum(counts["train"].values()):
            logger.warning("%s: no train split; it can be evaluated on, not trained on", path)
        return faces

    def _with_val(self, path: str, seed: int) -> FaceSet:
        train = self.splits == "train"
        chosen = np.zeros(len(self), dtype=bool)
        if train.any() and self.persons[train].any():
            mine = self.keep(train)
            by_person = tenth_of_groups(groups_of(mine.persons, mine.hashes), mine.labels, seed)
            if by_person is not None:
                chosen[train] = by_person
                there, people = np.unique(mine.persons[by_person]), np.unique(mine.persons)
                logger.info(
                    "%s: val is a tenth of train by persons: %d of %d, %d of %d faces; none of them in both",
                    path, len(there), len(people), by_person.sum(), len(mine),
                )  # fmt: skip
                return replace(self, splits=np.where(chosen, "val", self.splits).astype("<U5"))
            logger.warning("%s: too few persons for a val split of its own: val shares persons with train", path)
        chosen = _stratified_tenth(self.hashes, self.labels, train, len(self.label_set), seed)
        return replace(self, splits=np.where(chosen, "val", self.splits).astype("<U5"))

    def shared_persons(self) -> dict[str, int]:
        """`test in train` → how many persons of test are in train too; empty where nobody is known."""
        if not self.persons.any():
            return {}
        there = {split: set(self.persons[self.splits == split].tolist()) - {""} for split in SPLITS}
        return {
            f"{later} in {earlier}": len(there[later] & there[earlier]) for earlier, later in combinations(SPLITS, 2)
        }

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<FaceSet {self.source}: {len(self):,} faces of {len(self.label_set)} classes>"

    def __str__(self) -> str:
        """Counts of each split, a line each."""
        lines = [f"{self.source}: {len(self):,} faces, fingerprint {self.fingerprint}"]
        for split, counts in self.counts().items():
            if total := sum(counts.values()):
                each = ", ".join(f"{label} {count:,}" for label, count in counts.items())
                lines.append(f"  {split} {total:,}: {each}")
        if self.unreadable:
            lines.append(f"  left out, since they cannot be read: {len(self.unreadable):,}")
        return "\n".join(lines)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row for each face: name, split, label, identity of its pixels, native size, whether it is blank, person."""
        labels = np.array(self.label_set.labels)[self.labels]
        sizes = (self.shapes[:, 1], self.shapes[:, 0])
        columns = (self.names, self.splits, labels, self.hashes, *sizes, self.blank, self.persons)
        names = ("name", "split", "label", "hash", "width", "height", "blank", "person")
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def gather(self, indices: npt.NDArray[np.int64]) -> Pixels:
        """Pixels of the faces at `indices` (B,) → `(B, H, W)` or `(B, H, W, 3)`."""
        return np.asarray(self.store[self.rows[indices]])

    @property
    def images(self) -> Pixels:
        """All pixels in memory at once, `(N, H, W)` or `(N, H, W, 3)`; for a large set use `gather`."""
        return self.gather(np.arange(len(self)))

    def select(self, *splits: str) -> FaceSet:
        """The faces of these splits alone; no pixel is copied."""
        for split in sorted(set(splits) - set(SPLITS)):
            raise unknown_name("split", split, SPLITS)
        return self.keep(np.isin(self.splits, splits))

    def named(self, naming: Mapping[str, str | None]) -> FaceSet:
        """The faces with other names for some classes, and without those that are named None. Raises `InputError`."""
        label_set, index = named_by_class(self.label_set.labels, naming, source=self.source)
        places = np.array([index.get(label, -1) for label in self.label_set.labels])
        stays = places[self.labels] >= 0
        kept = self.keep(stays)
        left_out = (*self.left_out, *self.names[~stays].tolist())
        return replace(kept, label_set=label_set, labels=places[kept.labels], left_out=left_out)

    @property
    def known(self) -> set[str]:
        """Names of all pictures of the data, also of those without a class here and of those that cannot be read."""
        return {*self.names.tolist(), *self.unreadable, *self.left_out}

    def for_labels(self, labels: Sequence[str], model: str) -> FaceSet:
        """The faces with the `labels` of the model named `model`, in its order, whatever these classes are called here.

        Data may lack classes that the model answers with. `InputError` where it has others.
        """
        if tuple(labels) == self.label_set.labels:
            return self
        theirs = LabelSet(model, tuple(labels))
        stands_for = {label: label if label in labels else canonical(label, theirs) for label in self.label_set.labels}
        others = [label for label, known in stands_for.items() if known is None]
        if others:
            few = len(others) < len(stands_for) - 1
            advice = f"leave out what it does not know: --labels {','.join(f'{name}=-' for name in others)}; or name"
            raise InputError(
                f"{model} was trained on {', '.join(labels)}; {self.source} has {', '.join(self.label_set.labels)}. "
                f"Evaluate on data with the same classes, or {advice if few else 'name'} them as the model does: "
                f"--labels {others[0]}={labels[0]},…"
            )
        index = np.array([labels.index(known) for known in stands_for.values() if known is not None])
        absent = [label for label in labels if label not in stands_for.values()]
        if absent:
            logger.warning(
                "%s: has no class %s, which %s may answer; such an answer counts as wrong",
                self.source, ", ".join(absent), model,
            )  # fmt: skip
        return replace(self, label_set=theirs, labels=index[self.labels])

    def for_model(self, labels: Sequence[str], model: str, split: str) -> FaceSet:
        """The faces of `split`, or all, for the model named `model` to answer. `InputError` where it knows other
        `labels`.
        """
        named = self.for_labels(labels, model)
        chosen = named if split == "all" else named.select(split)
        if not len(chosen):
            there = ", ".join(sorted(set(self.splits)))
            raise InputError(f"{self.source} has no {split} split. It has: {there}. Every face is in --split all")
        return chosen

    def predictions(
        self, card: Card, split: str, said: npt.NDArray[np.float32], seen: tuple[npt.NDArray[np.str_], ...]
    ) -> Predictions:
        """What the model of `card` says of these faces, those of `split`: probabilities `(N, O)` of all its heads.

        `seen`: identities of the images that training and selection saw.
        """
        in_train, in_val = (np.isin(self.hashes, hashes) for hashes in seen)
        return Predictions(
            split=split,
            label_names=card.labels,
            names=self.names,
            hashes=self.hashes,
            labels=self.labels,
            probabilities=said[:, card.columns("labels")],
            in_train=in_train,
            in_val=in_val,
            people=card.people_of(said),
        )

    def keep(self, mask: npt.NDArray[np.bool_]) -> FaceSet:
        """The faces where `mask` (N,) is true; no pixel is copied."""
        per_face = ("rows", "labels", "names", "splits", "hashes", "shapes", "blank", "persons")
        return replace(self, **{key: getattr(self, key)[mask] for key in per_face})

    def counts(self) -> dict[str, dict[str, int]]:
        """Images per split and label, in the order of the label set."""
        return {
            split: {
                label: int(((self.splits == split) & (self.labels == i)).sum())
                for i, label in enumerate(self.label_set.labels)
            }
            for split in SPLITS
        }

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits over all (split, label, pixels), whatever the container, the names or the order."""
        return fingerprint_of(self.splits, np.array(self.label_set.labels)[self.labels], self.hashes)


def _persons(entries: Sequence[Entry], subjects: str | Path | None) -> npt.NDArray[np.str_]:
    """`(N,)` who is on each picture: as a user's file says, or as the source knows."""
    if subjects is None:
        return np.array([entry.person for entry in entries])
    found = named_subjects([entry.name for entry in entries], read_subjects(subjects), str(subjects))
    if unknown := found.count(""):
        logger.warning("%s: tells no subject of %d of %d faces; each counts as one", subjects, unknown, len(found))
    return np.array(found)


def _unreadable_error(path: Path, count: int, reasons: Sequence[str]) -> InputError:
    shown = "\n  ".join(reasons[:5])
    more = "\n  …" if len(reasons) > 5 else ""
    return InputError(
        f"{path}: {len(reasons)} of {count} pictures cannot be read:\n  {shown}{more}\n"
        "Repair or remove them, or leave them out: --skip-unreadable"
    )


def _stratified_tenth(
    hashes: npt.NDArray[np.str_],
    labels: npt.NDArray[np.int64],
    candidates: npt.NDArray[np.bool_],
    classes: int,
    seed: int,
) -> npt.NDArray[np.bool_]:
    """`(N,)` mask of about a tenth of the candidates of each class; identical images fall on one side together.

    Groups are ordered by content before they are shuffled, so file names and order do not matter.
    """
    rng = np.random.default_rng(seed)
    indices = np.flatnonzero(candidates)
    unique, group, sizes = np.unique(hashes[indices], return_inverse=True, return_counts=True)
    # A group of identical images with several labels counts for the smallest of them.
    group_label = np.full(len(unique), classes, dtype=np.int64)
    np.minimum.at(group_label, group, labels[indices])
    chosen = np.zeros(len(unique), dtype=bool)
    for label in range(classes):
        members = rng.permutation(np.flatnonzero(group_label == label))
        wanted = round(VAL_FRACTION * sizes[members].sum())
        wanted = max(wanted, 1) if len(members) > 1 else 0
        before = np.cumsum(sizes[members]) - sizes[members]
        chosen[members[before < wanted]] = True
    mask = np.zeros(len(hashes), dtype=bool)
    mask[indices] = chosen[group]
    return mask
