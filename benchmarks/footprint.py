"""What it costs to start and to train: seconds until `mien --help` answers, peak memory of a training.

python benchmarks/footprint.py --data fer2013.zip
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

MIEN = str(Path(sys.executable).with_name("mien"))


def help_seconds() -> float:
    began = time.perf_counter()
    subprocess.run([MIEN, "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


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
    parser.add_argument("--data", required=True)
    data = parser.parse_args().data
    help_seconds()  # the first start reads from disk
    times = [help_seconds() for _ in range(10)]
    print(f"mien --help: median {statistics.median(times):.3f} s, slowest {max(times):.3f} s of 10")
    print(f"peak memory of training cnn-v2: {training_peak_mib(data):,.0f} MiB")


if __name__ == "__main__":
    main()
