"""Streams that are closed, full, or of few characters: no traceback, no word in a file, nothing that cannot be read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mien.recognize.vendored import vendored_folder

PHOTO = vendored_folder("pictures") / "astronaut.jpg"
FAST = ["--model", "mien-tiny", "--detector", "fast"]
MIEN = f"{sys.executable} -c 'from mien.cli.main import main; main()'"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(line, shell=True, capture_output=True, env={**os.environ, **environment}, check=False)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    done = shell(f"{MIEN} recognize {PHOTO} {' '.join(FAST)} --out {table} {closed}")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    lines = table.read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("source,frame,time_s,status,error,")  # no word of ours in it
    assert lines[1].startswith(f"{PHOTO},,,face,,1,")
    failed = shell(f"{MIEN} recognize {tmp_path / 'missing.jpg'} {' '.join(FAST)} {closed}")
    assert (failed.returncode, b"Traceback" in failed.stderr) == (2, False)


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1:strict", "ascii", "cp437"])
def test_terminals_of_few_characters(encoding: str, tmp_path: Path) -> None:
    name = "caf\u00e9 \u2013 \u7b11\U0001f600.jpg"
    shutil.copy(PHOTO, tmp_path / name)
    line = f"{MIEN} recognize '{tmp_path / name}' {' '.join(FAST)}"
    plain = shell(line, PYTHONIOENCODING=encoding)
    assert plain.returncode == 0, plain.stderr
    assert b"\\u7b11\\ud83d\\ude00.jpg: happy" in plain.stdout
    assert b" - " in plain.stdout
    said = shell(f"{line} --json", PYTHONIOENCODING=encoding)
    assert json.loads(said.stdout.decode(encoding.partition(":")[0]))["source"] == str(tmp_path / name)
    failed = shell(f"{MIEN} recognize '{tmp_path}/{name}x' {' '.join(FAST)}", PYTHONIOENCODING=encoding)
    assert failed.returncode == 2
    assert b"\\u7b11\\ud83d\\ude00.jpgx: " in failed.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    done = shell(f"{MIEN} recognize {PHOTO} {' '.join(FAST)} > /dev/full")
    assert done.returncode == 2
    assert b"error: standard output: No space left on device. Make room" in done.stderr


def test_a_file_that_finds_no_room_is_named(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))"
    program = f"{limit}; from mien.cli.main import main; main()"
    line = f'{sys.executable} -c "{program}" recognize {PHOTO} {" ".join(FAST)}'
    done = shell(f"{line} --annotate {tmp_path / 'marked'}")
    assert done.returncode == 2
    assert (
        f"error: {tmp_path}/marked/{PHOTO.name}: cannot be written (File too large). Make room".encode() in done.stderr
    )
    assert not (tmp_path / "marked").exists()
