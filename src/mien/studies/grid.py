"""Grid: every combination of some settings, laid over one recipe."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.errors import InputError
from mien.models.build import complete
from mien.recipes.document import parse
from mien.recipes.recipe import Recipe
from mien.studies.runs import Wanted

_LONGEST_NAME = 120  # characters; file systems allow 255 bytes


def combinations(recipe: str | Path, grids: Sequence[str], overrides: Sequence[str] = ()) -> list[Wanted]:
    """Every combination of `grids`, each `KEY=VALUE,VALUE`, laid over the recipe and its `overrides`, checked.

    Values are YAML; commas within [] or {} do not split. Raises one `InputError` with all that is wrong.
    """
    axes = _parse(grids, overrides)
    wanted: list[Wanted] = []
    problems: dict[str, list[str]] = {}
    settings = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    for values, name in zip(settings, _names(settings), strict=True):
        changes = [f"{key}={value}" for key, value in values.items()]
        try:
            wanted.append(Wanted(name, complete(Recipe.load(recipe, [*overrides, *changes])), values))
        except InputError as error:
            problems.setdefault(_of_grid(str(error), axes), []).append(" ".join(changes))
    if problems:
        lists = [f"--grid {key}={one[1:-1]}" for key, (one, *more) in axes.items() if not more and one.startswith("[")]
        hint = f"\nSeveral values stand without brackets: {' '.join(lists)}" if lists else ""
        raise InputError(_all_problems(problems, len(settings)) + hint)
    _check_distinct(wanted)
    return wanted


def _parse(grids: Sequence[str], overrides: Sequence[str]) -> dict[str, list[str]]:
    """Recipe key → its values, as YAML."""
    if not grids:
        raise InputError("a sweep needs a grid, for example --grid optimizer.lr=1e-3,1e-4")
    fixed = {override.partition("=")[0] for override in overrides}
    axes: dict[str, list[str]] = {}
    for grid in grids:
        key, equals, text = grid.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f"--grid {grid}: expected KEY=VALUE,VALUE, for example --grid optimizer.lr=1e-3,1e-4")
        values = _values(grid, key, text)
        if key in axes:
            raise InputError(f"--grid {grid}: {key} has a grid already. Put all its values into one")
        if key in fixed:
            raise InputError(f"--grid {grid}: {key} is also given by --set. Leave out one of them")
        axes[key] = values
    return axes


def _values(grid: str, key: str, text: str) -> list[str]:
    """The values of one grid: what stands between the commas of a YAML list.

    >>> _values("", "", "1e-3, [512, 256],{last: 2},null")
    ['1e-3', '[512, 256]', '{"last": 2}', 'null']
    """
    try:
        values = parse(f"[{text}]", "--grid")
    except InputError as error:
        raise InputError(
            f"--grid {grid}: cannot be read; a bracket may not be closed, or a value be empty. Quote the whole: "
            f"--grid '{key}=[1,2],[3,4]'; write null for none"
        ) from error
    if not values:
        raise InputError(f"--grid {grid}: a value is empty. Write null for none: --grid {key}=null,…")
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def _of_grid(message: str, keys: Mapping[str, object]) -> str:
    """A message that blames --set for what came by --grid, put right."""
    for key in keys:
        message = message.replace(f"--set {key}=", f"--grid {key}=")
    return message


def _all_problems(problems: Mapping[str, Sequence[str]], settings: int) -> str:
    """One text of all messages, each with the settings that meet it. What combines earlier ones is left out."""
    told: set[str] = set()
    texts = []
    for message, where in problems.items():
        lines = message.splitlines()
        new = set(lines[1:] or lines) - told
        told |= new
        if not new:
            continue
        more = f" and {len(where) - 1} more" if len(where) > 1 else ""
        named = len(where) == settings or message.startswith("--grid")  # by every value, or already
        texts.append(message if named else f"--grid {where[0]}{more}: {message}")
    return "\n".join(texts)


def _check_distinct(settings: Sequence[Wanted]) -> None:
    for one, other in itertools.combinations(settings, 2):
        if one.recipe == other.recipe:
            first, second = (", ".join(f"{k}={v}" for k, v in setting.values.items()) for setting in (one, other))
            same = f"{first} is there twice" if first == second else f"{first} and {second} mean the same"
            raise InputError(f"--grid: {same}. Give every value once")


def _names(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Folder names, all different, also where a file system ignores case."""
    names = [",".join(f"{key}={_safe(value)}" for key, value in values.items()) for values in settings]
    often = Counter(name.lower() for name in names)
    return [
        name if len(name) <= _LONGEST_NAME and often[name.lower()] == 1 else _marked(name, values)
        for name, values in zip(names, settings, strict=True)
    ]


def _safe(value: str) -> str:
    """A value as part of a file name.

    >>> _safe("[512, 256]"), _safe("{last: 4}"), _safe("-1e-3"), _safe("[]")
    ('512-256', 'last-4', '-1e-3', 'empty')
    """
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", value.strip("[]{}'\" ")) or "empty"


def _marked(name: str, values: Mapping[str, str]) -> str:
    """The name with a mark of what it does not say."""
    mark = hashlib.blake2b(repr(dict(values)).encode(), digest_size=4).hexdigest()
    return f"{name[:_LONGEST_NAME]}-{mark}"
