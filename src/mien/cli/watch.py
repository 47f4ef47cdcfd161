"""One video or a camera on the command line: a table, a film, a timeline, and who showed what for how long."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.console import check_picture, counter, note, progress, save_picture, say, table
from mien.cli.summed import SummaryOptions
from mien.errors import InputError

if TYPE_CHECKING:
    from mien.cli.live import View
    from mien.recognize.film import Film
    from mien.recognize.finished import Finished
    from mien.recognize.recognizer import Recognizer
    from mien.recognize.rows import TableFile
    from mien.recognize.summary import FaceSummary, Summary
    from mien.recognize.video import Pace, Video
    from mien.recognize.watch import Seen

_TOLD = 20  # faces at most in a summary


@dataclass(frozen=True)
class WatchOptions:
    """What is to be made of videos or a camera, as the options of `mien recognize` say it."""

    every: int = 1  # looks at every Nth frame
    fps: float | None = None  # or at most so many times a second
    smooth_s: float | None = None  # time constant, 0 for none; None for the usual one
    out: Path | None = None  # table
    annotate: Path | None = None  # a film, if it ends in .mp4, else a folder for films
    timeline: Path | None = None
    as_json: bool = False
    overwrite: bool = False
    more_inputs: tuple[str, ...] = ()  # what is read besides the videos
    summary: SummaryOptions = field(default_factory=SummaryOptions)


def recognize_camera(source: str, recognizer: Recognizer, options: WatchOptions) -> None:
    """Recognize what the camera `source` (`camera`, `camera:1`) sees until Ctrl-C, or q in its window, ends it.

    Both are a normal end. Raises `InputError` for a camera that is missing or busy and for options that cannot be.
    """
    pace = checked(options, [])
    film = options.annotate
    if film is not None and not _is_film(film):
        film = film / "camera.mp4"
    with written_table(options, recognizer) as rows:
        recognize_one(source, recognizer, replace(options, annotate=film), pace, rows, live=True)
    tell_table(rows)


def recognize_one(
    source: str,
    recognizer: Recognizer,
    options: WatchOptions,
    pace: Pace,
    rows: TableFile | Finished | None,
    *,
    live: bool = False,
) -> tuple[Summary, bool]:
    """Recognize one video, all its outputs written and told. With it, whether Ctrl-C ended it."""
    from mien.recognize.film import Film
    from mien.recognize.summary import Summary
    from mien.recognize.track import SMOOTH_S
    from mien.recognize.video import Video
    from mien.recognize.watch import watch

    smooth_s = SMOOTH_S if options.smooth_s is None else options.smooth_s
    stopped = False
    with ExitStack() as stack:
        video = stack.enter_context(Video(source))
        summary = Summary(recognizer.labels, step_s=1 / video.fps)
        film = stack.enter_context(Film(options.annotate, fps=video.fps)) if options.annotate else None
        view = stack.enter_context(_view(quiet=options.as_json)) if live else None
        count = stack.enter_context(nullcontext(_ignore) if live else _counted(video))
        last_s = 0.0
        try:
            for seen in watch(video, recognizer, pace=pace, smooth_s=smooth_s, all_images=bool(film) or live):
                _take(seen, source, summary, rows, film)
                if options.as_json and seen.frame.look:
                    say(_as_json(source, seen))
                last_s = seen.frame.time_s
                count(seen.frame.index + 1)
                if view and not view.show(seen):
                    break
        except KeyboardInterrupt:  # what was read is worth keeping; a second one ends the program at once
            stopped = True
        summary.end(last_s + 1 / video.fps)
    _tell(source, video.note, summary, options)
    return summary, stopped


def _as_json(source: str, seen: Seen) -> str:
    faces = [{"face_id": row.face_id, **row.face.as_dict()} for row in seen.rows]
    time_s = round(seen.frame.time_s, 3)
    return json.dumps({"source": source, "frame": seen.frame.index, "time_s": time_s, "faces": faces})


def _take(seen: Seen, source: str, summary: Summary, rows: TableFile | Finished | None, film: Film | None) -> None:
    if seen.frame.look:
        summary.add(seen.rows, seen.frame.time_s)
        if rows:
            from mien.recognize.rows import Blank

            rows.write(seen.rows or [Blank(source, seen.frame.index, seen.frame.time_s)])
    if film and seen.frame.image is not None:
        from mien.recognize.annotate import annotate

        names = [str(row.face_id) for row in seen.rows]
        film.write(annotate(seen.frame.image, [row.face for row in seen.rows], names), seen.frame.time_s)


def checked(options: WatchOptions, paths: Sequence[Path]) -> Pace:
    """The pace; `InputError` for options that cannot be, before anything is opened or written."""
    from mien.outputs import FILM, check_output
    from mien.recognize.finished import place_of
    from mien.recognize.inputs import check_apart
    from mien.recognize.rows import check_absent, check_table
    from mien.recognize.track import Tracker
    from mien.recognize.video import Pace

    read: list[str | Path] = [*paths, *options.more_inputs]
    if options.out:
        check_table(options.out, read, overwrite=options.overwrite)
        begun = len(paths) > 1 and place_of(options.out).is_file()
        check_absent(options.out, overwrite=options.overwrite or begun)
    if options.annotate and _is_film(options.annotate) and len(paths) > 1:
        raise InputError(f"{options.annotate}: one film for {len(paths)} videos; name a folder for them")
    if options.annotate and not _is_film(options.annotate):
        check_apart(options.annotate, paths)
    for film, timeline in places(paths, options) or [(options.annotate, options.timeline)]:
        check_picture(timeline, read, overwrite=options.overwrite)
        if film:
            film = film if _is_film(film) else film / "camera.mp4"
            check_output(film, FILM, read, overwrite=options.overwrite)
    if options.smooth_s is not None:
        Tracker(smooth_s=options.smooth_s)
    return Pace(options.every, options.fps)


def _is_film(path: Path) -> bool:
    return path.suffix.lower() == ".mp4" and not path.is_dir()


def places(paths: Sequence[Path], options: WatchOptions) -> list[tuple[Path | None, Path | None]]:
    """Film and timeline of each video; several videos get names of their own."""
    places: list[tuple[Path | None, Path | None]] = []
    used: set[Path] = set()
    for number, path in enumerate(paths, start=1):
        film = options.annotate
        if film and not _is_film(film):
            plain = film / f"{path.stem}.mp4"
            film = film / f"{path.stem}-{number}.mp4" if plain in used else plain
            while film in used:
                film = film.with_stem(f"{film.stem}-{number}")
            used.add(film)
        timeline = options.timeline
        if timeline and len(paths) > 1:
            timeline = timeline.with_name(f"{timeline.stem}-{number}-{path.stem}{timeline.suffix}")
        places.append((film, timeline))
    return places


@contextmanager
def written_table(options: WatchOptions, recognizer: Recognizer, *, hold: bool = True) -> Iterator[TableFile | None]:
    if options.out is None:
        yield None
        return
    from mien.recognize.rows import TableFile
    from mien.scratch import held_alone

    held = held_alone(options.out) if hold else nullcontext()
    with held, TableFile(options.out, recognizer.labels) as rows:
        yield rows
        if rows.rows == rows.failed:  # nothing, or errors alone: it would be in the way of the corrected command
            rows.discard()


@contextmanager
def _view(*, quiet: bool) -> Iterator[View]:
    from mien.cli.live import Window, open_view, tell_stop

    view = open_view(quiet=quiet)
    tell_stop(isinstance(view, Window))
    try:
        yield view
    finally:
        view.close()


@contextmanager
def _counted(video: Video) -> Iterator[Callable[[int], None]]:
    """Progress in frames, against their number where the file tells it."""
    if video.expected is None:
        with counter("frames") as more:
            yield lambda _: more(1)
        return
    total = video.expected
    with progress() as bar:
        yield (lambda done: bar("frames", min(done, total), total)) if bar else _ignore


def _ignore(_: int) -> None:
    pass


def _tell(source: str, trouble: str | None, summary: Summary, options: WatchOptions) -> None:
    """The summary on standard output, unless that is JSON, and on standard error what was written where."""
    if trouble:
        note(f"note: {trouble}")
    if not options.as_json:
        _tell_faces(source, summary)
    if options.annotate and options.annotate.exists():
        note(f"film: {options.annotate}")
    if options.timeline:
        from mien.report.timeline import timeline

        save_picture(timeline(summary, Path(source).name), options.timeline)


def _tell_faces(source: str, summary: Summary) -> None:
    from mien.report.timeline import clock, duration

    if not summary.faces:
        say(f"{source}: no face found in {duration(summary.end_s)}")
        return
    longest = sorted(summary.faces, key=lambda face: -face.seen_s)[:_TOLD]
    rows = [
        (
            f"{face.face_id}",
            f"{clock(face.first_s)}–{clock(face.last_s)}",
            _shares(face),
            duration(face.seen_s),
            f"{face.changes:,}",
        )
        for face in sorted(longest, key=lambda face: face.face_id)
    ]
    table(source, ("face", "time", "emotions, by share of the time", "seen", "changes"), rows, texts=3)
    if len(summary.faces) > _TOLD:
        say(f"and {len(summary.faces) - _TOLD:,} more faces, seen more briefly")


def _shares(face: FaceSummary) -> str:
    """`happy 62 %, neutral 38 %`, those below half a percent left out."""
    ordered = sorted(face.shares.items(), key=lambda item: -item[1])
    told = ", ".join(f"{label} {share:.0%}" for label, share in ordered if share >= 0.005)
    unsure = face.unsure_s / face.seen_s if face.seen_s else 0.0
    return (told + (f"; unsure {unsure:.0%}" if unsure >= 0.005 else "")).replace("%", " %")


def tell_table(rows: TableFile | None) -> None:
    if rows and rows.rows == rows.failed:
        note(f"{rows.path}: not written, as nothing was recognized")
    elif rows:
        note(f"table: {rows.path} ({rows.rows:,} {'row' if rows.rows == 1 else 'rows'})")
