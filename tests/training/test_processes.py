"""What processes of one training tell each other: two that began together, with gloo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mien.training.processes import decided_by_first, first_of_this_machine, is_first

PROGRAM = """
import json, os, sys, time
import torch.distributed as dist
from pathlib import Path
from mien.errors import InputError
from mien.training.processes import decided_by_first, first_of_this_machine, is_first

dist.init_process_group("gloo")
folder = Path(sys.argv[1])

def refuse():
    raise InputError(f"refused by {os.environ['RANK']}")

said = {"first": is_first(), "decided": decided_by_first(lambda: os.environ["RANK"], "otherwise")}
try:
    decided_by_first(refuse, None)
except InputError as error:
    said["refused"] = str(error)
with first_of_this_machine():
    said["found"] = (folder / "done").exists()
    time.sleep(0.2)
    (folder / "done").touch()
dist.destroy_process_group()
(folder / f"{os.environ['RANK']}.json").write_text(json.dumps(said))
"""


@pytest.mark.slow
def test_the_word_of_the_first_holds_for_all(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            env={**os.environ, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(port)},
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    assert [process.wait(120) for process in started] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == {"first": True, "decided": "0", "refused": "refused by 0", "found": False}
    assert second == {"first": False, "decided": "0", "refused": "refused by 0", "found": True}


def test_alone_or_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert is_first()
    assert decided_by_first(lambda: "own", "otherwise") == "own"
    monkeypatch.setenv("LOCAL_RANK", "1")  # as Lightning starts them
    assert not is_first()
    assert decided_by_first(lambda: "own", "otherwise") == "otherwise"
    with first_of_this_machine():
        pass
    monkeypatch.setenv("RANK", "4")
    monkeypatch.setenv("LOCAL_RANK", "0")  # the first of another machine
    assert not is_first()
