"""Every command and every Python line of the README runs, on drawn faces under the README's names."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

import mien.studies.runs  # noqa: F401  before what it imports is replaced below
from mien import FaceSet, Recipe
from mien.cli.main import main
from mien.data.draw import draw_set
from mien.recognize.vendored import vendored_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))


def blocks(language: str, text: str = README) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for kind, block in fenced if kind == language]


def code_of(program: Callable[[], None]) -> int | str | None:
    try:
        program()
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.fixture(scope="module")
def inputs(drawn_folder: Path, save_checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """A project and a shared folder beside it, which hold what the README names. Copy it, never change it."""
    root = tmp_path_factory.mktemp("inputs")
    here = root / "project"
    draw_set(here / "fer2013.zip", 220, seed=1)
    draw_set(here / "other-faces.zip", 100, seed=2)
    shutil.copytree(drawn_folder / "train", here / "mine")
    _write_votes(here)
    shutil.copyfile(next((drawn_folder / "test" / "happy").iterdir()), here / "face.png")
    portrait = vendored_folder("pictures") / "astronaut.jpg"
    shutil.copyfile(portrait, here / "photo.jpg")
    shutil.copytree(portrait.parent, here / "photos")
    _write_clip(here / "clip.mp4", portrait)
    save_checkpoint(root / "shared" / "models" / "dinov2-small", "vit", blocks=12)
    return root


@pytest.fixture
def workplace(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def _write_clip(path: Path, portrait: Path) -> None:
    """A fifth of a second of the portrait."""
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (512, 512))
    for _ in range(5):
        film.write(cv2.imread(str(portrait)))
    film.release()


def _write_votes(folder: Path) -> None:
    """Ten votes on each face of fer2013.zip, for neutral or happiness."""
    names = FaceSet.open(folder / "fer2013.zip", size=48).names
    rows = [f"{name},{6 if i % 2 else 0},{4 if i % 2 else 10},0,0,0,0,0,0,0,0" for i, name in enumerate(names)]
    header = "path,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    (folder / "ferplus.csv").write_text("\n".join([header, *rows]) + "\n")
    groups = [f"{name},{'left' if i % 2 else 'right'}" for i, name in enumerate(names)]
    (folder / "groups.csv").write_text("\n".join(["name,group", *groups]) + "\n")


# Two end only when they are stopped, one takes its time: tests/e2e, tests/cli/test_watch.py and test_bench.py run them.
ELSEWHERE = ("mien serve", "mien recognize camera", "mien bench")
# To leave model.onnx takes longer than such a short training: these do, by train, by study and after a start.
WITH_A_FILE = ("--out runs/cnn-v2", "--recipes cnn-v1,cnn-v2,cnn-v2.1", "--out runs/mine")
MADE = (
    ("probabilities.png", "faces.csv", "clip.csv", "timeline.png", "marked/photo.jpg", "marked/clip.mp4"),
    ("stats.png", "runs/study/report.html", "faces.zip", "runs/tuned-find-lr.png", "runs/sweep/sweep.png",
     "model.onnx", "small.onnx", "runs/study/cnn-v1/model.onnx"),
    ("evidence/report-test.html", "evidence/model-card.md", "evidence/suspects-train.html", "explained.png"),
    ("runs/both/card.json", "runs/mine/model.onnx"),
    ("runs/study/vit-v1.3-frozen-dinov2-small-64px/card.json", "runs/vit/model.safetensors"),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("block", "made"), list(enumerate(MADE)))
def test_commands(
    block: int,
    made: tuple[str, ...],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(blocks("sh")) == len(MADE)
    lines = [line for line in blocks("sh")[block].splitlines() if line.startswith("mien ")]
    assert lines
    for line in lines:
        if line.startswith(ELSEWHERE):
            continue
        # Fewer epochs and, for backbones, smaller images than a real run; everything else as it is written.
        short = " --set epochs=1" if line.startswith(("mien train", "mien study", "mien sweep")) else ""
        if line.startswith(("mien train mien-small", "mien train small-ft")):
            short += " --set schedule.warmup_epochs=0"
        if "--find-lr" in line:
            short += " --set data.batch_size=16"  # for the ten batches that it needs
        if line.startswith(("mien train vit", "mien train efficientnet")):
            short += " --set data.preprocess.size=64"
        if line.startswith("mien study") and "--recipes" not in line:
            short += " --recipes cnn-v1,vit-v1.3-frozen --set vit-*:data.preprocess.size=64"  # instead of all
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", shlex.split(line + short))
            if line.startswith(("mien train", "mien study", "mien sweep")) and not any(
                words in line for words in WITH_A_FILE
            ):
                patch.setattr("mien.studies.runs.leave_onnx", lambda *_: None)
            assert code_of(main) == 0, f"{line}\n{capsys.readouterr().err}"
    for file in made:
        assert (workplace / file).is_file(), file


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_commands_of_the_guides(
    guide: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        line for block in blocks("sh", guide.read_text()) for line in block.splitlines() if line.startswith("mien")
    ]
    assert lines
    for line in lines:
        short = " --set epochs=1 --set schedule.warmup_epochs=0" if line.startswith("mien train") else ""
        monkeypatch.setattr(sys, "argv", shlex.split(line + short))
        assert code_of(main) == 0, f"{line}\n{capsys.readouterr().err}"
    for target in re.findall(r"\]\(([^)#]+)\)", guide.read_text()):
        assert (guide.parent / target).exists(), target


@pytest.mark.slow
def test_python(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    load = Recipe.load
    monkeypatch.setattr(Recipe, "load", lambda name: load(name, ["epochs=1"]))
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert "value=" in capsys.readouterr().out


def test_the_recipe_of_the_readme_is_valid(tmp_path: Path) -> None:
    (block,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(block)
    assert Recipe.load(tmp_path / "mine.yaml").data.augment.on


def test_the_tree_matches_the_disk() -> None:
    (tree,) = [block for block in blocks("") if "src/mien/" in block]
    told = set(re.findall(r"[\w-]+\.py", tree))
    there = {path.name for path in (ROOT / "src").rglob("*.py") if "cli" not in path.parts} - {"__init__.py"}
    assert there <= told, f"not in the README's tree: {there - told}"
    elsewhere = {
        path.name for folder in ("src", "examples", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")
    }
    assert told <= elsewhere, f"not on the disk: {told - elsewhere}"


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
