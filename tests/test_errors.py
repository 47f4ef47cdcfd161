"""Errors: complete messages with the nearest known name and the next step."""

from __future__ import annotations

import pytest

from mien.errors import InputError, InterruptedRunError, MienError, MissingExtraError, suggestion, unknown_name


@pytest.mark.parametrize("kind", [InputError, MissingExtraError, InterruptedRunError])
def test_one_except_clause_catches_all(kind: type[Exception]) -> None:
    assert issubclass(kind, MienError)


def test_a_missing_extra_says_how_to_install_it() -> None:
    message = str(MissingExtraError("reading Parquet", "parquet"))
    assert message == (
        'reading Parquet needs the extra "parquet". In a checkout: pip install -c constraints.txt ".[parquet]"'
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("vit-1.6.7", " Did you mean 'vit-v1.6.7'?"), ("cnn2", " Did you mean 'cnn-v2'?"), ("resnet", ""), ("", "")],
)
def test_suggestion(name: str, expected: str) -> None:
    assert suggestion(name, ["cnn-v2", "vit-v1.6.7", "vit-v1.5"]) == expected


def test_unknown_name_lists_what_is_known_or_says_where_to_look() -> None:
    known = (name for name in ("val", "test"))  # read more than once inside
    assert str(unknown_name("split", "tset", known)) == "unknown split 'tset'. Did you mean 'test'? Known: val, test."
    assert str(unknown_name("recipe", "x", ["cnn"], see="mien recipes")) == "unknown recipe 'x'. See: mien recipes"
