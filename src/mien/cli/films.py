"""Films on the command line: several videos, one after another, into one table that a stopped run goes on with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.cli.console import note, say
from mien.cli.summed import Summed
from mien.cli.watch import WatchOptions, checked, places, recognize_one, tell_table, written_table
from mien.errors import InputError, InterruptedRunError

if TYPE_CHECKING:
    from mien.recognize.finished import Finished
    from mien.recognize.recognizer import Recognizer
    from mien.recognize.rows import TableFile


def recognize_videos(paths: Sequence[Path], recognizer: Recognizer, options: WatchOptions) -> None:
    """Recognize videos one after another, all into one table; those that fail are told, and the exit code tells it.

    Ctrl-C keeps what was read and raises `InterruptedRunError`. Raises `InputError` for options that cannot be, and
    where the only video fails.
    """
    films = Films(paths, recognizer, options)
    if options.out and len(paths) > 1:
        with films.finished(options.out) as kept:
            films.run(kept)
            with written_table(options, recognizer, hold=False) as rows:
                assert rows is not None
                for look in kept.looks():
                    rows.write(look)
            kept.remove()
    else:
        with written_table(options, recognizer) as rows:
            films.run(rows, alone=True)
    tell_table(rows)
    films.end()
    if films.failed:
        note(f"{len(paths):,} videos: {len(films.failed):,} failed")
        raise typer.Exit(1)


class Films:
    """Videos that are recognized one after another, and what is to be told of all of them in the end."""

    def __init__(self, paths: Sequence[Path], recognizer: Recognizer, options: WatchOptions) -> None:
        """Raises `InputError` for options that cannot be, before anything is opened or written."""
        self._paths, self._recognizer, self._options = paths, recognizer, options
        self._pace = checked(options, paths)
        self._summed = Summed(options.summary, recognizer.labels, overwrite=options.overwrite)
        self._too_late: InputError | None = None  # what went wrong when rows were written already, worth keeping
        self._stopped = False
        self.failed: list[str] = []

    @property
    def count(self) -> int:
        return len(self._paths)

    def finished(self, table: Path, *, hold: bool = True) -> Finished:
        """Where what is finished stands until the table at `table` is written. Raises `InputError`."""
        from mien.recognize.finished import Finished
        from mien.recognize.track import SMOOTH_S

        ours = self._options
        settings = {
            **self._recognizer.settings, "every": ours.every, "fps": ours.fps,
            "smooth_s": SMOOTH_S if ours.smooth_s is None else ours.smooth_s,
        }  # fmt: skip
        found = Finished(table, settings, self._paths, overwrite=ours.overwrite, hold=hold)
        if found.count:
            note(f"going on: {found.count:,} of {len(self._paths):,} videos are done already")
        return found

    def run(self, rows: TableFile | Finished | None, *, alone: bool = False) -> None:
        """Recognize them into `rows`, until Ctrl-C. `alone`: nothing else is recognized by this command.

        Raises `InterruptedRunError` where the same command goes on, with what is finished in `rows`.
        """
        from mien.recognize.finished import Finished

        kept = rows if isinstance(rows, Finished) else None
        for path, (film, timeline) in zip(self._paths, places(self._paths, self._options), strict=True):
            if kept and (before := kept.summary(path)):
                self._summed.add(str(path), before)
                continue
            try:
                ours = replace(self._options, annotate=film, timeline=timeline)
                summary, self._stopped = recognize_one(str(path), self._recognizer, ours, self._pace, rows)
                self._summed.add(str(path), summary)
                if kept and not self._stopped:
                    kept.end(path, summary)
            except InputError as error:
                single = alone and len(self._paths) == 1
                if single and (rows is None or not rows.rows):
                    raise
                self._summed.add_failed(str(path), str(error))
                if rows:
                    from mien.recognize.rows import Blank

                    rows.write([Blank(str(path), error=str(error))])
                if kept:
                    kept.end(path, None)
                if single:
                    self._too_late = error
                    break
                self._note(path, error)
            except KeyboardInterrupt:  # between two videos, or while one is summed up
                self._stopped = True
            if self._stopped and kept:
                without = " without --overwrite" if self._options.overwrite else ""
                went_on = f"the same command{without} goes on with {path}" if kept.count else "no table was written"
                raise InterruptedRunError(f"stopped. {kept.count:,} of {self.count:,} videos are done; {went_on}")
            if self._stopped:
                break

    def _note(self, path: Path, error: InputError) -> None:
        self.failed.append(str(error))
        note(f"error: {error}")
        if self._options.as_json:
            say(json.dumps({"source": str(path), "error": str(error)}))

    def end(self) -> None:
        """Write the summaries; raise what was held back until the table was written."""
        self._summed.end(as_json=self._options.as_json)
        if self._too_late:
            raise self._too_late
        if self._stopped:
            raise InterruptedRunError("stopped; what was read until then is kept")
