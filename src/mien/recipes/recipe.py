"""Recipe: what to do, as one validated file. Unknown keys are refused and all problems are reported at once."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from mien.errors import InputError, first_line, shortened, suggestion, unknown_name
from mien.preprocess import Preprocess
from mien.recipes.document import parse
from mien.recipes.sections import (
    Data,
    EarlyStopping,
    Ensemble,
    Expected,
    Network,
    Optimizer,
    Pretrained,
    RecipePart,
    Schedule,
    Targets,
    Unfreeze,
)

_EXAMPLES = {"size": "224", "color": "rgb", "mean": "[0.5,0.5,0.5]", "std": "[0.5,0.5,0.5]"}
_REPLACED_WHOLE = ("unfreeze",)  # sections whose keys mean little beside those of another recipe


class Recipe(RecipePart):
    """Everything that decides a training, apart from data, device and the run folder."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="lower case letters, digits and . _ -")
    describe: str = Field(description="what it is, in a sentence or two")
    expected: Expected = Expected()  # type: ignore[call-arg]
    data: Data
    model: Network
    targets: Targets = Targets()  # type: ignore[call-arg]
    optimizer: Optimizer
    schedule: Schedule = Schedule()  # type: ignore[call-arg]
    unfreeze: Unfreeze = Unfreeze()
    average: float = Field(
        0.0, ge=0, lt=1, description="decay per step of a moving average of the weights, which is what is kept; 0: none"
    )
    epochs: int = Field(ge=1, le=10_000, description="at most; early stopping may end it before")
    early_stopping: EarlyStopping | None = None
    mirror: bool = Field(False, description="the trained model sees each face and its mirror image, and averages")
    truth: Literal["people", "labels"] = Field(
        "people",
        description="whose truth the model answers with where it has two heads and nobody asks for one; a model of one "
        "head, begun with the weights of two (--start), begins with that one",
    )
    start: str | None = Field(
        None, description="the bundled model or run folder whose weights it begins with, where --start names none"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="of everything that is left to chance")

    @property
    def apart_from_seed(self) -> str:
        """The same for recipes that differ in nothing but their seed, and in what is said of them."""
        return self.model_copy(update={"seed": 0, "describe": "", "expected": Expected()}).model_dump_json()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _warmup_fits(self) -> Recipe:
        if self.schedule.warmup_epochs >= self.epochs > 0 and self.schedule.warmup_epochs > 0:
            raise ValueError(f"schedule.warmup_epochs {self.schedule.warmup_epochs} must be below epochs {self.epochs}")
        if self.schedule.warmup_epochs + self.schedule.decay_epochs > self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs {self.schedule.warmup_epochs:g} and schedule.decay_epochs "
                f"{self.schedule.decay_epochs:g} are more than epochs {self.epochs}"
            )
        return self

    @model_validator(mode="after")
    def _muon_moves_the_whole(self) -> Recipe:
        part = self.unfreeze != Unfreeze() or self.optimizer.layer_decay < 1
        if self.optimizer.name == "muon" and isinstance(self.model, Pretrained) and part:
            raise ValueError(
                "optimizer.name muon moves all kernels at one rate; use adamw with unfreeze or optimizer.layer_decay"
            )
        return self

    @model_validator(mode="after")
    def _only_a_backbone_leaves_things_out(self) -> Recipe:
        if isinstance(self.model, Pretrained | Ensemble):
            return self
        if self.data.preprocess.missing:
            raise ValueError(
                f"data.preprocess needs size, color, mean and std for {self.model.kind}; "
                f"missing: {', '.join(self.data.preprocess.missing)}"
            )
        if self.unfreeze != Unfreeze() or self.optimizer.layer_decay < 1:
            raise ValueError(f"unfreeze and optimizer.layer_decay need a pre-trained model; {self.model.kind} is none")
        return self

    @property
    def preprocess(self) -> Preprocess:
        """From pixels to model input, once `models.build.complete` has filled in what a checkpoint gives."""
        missing = self.data.preprocess.missing
        if missing:
            raise InputError(
                f"recipe '{self.name}': nothing says data.preprocess.{' and data.preprocess.'.join(missing)}. "
                f"Give it: --set data.preprocess.{missing[0]}={_EXAMPLES[missing[0]]}"
            )
        return self.data.preprocess.preprocess()

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

    @property
    def changes(self) -> tuple[str, ...] | None:
        """What `--set` takes to make this of the built-in recipe of its name; None where there is none.

        >>> Recipe.load("cnn-v2", ["optimizer.lr=1e-4", "seed=3"]).changes
        ('optimizer.lr=0.0001', 'seed=3')
        """
        if self.name not in names():
            return None
        before, after = (flat(one.model_dump(mode="json")) for one in (Recipe.load(self.name), self))
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        return tuple(f"{key}={json.dumps(value)}" for key, value in changed.items())

    def to_yaml(self) -> str:
        """The resolved recipe, in data-flow order; `read` gives the same recipe back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def names() -> list[str]:
    """Names of the built-in recipes, sorted."""
    return sorted(file.name.removesuffix(".yaml") for file in _folder().iterdir() if file.name.endswith(".yaml"))


def ancestors(name: str) -> tuple[str, ...]:
    """The built-in recipes under a built-in one, nearest first; none for any other name.

    >>> ancestors("cnn-v2.1")
    ('cnn-v2', 'cnn-v1')
    """
    found: list[str] = []
    while name in names() and (parent := _read(_find(name)).get("extends")):
        found.append(name := str(parent))
    return tuple(found)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots, as `--set` takes them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, dict) and value
        found |= flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


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
        raise InputError(f"recipe '{name}': extends must be the name of one recipe, got {_short(parent)}")
    if _is_path(parent) and _is_path(name):  # a file is looked for beside the one that names it
        parent = str((Path(name).parent / parent).resolve())
    base = _resolve(parent, (*seen, name))
    # What the parent claims of itself does not hold for its child.
    base.pop("expected", None)
    for key in _REPLACED_WHOLE:
        if key in values:
            base.pop(key, None)
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
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a YAML file ({first_line(error)}). Save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    values = parse(text, str(path))
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
            raise InputError(f"--set {override}: '{parent}' has a single value, so '{key}' cannot be set")
        place = inner
    place[last] = parse(text, f"--set {shortened(override, 60)}", "the value is not valid YAML")


def _validate(kind: type[Recipe], values: dict[str, Any], source: str) -> Recipe:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [_explain(problem, kind) for problem in error.errors()]
        raise InputError(
            f"recipe '{source}' has {len(lines)} problem{'s' * (len(lines) > 1)}:\n  " + "\n  ".join(lines)
        ) from error


def _explain(problem: Any, kind: type[BaseModel]) -> str:
    names, section = _walk(problem["loc"], kind)
    where = ".".join(names) or "recipe"
    if problem["type"] == "extra_forbidden":
        _, section = _walk(problem["loc"][:-1], kind)
        known = list(section.model_fields) if section else []
        return f"{where}: unknown key.{suggestion(names[-1], known)} Known: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{where}: missing"
    if problem["type"] == "union_tag_not_found":
        return f"{where}.kind: missing"
    if problem["type"] == "union_tag_invalid":
        return f"{where}.kind: expected one of {problem['ctx']['expected_tags']}, got '{problem['ctx']['tag']}'"
    if problem["type"] == "value_error":  # our own words, complete as they are
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{where}: {problem['msg']}, got {_short(problem['input'])}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _walk(path: Sequence[str | int], kind: type[BaseModel]) -> tuple[list[str], type[BaseModel] | None]:
    """`path` as a recipe writes it, without pydantic's tags of a choice, and the section that it leads to."""
    names: list[str] = []
    options: list[type[BaseModel]] = [kind]
    for part in path:
        if len(options) > 1:
            tagged = [option for option in options if part in typing.get_args(option.model_fields["kind"].annotation)]
            if tagged:
                options = tagged
                continue
        names.append(str(part))
        field = options[0].model_fields.get(str(part)) if options else None
        options = _sections(field.annotation) if field else []
    return names, options[0] if options else None


def _sections(annotation: Any) -> list[type[BaseModel]]:
    choices = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
