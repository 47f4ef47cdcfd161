"""Generated: parts of the documentation that are read from the code at build time, as Markdown.

A page holds the marker `<!-- generated: NAME -->` where such a part goes; `PARTS` says which names there are.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

import mien
from mien.cards import Card
from mien.cli.main import app
from mien.predictions import Truth
from mien.recipes.recipe import Recipe, names
from mien.recognize.naming import bundled
from mien.recognize.vendored import vendored_folder

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "REPOSITORY"  # in the shell lines of the pages, until pyproject.toml knows the address


def fill(text: str) -> str:
    """`text` with every marker replaced by its part, and the address of the repository where it is asked for."""
    text = re.sub(r"<!-- generated: ([\w-]+) -->", lambda marker: PARTS[marker[1]](), text)
    return text.replace(f"git clone {PLACEHOLDER} ", f"git clone {addresses()['Repository']} ")


def addresses() -> dict[str, str]:
    """Where the repository and this documentation lie: `[project.urls]` of pyproject.toml, the only place."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        urls: dict[str, str] = tomllib.load(file)["project"]["urls"]
    return urls


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command of the program, as it is typed, and the function behind it."""
    yield from _commands_of(app, "mien")


def _commands_of(program: typer.Typer, prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in program.registered_commands:
        assert command.callback is not None
        yield f"{prefix} {command.name or command.callback.__name__}", command.callback
    for group in program.registered_groups:
        assert group.typer_instance is not None
        callback = group.typer_instance.registered_callback
        if callback and callback.callback and group.typer_instance.info.invoke_without_command:
            yield f"{prefix} {group.name}", callback.callback
        yield from _commands_of(group.typer_instance, f"{prefix} {group.name}")


def parameters(function: Callable[..., Any]) -> Iterator[tuple[inspect.Parameter, Any, ParameterInfo]]:
    """What a command takes: the parameter, its plain type and what Typer knows of it."""
    hints = typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        kind, *notes = typing.get_args(hints[parameter.name]) or (hints[parameter.name],)
        for note in notes:
            if isinstance(note, ParameterInfo):
                yield parameter, kind, note


def command_line() -> str:
    """One section for each command, in the order of the alphabet: what it does, arguments, options."""
    return "\n\n".join(_command(name, function) for name, function in sorted(commands(), key=lambda pair: pair[0]))


def _command(name: str, function: Callable[..., Any]) -> str:
    taken = list(parameters(function))
    arguments = [entry for entry in taken if isinstance(entry[2], ArgumentInfo)]
    options = [entry for entry in taken if isinstance(entry[2], OptionInfo)]
    usage = " ".join([name, *(_usage(*entry) for entry in arguments), *(_required(*entry) for entry in options)])
    parts = [f"## {name}", _escaped(inspect.getdoc(function) or ""), f"```text\n{usage.strip()} [OPTIONS]\n```"]
    if arguments:
        rows = [(f"`{_argument(entry[0])}`", _escaped(entry[2].help or "")) for entry in arguments]
        parts.append(_table(("Argument", "What it is"), rows))
    if options:
        rows = [_option(*entry) for entry in options]
        parts.append(_table(("Option", "Value", "Default", "What it does"), rows))
    return "\n\n".join(part for part in parts if part)


def _argument(parameter: inspect.Parameter) -> str:
    return parameter.name.upper()


def _usage(parameter: inspect.Parameter, kind: Any, _: ParameterInfo) -> str:
    word = _argument(parameter) + ("…" if _is_list(kind) else "")
    return word if parameter.default is parameter.empty else f"[{word}]"


def _required(parameter: inspect.Parameter, kind: Any, info: ParameterInfo) -> str:
    return f"{_flags(parameter, info)[0]} {_value(kind)}" if parameter.default is parameter.empty else ""


def _flags(parameter: inspect.Parameter, info: ParameterInfo) -> list[str]:
    # Within Annotated the first name stands where a default would, and Typer moves it.
    given = [info.default] if isinstance(info.default, str) and info.default.startswith("-") else []
    return [*given, *(info.param_decls or ())] or [f"--{parameter.name.replace('_', '-')}"]


def _option(parameter: inspect.Parameter, kind: Any, info: ParameterInfo) -> tuple[str, str, str, str]:
    default = "required" if parameter.default is parameter.empty else parameter.default
    shown = "" if default is None or default is False or default in ((), []) else f"`{default}`"
    flags = ", ".join(f"`{flag}`" for flag in _flags(parameter, info))
    value = "" if _plain(kind) is bool else f"`{_value(kind)}`" + (", repeatable" if _is_list(kind) else "")
    return flags, value, "required" if default == "required" else shown, _escaped(info.help or "")


def _plain(kind: Any) -> Any:
    """Without `| None` and without `list[…]`."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return _plain(typing.get_args(kind)[0]) if typing.get_origin(kind) is list else kind


def _is_list(kind: Any) -> bool:
    return "list[" in str(kind)


def _value(kind: Any) -> str:
    plain = _plain(kind)
    if typing.get_origin(plain) is Literal:
        return " or ".join(map(str, typing.get_args(plain)))
    return {int: "INTEGER", float: "NUMBER", Path: "PATH", bool: ""}.get(plain, "TEXT")


def bundled_models() -> str:
    """The models in the package, as their cards and files say."""
    rows = []
    for name in bundled():
        card = mien.Recognizer(name, detector="none").card
        size = vendored_folder("weights").joinpath(f"{name}.onnx").stat().st_size
        heads = "<br>".join(_head(card, truth) for truth in card.truths)
        mirrored = ", and its mirror image" if card.mirror else ""
        where = f" below {card.mirror_below:g}" if card.mirror_below else ""
        input_ = f"{card.preprocess.color}, {card.preprocess.size} pixels{mirrored}{where}"
        rows.append(
            (f"`{name}`", f"`{card.recipe}`", f"{card.parameters / 1e6:.2f} M", f"{size / 1e6:.1f} MB", input_, heads)
        )
    return _table(("Name", "Recipe", "Parameters", "File", "Sees a face as", "Heads"), rows)


def _head(card: Card, truth: Truth) -> str:
    head = card.head(truth)
    text = f"`{truth}`" + (" (answers where nobody asks)" if truth == card.truth and len(card.truths) > 1 else "")
    if head.threshold is None or head.risk is None:
        return text
    return f"{text}: unsure below {head.threshold:.2f}, for at most {head.risk:.0%} wrong answers above".replace(
        "%", " %"
    )


def recipe_list() -> str:
    """One section for each built-in recipe."""
    return "\n\n".join(_recipe(Recipe.load(name)) for name in names())


def _recipe(recipe: Recipe) -> str:
    study = recipe.expected
    told = [
        f"accuracy {study.accuracy:.4g}".replace("0.", ".") if study.accuracy is not None else "",
        f"F1 {study.f1:.4g}".replace("0.", ".") if study.f1 is not None else "",
        study.note,
    ]
    rows = [
        ("Network", _network(recipe)),
        ("Input", _input(recipe)),
        ("Learns from", _targets(recipe)),
        ("Training", _training(recipe)),
        ("The study's figures (pooled test)", ", ".join(part for part in told if part) or "none"),
    ]
    return f"### {recipe.name}\n\n{_escaped(recipe.describe)}\n\n{_table(('Part', 'Setting'), rows)}"


def _network(recipe: Recipe) -> str:
    kind = recipe.model.kind
    words = {"pretrained": "pre-trained backbone with a head of its own", "residual": "residual network, from zero"}
    words |= {"vit": "vision transformer, from zero"}
    backbone = getattr(recipe.model, "backbone", None)
    return words.get(kind, f"the study's {kind}, from zero") + (f": `{backbone}`" if backbone else "")


def _input(recipe: Recipe) -> str:
    given = recipe.data.preprocess
    size = f"{given.size} × {given.size} pixels" if given.size else "size as the checkpoint says"
    return f"{size}, {given.color or 'color as the checkpoint says'}"


def _targets(recipe: Recipe) -> str:
    if not recipe.targets.of_votes:
        return "labels alone"
    head = ", with a second head for the votes" if recipe.targets.votes_head else ""
    return f"labels and the votes of taggers (`--votes`){head}"


def _training(recipe: Recipe) -> str:
    parts = [f"at most {recipe.epochs} epochs", f"`{recipe.optimizer.name}` at {recipe.optimizer.lr:g}"]
    parts += [f"{recipe.schedule.name} schedule", f"batches of {recipe.data.batch_size}"]
    if recipe.early_stopping:
        parts.append(f"stops after {recipe.early_stopping.patience} epochs without a better val figure")
    return ", ".join(parts)


def recipe_keys() -> str:
    """Every key that a recipe may hold, from the schema that checks it."""
    top = [field for field in Recipe.model_fields.items() if not _sections(field[1])]
    parts = [_keys("Top level", "", top)]
    for key, field in Recipe.model_fields.items():
        for section in _sections(field):
            parts.append(_section(key, section, several=len(_sections(field)) > 1))
    return "\n\n".join(parts)


def _section(key: str, section: type[BaseModel], *, several: bool) -> str:
    nested = [(name, inner) for name, field in section.model_fields.items() for inner in _sections(field)]
    plain = [item for item in section.model_fields.items() if not _sections(item[1])]
    kind = section.model_fields["kind"] if several and "kind" in section.model_fields else None
    word = f": {' or '.join(typing.get_args(kind.annotation))}" if kind else ""
    own = _keys(f"`{key}`{word}", _escaped(inspect.getdoc(section) or ""), plain)
    inner = [] if section.__name__ == "Ensemble" else nested
    return "\n\n".join([own, *(_section(f"{key}.{name}", part, several=False) for name, part in inner)])


def _keys(title: str, text: str, fields: Sequence[tuple[str, FieldInfo]]) -> str:
    rows = [(f"`{name}`", _kind(field), _default(field), _escaped(field.description or "")) for name, field in fields]
    table = _table(("Key", "Value", "Default", "Meaning"), rows) if rows else ""
    return "\n\n".join(part for part in (f"### {title}", text, table) if part)


def _sections(field: FieldInfo) -> list[type[BaseModel]]:
    return list(_classes(field.annotation))


def _classes(kind: Any, *, tuples: bool = False) -> Iterator[type[BaseModel]]:
    """The sections that a field may hold; those of a tuple only on request."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    elif tuples or typing.get_origin(kind) is not tuple:
        for part in typing.get_args(kind):
            yield from _classes(part, tuples=tuples)


def _kind(field: FieldInfo) -> str:
    text = _words(field.annotation)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [f"{sign} {getattr(limit, name)}" for limit in field.metadata for name, sign in signs.items()
              if getattr(limit, name, None) is not None]  # fmt: skip
    return _escaped(", ".join([text, *bounds]))


def _words(kind: Any) -> str:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return " or ".join(map(str, parts))
    if origin is typing.Annotated:
        return _words(parts[0])
    if origin is tuple:
        return f"list of {_words(parts[0])}"
    if origin is dict:
        return f"{_words(parts[0])} → {_words(parts[1])}"
    if parts:
        return " or ".join(_words(part) for part in parts if part is not type(None))
    plain = {int: "integer", float: "number", str: "text", bool: "true or false"}
    return plain.get(kind, getattr(kind, "__name__", str(kind)).lower())


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "" if value is None or value in ("", (), {}) else f"`{value}`"


def answers() -> str:
    """What `evaluate`, `compare` and `cross_validate` give: the fields of their answers, and of what those hold."""
    found: dict[type[BaseModel], None] = {}
    for function in (mien.evaluate, mien.compare, mien.cross_validate):
        home = sys.modules[function.__module__]
        _gather(getattr(home, str(inspect.signature(function).return_annotation)), found)
    return "\n\n".join(_answer(kind) for kind in found)


def _gather(kind: type[BaseModel], found: dict[type[BaseModel], None]) -> None:
    if kind not in found:
        found[kind] = None
        for field in kind.model_fields.values():
            for part in _classes(field.annotation, tuples=True):
                _gather(part, found)


def _answer(kind: type[BaseModel]) -> str:
    said = {name: (shown, remark) for name, shown, remark in re.findall(_FIELD, inspect.getsource(kind), re.MULTILINE)}
    rows = [(f"`{name}`", f"`{said[name][0]}`", _escaped(said[name][1])) for name in kind.model_fields if name in said]
    text = _escaped(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return "\n\n".join(
        part for part in (f"### {kind.__name__}", text, _table(("Field", "Type", "Meaning"), rows)) if part
    )


_FIELD = r"^    (\w+): ([^=#\n]+?)(?: = [^#\n]+?)?(?:  # (.+))?$"


def study_verdict() -> str:
    """The verdict of docs/study.md, which the program writes."""
    return _section_of_the_study("Verdict")


def study_results() -> str:
    """The runs of the table in docs/study.md, without what each cell repeats and without those that were not run."""
    lines = [line for line in _section_of_the_study("Results").splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    kept = ["Model", "Test accuracy, official", "Test accuracy, leak-free", "Pooled accuracy", "Macro F1",
            "Recall, rarest class", "Study, pooled: accuracy / F1", "Minutes"]  # fmt: skip
    places = [head.index(name) for name in kept]
    run = [row for row in rows if row[1] != "not run"]
    counts = [re.search(r"n = [\d,]+", run[0][place]) for place in places]
    named = [name + (f", {count[0]}" if count else "") for name, count in zip(kept, counts, strict=True)]
    return _table(named, [[_bare(name, row[place]) for name, place in zip(kept, places, strict=True)] for row in run])


def _bare(column: str, cell: str) -> str:
    """A cell without the split and count that stand in the head of its column."""
    return cell if column in ("Model", "Minutes") else cell.split(" (")[0]


def _section_of_the_study(title: str) -> str:
    text = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0].strip()


def modules() -> str:
    """Every module of the package and the first sentence of its docstring, which says what it owns."""
    source = ROOT / "src" / "mien"
    folders = sorted({path.parent for path in source.rglob("*.py")})
    parts = []
    for folder in folders:
        rows = [(f"`{path.name}`", _escaped(_first_line(path))) for path in sorted(folder.glob("*.py"))
                if path.name != "__init__.py"]  # fmt: skip
        if rows:
            name = folder.relative_to(source.parent).as_posix()
            parts.append(f"### {name}/\n\n{_table(('Module', 'What it owns'), rows)}")
    return "\n\n".join(parts)


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].replace("\n", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    """Plain text as Markdown that shows it as it is; options and what stands in backticks are code."""
    text = re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", text)
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if index % 2 else re.sub(r"([*_<>\[\]{}])", r"\\\1", part) for index, part in enumerate(parts))


PARTS: dict[str, Callable[[], str]] = {
    "answers": answers,
    "bundled-models": bundled_models,
    "command-line": command_line,
    "modules": modules,
    "recipe-keys": recipe_keys,
    "recipes": recipe_list,
    "study-results": study_results,
    "study-verdict": study_verdict,
}
