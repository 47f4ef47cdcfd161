"""Console: what the verbs share on the terminal: progress on standard error, tables, log lines, errors."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mien.data.cache import Progress
    from mien.data.faceset import FaceSet
    from mien.data.votes import Votes
    from mien.predictions import Truth

ModelArgument = Annotated[
    str, typer.Argument(help="Run folder, a .onnx file that mien export wrote, a bundled model, or hf://user/name.")
]
RecipeArgument = Annotated[str, typer.Argument(help="Name of a built-in recipe (see: mien recipes) or a .yaml file.")]
DataOption = Annotated[str, typer.Option("--data", help="Labeled faces: folder, zip, fer2013.csv or Parquet.")]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        help="Class names in order, with commas, where folder names do not say it; or CLASS=NAME for some classes, and "
        "CLASS=- for one to leave out.",
    ),
]
SubjectsOption = Annotated[
    str | None,
    typer.Option(
        "--subjects",
        help="CSV with the columns name and subject: who is on which picture. Splits that mien makes part nobody.",
    ),
]
SkipOption = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out pictures that cannot be read; they are listed.")
]
VotesOption = Annotated[
    str | None, typer.Option("--votes", help="CSV with the votes of several taggers on each picture, as FER+ has it.")
]
FerplusOption = Annotated[
    str | None,
    typer.Option("--ferplus", help="Take the eight labels of FER+ from --votes, by this protocol: majority or argmax."),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")]
DetectorOption = Annotated[
    str, typer.Option("--detector", help="default (CenterFace), fast (BlazeFace), or none: pictures are face crops.")
]
DetectSizeOption = Annotated[
    int, typer.Option("--detect-size", help="Long side in pixels, at most, at which faces are looked for.")
]
AbstainOption = Annotated[
    float | None,
    typer.Option("--abstain", help="Confidence below which a face is marked unsure; the model's own if left out."),
]
TruthOption = Annotated[
    str | None,
    typer.Option(
        "--truth",
        help="Which head answers, of a model with two: people (what most people see in a face) or labels (as in its "
        "training data). The model's default if left out: people.",
    ),
]
PriorOption = Annotated[
    str,
    typer.Option(
        "--prior",
        help="How frequent the classes are among these faces: train (as in training), balanced, estimate (from all the "
        "faces themselves, 100 or more), or a CSV with the columns label and count.",
    ),
]
ProviderOption = Annotated[
    str, typer.Option("--provider", help="What computes the networks: cpu, cuda, coreml, openvino or directml.")
]
EvidenceOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--evidence", help="What mien evaluate --report wrote: evidence-SPLIT.json. A run's own, if left out."
    ),
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="Cores to use; all if left out.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is in the way, unless this command reads it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]


def say(text: str) -> None:
    """A line of result on standard output."""
    try:
        print(text)
    except OSError as error:
        error.filename = "standard output"
        raise


def note(text: str) -> None:
    """A line for the person, on standard error."""
    print(text, file=sys.stderr)


def known_truth(name: str | None) -> Truth | None:
    """What --truth names; raises `InputError` for anything else."""
    from typing import cast, get_args

    from mien.errors import unknown_name
    from mien.predictions import Truth

    if name is not None and name not in get_args(Truth):
        raise unknown_name("truth", name, get_args(Truth))
    return cast("Truth | None", name)


def refuse(options: Mapping[str, object], why: str, instead: str = "") -> None:
    """Raise `InputError` for those of `options`, name → whether it is given, that are given.

    `why`: what they are for; `instead` follows the advice to leave them out.
    """
    from mien.errors import InputError

    if given := [name for name, there in options.items() if there]:
        are, them = ("is", "it") if len(given) == 1 else ("are", "them")
        raise InputError(f"{', '.join(given)} {are} {why}; leave {them} out{instead}")


def given_again(options: Mapping[str, str | None]) -> list[str]:
    """Options and their values, those that were given, as words of another command."""
    return [word for option, value in options.items() if value for word in (option, value)]


def command(*words: object) -> str:
    """A line of `mien` that a shell takes as it is meant, whatever is in the words.

    >>> command("evaluate", "runs/a", "--data", "my faces")
    "mien evaluate runs/a --data 'my faces'"
    """
    return shlex.join(["mien", *map(str, words)])


def check_picture(path: Path | None, inputs: Iterable[str | Path], *, overwrite: bool) -> None:
    """Raise `InputError`, before any work is done, for a picture that could not or must not be written in the end."""
    from mien.outputs import PICTURE, check_output

    if path is not None:
        check_output(path, PICTURE, inputs, overwrite=overwrite)


def save_picture(figure: Figure, path: Path, remark: str = "") -> None:
    """Write what `check_picture` has found to be free, and say so. Raises `InputError`."""
    from mien.errors import not_writable
    from mien.report.style import save

    try:
        save(figure, path)
    except OSError as error:
        raise not_writable(path, error, "Make room or choose another place, then run the same command") from error
    note(f"picture: {path}{remark}")


def rough_time(seconds: float) -> str:
    """An estimate of time, of at least a second.

    >>> [rough_time(seconds) for seconds in (0.2, 45, 1200, 12_240, 1_555_200)]
    ['1 s', '45 s', '20 min', '3.4 h', '18 days']
    """
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def free_place(place: Path, used: Collection[Path]) -> Path:
    """`place`, numbered where a file of this run has that name already."""
    free, number = place, 2
    while free in used:
        free, number = place.with_name(f"{place.stem}-{number}{place.suffix}"), number + 1
    return free


def end_with(failed: Sequence[str], *, inputs: int) -> None:
    """List what failed, of so many inputs, and end with the exit code that tells it; go on where nothing did."""
    if len(failed) > 1:
        note("\n".join(["failed:", *(f"  {line}" for line in failed)]))
    if failed:
        raise typer.Exit(2 if inputs == 1 else 1)


@dataclass(frozen=True)
class Reading:
    """How labeled faces are read: what --labels, --subjects and --skip-unreadable say."""

    labels: str | None = None
    subjects: str | None = None
    skip_unreadable: bool = False

    @property
    def options(self) -> list[str]:
        """As words of a command that opens the same faces."""
        named = {"--labels": self.labels, "--subjects": self.subjects}
        return given_again(named) + ["--skip-unreadable"] * self.skip_unreadable


def open_faces(data: str, how: Reading, *, size: int = 224) -> FaceSet:
    """Open labeled faces with a progress bar; pictures that are left out are named on standard error."""
    from mien.data.faceset import FaceSet
    from mien.labels import read_naming

    naming = None if how.labels is None else read_naming(how.labels)
    skip = how.skip_unreadable
    with progress() as bar:
        faces = FaceSet.open(data, size=size, labels=naming, subjects=how.subjects, skip_unreadable=skip, progress=bar)
    for why in faces.unreadable.values():
        note(f"left out: {why}")
    return faces


def open_votes(path: str | None, faces: FaceSet, ferplus: str | None) -> tuple[Votes | None, FaceSet]:
    """The votes, where a file of them is given, and the faces, with labels of FER+ where a protocol asks for them."""
    from mien.data.votes import Votes, relabeled
    from mien.errors import InputError

    if ferplus and path is None:
        raise InputError("--ferplus takes its labels from votes: pass --votes FILE")
    votes = None if path is None else Votes.open(path)
    if votes is None or ferplus is None:
        return votes, faces
    chosen = relabeled(faces, votes, ferplus)
    note(f"FER+ {ferplus}: {len(chosen):,} of {len(faces):,} faces have a label")
    return votes, chosen


def open_labeled(
    data: str, how: Reading, votes: str | None, ferplus: str | None, *, size: int
) -> tuple[FaceSet, Votes | None, FaceSet]:
    """All faces of the source, the votes, and the faces with the labels that are asked for.

    With --ferplus, names in --labels are of the labels that it puts in place of the source's.
    """
    from mien.labels import read_naming

    naming = read_naming(how.labels) if how.labels and ferplus else None
    of_ferplus = naming if isinstance(naming, dict) else None
    everything = open_faces(data, replace(how, labels=None) if of_ferplus else how, size=size)
    tagged, faces = open_votes(votes, everything, ferplus)
    return everything, tagged, faces.named(of_ferplus) if of_ferplus else faces


def opener(data: str, how: Reading) -> Callable[[int], FaceSet]:
    """Opens the faces at a size, each size once."""
    return cache(lambda size: open_faces(data, how, size=size))


def is_terminal() -> bool:
    return sys.stderr.isatty()


class _Notes(logging.Handler):
    """Looks up standard error for each line, so that a progress bar can keep below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        note(self.format(record))


def log_to_stderr() -> None:
    """Show what the library logs: epochs, decoding, warnings."""
    ours = logging.getLogger("mien")
    ours.handlers = [_Notes()]
    ours.setLevel(logging.INFO)
    ours.propagate = False


@contextmanager
def progress() -> Iterator[Progress | None]:
    """A progress bar on standard error, or None when that is no terminal."""
    if not is_terminal():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:

        def show(what: str, done: int, total: int) -> None:
            work = what.partition(":")[0]  # what follows is news of the same work
            if work not in tasks:
                tasks[work] = bar.add_task(what, total=total)
            bar.update(tasks[work], description=what, completed=done, total=total)

        yield show


@contextmanager
def counter(what: str) -> Iterator[Callable[[int], None]]:
    """A count on standard error of what is done, where the total is not known; silent when that is no terminal."""
    if not is_terminal():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} " + what), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda more: bar.advance(task, more)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> None:
    """A table on standard output; the first `texts` columns are text, the others are figures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(title), title_justify="left", title_style="bold")
    for i, name in enumerate(header):
        grid.add_column(Text(name), justify="left" if i < texts else "right", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(grid)
