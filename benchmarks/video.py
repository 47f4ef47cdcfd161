"""How fast a video is watched, as a multiple of real time, and whether memory stays the same however long it is.

    python benchmarks/video.py

Makes a 720p25 H.264 clip of one face that moves slowly (needs the extra "video"), and watches it with a table: with
either detector, at every 2nd frame and at each, and with the annotated film. Each is a process of its own, and so its
peak memory is its own. The same clip four times as long tells whether memory grows. CPU only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import mien
from mien.images import read

FPS, WIDTH, HEIGHT = 25, 1280, 720
PORTRAIT = Path(mien.__file__).parent / "recognize" / "pictures" / "astronaut.jpg"


def make_clip(path: Path, seconds: int) -> None:
    """The portrait wanders over a noisy background."""
    from mien.recognize.film import Film

    portrait = read(PORTRAIT)
    side = portrait.shape[0]
    background = np.random.default_rng(0).integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    with Film(path, fps=FPS) as film:
        for i in range(seconds * FPS):
            x = round((WIDTH - side) / 2 * (1 + np.sin(i / FPS / 3)))
            y = round((HEIGHT - side) / 2 * (1 + np.cos(i / FPS / 5)))
            image = background.copy()
            image[y : y + side, x : x + side] = portrait
            film.write(image, i / FPS)


def watch_once(clip: Path, detector: str, threads: int | None, every: int, *, film: bool) -> None:
    """Prints its figures as JSON; run in a process of its own."""
    from mien import Recognizer
    from mien.cli.films import recognize_videos
    from mien.cli.watch import WatchOptions

    recognizer = Recognizer(detector=detector, threads=threads)
    recognizer([np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)])  # opens the networks: that is no part of a long video
    out = clip.with_suffix(f".{os.getpid()}.csv")
    options = WatchOptions(every=every, out=out, annotate=out.with_suffix(".mp4") if film else None, as_json=False)
    start, cpu = time.perf_counter(), time.process_time()
    recognize_videos([clip], recognizer, options)
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    rows = len(out.read_text("utf-8").splitlines()) - 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
    print(json.dumps({"wall_s": wall, "cpu_s": used, "peak_mib": peak, "rows": rows}))


def measured(clip: Path, detector: str, threads: int | None, every: int, film: bool) -> dict[str, float]:
    asked = json.dumps([str(clip), detector, threads, every, film])
    done = subprocess.run([sys.executable, __file__, "--one", asked], check=True, capture_output=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20, help="length of the clip")
    parser.add_argument("--threads", type=int, default=None, help="of the networks; the runtime's choice if left out")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        clip, detector, threads, every, film = json.loads(asked.one)
        watch_once(Path(clip), detector, threads, every, film=film)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{platform.machine()}, {cores} cores, threads of the networks: {asked.threads or 'automatic'}; "
          f"{WIDTH}x{HEIGHT} at {FPS} frames a second, one face, {asked.seconds} s")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder, "short.mp4"), Path(folder, "long.mp4")
        make_clip(short, asked.seconds)
        for detector, every, film in (
            ("default", 2, False), ("fast", 2, False), ("default", 1, False), ("fast", 1, False),
            ("default", 2, True), ("fast", 2, True),
        ):  # fmt: skip
            got = measured(short, detector, asked.threads, every, film)
            print(f"{detector:8} every {every}{' with film' if film else '':10}  "
                  f"{asked.seconds / got['wall_s']:5.2f} x real time  ({got['wall_s']:.1f} s, "
                  f"{got['cpu_s']:.1f} s of CPU, {got['rows']:.0f} rows)")  # fmt: skip
        make_clip(long, 4 * asked.seconds)
        for film in (False, True):
            peaks = [measured(clip, "fast", asked.threads, 2, film)["peak_mib"] for clip in (short, long)]
            print(f"peak memory{' with film' if film else '':10}  {peaks[0]:.0f} MiB for {asked.seconds} s, "
                  f"{peaks[1]:.0f} MiB for {4 * asked.seconds} s")  # fmt: skip


if __name__ == "__main__":
    main()
