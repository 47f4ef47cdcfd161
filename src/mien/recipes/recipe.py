"""Recipe: what to do, as one validated file. Unknown keys are refused and all problems are reported at once."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mien.errors import InputError, suggestion, unknown_name
from mien.preprocess import Preprocess


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augment(_Section):
    """Random changes to each training image; everything is off by default."""

    flip: float = Field(0.0, ge=0, le=1, description="chance of a left-right flip")
    shift: float = Field(0.0, ge=0, le=0.5, description="largest shift, as a fraction of the side")
    rotate: float = Field(0.0, ge=0, le=180, description="largest rotation, degrees either way")
    scale: float = Field(0.0, ge=0, lt=1, description="largest relative change of scale either way")
    erase: float = Field(0.0, ge=0, le=1, description="chance of one erased rectangle of 2–20 % of the area")

    @property
    def on(self) -> bool:
        return any((self.flip, self.shift, self.rotate, self.scale, self.erase))


class Data(_Section):
    """What the model is shown."""

    preprocess: Preprocess
    batch_size: int = Field(32, ge=2, le=4096)
    imbalance: Literal["none", "sampler", "loss"] = Field(
        "none", description="sampler: draw images with chance inverse to their class count; loss: weight them so"
    )
    augment: Augment = Augment()  # type: ignore[call-arg]


class Model(_Section):
    """Which network."""

    kind: Literal["cnn-v1", "cnn-v2"]


class Optimizer(_Section):
    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(gt=0, le=10)
    weight_decay: float = Field(0.0, ge=0, le=1)
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")


class Schedule(_Section):
    """Learning rate over the run, per step: after `warmup_epochs` of linear rise it stays or falls to zero."""

    name: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = Field(0.0, ge=0)


class EarlyStopping(_Section):
    """Stop when the monitored figure has not improved for `patience` epochs; the best epoch's weights are kept."""

    monitor: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    patience: int = Field(ge=1)


class Expected(_Section):
    """The study's own figures, on its pooled test set, for the report's table."""

    accuracy: float | None = Field(None, ge=0, le=1)
    f1: float | None = Field(None, ge=0, le=1)
    note: str = ""


class Recipe(_Section):
    """Everything that decides a training, apart from data, device and the run folder."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    describe: str
    expected: Expected = Expected()  # type: ignore[call-arg]
    data: Data
    model: Model
    optimizer: Optimizer
    schedule: Schedule = Schedule()  # type: ignore[call-arg]
    epochs: int = Field(ge=1, le=10_000)
    early_stopping: EarlyStopping | None = None
    seed: int = Field(0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _warmup_fits(self) -> Recipe:
        if self.schedule.warmup_epochs >= self.epochs > 0 and self.schedule.warmup_epochs > 0:
            raise ValueError(f"schedule.warmup_epochs {self.schedule.warmup_epochs} must be below epochs {self.epochs}")
        return self

    @classmethod
    def load(cls, name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """A built-in recipe by name or a user's file by path, with `key.path=value` overrides.

        >>> Recipe.load("cnn-v2", ["optimizer.lr=1e-4"]).optimizer.lr
        0.0001
        """
        values = _resolve(str(name), seen=())
        for override in overrides:
            _set(values, override)
        return _validate(cls, values, source=str(name))

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """A resolved recipe from a run folder."""
        return _validate(cls, _read(path), source=str(path))

    def to_yaml(self) -> str:
        """The resolved recipe, in data-flow order; `read` gives the same recipe back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def names() -> list[str]:
    """Names of the built-in recipes, sorted."""
    return sorted(file.name.removesuffix(".yaml") for file in _folder().iterdir() if file.name.endswith(".yaml"))


def _folder() -> Traversable:
    return resources.files("mien.recipes")


def _resolve(name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    """The values of a recipe with everything that it extends laid under it."""
    if name in seen:
        raise InputError(f"recipe '{seen[0]}' extends itself: {' → '.join((*seen, name))}")
    values = _read(_find(name))
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise InputError(f"recipe '{name}': extends must be the name of one recipe, got {parent!r}")
    if _is_path(parent) and _is_path(name):  # a file is looked for beside the one that names it
        parent = str((Path(name).parent / parent).resolve())
    base = _resolve(parent, (*seen, name))
    # What the parent claims of itself does not hold for its child.
    base.pop("expected", None)
    return _merge(base, values)


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name


def _find(name: str) -> Path | Traversable:
    if _is_path(name):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"recipe file {name} does not exist. Built-in recipes: {', '.join(names())}")
        return path
    if name not in names():
        raise unknown_name("recipe", name, names(), see="mien recipes")
    return _folder() / f"{name}.yaml"


def _read(path: Path | Traversable) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: a recipe is a mapping of keys to values, got {type(values).__name__}")
    return values


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"--set {override}: expected KEY=VALUE, for example --set optimizer.lr=1e-4")
    *parents, last = key.split(".")
    place = values
    for parent in parents:
        inner = place.get(parent)
        if inner is None:
            inner = place[parent] = {}
        elif not isinstance(inner, dict):
            raise InputError(f"--set {override}: '{parent}' holds a single value, so '{key}' cannot be set")
        place = inner
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: the value is not valid YAML") from error


def _validate(kind: type[Recipe], values: dict[str, Any], source: str) -> Recipe:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [_explain(problem, kind) for problem in error.errors()]
        raise InputError(
            f"recipe '{source}' has {len(lines)} problem{'s' * (len(lines) > 1)}:\n  " + "\n  ".join(lines)
        ) from error


def _explain(problem: Any, kind: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "recipe"
    if problem["type"] == "extra_forbidden":
        known = list(_keys(kind, problem["loc"][:-1]))
        return f"{where}: unknown key.{suggestion(str(problem['loc'][-1]), known)} Known: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{where}: missing"
    if problem["type"] == "value_error":  # our own words, complete as they are
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{where}: {problem['msg']}, got {_short(problem['input'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _keys(kind: type[BaseModel], path: Sequence[str | int]) -> Iterator[str]:
    for part in path:
        annotation = kind.model_fields[str(part)].annotation
        options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
        kind = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return iter(kind.model_fields)
