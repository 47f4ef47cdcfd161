"""Layouts: published data sets that are known by what lies in their folder; here those that file names tell.

One function a data set. Where each layout was read stands in docs/reference/data-sets.md.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from mien.data.entry import labeled
from mien.data.folders import entries
from mien.data.layouts_by_list import BY_LIST, RAFDB
from mien.data.listing import Face, Files, Layout, file_name, folder_of, stem_of
from mien.data.persons import JAFFE, KDEF, persons_of
from mien.errors import InputError, shortened

_CKPLUS = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")  # codes 0 to 7
_TWO_LETTERS = {
    "AF": "fear", "AN": "angry", "DI": "disgust", "FE": "fear", "HA": "happy", "NE": "neutral", "SA": "sad",
    "SU": "surprise",
}  # fmt: skip
_ENOUGH = 0.99  # of the pictures are named by a set's rule


def published(files: Files, *, numbers: bool) -> Layout | None:
    """The layout of these files, where they are a data set that is known; None for class folders and all else.

    `numbers`: the user names the numbers of folders, so that they keep them. Raises `InputError` for a data set that is
    recognized and not whole.
    """
    for look in (*BY_LIST, ckplus, jaffe, kdef):
        if layout := look(files):
            return layout
    return None if numbers else rafdb_folders(files)


def class_folders(files: Files, left_out: Counter[str]) -> Layout:
    """All other folders: classes by their names, and persons where every picture is named by one set's rule."""
    found = entries(files.pictures, files.source, left_out)
    persons = persons_of([stem_of(place) for place in files.pictures])
    faces = [
        Face(place, replace(entry, person=person))
        for place, entry, person in zip(files.pictures, found, persons, strict=True)
    ]
    return Layout("", faces, left_out)


def ckplus(files: Files) -> Layout | None:
    """CK+: `cohn-kanade-images/S005/001/S005_001_00000011.png`, and its code in `Emotion/…_emotion.txt`.

    Of each sequence that has an emotion it is the last frame, the peak, that is labeled; the other frames are left out.
    """
    notes = {}
    for place in files.others:
        if found := re.search(r"(?:^|/)(S\d{3})/\d{3}/(\1_\d{3}_\d{8})_emotion\.txt$", place):
            notes[found.group(2)] = place
    if not notes:
        return None
    frames = {stem_of(place): place for place in files.pictures if re.search(r"(^|/)S\d{3}/\d{3}/[^/]+$", place)}
    faces = []
    for frame, note in sorted(notes.items()):
        if frame in frames:
            label = _CKPLUS[_emotion(files, note)]
            faces.append(Face(frames[frame], labeled(frames[frame], label, None, frame[:4])))
    if not faces:
        raise InputError(
            f"{files.source}: has CK+'s labels, but none of the frames that they name. Unpack cohn-kanade-images.zip "
            "beside the folder Emotion"
        )
    left_out = Counter(
        {
            "labeled frames that are not there": len(notes) - len(faces),
            "frames without a label": len(frames) - len(faces),
        }
    )
    there = {face.entry.class_name for face in faces}
    # Nobody is labeled neutral; a set of seven other classes would be taken for FER+ with one missing.
    labels = None if len(there) == len(_CKPLUS) else sorted(there)
    return Layout("CK+", faces, left_out, labels)


def _emotion(files: Files, note: str) -> int:
    """The code of a file that holds one number, as 3.0000000e+00."""
    lines = files.lines(note)
    try:
        code = float(lines[0]) if len(lines) == 1 else -1.0
    except ValueError:
        code = -1.0
    if code not in range(len(_CKPLUS)):
        found = shortened(repr(" ".join(lines)), 80)
        raise InputError(f"{files.source}: {note}: expected one code from 0 to 7, got {found}. Unpack the labels again")
    return int(code)


def jaffe(files: Files) -> Layout | None:
    """JAFFE: one folder of `KA.AN1.39.tiff`: person, emotion and which picture of it, number."""
    in_one = len({folder_of(place) for place in files.pictures}) == 1
    return _named("JAFFE", files, JAFFE) if in_one else None


def kdef(files: Files) -> Layout | None:
    """KDEF: `AF01/AF01ANFL.JPG`: session, gender, identity, emotion, angle; both sessions and all five angles."""
    folders = {file_name(folder_of(place)) for place in files.pictures}
    of_persons = len(folders) == 1 or all(re.fullmatch(r"[AB][FM]\d\d", folder) for folder in folders)
    return _named("KDEF", files, KDEF) if of_persons else None


def _named(name: str, files: Files, rule: re.Pattern[str]) -> Layout | None:
    faces = []
    for place in files.pictures:
        if found := rule.fullmatch(stem_of(place)):
            faces.append(Face(place, labeled(place, _TWO_LETTERS[found["emotion"]], None, found["person"])))
    if not faces or len(faces) < _ENOUGH * len(files.pictures):
        return None
    return Layout(name, faces, Counter({"with other names": len(files.pictures) - len(faces)}))


def rafdb_folders(files: Files) -> Layout | None:
    """RAF-DB as people hand it on: `train/5/train_00001_aligned.jpg`, the folder being the code.

    The split is that of the file's name: some copies call RAF-DB's test faces `valid`.
    """
    faces = []
    for place in files.pictures:
        found = re.search(r"(?:^|/)([1-7])/(train|test)_\d+_aligned\.\w+$", place)
        if found is None:
            return None
        faces.append(Face(place, labeled(place, RAFDB[int(found.group(1)) - 1], found.group(2))))
    return Layout("RAF-DB", faces) if faces else None
