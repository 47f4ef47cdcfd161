"""Jobs on the command line: what one will take, how far it is, what came of it, and its table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.cli.console import is_terminal, note, refuse, rough_time, say
from mien.cli.summed import SummaryOptions, Summed
from mien.errors import InputError, InterruptedRunError

if TYPE_CHECKING:
    from mien.recognize.recognizer import Recognizer
    from mien.scale.batch import Engine
    from mien.scale.cluster import RayCluster
    from mien.scale.estimate import Estimate
    from mien.scale.job import How, Job
    from mien.scale.parts import Tally
    from mien.scale.source import Item

_EVERY_S = 10.0  # between two lines of progress; on a terminal, where one line changes, a fifth of it
_KINDS = 12  # of failures that are told
_FEWEST = 8  # of a sample, and at most 1 in 50 of what is done anyway; --dry-run takes more


@dataclass(frozen=True)
class JobOptions:
    """What `mien recognize --engine` is told beside the inputs and the recognizer."""

    engine: Engine
    out: str | None
    address: str | None = None
    workers: int | None = None
    num_gpus: float = 0.0
    part: int | None = None
    price: float | None = None
    dry_run: bool = False
    table: Path | None = None
    overwrite: bool = False
    as_video: bool = False
    require_face: bool = False
    every: int = 1
    fps: float | None = None
    smooth_s: float | None = None
    summary: SummaryOptions = field(default_factory=SummaryOptions)


def recognize_parts(names: Sequence[str], recognizer: Recognizer, options: JobOptions) -> None:
    """Estimate, do what is left of the job, sum up. Exit code 1 where pictures failed, as without --engine."""
    from mien.scale.cluster import Cluster, RayCluster
    from mien.scale.job import Job
    from mien.scale.source import items

    _check(options)
    summed = Summed(options.summary, recognizer.labels, overwrite=options.overwrite)
    listed = list(items(names, as_video=options.as_video))
    if not listed:
        raise InputError(f"{', '.join(names)}: no pictures found")
    if options.summary.wanted and not any(item.video for item in listed):
        raise InputError(
            "summaries are of videos, and none is among what was named: leave out --summary and --group-by"
        )
    with ExitStack() as stack:
        job = Job.planned(_folder(options), _how(options), recognizer, listed)
        if not options.dry_run:
            stack.enter_context(_alone(job.out))
        before = set() if options.dry_run else job.begin(listed, overwrite=options.overwrite)
        left = [part for part in job.parts if part not in before]
        if before:
            done = sum(job.size(part) for part in before)
            note(f"going on: {done:,} of {job.pictures:,} pictures are done already")
        cluster = None
        if options.engine == "ray" and left:
            cluster = stack.enter_context(RayCluster(Cluster(options.address, options.workers, options.num_gpus)))
        if left:
            _foretell(listed, job, before, recognizer, options, cluster)
        if options.dry_run:
            return
        counted = _run(job, left, recognizer, cluster)
        _add_earlier(counted, job, before)
    if options.table:
        _flatten(job.out, options.table)
    _sum_up_videos(job, listed, summed, options)
    _sum_up(job, counted)


def write_table(names: Sequence[str], table: Path, *, overwrite: bool) -> None:
    """The table of a finished job's folder."""
    from mien.recognize.rows import check_absent, check_table

    if len(names) != 1:
        raise InputError(f"--table takes one folder that --engine wrote; {len(names)} inputs were named")
    check_table(table, [], overwrite=overwrite)
    check_absent(table, overwrite=overwrite)
    _flatten(names[0], table)


def _flatten(out: str, table: Path) -> None:
    from mien.scale.parts import flatten

    written = flatten(out, table)
    note(f"table: {table} ({written.faces:,} {'face' if written.faces == 1 else 'faces'})")


def _check(options: JobOptions) -> None:
    from mien.recognize.rows import check_absent, check_table
    from mien.recognize.track import Tracker

    if options.engine == "local":
        of_ray = {"--address": options.address, "--workers": options.workers, "--num-gpus": options.num_gpus}
        refuse(of_ray, "for --engine ray", " for local")
    if options.smooth_s is not None:
        Tracker(smooth_s=options.smooth_s)
    if options.table:
        check_table(options.table, [], overwrite=options.overwrite)
        check_absent(options.table, overwrite=options.overwrite)


def _folder(options: JobOptions) -> str:
    from mien.scale.places import is_address

    if options.out is None:
        if options.dry_run:
            return "."
        raise InputError("--engine writes parts into a folder: name it with --out, as faces or s3://bucket/faces")
    if not is_address(options.out) and Path(options.out).exists() and not Path(options.out).is_dir():
        raise InputError(f"{options.out}: is a file; with --engine --out is a folder, and --table names a file")
    # Workers may run elsewhere in the file system.
    return options.out if is_address(options.out) else str(Path(options.out).absolute())


def _how(options: JobOptions) -> How:
    from mien.recognize.track import SMOOTH_S
    from mien.scale.job import PART, How

    return How(
        require_face=options.require_face,
        every=options.every,
        fps=options.fps,
        smooth_s=SMOOTH_S if options.smooth_s is None else options.smooth_s,
        part=options.part or PART,
    )


@contextmanager
def _alone(out: str) -> Iterator[None]:
    """No other command on this machine works on the folder. At an address there are no locks; there two would do the
    same parts, and write them under the same names.
    """
    from mien.scale.places import is_address
    from mien.scratch import held_folder

    if is_address(out):
        yield
        return
    with held_folder(Path(out)):
        yield


def _foretell(
    listed: Sequence[Item], job: Job, before: set[int], recognizer: Recognizer, options: JobOptions,
    cluster: RayCluster | None,
) -> None:  # fmt: skip
    from mien.recognize.recognizer import reopened
    from mien.recognize.session import cores
    from mien.scale.estimate import SAMPLE, estimate, parts_left

    on_one_core = reopened(recognizer.__getstate__(), threads=1)
    ahead = list(parts_left(listed, job.starts, before))
    most = SAMPLE if options.dry_run else min(SAMPLE, max(_FEWEST, len(ahead) // 50))
    found = estimate(ahead, on_one_core, job.how, most)
    at_a_time = cluster.cores if cluster else float(recognizer.threads or cores())
    say(_foretold(found, at_a_time, options))


def _foretold(found: Estimate, at_a_time: float, options: JobOptions) -> str:
    what = [f"{found.pictures:,} pictures"] * bool(found.pictures) + [f"{found.videos:,} videos"] * bool(found.videos)
    where = "this machine" if options.address is None else "this cluster"
    lines = [
        f"to do: {' and '.join(what)}, {1000 * found.seconds_each:.3g} ms each on a core ({found.sampled:,} tried)",
        f"core-hours: {found.core_hours:.3g}",
        f"time on {where}: {rough_time(3600 * found.hours(at_a_time))} ({at_a_time:g} cores)",
    ]
    if options.price is not None:
        lines.append(f"price: {found.price(options.price):,.2f} (at {options.price:g} a core-hour)")
    return "\n".join(lines)


def _run(job: Job, left: Sequence[int], recognizer: Recognizer, cluster: RayCluster | None) -> Tally:
    from mien.scale.batch import run_here, run_on
    from mien.scale.parts import Tally

    counted = Tally()
    if not left:
        return counted
    total = sum(job.size(part) for part in left)
    progress = _Progress(total)
    try:
        for tally in run_on(cluster, job, left, recognizer) if cluster else run_here(job, left, recognizer):
            counted.add(tally)
            progress.tell(counted)
    except KeyboardInterrupt as stop:
        raise InterruptedRunError("stopped. Finished parts stay; the same command goes on") from stop
    finally:
        progress.end()
    return counted


class _Progress:
    """A line now and then on standard error."""

    def __init__(self, total: int) -> None:
        self._total, self._start = total, time.monotonic()
        self._told = self._start
        self._shown = False

    def tell(self, counted: Tally) -> None:
        now = time.monotonic()
        if now - self._told < (_EVERY_S / 5 if is_terminal() else _EVERY_S):
            return
        self._told = now
        rate = counted.inputs / max(now - self._start, 1e-9)
        left = (self._total - counted.inputs) / max(rate, 1e-9)
        line = (
            f"{counted.inputs:,} of {self._total:,} pictures, {rate:,.1f}/s, {counted.failures:,} failed, "
            f"{rough_time(left)} left"
        )
        if is_terminal():
            typer.echo(f"\r\x1b[K{line}", err=True, nl=False)
            self._shown = True
        else:
            note(line)

    def end(self) -> None:
        if self._shown:
            typer.echo("", err=True)


def _add_earlier(counted: Tally, job: Job, before: set[int]) -> None:
    """What was done by an earlier run belongs to the sum too."""
    from mien.scale.parts import read_tally

    for part in sorted(before):
        counted.add(read_tally(job, part))


def _sum_up_videos(job: Job, listed: Sequence[Item], summed: Summed, options: JobOptions) -> None:
    """Write or print what --summary and --group-by ask for, in the order of the list."""
    from mien.recognize.rows import Blank
    from mien.scale.parts import looks_of, read_summary

    if not options.summary.wanted:
        return
    for part in job.parts:
        item = listed[job.starts[part]]
        if not item.video:
            continue
        found = read_summary(job, part)
        if found is not None:
            summed.add(item.source, found)
            continue
        why = [rows[0].error for rows in looks_of(job, part) if isinstance(rows[0], Blank) and rows[0].error]
        summed.add_failed(item.source, why[-1])
    summed.end(as_json=False)


def _sum_up(job: Job, counted: Tally) -> None:
    looks = f" ({counted.looks:,} looks)" if counted.looks != counted.inputs else ""
    note(
        f"{counted.inputs:,} pictures{looks}: {counted.with_face:,} with a face, {counted.faces:,} faces, "
        f"{counted.failures:,} failed"
    )
    kinds = sorted(counted.failed.items(), key=lambda item: (-item[1], item[0]))
    for kind, count in kinds[:_KINDS]:
        note(f"  {count:,} × {kind}")
    if len(kinds) > _KINDS:
        note(f"  and {len(kinds) - _KINDS:,} other kinds")
    note(f"parts: {job.out} ({len(job.parts):,})")
    if counted.failures:
        raise typer.Exit(1)
