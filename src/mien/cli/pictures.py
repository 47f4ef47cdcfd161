"""Pictures on the command line: answers as lines or JSON, a table that a stopped run goes on with, marked copies."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.cli.console import counter, note, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mien.images import Pixels
    from mien.recognize.inputs import Input
    from mien.recognize.journal import Journal
    from mien.recognize.recognizer import Face, Recognizer
    from mien.recognize.stream import Outcome

_PLOTTED = 12  # faces at most in one picture of --plot


@dataclass(frozen=True)
class PictureOptions:
    """What is to be made of pictures, as the options of `mien recognize` say it."""

    out: Path | None = None
    annotate: Path | None = None
    plot: Path | None = None
    as_json: bool = False
    overwrite: bool = False
    require_face: bool = False


def recognize_files(inputs: Iterable[Input], recognizer: Recognizer, options: PictureOptions) -> None:
    """Recognize pictures; those that fail are told again at the end, and the exit code tells it."""
    from mien.recognize.stream import recognize_pictures

    shown: list[tuple[Pixels, Face]] = []  # for --plot
    failed: list[str] = []
    pictures = with_face = 0
    with ExitStack() as stack:
        journal = stack.enter_context(_journal(recognizer, options)) if options.out else None
        marked = _Marked(options.annotate) if options.annotate else None
        count = stack.enter_context(counter("pictures"))
        done = journal.done if journal else set()
        if done:
            note(f"going on: {len(done):,} pictures are done already")
        stack.enter_context(_told_to_go_on(journal))
        left = (one for one in inputs if str(one.path) not in done)
        for outcome in recognize_pictures(left, recognizer, require_face=options.require_face):
            count(1)
            pictures += 1
            source = str(outcome.input.path)
            if outcome.error:
                failed.append(outcome.error)
                note(f"error: {outcome.error}")
                if options.as_json:
                    say(json.dumps({"source": source, "error": outcome.error}))
                continue
            with_face += bool(outcome.faces)
            if journal:
                journal.add(source, outcome.faces)
            if options.as_json or not journal:
                _tell(outcome, as_json=options.as_json)
            if marked:
                marked.write(outcome)
            if options.plot and outcome.image is not None and len(shown) < _PLOTTED:
                shown += [(outcome.image, face) for face in outcome.faces][: _PLOTTED - len(shown)]
        if journal and options.out:
            _write_table(journal, recognizer, options.out)
    if options.plot:
        _plot(shown, options.plot)
    _end(failed, pictures, with_face, table=bool(options.out))


@contextmanager
def _told_to_go_on(journal: Journal | None) -> Iterator[None]:
    from mien.errors import InterruptedRunError

    try:
        yield
    except KeyboardInterrupt as stop:
        kept = f"{len(journal.done):,} pictures are done; the same command goes on" if journal else "Nothing is kept"
        raise InterruptedRunError(f"stopped. {kept}") from stop


def _journal(recognizer: Recognizer, options: PictureOptions) -> Journal:
    from mien.recognize.journal import Journal
    from mien.recognize.rows import check_format

    assert options.out is not None
    check_format(options.out)
    return Journal(options.out, recognizer.settings, overwrite=options.overwrite)


def _write_table(journal: Journal, recognizer: Recognizer, path: Path) -> None:
    from mien.recognize.rows import Row, Table

    with Table(path, recognizer.labels) as table:
        for faces in journal.faces():
            table.write(Row(face, number) for number, face in enumerate(faces, start=1))
    journal.remove()
    note(f"table: {path} ({table.rows:,} {'face' if table.rows == 1 else 'faces'})")


def _tell(outcome: Outcome, *, as_json: bool) -> None:
    source = outcome.input.path
    if as_json:
        assert outcome.image is not None
        height, width = outcome.image.shape[:2]
        faces = [face.as_dict() for face in outcome.faces]
        say(json.dumps({"source": str(source), "width": width, "height": height, "faces": faces}))
        return
    if not outcome.faces:
        say(f"{source}: no face found")
    for number, face in enumerate(outcome.faces, start=1):
        which = f" face {number}" if len(outcome.faces) > 1 else ""
        say(f"{source}{which}: {describe(face)}")


def describe(face: Face) -> str:
    """The emotion of a face, and every probability, most probable first."""
    ordered = sorted(face.probabilities.items(), key=lambda item: -item[1])
    return f"{face.emotion}{' (unsure)' * face.unsure}  " + "  ".join(f"{label} {p:.3f}" for label, p in ordered)


class _Marked:
    """Writes copies with boxes and bars into a folder, under the names of the originals."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: set[Path] = set()

    def write(self, outcome: Outcome) -> None:
        from PIL import Image

        from mien.errors import InputError
        from mien.recognize.annotate import annotate

        if outcome.image is None:
            return
        place = self._free(self._folder / outcome.input.under)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(annotate(outcome.image, outcome.faces)).save(place, quality=92)
        except OSError as error:
            raise InputError(f"{place}: cannot be written ({error.strerror or error})") from error

    def _free(self, place: Path) -> Path:
        """`place` as JPEG or PNG, numbered where two pictures of this run have the same name."""
        if place.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            place = place.with_name(place.name + ".png")
        free, number = place, 2
        while free in self._used:
            free, number = place.with_name(f"{place.stem}-{number}{place.suffix}"), number + 1
        self._used.add(free)
        return free


def _plot(shown: list[tuple[Pixels, Face]], path: Path) -> None:
    from mien.report.plots_faces import recognized
    from mien.report.style import save

    if not shown:
        note("no face to draw: --plot wrote nothing")
        return
    save(recognized(shown), path)
    note(f"picture: {path}" + (f" (the first {_PLOTTED} faces)" if len(shown) == _PLOTTED else ""))


def _end(failed: list[str], pictures: int, with_face: int, *, table: bool) -> None:
    """Sum up, list what failed, and end with the exit code that tells it."""
    if pictures > 1 and (table or failed):
        note(f"{pictures:,} pictures: {with_face:,} with a face, {len(failed):,} failed")
    if len(failed) > 1:
        note("\n".join(["failed:", *(f"  {line}" for line in failed)]))
    if failed:
        raise typer.Exit(2 if pictures == 1 else 1)
