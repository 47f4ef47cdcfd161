"""Recipes as hostile YAML: plain values are read as PyYAML reads them; anything else is one short error."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
import yaml

from mien import InputError, Recipe
from mien.recipes.document import parse

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    ["", "null", "3", "1e-4", "1.0e-4", ".nan", "0x1f", "[1, 2.5, yes, ~, 'x']", "{last: 3, 2: 1}",
     "a: &b {c: 1}\nd: *b", "base: &b {x: 1}\nchild: {<<: *b, y: 2}", "text: |\n  two\n  lines\n",
     "k: !!str 5", "k: !!float 5.5", "é: 愤怒"],
)  # fmt: skip
def test_plain_values_are_what_yaml_says(text: str) -> None:
    assert repr(parse(text, "x")) == repr(yaml.safe_load(text))


def test_a_date_is_text() -> None:
    assert parse("describe: 2024-01-31", "x") == {"describe": "2024-01-31"}
    assert parse("describe: 2024-99-99", "x") == {"describe": "2024-99-99"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: !!int x", "'x' is no int in line 1"),
        ("a: !!float [1]", "float"),
        ("a: !!timestamp 2024-01-01", "timestamp"),
        ("a: !!python/object:os.system x", "python/object"),
        ("a: !!binary aGk=", "binary"),
        ("a: " + "9" * 5000, "a number of 5,000 digits in line 1"),
        ("[" * 1000 + "]" * 1000, "more than 20 deep"),
        ("- " * 3000 + "x", "more than 20 deep"),
        (BOMB, "more than 10,000 values"),
        ("a: &a [*a]", "contains itself"),
        ("a: 1\na: 2", "the key 'a' stands there twice in line 2"),
        ("? [1, 2]\n: x", "no word"),
        ("a: [1", "line 1"),
        ("a: \x00", "not a YAML file"),
        ("a: 1\n---\nb: 2", "not a YAML file"),
        ("a" * (2**20 + 1), "letters"),
    ],
)
def test_what_is_not_plain_is_one_short_error(text: str, why: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(InputError) as refused:
        parse(text, "mine.yaml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    told = str(refused.value)
    assert why in told
    assert told.startswith("mine.yaml: not a YAML file of plain values (")
    assert len(told) < 500
    assert "\n" not in told
    assert peak < 50 * 2**20
    assert time.process_time() - began < 10


def test_such_a_recipe_file_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    for text in (BOMB, "extends: 2024-01-01", "extends: cnn-v1\nseed: !!int x", "extends: cnn-v1\nepochs: " + "9" * 90):
        file.write_text(text)
        with pytest.raises(InputError, match=r"mine\.yaml|unknown recipe '2024-01-01'"):
            Recipe.load(file)
    with pytest.raises(InputError, match="--set seed=!!int x"):
        Recipe.load("cnn-v1", ["seed=!!int x"])
