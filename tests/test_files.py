"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.files import write_whole


def test_text_and_bytes_arrive_as_they_are(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "text", "é\n")
    write_whole(tmp_path / "bytes", memoryview(b"\0\r\n"))
    assert (tmp_path / "new" / "text").read_bytes() == "é\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\0\r\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "file", "old")
    plain, full = Path.open, Path("/dev/full")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, *how: plain(full if path.suffix == ".part" else path, *how))
        with pytest.raises(OSError, match="No space left"):
            write_whole(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"
