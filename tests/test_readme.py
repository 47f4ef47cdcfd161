"""Every command and every Python line of README, quickstart and guides runs, on drawn faces under the same names."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file

import mien.studies.runs  # noqa: F401  before what it imports is replaced below
from mien import FaceSet, Recipe
from mien.cli.main import main
from mien.data.draw import draw_set
from mien.models.face_resnet import shapes
from mien.recognize.vendored import vendored_folder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"
GUIDES = sorted(page for page in (DOCS / "guides").glob("*.md") if page.stem != "index")
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in [ROOT / "README.md", DOCS / "quickstart.md", *GUIDES]}


def blocks(language: str, text: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for kind, block in fenced if kind == language]


def commands(text: str) -> list[str]:
    return [line for block in blocks("sh", text) for line in block.splitlines() if line.startswith("mien ")]


def code_of(program: Callable[[], None]) -> int | str | None:
    try:
        program()
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.fixture(scope="module")
def inputs(drawn_folder: Path, save_checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """A project and a shared folder beside it, which hold what the pages name. Copy it, never change it."""
    root = tmp_path_factory.mktemp("inputs")
    here = root / "project"
    draw_set(here / "fer2013.zip", 220, seed=1)
    draw_set(here / "other-faces.zip", 100, seed=2)
    shutil.copytree(drawn_folder / "train", here / "mine")
    of_whom = [f"{face.name},p{i % 8}" for i, face in enumerate(sorted((here / "mine").rglob("*.png")))]
    (here / "subjects.csv").write_text("\n".join(["name,subject", *of_whom]) + "\n")
    _write_votes(here)
    shutil.copyfile(next((drawn_folder / "test" / "happy").iterdir()), here / "face.png")
    portrait = vendored_folder("pictures") / "astronaut.jpg"
    shutil.copyfile(portrait, here / "photo.jpg")
    shutil.copytree(portrait.parent, here / "photos")
    _write_clip(here / "clip.mp4", portrait)
    marks = "source,x,y,width,height,label,group\nastronaut.jpg,170,70,110,140,happy,indoors\n"
    (here / "photos" / "marks.csv").write_text(marks)
    (here / "interviews").mkdir()
    for name in ("p1.mp4", "p2.mp4"):
        shutil.copyfile(here / "clip.mp4", here / "interviews" / name)
    (here / "participants.csv").write_text(*blocks("text", PAGES["video"]))
    save_checkpoint(root / "shared" / "models" / "dinov2-small", "vit", blocks=12)
    _write_face_resnet(here / "face-resnet")
    return root


@pytest.fixture
def workplace(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def _write_face_resnet(folder: Path) -> None:
    """What benchmarks/face_resnet.py makes, with weights of chance."""
    folder.mkdir()
    torch.manual_seed(0)
    save_file({key: 0.05 * torch.randn(shape) for key, shape in shapes().items()}, folder / "model.safetensors")


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


# Three end only when stopped, one takes its time: tests/e2e, tests/cli/test_watch.py and test_bench.py run them.
# Others start a cluster, or need the hub: tests/scale, tests/hub.
ELSEWHERE = (
    "mien serve", "mien page", "mien recognize camera", "mien bench", "mien recognize photos --engine ray",
    "mien train cnn-v1 --engine ray", "mien sweep cnn-v1 --engine ray", "mien push",
    "mien adapt",  # refuses where drawn faces tell no gain
    # These need hundreds of faces.
    "mien check", "mien calibrate runs/cnn-v2 --reference", "mien calibrate mien-small --data fer2013.zip",
)  # fmt: skip
TRAINING = ("mien train", "mien study", "mien sweep")
# To leave model.onnx takes longer than such a short training: these do, by train, by study and after a start.
WITH_A_FILE = ("--out runs/cnn-v2", "--out runs/first", "--recipes cnn-v1,cnn-v2", "--out runs/mine")
# Files that must be there after the commands of a page.
MADE = {
    "browser": ("site/index.html", "site/models/model.onnx", "site/assets/mien-web.js"),
    "README": ("faces.csv", "marked/astronaut.jpg", "clip.csv", "timeline.png", "runs/mine/model.onnx"),
    "quickstart": ("probabilities.png", "runs/first/model.onnx", "runs/first/predictions/test.npz"),
    "recognize": ("probabilities.png", "marked/photo.jpg", "faces.csv"),
    "video": (
        "clip.csv", "timeline.png", "marked/clip.mp4", "interviews.csv", "marked/p2.mp4", "summed-by-face.csv",
        "summed-by-video.csv", "grouped-by-condition.csv",
    ),
    "train": (
        "faces.zip", "stats.png", "leaks/leaks.html",
        "runs/cnn-v2/model.onnx", "runs/vit/model.safetensors", "runs/face/card.json", "runs/both/card.json",
        "runs/tuned-find-lr.png", "runs/sweep/sweep.png", "runs/study/report.html", "runs/study/cnn-v1/model.onnx",
        "runs/study/vit-v1.3-frozen-dinov2-small-64px/card.json",
    ),
    "fine-tune": ("runs/mine/model.onnx", "runs/mine-folds/folds.json", "runs/mine-folds/fold-03/card.json"),
    "evaluate": (
        "evidence/photos.html", "evidence/report-test.html", "evidence/model-card.md", "evidence/suspects-train.html",
        "explained.png", "gradients.png", "dossier/dossier.html",
    ),
    "adapt": (),
    "phone": (),
    "serve": (),
    "share": (),
    "migrate": ("clip.csv", "marked/clip.mp4"),
    "export": ("model.onnx", "small.onnx"),
    "scale": ("faces/part-0000000.parquet", "faces.csv", "again.csv"),
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of cnn-v1 and cnn-v2 on the drawn faces, for pages that begin with them. Copy it, never change it."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    data = inputs / "project" / "fer2013.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.studies.runs.leave_onnx", lambda *_: None)
        for name in ("cnn-v1", "cnn-v2"):
            run(f"mien train {name} --data {data} --out {runs / name} --set epochs=1", patch)
    return runs


def run(line: str, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sys, "argv", shlex.split(line))
    assert code_of(main) == 0, line


def shortened(line: str) -> str:
    """Fewer epochs and, for backbones, smaller images than a real run; everything else as it is written."""
    short = " --set epochs=1" if line.startswith(TRAINING) else ""
    if line.startswith(("mien train small-v2", "mien train small-ft", "mien train face-resnet")):
        short += " --set schedule.warmup_epochs=0 --set schedule.decay_epochs=0"
    if "--find-lr" in line:
        short += " --set data.batch_size=16"  # for the ten batches that it needs
    if line.startswith(("mien train vit", "mien train efficientnet")):
        short += " --set data.preprocess.size=64"
    if line.startswith("mien study") and "--recipes" not in line:
        short += " --recipes cnn-v1,vit-v1.3-frozen --set vit-*:data.preprocess.size=64"  # instead of all
    return line.replace("--sets 0.9", "--sets 0.5") + short  # two val faces a class allow no more


def begins_with_runs(lines: Sequence[str]) -> bool:
    """Whether the page speaks of runs that another one trains."""
    text = "\n".join(lines)
    return "runs/cnn-v" in text and "--out runs/cnn-v" not in text


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands(page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    lines = commands(PAGES[page])
    assert lines
    if begins_with_runs(lines):
        shutil.copytree(request.getfixturevalue("trained"), workplace / "runs")
    for line in lines:
        if line.startswith(ELSEWHERE) or "hf://" in line or line.endswith("--hub"):
            continue
        with monkeypatch.context() as patch:
            if line.startswith(TRAINING) and not any(words in line for words in WITH_A_FILE):
                patch.setattr("mien.studies.runs.leave_onnx", lambda *_: None)
            run(shortened(line), patch)
    for file in MADE[page]:
        assert (workplace / file).is_file(), file


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if blocks("python", text)])
def test_python(
    page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(workplace / "fer2013.zip", workplace / "faces.zip")
    load = Recipe.load
    monkeypatch.setattr(Recipe, "load", lambda name: load(name, ["epochs=1"]))
    for block in blocks("python", PAGES[page]):
        exec(compile(block, f"{page}.md", "exec"), {})
    assert capsys.readouterr().out


def test_the_recipe_of_the_guide_is_valid(tmp_path: Path) -> None:
    (block,) = blocks("yaml", PAGES["train"])
    (tmp_path / "mine.yaml").write_text(block)
    assert Recipe.load(tmp_path / "mine.yaml").data.augment.on


def test_the_readme_is_short() -> None:
    assert len(README.encode()) <= 9 * 1024


def test_the_trees_name_every_package_and_folder() -> None:
    there = {path.parent.name for path in (ROOT / "src" / "mien").glob("*/__init__.py")}
    there |= {name for name in _kept_folders() if not name.startswith(".")}
    for page in (README, (DOCS / "project-layout.md").read_text(encoding="utf-8")):
        (tree,) = [block for block in blocks("", page) if "src/mien/" in block]
        told = set(re.findall(r"([\w-]+)/", tree))
        assert there <= told, f"not in the tree: {there - told}"
        elsewhere = {path.name for path in ROOT.iterdir() if path.is_dir()} | {"src", "mien"}
        assert told <= there | elsewhere, f"not on the disk: {told - there - elsewhere}"


def _kept_folders() -> set[str]:
    """At the top of the repository; none in an archive of it, which has no git."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    return {line.partition("/")[0] for line in listed.stdout.splitlines() if "/" in line}


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert (ROOT / target).exists(), target
