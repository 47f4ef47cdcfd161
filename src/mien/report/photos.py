"""Photos: what a model and a detector make of photos whose faces are marked, in sentences and a table."""

from __future__ import annotations

from mien.evaluation.bootstrap import Estimate
from mien.evaluation.groups import FEW
from mien.evaluation.photos import PartScore, PhotoScores
from mien.evaluation.printed import NONE, format_estimate
from mien.report.layout import Cell, Page, Section, Table
from mien.report.words import AI_ACT, plural

HEADER = ("Faces", "Marked", "Missed", "Accuracy where found", "Accuracy of all")
NOTE = (
    "Accuracy of all: photo in, emotion out; a missed face is a wrong answer. Intervals are Wilson's 95 %, as if faces "
    "were independent: where a person is on several photos they are too narrow."
)
_RULE = (
    "A found face is a marked one where its middle lies within .35 of the marked side, and neither box is more than "
    "2.5 times as large as the other. All faces of a photo have to be marked: what is found beside them "
    "counts as false."
)


def photos_page(found: PhotoScores) -> Page:
    """One page of it."""
    told = f"{found.model} with the detector {found.detector}; {_photos(found.photos)}, {_faces(found.whole.marked)}"
    return Page(f"{found.model}: photo in, emotion out", told, (photos_section(found),))


def photos_section(found: PhotoScores) -> Section:
    """Sentences, then every size and group."""
    rows = tuple(tuple(Cell(cell) for cell in row) for row in part_rows(found))
    return Section(
        "Marked photos",
        text=(_RULE, f"It names the apparent expression, not what a person feels. {AI_ACT}"),
        points=photo_sentences(found),
        tables=(Table(HEADER, rows, NOTE),),
    )


def photo_sentences(found: PhotoScores) -> tuple[str, ...]:
    """What is missed, what is taken for a face, and what the whole is worth."""
    whole = found.whole
    if whole.missed is None:
        missed = f"No face is marked in {_photos(found.photos)}."
    else:
        missed = f"Missed: {format_estimate(whole.missed)} of {_faces(whole.marked)} in {_photos(found.photos)}."
    return missed, _false(found), *_accuracy(whole), *_few(found)


def part_rows(found: PhotoScores) -> list[tuple[str, ...]]:
    """A row of `HEADER` for all faces, each size and each group."""
    groups = [one.model_copy(update={"name": f"group {one.name}"}) for one in found.by_group]
    return [_row(one) for one in (found.whole, *found.by_size, *groups)]


def _row(part: PartScore) -> tuple[str, ...]:
    few = " (few)" if part.marked < FEW else ""
    return (
        f"{part.name}{few}",
        f"{part.marked:,}",
        _told(part.missed),
        f"{_told(part.accuracy_found)}, n = {part.read:,}" if part.accuracy_found else NONE,
        f"{_told(part.accuracy)}, n = {part.labeled:,}" if part.accuracy else NONE,
    )


def _false(found: PhotoScores) -> str:
    if found.false is None:
        return "Nothing was taken for a face."
    return (
        f"False: {format_estimate(found.false)} of {found.found:,} found {plural('face', found.found)} "
        f"{'is' if found.found == 1 else 'are'} marked by nobody; "
        f"{_told(found.photos_with_false)} of the photos have one."
    )


def _accuracy(whole: PartScore) -> tuple[str, ...]:
    if whole.accuracy is None:
        return ("No marked face has a label, so nothing is said of emotions.",)
    told = f"Photo in, emotion out: accuracy {format_estimate(whole.accuracy)} over {whole.labeled:,} labeled "
    told += f"{plural('face', whole.labeled)}, missed ones counted as wrong"
    if whole.accuracy_found is None:
        return (f"{told}; none was found.",)
    return (f"{told}; {format_estimate(whole.accuracy_found)} over the {whole.read:,} that are found.",)


def _few(found: PhotoScores) -> tuple[str, ...]:
    if found.whole.marked >= FEW:
        return ()
    return (f"So few faces say little: read the intervals, or mark {FEW} and more.",)


def _told(share: Estimate | None) -> str:
    return NONE if share is None else format_estimate(share)


def _photos(count: int) -> str:
    return f"{count:,} {plural('photo', count)}"


def _faces(count: int) -> str:
    return f"{count:,} marked {plural('face', count)}"
