"""The server under load: time per request and requests a second by clients and threads, and memory over many requests.

    python benchmarks/server.py                    # both, about six minutes on two cores
    python benchmarks/server.py --requests 60 --long 2000

Server and clients are processes on one machine, so they share its cores; a client waits for its answer before it asks
again. The picture is the portrait of the package (512 x 512 pixels, one face), sent as a form.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

PORTRAIT = Path(__file__).parents[1] / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"
BOUNDARY = "mien"
COMMAND = [sys.executable, "-c", "from mien.cli.main import main; main()", "serve", "--port", "0"]
BEFORE = 20  # requests that are not counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=240, help="for each line of the table")
    parser.add_argument("--long", type=int, default=10_000, help="requests of the memory run, 0 for none")
    parser.add_argument("--long-detector", default="fast", help="default, fast or none")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--detectors", nargs="+", default=["default", "fast"])
    wanted = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    if wanted.requests:
        print(f"{'detector':9} {'threads':>7} {'clients':>7} {'p50 ms':>8} {'p99 ms':>8} {'per s':>7}")
        for detector in wanted.detectors:
            for threads in wanted.threads:
                with served(detector, threads) as (address, _):
                    for clients in wanted.clients:
                        show(detector, threads, clients, load(address, clients, wanted.requests))
    if wanted.long:
        memory(wanted.long_detector, wanted.long)


def show(detector: str, threads: int, clients: int, result: tuple[list[float], float]) -> None:
    times, seconds = result
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    print(f"{detector:9} {threads:7} {clients:7} {p50:8.1f} {p99:8.1f} {len(times) / seconds:7.1f}", flush=True)


def memory(detector: str, requests: int) -> None:
    """Resident memory of the server after 500 requests, and after all, sent by four clients."""
    early = min(500, requests)
    with served(detector, 2) as (address, pid):
        load(address, 4, early)
        first, peak = resident(pid), 0.0
        begin = time.perf_counter()
        done = early
        while done < requests:
            some = min(500, requests - done)
            load(address, 4, some, warm=0)
            done += some
            peak = max(peak, resident(pid))
        last = resident(pid)
    print(
        f"memory, detector {detector}: {first:.1f} MiB after {early:,} requests, {last:.1f} MiB after {requests:,} "
        f"({100 * (last / first - 1):+.1f} %), highest in between {peak:.1f} MiB; "
        f"{time.perf_counter() - begin:.0f} s"
    )


@contextmanager
def served(detector: str, threads: int) -> Iterator[tuple[str, int]]:
    """Address and process of a server."""
    command = [*COMMAND, "--detector", detector, "--threads", str(threads), "--max-waiting", "64"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            line = process.stderr.readline()
            found = re.search(r"http://([\d.]+:\d+)", line)
            if not found:
                raise SystemExit(f"the server did not start: {line}{process.stderr.read()}")
            threading.Thread(target=process.stderr.read, daemon=True).start()  # its log, so that it never waits for us
            yield found.group(1), process.pid
        finally:
            process.terminate()


def load(address: str, clients: int, requests: int, warm: int = BEFORE) -> tuple[list[float], float]:
    """Seconds of each request, and of all together; `clients` ask at the same time."""
    client = Client(address)
    for _ in range(warm):
        client.ask()
    each = -(-requests // clients)
    times: list[list[float]] = [[] for _ in range(clients)]
    threads = [threading.Thread(target=Client(address).ask_often, args=(each, times[i])) for i in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    return [one for some in times for one in some], seconds


class Client:
    """One connection that is kept."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(address, timeout=60)
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        self._body = head.encode() + PORTRAIT.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
        self._headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    def ask(self) -> None:
        self._connection.request("POST", "/v1/recognize", self._body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200 or b'"faces":[{' not in content:
            raise SystemExit(f"answer {answer.status}: {content[:200]!r}")

    def ask_often(self, times: int, took: list[float]) -> None:
        for _ in range(times):
            begin = time.perf_counter()
            self.ask()
            took.append(time.perf_counter() - begin)


def resident(pid: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
