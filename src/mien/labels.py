"""Label sets: the names of emotions, their fixed order, and the other names they go by."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from mien.errors import InputError, suggestion

# What a user says of classes: their names in order; or by class its name here, None for one that is left out.
Naming = Sequence[str] | Mapping[str, str | None]
BAR = "|"  # between the labels of a set in tables of faces


def check_names(labels: Iterable[str], source: str) -> None:
    """Raise `InputError` for a name that tables of faces could not be read back with."""
    wrong = next((label for label in labels if BAR in label), None)
    if wrong is not None:
        otherwise = f"{wrong}={wrong.replace(BAR, '-')}"
        raise InputError(
            f"{source}: class '{wrong}' holds a bar ({BAR}), which stands between the labels of a set in tables of "
            f"faces. Name it otherwise where the data are opened: --labels {shlex.quote(otherwise)}"
        )


@dataclass(frozen=True)
class LabelSet:
    """An ordered tuple of class names; the order is the order of every probability vector."""

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        check_names(self.labels, f"label set '{self.name}'")
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


def read_naming(text: str) -> Naming:
    """What `--labels` says: names in order, or CLASS=NAME for some classes, with a hyphen for one that is left out.

    >>> read_naming("angry, happy"), read_naming("1=surprise,contempt=-")
    (['angry', 'happy'], {'1': 'surprise', 'contempt': None})
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not any("=" in part for part in parts):
        return parts
    named: dict[str, str | None] = {}
    for part in parts:
        given, _, name = (word.strip() for word in part.partition("="))
        if not given or not name:
            raise InputError(
                f"--labels: '{part}' is no CLASS=NAME, as others are. Write 1=surprise to name a class and 1=- to "
                "leave it out, or all names in order without ="
            )
        if given in named:
            raise InputError(f"--labels: names class '{given}' twice. Keep one of them")
        named[given] = None if name == "-" else name
    return named


def named_by_class(
    names: Iterable[str], naming: Mapping[str, str | None], *, source: str
) -> tuple[LabelSet, dict[str, int]]:
    """As `match`, where a user names some classes; those that are left out have no index.

    Two classes may get one name. Classes that are not mentioned keep theirs. What results need not be a whole known
    set: whoever names classes has seen them. Raises `InputError` for a class that is not there.
    """
    given = sorted(set(names))
    called: dict[str, str | None] = {name: name for name in given}
    for wanted, name in naming.items():
        found = [one for one in given if _same(one, wanted)]
        if not found:
            raise InputError(
                f"{source}: --labels speaks of class '{wanted}', which is not there.{suggestion(wanted, given)} "
                f"Its classes: {', '.join(given)}"
            )
        called[found[0]] = None if name is None else normalize("NFC", name)
    kept = {name for name in called.values() if name is not None}
    if len(kept) < 2:
        raise InputError(f"{source}: --labels leaves {len(kept)} of its classes {', '.join(given)}; keep at least two")
    label_set, index = _of_some(kept)
    return label_set, {one: index[name] for one, name in called.items() if name is not None}


def _same(given: str, wanted: str) -> bool:
    return given == normalize("NFC", wanted) or any({given.lower(), wanted.lower()} <= group for group in _SYNONYMS)


def _of_some(names: set[str]) -> tuple[LabelSet, dict[str, int]]:
    """A label set of these names and the place of each: a known set, some labels of one in its order, or sorted."""
    for known in KNOWN:
        labels = {name: canonical(name, known) for name in names}
        if None not in labels.values():
            there = tuple(label for label in known.labels if label in labels.values())
            label_set = known if there == known.labels else LabelSet("custom", there)
            return label_set, {name: there.index(label) for name, label in labels.items() if label}
    order = sorted(names)
    return LabelSet("custom", tuple(order)), {name: order.index(name) for name in order}


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
            without, every = f"{name}=-", ",".join(one.replace(BAR, "-") for one in given)
            raise InputError(
                f"{source}: unknown class '{name}'.{suggestion(name.lower(), label_set.labels)} Expected the classes "
                f"{', '.join(label_set.labels)}. Rename it, leave it out (--labels {shlex.quote(without)}), or name "
                f"all yourself: --labels {shlex.quote(every)}"
            )
        index[name] = label_set.labels.index(label)
    missing = [label for i, label in enumerate(label_set.labels) if i not in index.values()]
    if missing:
        raise InputError(
            f"{source}: no class named {', '.join(repr(m) for m in missing)} (found: {', '.join(given)}). "
            f"Add the images, or keep to the classes that are there: --labels {','.join(given)}"
        )
    return index
