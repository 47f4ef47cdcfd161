"""Imports point one way, and torch stays out of what a light install uses: read from the sources with ast."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "mien"
BASE = (
    "errors",
    "scratch",
    "files",
    "protobuf",
    "shown",
    "outputs",
    "arrays",
    "image_files",
    "walk",
    "letters",
    "formats",
    "hub",
    "logs",
    "labels",
    "images",
    "preprocess",
    "cards",
    "predictions",
    "confidence",
    "ledger",
)
# An import may only point to an earlier line. The package itself (`mien/__init__.py`) offers all of them.
LAYERS = (
    BASE,
    ("recognize", "data", "models", "recipes"),
    ("training", "quantize", "model_files", "page", "compat"),
    ("model",),
    ("evaluation",),
    ("explanation", "exports"),
    ("report",),
    ("studies",),
    ("actions", "uploads"),
    ("scale", "serve"),
    ("cli",),
    ("", "__main__"),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
SIDEWAYS = {("models", "recipes")}  # a network is built from a recipe's model section
WITHOUT_TORCH = (
    *BASE,
    "recognize",
    "page",
    "scale",
    "compat",
    "data",
    "recipes",
    "report",
    *(
        f"evaluation.{name}"
        for name in ("bootstrap", "compare", "evaluate", "evidence", "photos", "printed", "sets", "significance")
    ),
)
TORCH = {"torch", "lightning", "transformers", "torchmetrics", "safetensors"}


def module_name(path: Path) -> str:
    """`data.cache` for `data/cache.py`, `data` for `data/__init__.py`, and an empty name for the package itself."""
    return ".".join(path.with_suffix("").parts).removesuffix("__init__").rstrip(".")


def imports(source: str, package: str) -> Iterator[str]:
    """Full names of all that is imported anywhere in `source`, which lies in `package`, such as `mien.data`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def problems(module: str, source: str) -> list[str]:
    """What `module`, named without `mien.`, imports and must not."""
    part = module.split(".")[0]
    if part not in LEVEL:
        return [f"{module}: has no place in LAYERS"]
    package = ".".join(["mien", *module.split(".")[:-1]])
    found = []
    for name in imports(source, package):
        top, _, rest = name.partition(".")
        if top in TORCH and module.startswith(WITHOUT_TORCH):
            found.append(f"{module}: imports {name}")
        if top == "ray" and part != "scale":
            found.append(f"{module}: imports {name}")
        if top != "mien" or rest == "__version__":
            continue
        other = rest.split(".")[0] if rest.split(".")[0] in LEVEL else ""
        allowed = part == other or LEVEL[other] < LEVEL[part] or (part, other) in SIDEWAYS
        if not allowed and not (part in BASE and other in BASE):  # these have a test of their own
            found.append(f"{module}: imports {name}")
    return found


def sources() -> dict[str, str]:
    return {module_name(path.relative_to(SOURCES)): path.read_text("utf-8") for path in SOURCES.rglob("*.py")}


def check_no_cycle(texts: dict[str, str]) -> None:
    """Raise `CycleError` when the base modules import each other in a circle."""
    graph = {
        module: {name.split(".")[1] for name in imports(text, "mien") if name.startswith("mien.")}
        for module, text in texts.items()
        if module in BASE
    }
    TopologicalSorter(graph).prepare()


def test_no_module_imports_upwards() -> None:
    assert [line for module, source in sources().items() for line in problems(module, source)] == []


def test_base_modules_import_each_other_in_no_circle() -> None:
    assert set(BASE) <= set(sources())
    check_no_cycle(sources())


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("data.cache", "from mien.training.run import Run"),
        ("data.cache", "import mien.cli.main"),
        ("data.cache", "def f():\n    from mien.evaluation import bootstrap"),
        ("data.cache", "if TYPE_CHECKING:\n    from mien.studies.page import compose"),
        ("data.cache", "from mien.models.build import build"),
        ("data.cache", "from mien import FaceSet"),
        ("data.cache", "import mien"),
        ("data.cache", "from ..training import run"),
        ("data.cache", "from .. import training"),
        ("recipes.recipe", "from mien.models.build import build"),
        ("evaluation.compare", "from mien.exports import export"),
        ("exports", "from .report import layout"),
        ("images", "from mien.data.faceset import FaceSet"),
        ("images", "import torch"),
        ("data.cache", "def f():\n    import torch.utils.data"),
        ("recognize.detector", "from lightning.pytorch import Trainer"),
        ("recipes.recipe", "try:\n    from transformers import AutoModel\nexcept ImportError:\n    pass"),
        ("evaluation.bootstrap", "import torch"),
        ("helpers", "import numpy"),
        ("recognize.stream", "from mien.scale.source import items"),
        ("studies.sweep", "def f():\n    from ray import tune"),
        ("cli.job", "import ray.data"),
    ],
)
def test_a_bad_import_is_caught(module: str, source: str) -> None:
    assert len(problems(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("data.cache", "from mien.errors import InputError\nfrom mien import images\nfrom .sources import Source"),
        ("data.cache", "from mien import __version__\nimport torchless"),
        ("scale.batch", "def f():\n    import ray.data\nfrom mien.recognize.recognizer import Recognizer"),
        ("models.build", "import torch\nfrom mien.recipes.recipe import Model"),
        ("cli.main", "from mien.studies.study import study\nfrom mien.serve.api import app"),
        ("training.train", "import torch\nfrom mien.data.faceset import FaceSet"),
        ("", "from mien.data.faceset import FaceSet\nfrom mien.training.train import train"),
    ],
)
def test_a_good_import_is_let_through(module: str, source: str) -> None:
    assert problems(module, source) == []


def test_a_circle_is_caught() -> None:
    with pytest.raises(CycleError):
        check_no_cycle({"images": "from mien.labels import FER7", "labels": "def f():\n    from mien import images"})


def test_ray_is_imported_where_it_is_used_and_not_before() -> None:
    """`mien --help` reads the modules; Ray takes a second to import."""
    for module, source in sources().items():
        assert not [
            name
            for node in ast.parse(source).body
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in imports(ast.unparse(node), ".".join(["mien", *module.split(".")[:-1]]))
            if name.partition(".")[0] in ("ray", "pyarrow", "fsspec")
        ], module
