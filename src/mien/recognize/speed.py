"""Speed: how many faces and pictures a second are recognized on this machine, timed in turns. Needs no torch."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeVar

import numpy as np

from mien.recognize.classifier import Classifier
from mien.recognize.finder import DetectorChoice
from mien.recognize.recognizer import Recognizer
from mien.recognize.session import CPU, cores
from mien.recognize.vendored import vendored_folder

BATCH = 32  # faces a call, beside one
DETECTORS: tuple[DetectorChoice, ...] = ("default", "fast")
ROUNDS = 5
SECONDS = 0.12  # of calls per turn; a single call where that takes longer
_PORTRAIT = "astronaut.jpg"

Key = TypeVar("Key")
Tick = Callable[[str, int, int], None]  # what is done, how many rounds of it, of how many


@dataclass(frozen=True)
class Machine:
    """What the figures hold for."""

    processor: str
    cores: int  # that this process may use
    system: str
    onnxruntime: str  # its version


@dataclass(frozen=True)
class Speed:
    """What one model does in a second with `threads` cores: medians."""

    model: str
    threads: int
    faces_single: float  # cut faces, classified one a call
    faces_batch: float  # the same at `batch` a call
    batch: int
    pictures: dict[str, float]  # detector → portraits, each from its JPEG bytes to its emotions


def machine() -> Machine:
    """This one."""
    return Machine(
        processor=_processor(),
        cores=cores(),
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        onnxruntime=version("onnxruntime"),
    )


def measure_speed(models: Sequence[str], threads: int, *, provider: str = CPU, tick: Tick | None = None) -> list[Speed]:
    """Time `models` (as `Recognizer` takes them) with `threads` cores, side by side.

    Raises `InputError` for a model that cannot be opened, or a `provider` that is not there.
    """
    portrait = (vendored_folder("pictures") / _PORTRAIT).read_bytes()
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    for model in dict.fromkeys(models):
        for detector in DETECTORS:
            recognizer = Recognizer(model, detector=detector, threads=threads, provider=provider)
            calls[model, detector] = partial(recognizer, portrait)
        calls[model, "1"], calls[model, "batch"] = _face_calls(recognizer)
    with _opencv_threads(threads):
        took = turns(calls, tick=tick)
    return [
        Speed(
            model=model,
            threads=threads,
            faces_single=1 / took[model, "1"],
            faces_batch=BATCH / took[model, "batch"],
            batch=BATCH,
            pictures={detector: 1 / took[model, detector] for detector in DETECTORS},
        )
        for model in dict.fromkeys(models)
    ]


def milliseconds(models: Mapping[str, Recognizer | Classifier]) -> dict[str, tuple[float, float]]:
    """Per face, one a call and at 32 a call, of each model; they take turns."""
    calls: dict[tuple[str, int], Callable[[], object]] = {}
    for name, model in models.items():
        calls[name, 1], calls[name, BATCH] = _face_calls(model)
    took = turns(calls)
    return {name: (1e3 * took[name, 1], 1e3 * took[name, BATCH] / BATCH) for name in models}


def turns(calls: Mapping[Key, Callable[[], object]], *, tick: Tick | None = None) -> dict[Key, float]:
    """Median seconds of each call, over `ROUNDS` rounds.

    Every round gives every call its turn, every second round backwards, so that what slows the machine for a while
    slows all of them.
    """
    took: dict[Key, list[float]] = {key: [] for key in calls}
    for call in calls.values():  # memory is asked for in the first call
        call()
    for i in range(ROUNDS):
        for key in list(calls)[:: -1 if i % 2 else 1]:
            took[key] += _turn(calls[key])
        if tick:
            tick("timing", i + 1, ROUNDS)
    return {key: median(times) for key, times in took.items()}


def _turn(call: Callable[[], object]) -> list[float]:
    times: list[float] = []
    while not times or sum(times) < SECONDS:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return times


def _face_calls(model: Recognizer | Classifier) -> tuple[Callable[[], object], Callable[[], object]]:
    """Classifying one face and `BATCH` faces, from crops of the size that the network sees."""
    size = model.card.preprocess.size
    crops = list(np.random.default_rng(0).integers(0, 256, (BATCH, size, size), dtype=np.uint8))
    return partial(model.classify, crops[:1]), partial(model.classify, crops)


@contextmanager
def _opencv_threads(threads: int) -> Iterator[None]:
    """OpenCV scales pictures on as many cores as onnxruntime may use; its number holds for the whole process."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _processor() -> str:
    """Its name for people; what kind it is where the system does not say."""
    try:
        if sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, subprocess.SubprocessError):
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
