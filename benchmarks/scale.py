"""Jobs in parts under fire, and what they cost: python benchmarks/scale.py [--kills 20] [--long] [--overhead]

Kills: jobs of 200 small pictures on Ray, whose workers and driver are killed (SIGKILL) at random moments, each time
taken up again by the same command. Every row has to be there once and equal the table of `mien recognize --out`, and a
minute without progress is a failure. `--long`: 200 kills in ten jobs.
Overhead: the same 2,000 pictures by `mien recognize --out`, `--engine local` and `--engine ray`, in turns.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from mien.recognize.vendored import vendored_folder

PATIENCE_S = 60.0
OPTIONS = ("--model", "mien-tiny", "--detector", "fast")
PART = 8


@dataclass
class Kills:
    """What was killed, and when: `parts` that stood by then."""

    driver: int = 0
    worker: int = 0
    parts: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.driver + self.worker


def draw(folder: Path, count: int, seed: int = 0, side: int = 160) -> Path:
    """Small cuts of a portrait; one in eleven has no face, one in seventeen is no picture."""
    folder.mkdir(parents=True)
    portrait = Image.open(vendored_folder("pictures") / "astronaut.jpg").convert("RGB")
    rng = np.random.default_rng(seed)
    for i in range(count):
        file = folder / f"{i:05d}.jpg"
        if i % 17 == 5:
            file.write_bytes(b"no picture")
            continue
        x, y = rng.integers(0, 60, 2)
        width = int(rng.integers(300, 400))
        cut = portrait.crop((60 + x, y, 60 + x + width, y + width)).resize((side, side))
        (Image.new("RGB", (side, side), (i % 255,) * 3) if i % 11 == 3 else cut).save(file, quality=90)
    return folder


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mien", "recognize", *map(str, arguments), *OPTIONS]


def on_ray(pictures: Path, out: Path) -> list[str]:
    return command(pictures, "--engine", "ray", "--workers", 2, "--part", PART, "--out", out)


def plain_table(pictures: Path, table: Path) -> bytes:
    """What one machine writes, without parts."""
    subprocess.run(command(pictures, "--out", table), capture_output=True, check=False)
    return table.read_bytes()


def attacked_job(pictures: Path, out: Path, most: int, chance: random.Random, kills: Kills) -> None:
    """One job, from its begin to its end, with up to `most` kills. Raises `RuntimeError` for a deadlock."""
    left = most
    while True:
        left -= attacked_run(pictures, out, left, chance, kills)
        if left <= 0 or is_whole(out):
            break
    # Kills that the end of the job forestalled are not counted. To the end without any:
    done = subprocess.run(on_ray(pictures, out), capture_output=True, text=True, timeout=5 * PATIENCE_S, check=False)
    if done.returncode != 1:  # some pictures fail
        raise RuntimeError(f"the last run ended with {done.returncode}: {done.stderr}")


def attacked_run(pictures: Path, out: Path, most: int, chance: random.Random, kills: Kills) -> int:
    """One start of the command; how many kills it took. It ends with the death of the driver, or by itself."""
    with tempfile.TemporaryFile() as said:
        driver = subprocess.Popen(on_ray(pictures, out), stdout=said, stderr=said, start_new_session=True)
        taken = 0
        known: set[int] = set()
        moved, before = time.monotonic(), len(parts_of(out))
        aim = _aim(chance, before)
        try:
            while driver.poll() is None:
                time.sleep(0.02)
                known |= descendants(driver.pid)
                now, parts = time.monotonic(), len(parts_of(out))
                if parts > before:
                    moved, before = now, parts
                if now - moved > PATIENCE_S:
                    said.seek(0)
                    raise RuntimeError(f"no progress for {PATIENCE_S:.0f} s at {parts} parts: {said.read().decode()}")
                if taken == most or not aim.is_due(now, parts):
                    continue
                if aim.worker:
                    workers = [pid for pid in descendants(driver.pid) if "MapWorker" in name_of(pid)]
                    if not workers:
                        continue
                    _kill(chance.choice(workers))
                    kills.worker += 1
                else:
                    _kill(driver.pid)
                    kills.driver += 1
                kills.parts.append(parts)
                taken += 1
                aim = _aim(chance, parts)
        finally:
            driver.kill()
            driver.wait()
            _wait_for_end(known)
    return taken


@dataclass(frozen=True)
class Aim:
    """When to kill what: at a moment after the start, or a moment after so many parts stand."""

    worker: bool
    at: float | None
    parts: int

    def is_due(self, now: float, parts: int) -> bool:
        return now >= self.at if self.at is not None else parts >= self.parts


def _aim(chance: random.Random, parts: int) -> Aim:
    worker = chance.random() < 0.5
    if chance.random() < 0.3:  # also while Ray starts, and the list is made
        return Aim(worker, time.monotonic() + chance.uniform(0, 10), 0)
    return Aim(worker, None, parts + chance.randint(0, 4))


def parts_of(out: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(out) if re.fullmatch(r"part-\d+\.parquet", entry.name)]
    except FileNotFoundError:
        return []


def is_whole(out: Path) -> bool:
    from mien.scale.job import Job

    return (out / "_job.json").is_file() and len(parts_of(out)) == len(Job.read(str(out)).parts)


def table_of(out: Path, table: Path) -> bytes:
    subprocess.run(command(out, "--table", table), capture_output=True, check=True)
    return table.read_bytes()


def check_once(out: Path, pictures: int) -> None:
    """Every picture has one row, in one part. Raises `RuntimeError`."""
    import pyarrow.parquet as pq

    sources = Counter(
        source
        for part in parts_of(out)
        for source in pq.read_table(out / part, columns=["source"])["source"].to_pylist()
    )
    if len(sources) != pictures or set(sources.values()) != {1}:
        raise RuntimeError(f"{out}: {len(sources)} of {pictures} pictures, {sum(sources.values())} rows")


def descendants(pid: int) -> set[int]:
    """Processes that a process started, and those that they started."""
    parents: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                told = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(told.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found.update(children)
        waiting.extend(children)
    return found


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _wait_for_end(known: set[int]) -> None:
    """Ray's processes end with their driver; those of ours that do not are ended."""
    until = time.monotonic() + 15
    while time.monotonic() < until:
        alive = {pid for pid in known if "ray" in name_of(pid)}
        if not alive:
            return
        time.sleep(0.1)
    for pid in alive:
        _kill(pid)


def under_fire(folder: Path, jobs: int, most: int, seed: int, *, pictures: int = 200) -> Kills:
    """`most` kills over so many jobs, each checked. Raises `RuntimeError` at the first that is not right."""
    chance, kills = random.Random(seed), Kills()
    album = draw(folder / "pictures", pictures)
    wanted = plain_table(album, folder / "plain.csv")
    number = 0
    while kills.count < most:
        out = folder / f"job-{number}"
        begun = time.monotonic()
        before = kills.count
        attacked_job(album, out, min(-(-most // jobs), most - kills.count), chance, kills)
        check_once(out, pictures)
        if table_of(out, folder / f"job-{number}.csv") != wanted:
            raise RuntimeError(f"{out}: its table is not that of one machine")
        print(
            f"job {number}: {kills.count - before} kills, {time.monotonic() - begun:.0f} s: the same table", flush=True
        )
        shutil.rmtree(out)
        number += 1
    return kills


def overhead(folder: Path, rounds: int, count: int = 2000) -> None:
    """Seconds of the whole command, in turns; of Ray its start (a job of one picture) is told apart.

    Beside them the seconds of processors, which other work on the machine does not lengthen; those of Ray's workers
    are not this process' to count.
    """
    album, one = draw(folder / "pictures", count), draw(folder / "one", 1)
    ways = {
        "mien recognize --out": lambda n: command(album, "--out", folder / f"plain-{n}.csv"),
        "--engine local": lambda n: command(album, "--engine", "local", "--out", folder / f"local-{n}"),
        "--engine ray": lambda n: command(album, "--engine", "ray", "--out", folder / f"ray-{n}"),
        "--engine ray, one picture": lambda n: command(one, "--engine", "ray", "--out", folder / f"one-{n}"),
    }
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for n in range(rounds):
        for way, line in list(ways.items())[:: -1 if n % 2 else 1]:
            took[way].append(_seconds(line(n)))
    wall = {way: median(seconds for seconds, _ in times) for way, times in took.items()}
    work = {way: median(seconds for _, seconds in times) for way, times in took.items()}
    first = next(iter(ways))
    print(f"{count:,} pictures, medians of {rounds} rounds")
    for way in ways:
        of_processors = "" if "ray" in way else f"; processors {work[way]:.1f} s, {work[way] / work[first]:.2f}"
        print(f"{way}: {wall[way]:.1f} s, {wall[way] / wall[first]:.2f} of the first{of_processors}")
    start = wall["--engine ray, one picture"]
    print(f"--engine ray beyond its start: {(wall['--engine ray'] - start) / wall[first]:.2f} of the first")


def _seconds(line: list[str]) -> tuple[float, float]:
    """On the clock, and of processors."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(line, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--long", action="store_true", help="200 kills in ten jobs")
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if chosen.overhead:
            overhead(Path(name), chosen.rounds)
            return
        jobs, most = (10, 200) if chosen.long else (chosen.jobs, chosen.kills)
        kills = under_fire(Path(name), jobs, most, chosen.seed)
        print(
            f"{kills.count} kills ({kills.worker} of workers, {kills.driver} of drivers; "
            f"{sum(n > 0 for n in kills.parts)} when parts stood): "
            "no row lost, none doubled, no deadlock, the table of one machine each time"
        )


if __name__ == "__main__":
    main()
