"""Pictures on the command line: answers as lines or JSON, a table that a stopped run goes on with, marked copies."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.console import check_picture, counter, end_with, free_place, note, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mien.cli.films import Films
    from mien.images import Pixels
    from mien.recognize.faces import Face
    from mien.recognize.inputs import InputFile
    from mien.recognize.journal import Journal
    from mien.recognize.recognizer import Recognizer
    from mien.recognize.rows import Blank, Row
    from mien.recognize.stream import Outcome

_LONGEST_NAME = 235  # bytes of the name of a copy
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
    more_inputs: tuple[str, ...] = ()  # what is read besides the pictures


def recognize_files(
    places: Sequence[Path], recognizer: Recognizer, options: PictureOptions, films: Films | None = None
) -> None:
    """Recognize pictures; those that fail are told again at the end, and the exit code tells it.

    With `films` these come after the pictures, into the same table.
    """
    from mien.recognize.inputs import check_apart, pictures
    from mien.recognize.rows import check_table
    from mien.recognize.stream import recognize_pictures

    def inputs() -> Iterator[InputFile]:
        return pictures(places, videos_too=films is not None)

    read: list[str | Path] = [*places, *options.more_inputs]
    check_picture(options.plot, read, overwrite=options.overwrite)
    if options.annotate:
        check_apart(options.annotate, places)
        _Marked(options.annotate).check(inputs(), overwrite=options.overwrite)
    if options.out:
        check_table(options.out, read, overwrite=options.overwrite)
    with ExitStack() as stack:
        journal = stack.enter_context(_journal(recognizer, places, options)) if options.out else None
        done = _Done(options, journal)
        stack.enter_context(_told_to_go_on(journal, options))
        with counter("pictures") as count:
            for outcome in recognize_pictures(done.left(inputs()), recognizer, require_face=options.require_face):
                count(1)
                done.take(outcome)
        done.plot()
        if journal and options.out:
            _write_table(journal, recognizer, options.out, films)
        elif films:
            films.run(None)
    if films:
        films.end()
    done.end(films.failed if films else (), films.count if films else 0)


class _Done:
    """What is done with each picture as it comes, and what is to be told of all of them in the end."""

    def __init__(self, options: PictureOptions, journal: Journal | None) -> None:
        self._options, self._journal = options, journal
        self._marked = _Marked(options.annotate) if options.annotate else None
        self._before = frozenset(journal.done) if journal else frozenset()  # by an earlier run
        self._shown: list[tuple[Pixels, Face]] = []  # for --plot
        self._failed: list[str] = []
        self._pictures = self._with_face = 0
        if self._before:
            note(f"going on: {len(self._before):,} pictures are done already")
        if journal and options.plot:
            self._show_again(journal)

    def left(self, inputs: Iterable[InputFile]) -> Iterator[InputFile]:
        """Inputs that are still to be recognized; with a table each file once."""
        from mien.recognize.journal import identity

        named = set(self._before)
        for one in inputs:
            who = identity(str(one.path)) if self._journal else ""
            if who in named:
                if self._marked and who in self._before:
                    self._marked.place(one)
                continue
            if self._journal:
                named.add(who)
            yield one

    def take(self, outcome: Outcome) -> None:
        self._pictures += 1
        source = str(outcome.input.path)
        if outcome.error:
            self._failed.append(outcome.error)
            note(f"error: {outcome.error}")
            if self._journal:
                self._journal.add_failed(source, outcome.error)
            if self._options.as_json:
                say(json.dumps({"source": source, "error": outcome.error}))
            return
        self._with_face += bool(outcome.faces)
        if self._options.as_json or not self._journal:
            _tell(outcome, as_json=self._options.as_json)
        if self._marked:
            self._marked.write(outcome)
        if self._options.plot:
            self._show(outcome.image, outcome.faces)
        if self._journal:  # last: what is noted as done is done
            self._journal.add(source, outcome.faces)

    def _show(self, image: Pixels | None, faces: Sequence[Face]) -> None:
        if image is None or len(self._shown) == _PLOTTED:
            return
        from mien.report.faces import closeup

        for face in faces[: _PLOTTED - len(self._shown)]:
            self._shown.append(closeup(image, face))

    def _show_again(self, journal: Journal) -> None:
        """The first faces of an earlier run: the picture of --plot is the same however often a run was stopped."""
        from mien.errors import InputError
        from mien.images import read
        from mien.recognize.rows import Row

        for rows in journal.rows():
            faces = [row.face for row in rows if isinstance(row, Row)]
            if len(self._shown) == _PLOTTED:
                return
            if faces:
                try:
                    self._show(read(Path(faces[0].source)), faces)
                except InputError as error:  # gone since
                    note(f"not in the picture: {error}")

    def plot(self) -> None:
        """Before the table is whole: until then a stopped run goes on."""
        if self._options.plot:
            _plot(self._shown, self._options.plot)

    def end(self, failed_films: Sequence[str] = (), films: int = 0) -> None:
        """Sum up, list what failed, also of the films, and end with the exit code that tells it."""
        failed = self._failed
        if self._pictures > 1 and (self._journal or failed):
            note(f"{self._pictures:,} pictures: {self._with_face:,} with a face, {len(failed):,} failed")
        end_with([*failed, *failed_films], inputs=self._pictures + len(self._before) + films)


@contextmanager
def _told_to_go_on(journal: Journal | None, options: PictureOptions) -> Iterator[None]:
    from mien.errors import InterruptedRunError

    try:
        yield
    except KeyboardInterrupt as stop:
        without = " without --overwrite" if options.overwrite else ""
        kept = (
            f"{len(journal.done):,} pictures are done; the same command{without} goes on"
            if journal
            else "No table was written"
        )
        raise InterruptedRunError(f"stopped. {kept}") from stop


def _journal(recognizer: Recognizer, places: Sequence[Path], options: PictureOptions) -> Journal:
    from mien.recognize.journal import Journal

    assert options.out is not None
    settings = {**recognizer.settings, "require_face": options.require_face}
    return Journal(options.out, settings, places, overwrite=options.overwrite)


def _write_table(journal: Journal, recognizer: Recognizer, path: Path, films: Films | None) -> None:
    from mien.recognize.rows import TableFile

    if not journal.done and not films:  # a table of errors alone would be in the way of the corrected command
        journal.remove()
        note(f"{path}: not written, as no picture could be recognized")
        return
    with films.finished(path, hold=False) if films else nullcontext() as finished:
        if films:
            films.run(finished)
        with TableFile(path, recognizer.labels) as table:
            for rows in chain(_at_prior(journal, recognizer), finished.looks() if finished else ()):
                table.write(rows)
            if table.rows == table.failed:
                table.discard()
        if finished:
            finished.remove()
    journal.remove()
    if table.rows == table.failed:
        note(f"{path}: not written, as nothing could be recognized")
    else:
        note(f"table: {path} ({table.faces:,} {'face' if table.faces == 1 else 'faces'})")


def _at_prior(journal: Journal, recognizer: Recognizer) -> Iterator[list[Row | Blank]]:
    """The rows of the journal, whose answers are the model's own, at the shares that all of them together suggest."""
    from mien.recognize.rows import Row

    if not recognizer.mix.is_estimated:
        yield from journal.rows()
        return
    faces = [row.face.probabilities for rows in journal.rows() for row in rows if isinstance(row, Row)]
    shares = recognizer.mix.estimate(faces)
    for rows in journal.rows():
        yield [
            replace(one, face=recognizer.mix.moved(one.face, shares, recognizer.threshold))
            if isinstance(one, Row)
            else one
            for one in rows
        ]


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
    """The emotion of a face, every probability, most probable first, and the set where there is one."""
    ordered = sorted(face.probabilities.items(), key=lambda item: -item[1])
    told = f"{face.emotion}{' (unsure)' * face.unsure}  " + "  ".join(f"{label} {p:.3f}" for label, p in ordered)
    return f"{told}  set: {', '.join(face.set)}" if face.set else told


class _Marked:
    """Writes copies with boxes and bars into a folder, under the names of the originals."""

    def __init__(self, folder: Path) -> None:
        """Raises `InputError`, before any picture is looked at, for a folder that cannot be made."""
        from mien.outputs import check_folder

        self._folder = folder
        check_folder(folder)
        self._used: set[Path] = set()

    def check(self, inputs: Iterable[InputFile], *, overwrite: bool) -> None:
        """Raise `InputError` where a copy would replace somebody else's file."""
        from mien.outputs import COPY, check_ours

        for one in inputs:
            check_ours(self.place(one), COPY, overwrite=overwrite)

    def write(self, outcome: Outcome) -> None:
        from mien.errors import not_writable
        from mien.files import write_whole
        from mien.recognize.annotate import annotate, encoded

        if outcome.image is None:
            return
        place = self.place(outcome.input)
        try:
            write_whole(place, encoded(annotate(outcome.image, outcome.faces), place.suffix))
        except OSError as error:
            raise not_writable(place, error, "Make room, then run the same command") from error

    def place(self, one: InputFile) -> Path:
        """The place of a copy, as JPEG or PNG, numbered where two pictures of this run have the same name."""
        place = self._folder / one.under
        if place.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            place = place.with_name(place.name + ".png")
        # The system takes 255 bytes of a name, and while it is written it is longer.
        while len(os.fsencode(place.name)) > _LONGEST_NAME:
            place = place.with_name(place.stem[:-1] + place.suffix)
        free = free_place(place, self._used)
        self._used.add(free)
        return free


def _plot(shown: list[tuple[Pixels, Face]], path: Path) -> None:
    from mien.cli.console import save_picture
    from mien.report.faces import recognized

    if not shown:
        note("no face to draw: --plot wrote nothing")
        return
    save_picture(recognized(shown), path, f" (the first {_PLOTTED} faces)" if len(shown) == _PLOTTED else "")
