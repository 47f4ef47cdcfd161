"""Document: YAML as recipes need it: plain values, of bounded size; one clear error for everything else.

YAML can say much more: dates, objects, and aliases by which a few hundred bytes stand for millions of values.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from mien.errors import InputError, first_line, printable, shortened

_MOST_LETTERS = 2**20
_MOST_VALUES = 10_000  # each alias counted with all that it stands for
_DEEPEST = 20
_MOST_DIGITS = 100  # of a number
_PLAIN: dict[type[yaml.Node], tuple[str, ...]] = {
    yaml.ScalarNode: ("null", "bool", "int", "float", "str", "merge"),
    yaml.SequenceNode: ("seq",),
    yaml.MappingNode: ("map",),
}


class _Plain(yaml.SafeLoader):
    """Dates are text; what lies too deep is refused before Python's own stack ends."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _RefusedError(f"values lie within each other more than {_DEEPEST} deep{_line(self.peek_event())}")  # type: ignore[no-untyped-call]
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Plain.yaml_implicit_resolvers = {
    letter: [(tag, fits) for tag, fits in known if not tag.endswith((":timestamp", ":value"))]
    for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _RefusedError(Exception):
    """What is wrong, in words."""


def parse(text: str, source: str, wrong: str = "not a YAML file of plain values") -> Any:
    """The values that `text` holds: None, bool, int, float, str, and lists and dicts of them,
    whose keys are words or whole numbers.

    Raises `InputError`, which names `source` and says what is `wrong`, for anything else.
    """
    try:
        if len(text) > _MOST_LETTERS:
            raise _RefusedError(f"{len(text):,} letters, at most {_MOST_LETTERS:,} are read")
        loader = _Plain(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except _RefusedError as error:
        why = str(error)
    except yaml.MarkedYAMLError as error:
        told = ": ".join(part for part in (error.context, error.problem) if part)
        why = f"{told}{_line(error)}"
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        why = first_line(error)
    raise InputError(f"{source}: {wrong} ({shortened(printable(why), 300)}). Correct it there")


def _check(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node stands for. Raises `_RefusedError` for what is not plain."""
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise _RefusedError(f"a value contains itself{_line(node)}")
        return sizes[id(node)]
    sizes[id(node)] = 0  # until it is counted
    if node.tag not in {f"tag:yaml.org,2002:{kind}" for kind in _PLAIN[type(node)]}:
        raise _RefusedError(f"a value of the kind {node.tag!r}{_line(node)}; text, numbers, lists and keys are read")
    total = 1
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_check(inner, sizes) for inner in node.value)
    else:
        _check_keys(node)
        total += sum(_check(inner, sizes) for pair in node.value for inner in pair)
    if total > _MOST_VALUES:
        raise _RefusedError(f"more than {_MOST_VALUES:,} values{_line(node)}, where aliases (*name) are written out")
    sizes[id(node)] = total
    return total


def _check_scalar(node: yaml.ScalarNode) -> None:
    kind = node.tag.rpartition(":")[2]
    if kind in ("int", "float") and len(node.value) > _MOST_DIGITS:
        raise _RefusedError(f"a number of {len(node.value):,} digits{_line(node)}")
    if kind in ("null", "bool", "int", "float"):
        fits = [tag for tag, pattern in _resolvers(node.value[:1]) if pattern.match(node.value)]
        if node.tag not in fits:  # a tag written before a value that does not have its form, as in !!int x
            raise _RefusedError(f"{shortened(node.value, 40)!r} is no {kind}{_line(node)}")


def _resolvers(letter: str) -> list[tuple[str, re.Pattern[str]]]:
    known: dict[Any, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers
    return [*known.get(letter, []), *known.get(None, [])]


def _check_keys(node: yaml.Node) -> None:
    found: set[str] = set()
    for key, _ in node.value:
        if key.tag.endswith(":merge"):
            continue
        if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith((":str", ":int")):
            told = shortened(key.value, 40) if isinstance(key, yaml.ScalarNode) else "a list"
            raise _RefusedError(f"the key {told!r} is no word{_line(key)}")
        if key.value in found:
            raise _RefusedError(f"the key {shortened(key.value, 40)!r} stands there twice{_line(key)}")
        found.add(key.value)


def _line(where: Any) -> str:
    mark = getattr(where, "problem_mark", None) or getattr(where, "start_mark", None)
    return f" in line {mark.line + 1}" if mark else ""
