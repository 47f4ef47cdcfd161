"""The notebooks run from top to bottom in an empty folder, and what they end with can be shown."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))
SHOWN = {
    "recognize": ["Faces", "dict", "Image"],
    "train": ["FaceSet", "Run", "Evaluation", "Faces"],
    "compare": ["Comparison"],
}
MADE = {
    "recognize": ["faces.csv", "marked.png"], "train": ["faces.zip", "runs/mine/model.onnx"],
    "compare": ["runs/cnn-v1/card.json", "runs/cnn-v2/predictions/test.npz"],
}  # fmt: skip


def cells(notebook: Path) -> list[str]:
    told = json.loads(notebook.read_text(encoding="utf-8"))
    assert (told["nbformat"], told["metadata"]["kernelspec"]["name"]) == (4, "python3")
    assert len({cell["id"] for cell in told["cells"]}) == len(told["cells"])
    return ["".join(cell["source"]) for cell in told["cells"] if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """As Jupyter does: the value of a last expression is what the cell shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307  ours


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = [value for source in cells(notebook) if (value := run_cell(source, names)) is not None]
    assert [type(value).__name__ for value in shown] == SHOWN[notebook.stem]
    for value in shown:
        if hasattr(value, "_repr_html_"):
            assert value._repr_html_().startswith("<")
    for file in MADE[notebook.stem]:
        assert (tmp_path / file).is_file()


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare", "recognize", "train"]
