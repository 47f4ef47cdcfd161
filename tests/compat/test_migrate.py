"""The guide for those who come from elsewhere: each line in its right column runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import pytest

from mien.recognize.vendored import vendored_folder

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "migrate.md").read_text(encoding="utf-8")
PORTRAIT = vendored_folder("pictures") / "astronaut.jpg"


def lines(heading: str) -> list[str]:
    """Python of the last column of the first table below a heading."""
    table = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0].split("| Before | With mien |")[1].split("\n\n")[0]
    rows = [re.split(r"(?<!\\)\|", line) for line in table.splitlines() if line.startswith("|")][1:]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row[-2])]


def test_the_new_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(PORTRAIT, "photo.jpg")
    image = cv2.imread(str(PORTRAIT))
    cv2.imwrite("face.png", image[40:200, 150:300])
    film = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (512, 512))
    for _ in range(2):
        film.write(image)
    film.release()
    space: dict[str, object] = {}
    imports, own = lines("Change one import"), lines("Write mien's own")
    assert (len(imports), len(own)) == (2, 17)
    for line in [*imports, *own]:
        exec(line, space)
    assert (space["emotion"], len(space["looks"])) == ("happy", 2)  # type: ignore[arg-type]
    assert (tmp_path / "clip.csv").is_file()
