"""The public names: all there, none hidden by a module, and told what they miss on a light install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mien

LIGHT = """
import sys
from importlib.abc import MetaPathFinder

class NoTorch(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "lightning", "scipy", "sklearn", "onnx", "jinja2"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, NoTorch())
"""


def light(code: str) -> str:
    """What the code prints where torch is not installed."""
    done = subprocess.run([sys.executable, "-c", LIGHT + code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def test_every_name_is_there_and_no_module_hides_one() -> None:
    wanted = {
        "adapt",
        "train",
        "evaluate",
        "compare",
        "calibrate",
        "explain",
        "ensemble",
        "export",
        "card",
        "study",
        "sweep",
    }
    assert wanted | {"Recognizer", "FaceSet", "Votes", "Recipe", "Run", "Face"} <= set(mien.__all__)
    for name in wanted:
        assert callable(getattr(mien, name)), name
    folder = Path(mien.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    assert not modules & set(mien.__all__)  # a module of that name would be found in its place once it is imported


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert mien.__version__ == version("mien")


def test_python_m_mien() -> None:
    done = subprocess.run([sys.executable, "-m", "mien", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"mien {mien.__version__}\n"


def test_without_torch_names_are_there_and_say_what_they_need() -> None:
    code = """
from mien import *
import mien, pydoc
print(hasattr(mien, "train"), hasattr(mien, "trian"))
print("extra `train`" in pydoc.render_doc(mien.train))
print("train" in pydoc.render_doc(mien))
try:
    mien.train(None, None, "out")
except mien.MienError as error:
    print(error)
print(Recognizer().labels[0])
"""
    lines = light(code).splitlines()
    assert lines[:3] == ["True False", "True", "True"]
    assert 'needs the extra "train"' in lines[3]
    assert lines[4] == "angry"
