"""Layouts by list: data sets whose classes stand in files beside their pictures, one function a data set."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mien.data.entry import labeled
from mien.data.ferplus import answers
from mien.data.folders import split_of
from mien.data.listing import Face, Files, Layout, file_name, folder_of, stem_of
from mien.errors import InputError, shortened
from mien.labels import FER2013_CSV_CODES, FERPLUS8

RAFDB = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")  # codes 1 to 7
AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")  # codes 0 to 7
_AFFECTNET_OTHERS = {8: "none", 9: "uncertain", 10: "no face"}

_LONGEST_ANNOTATION = 4096  # bytes of a .npy that holds one number
_FERPLUS_COLUMNS = 10  # of votes


def rafdb(files: Files) -> Layout | None:
    """RAF-DB as its authors give it: `list_patition_label.txt` and the aligned faces in `Image/aligned`."""
    listed = files.named("list_patition_label.txt")
    if listed is None:
        return None
    aligned = {
        stem_of(place).removesuffix("_aligned"): place
        for place in files.pictures
        if folder_of(f"/{place}").endswith("/aligned")
    }
    if not aligned:
        raise InputError(f"{files.source}: has {listed} but no Image/aligned beside it. Unpack aligned.zip there")
    faces, missing = [], 0
    for number, line in enumerate(files.lines(listed), start=1):
        words = line.split()
        split = next((part for part in ("train", "test") if words[0].startswith(part)), None)
        if split is None or len(words) != 2 or not re.fullmatch("[1-7]", words[1]):
            raise InputError(
                f"{files.source}: {listed}, line {number}: expected train_00001.jpg 5 (a code from 1 to 7), "
                f"got {shortened(repr(line), 80)}"
            )
        place = aligned.get(stem_of(words[0]))
        if place is None:
            missing += 1
        else:
            faces.append(Face(place, labeled(place, RAFDB[int(words[1]) - 1], split)))
    return _whole("RAF-DB", files, listed, faces, Counter({"that are listed and not there": missing}))


def affectnet(files: Files) -> Layout | None:
    """AffectNet: `train_set/images/N.jpg` and `train_set/annotations/N_exp.npy`, and the same in `val_set`."""
    notes = [place for place in files.others if re.search(r"(^|/)annotations/[^/]+_exp\.npy$", place)]
    if not notes:
        return None
    pictures = {(folder_of(folder_of(place)), stem_of(place)): place for place in files.pictures}
    faces, left_out = [], Counter[str]()
    for note in sorted(notes):
        root = folder_of(folder_of(note))
        split = split_of(file_name(root))
        if split is None:
            raise InputError(
                f"{files.source}: {note}: cannot tell its split. Expected train_set/ or val_set/ around it"
            )
        place = pictures.get((root, stem_of(note).removesuffix("_exp")))
        if place is None:
            left_out["that are annotated and not there"] += 1
            continue
        code = _number(files.read(note), f"{files.source}: {note}")
        if code in _AFFECTNET_OTHERS:
            left_out[f"annotated as {_AFFECTNET_OTHERS[code]}"] += 1
        elif 0 <= code < len(AFFECTNET):
            faces.append(Face(place, labeled(place, AFFECTNET[code], split)))
        else:
            raise InputError(f"{files.source}: {note}: holds {code}, expected a code from 0 to 10")
    return _whole("AffectNet", files, "its annotations", faces, left_out)


def _number(content: bytes, where: str) -> int:
    """The one whole number of a `.npy`, which AffectNet writes as text; a header that tells of more is not believed."""
    try:
        if len(content) > _LONGEST_ANNOTATION:
            raise ValueError("is longer than one number")
        file = io.BytesIO(content)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read_header(file)
        if kind.hasobject or math.prod(shape) != 1 or kind.itemsize != len(content) - file.tell():
            raise ValueError("holds something else than one number")
        return int(np.frombuffer(file.read(), dtype=kind)[0])
    except (ValueError, EOFError, OverflowError) as error:
        raise InputError(f"{where}: {shortened(str(error), 120)}. Unpack the data set again") from error


def expw(files: Files) -> Layout | None:
    """ExpW: photos in `origin/`, and `label.lst` with a line for each face in them: its box and a code from 0 to 6."""
    listed = files.named("label.lst")
    if listed is None:
        return None
    photos = {file_name(place): place for place in files.pictures}
    faces, left_out = [], Counter[str]()
    # Some lines stand there twice.
    for number, line in enumerate(dict.fromkeys(files.lines(listed)), start=1):
        words = line.split()
        numbers = [*words[1:6], *words[7:]]
        if (
            len(words) != 8
            or not all(re.fullmatch(r"-?\d{1,6}", word) for word in numbers)
            or words[7] not in "0123456"
        ):
            raise InputError(
                f"{files.source}: {listed}, different line {number}: expected name, face, top, left, right, bottom, "
                f"confidence and a code from 0 to 6; got {shortened(repr(line), 80)}"
            )
        place = photos.get(words[0])
        if place is None:
            left_out["in photos that are not there"] += 1
            continue
        top, left, right, bottom = map(int, words[2:6])
        entry = labeled(f"{place}#{words[1]}", FER2013_CSV_CODES[int(words[7])], None)
        faces.append(Face(place, entry, (left, top, right, bottom)))
    return _whole("ExpW", files, listed, faces, left_out)


def ferplus(files: Files) -> Layout | None:
    """FER+: `FER2013Train`, `FER2013Valid` and `FER2013Test` with pictures, and the votes in `fer2013new.csv`.

    The class of a face is the majority of its votes, as `mien train --ferplus majority` takes it.
    """
    listed = files.named("fer2013new.csv")
    in_splits = {place: split_of(file_name(folder_of(place))) for place in files.pictures}
    if listed is None or not all(in_splits.values()):
        return None
    header, *rows = csv.reader(files.lines(listed), skipinitialspace=True)
    columns = [name.strip() for name in header[2:]]
    if [name.strip().lower() for name in header[:2]] != ["usage", "image name"] or len(columns) != _FERPLUS_COLUMNS:
        raise InputError(
            f"{files.source}: {listed}: expected the columns Usage, Image name, {', '.join(FERPLUS8.labels)}, unknown, "
            f"NF; found: {shortened(', '.join(header), 300)}"
        )
    votes = _votes(rows, f"{files.source}: {listed}")
    table = np.array([votes.get(file_name(place), [0] * len(columns)) for place in in_splits], dtype=np.int64)
    index, kept = answers(table, columns, "majority")
    faces = [
        Face(place, labeled(place, FERPLUS8.labels[index[i]], split))
        for i, (place, split) in enumerate(in_splits.items())
        if kept[i]
    ]
    return _whole("FER+", files, listed, faces, Counter({"without a majority for an emotion": int((~kept).sum())}))


def _votes(rows: Sequence[Sequence[str]], where: str) -> dict[str, list[int]]:
    """Counts of votes by the name of the picture; rows without a name are those that FER+ takes for no face."""
    votes = {}
    for number, row in enumerate(rows, start=2):
        words = [word.strip() for word in row]
        if len(words) < 2 + _FERPLUS_COLUMNS or not all(re.fullmatch(r"\d{1,4}", word) for word in words[2:]):
            raise InputError(f"{where}, line {number}: expected a name and ten counts of votes. Download it again")
        if words[1]:
            votes[words[1]] = [int(word) for word in words[2 : 2 + _FERPLUS_COLUMNS]]
    return votes


def _whole(name: str, files: Files, listed: str, faces: Sequence[Face], left_out: Counter[str]) -> Layout:
    if not faces:
        found = files.pictures[0] if files.pictures else "none"
        raise InputError(
            f"{files.source}: looks like {name}, but {listed} speaks of none of its {len(files.pictures):,} pictures "
            f"(the first: {shortened(found, 80)}). Name the folder that holds both"
        )
    return Layout(name, faces, left_out)


BY_LIST = (rafdb, affectnet, expw, ferplus)
