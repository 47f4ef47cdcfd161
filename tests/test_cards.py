"""Card: what is saved is loaded; what is damaged is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mien.cards import Card, Training
from mien.errors import InputError
from mien.labels import FER7
from mien.preprocess import Preprocess

CARD = Card(
    recipe="cnn-v2",
    labels=FER7.labels,
    preprocess=Preprocess(size=48, color="gray", mean=(0.5,), std=(0.5,)),
    parameters=405_000,
    training=Training(
        data="fer2013.zip", fingerprint="0" * 32, train_images=28_709, val_images=3_589, seed=1, epochs=30,
        best_epoch=22, best_value=0.1 + 0.2, device="cpu", precision="32", minutes=4.5,
        versions={"torch": "2.11"}, commit=None,
    ),
)  # fmt: skip


def test_round_trip(tmp_path: Path) -> None:
    CARD.save(tmp_path / "card.json")
    assert Card.load(tmp_path / "card.json") == CARD
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


def test_a_failed_write_leaves_the_old_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "card.json"
    CARD.save(path)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        CARD.model_copy(update={"recipe": "other"}).save(path)
    assert Card.load(path) == CARD


def test_a_missing_card_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"card\.json: missing.*--resume"):
        Card.load(tmp_path / "card.json")


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"\xff\xfe", b'{"recipe": "x"}'])
def test_a_damaged_card_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"card\.json: not a card"):
        Card.load(path)


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(CARD.model_dump_json().replace('"recipe"', '"recepi": 1, "recipe"', 1))
    with pytest.raises(InputError, match="recepi"):
        Card.load(path)


def test_mirror_images_that_are_seen_of_some_faces(tmp_path: Path) -> None:
    card = CARD.model_copy(update={"mirror": True, "mirror_below": 0.9})
    card.save(tmp_path / "card.json")
    assert Card.load(tmp_path / "card.json") == card
    said = np.eye(7)[:4] * np.array([[0.899], [0.9], [0.901], [1.0]])
    assert card.seen_twice(said).tolist() == [True, False, False, False]
    assert card.model_copy(update={"mirror_below": None}).seen_twice(said).all()
    assert not CARD.seen_twice(said).any()
    assert len(card.seen_twice(said[:0])) == 0
    told = json.loads(CARD.text())
    del told["mirror_below"]
    older = Card.parse(json.dumps({**told, "format": 4, "mirror": True}), "card")  # said nothing of it
    assert (older.mirror, older.mirror_below) == (True, None)
    for wrong, why in (
        ({"mirror": False, "mirror_below": 0.9}, "and mirror that none are"),
        ({"mirror": True, "mirror_below": 0}, "greater than 0"),
        ({"mirror": True, "mirror_below": 1.1}, "less than or equal to 1"),
        ({"mirror": True, "mirror_below": float("nan")}, "less than or equal to 1"),
    ):
        with pytest.raises(InputError, match=why):
            Card.parse(json.dumps({**told, **wrong}), "card")
