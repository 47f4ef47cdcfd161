"""What it costs to start and to train: seconds until `mien` answers in a fresh process, peak memory of a training.

python benchmarks/footprint.py --data fer2013.zip

Without --data the training is left out. The photo is the portrait of the package; files are in the system's cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mien.recognize.vendored import vendored_folder

STARTS = 10
MIEN = str(Path(sys.executable).with_name("mien"))


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def cold_starts() -> dict[str, list[float]]:
    """Command → seconds of each of its fresh processes; the commands take turns."""
    portrait = str(vendored_folder("pictures") / "astronaut.jpg")
    commands = {
        "mien --help": [MIEN, "--help"],
        "mien recognize": [MIEN, "recognize", portrait],
        "mien recognize --detector fast": [MIEN, "recognize", portrait, "--detector", "fast"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        seconds(command)  # the first start reads from disk
    for _ in range(STARTS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    return times


def training_peak_mib(data: str) -> float:
    """Largest resident memory of `mien train cnn-v2` over two epochs, as the kernel counts it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [MIEN, "train", "cnn-v2", "--data", data, "--out", f"{folder}/run", "--set", "epochs=2"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{' '.join(command)} failed")
        return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    data = parser.parse_args().data
    for name, times in cold_starts().items():
        print(f"{name}: median {statistics.median(times):.3f} s, slowest {max(times):.3f} s of {STARTS}")
    if data:
        print(f"peak memory of training cnn-v2: {training_peak_mib(data):,.0f} MiB")


if __name__ == "__main__":
    main()
