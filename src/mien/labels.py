"""Label sets: the names of emotions, their fixed order, and the other names they go by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from mien.errors import InputError, suggestion


@dataclass(frozen=True)
class LabelSet:
    """An ordered tuple of class names; the order is the order of every probability vector."""

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise InputError(f"label set '{self.name}' repeats a name: {', '.join(self.labels)}")
        if len(self.labels) < 2:
            raise InputError(f"label set '{self.name}' needs at least two classes, got: {', '.join(self.labels)}")

    def __len__(self) -> int:
        return len(self.labels)


FER7 = LabelSet("fer7", ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"))
FERPLUS8 = LabelSet("ferplus8", ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"))
KNOWN = (FER7, FERPLUS8)

# The integer codes of the original fer2013.csv stand in an order of their own.
FER2013_CSV_CODES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

_SYNONYMS: tuple[frozenset[str], ...] = tuple(
    frozenset(words.split())
    for words in (
        "angry anger",
        "disgust disgusted",
        "fear fearful afraid scared",
        "happy happiness joy",
        "neutral calm",
        "sad sadness",
        "surprise surprised",
        "contempt contemptuous",
    )
)


def canonical(name: str, label_set: LabelSet) -> str | None:
    """The label of `label_set` that `name` stands for (case and aliases ignored), or None.

    >>> canonical("Happiness", FER7), canonical("angry", FERPLUS8), canonical("bored", FER7)
    ('happy', 'anger', None)
    """
    word = name.strip().lower()
    if word in label_set.labels:
        return word
    for group in _SYNONYMS:
        if word in group:
            return next((label for label in label_set.labels if label in group), None)
    return None


def match(names: Iterable[str], *, source: str, wanted: Sequence[str] | None = None) -> tuple[LabelSet, dict[str, int]]:
    """Decide the label set of a collection from its class names.

    Returns the set and a map from each given name to its index. `wanted` (the user's `--labels`) overrides
    everything; classes that are numbered take its names in order. Names that all belong to a known set, with none
    missing, give that set; names that share no majority with a known set are a set of their own, sorted. In between
    lies a likely mistake, which is an `InputError`.
    """
    given = sorted(set(names))
    if wanted is not None:
        label_set = LabelSet("custom", tuple(normalize("NFC", label) for label in wanted))
        return label_set, _by_number(given, label_set) or _index(given, label_set, source)
    if len(given) == 1:
        raise InputError(
            f"{source}: all its pictures are of one class, '{given[0]}'. Expected at least two: <class>/<image>"
        )
    if not given:
        raise InputError(f"{source}: no class folders or labels found")
    best = max(KNOWN, key=lambda known: _fit(given, known))
    known_names = [name for name in given if canonical(name, best) is not None]
    if 2 * len(known_names) > len(given):
        return best, _index(given, best, source)
    own = LabelSet("custom", tuple(given))
    return own, {name: i for i, name in enumerate(given)}


def _by_number(given: Sequence[str], label_set: LabelSet) -> dict[str, int] | None:
    """Classes that are numbered from 0 or 1 (AffectNet, RAF-DB), each with the label at its place; None for others."""
    if not all(name.isascii() and name.isdigit() and len(name) < 6 for name in given):
        return None
    if set(given) & set(label_set.labels):  # the labels are numbers themselves
        return None
    numbers = {name: int(name) for name in given}
    first = min(numbers.values(), default=0)
    index = {name: number - first for name, number in numbers.items()}
    return index if first in (0, 1) and sorted(index.values()) == list(range(len(label_set))) else None


def _fit(given: Sequence[str], known: LabelSet) -> tuple[int, int]:
    found = {canonical(name, known) for name in given} - {None}
    return len(found), -len(known)


def _index(given: Sequence[str], label_set: LabelSet, source: str) -> dict[str, int]:
    index: dict[str, int] = {}
    for name in given:
        label = name if name in label_set.labels else canonical(name, label_set)
        if label is None:
            raise InputError(
                f"{source}: unknown class '{name}'.{suggestion(name.lower(), label_set.labels)} Expected the classes "
                f"{', '.join(label_set.labels)}. Rename it, or name all classes yourself: --labels {','.join(given)}"
            )
        index[name] = label_set.labels.index(label)
    missing = [label for i, label in enumerate(label_set.labels) if i not in index.values()]
    if missing:
        raise InputError(
            f"{source}: no class named {', '.join(repr(m) for m in missing)} (found: {', '.join(given)}). "
            f"Add the images, or keep to the classes that are there: --labels {','.join(given)}"
        )
    return index
