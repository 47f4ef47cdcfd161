"""What benchmarks and examples take from mien is there: few of them run in tests."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").glob("*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_what_it_takes_from_mien_is_there(script: Path) -> None:
    taken = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mien"
        for alias in node.names
    ]
    assert [f"{module}.{name}" for module, name in taken if not _is_there(module, name)] == []


def _is_there(module: str, name: str) -> bool:
    if hasattr(import_module(module), name):
        return True
    try:
        return find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError:  # a module, not a package: nothing lies in it
        return False
