"""Whole photos a second beside `fer` (PyPI), detection included, on the same pictures in one run.

python benchmarks/photos.py --fer-python FER_VENV/bin/python PICTURE…

`fer` lives in an environment of its own: `python -m venv FER_VENV && FER_VENV/bin/pip install fer==25.10.3`; it is used
as it comes, with its Haar detector and its quantized net: `FER().detect_emotions(path)`. The portrait of our package is
the first picture. Each contestant is a process that is given one path at a time, and decodes, finds and classifies;
they take turns picture by picture, every second round backwards. A photo counts with the median of its rounds.
Both may use `--threads` cores: the processes are bound to as many, and OpenCV and onnxruntime are told.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

from mien.images import read
from mien.recognize.speed import machine
from mien.recognize.vendored import vendored_folder

ROUNDS = 7
_ANSWER = "answer: "  # before what a contestant says; whatever else is printed there is passed over
_BEGIN = """
import json, os, sys, time
threads = int(sys.argv[1])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
import cv2
cv2.setNumThreads(threads)
"""
_TURNS = """
for line in sys.stdin:
    began = time.perf_counter()
    faces = look(line.rstrip("\\n"))
    print("answer: " + json.dumps([time.perf_counter() - began, faces]), flush=True)
"""
_FER = """
import warnings
warnings.simplefilter("ignore")
from fer.fer import FER
detector = FER()
def look(path):
    return len(detector.detect_emotions(path))
"""
_MIEN = """
from mien import Recognizer
recognizer = Recognizer(sys.argv[2], detector=sys.argv[3], threads=threads)
def look(path):
    return len(recognizer(path))
"""


@dataclass
class Contestant:
    """A process that looks at pictures, and what it took: path → seconds, path → faces."""

    name: str
    process: subprocess.Popen[str]
    seconds: dict[Path, list[float]] = field(default_factory=dict)
    faces: dict[Path, int] = field(default_factory=dict)

    @classmethod
    def start(cls, name: str, python: str, code: str, *arguments: str) -> Contestant:
        process = subprocess.Popen(
            [python, "-c", _BEGIN + code + _TURNS, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        return cls(name, process)

    def look(self, path: Path, *, count: bool = True) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: PT018  both are pipes
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith(_ANSWER):
                seconds, faces = json.loads(line.removeprefix(_ANSWER))
                break
        else:
            sys.exit(f"{self.name}: ended at {path}")
        if count:
            self.seconds.setdefault(path, []).append(seconds)
            self.faces[path] = faces

    def medians(self) -> dict[Path, float]:
        return {path: median(times) for path, times in self.seconds.items()}


def contestants(fer_python: str, model: str, threads: int) -> list[Contestant]:
    ours = [
        Contestant.start(f"mien, {model}, detector {detector}", sys.executable, _MIEN, str(threads), model, detector)
        for detector in ("default", "fast")
    ]
    return [Contestant.start("fer", fer_python, _FER, str(threads)), *ours]


def race(runners: list[Contestant], pictures: list[Path], rounds: int) -> None:
    for path in pictures:  # what is opened late, and the file cache
        for runner in runners:
            runner.look(path, count=False)
    for i in range(rounds):
        for path in pictures:
            for runner in runners[:: -1 if i % 2 else 1]:
                runner.look(path)


def report(runners: list[Contestant], pictures: list[Path]) -> None:
    base = sum(runners[0].medians().values())
    for runner in runners:
        seconds, faces = sum(runner.medians().values()), sum(runner.faces.values())
        print(
            f"{runner.name}: {len(pictures) / seconds:.2f} photos/s ({base / seconds:.1f} times fer), "
            f"{faces / seconds:.2f} faces/s, {faces} faces found"
        )
    for path in pictures:
        times = ", ".join(f"{1e3 * runner.medians()[path]:.0f} ms {runner.faces[path]} faces" for runner in runners)
        print(f"  {path.name}: {times}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--fer-python", required=True, help="interpreter of the environment that holds fer")
    parser.add_argument("--model", default="mien-small")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    how = parser.parse_args()
    pictures = [vendored_folder("pictures") / "astronaut.jpg", *(path.resolve() for path in how.pictures)]
    print(machine())
    for path in pictures:
        height, width = read(path).shape[:2]
        print(f"{path.name}: {width}x{height}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
    for threads in how.threads:
        began = perf_counter()
        runners = contestants(how.fer_python, how.model, threads)
        race(runners, pictures, how.rounds)
        print(f"{threads} of the cores, decoding included, {how.rounds} rounds, {perf_counter() - began:.0f} s:")
        report(runners, pictures)
        for runner in runners:
            runner.process.communicate()


if __name__ == "__main__":
    main()
