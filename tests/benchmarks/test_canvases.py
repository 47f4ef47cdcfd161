"""Canvases: each face is shown once, where it is said to be, under the condition that was asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mien import FaceSet

pytest.importorskip("sklearn")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import canvases
from canvases import HEIGHT, WIDTH, Placed, Scene, scenes


@pytest.fixture(scope="module")
def faces(drawn_faces: FaceSet) -> FaceSet:
    return drawn_faces.keep(np.arange(26))


@pytest.mark.parametrize(
    "scene", [Scene(), Scene(side=64, crowd=20), Scene(side=64, crowd=48), Scene(side=220, crowd=1)]
)
def test_every_face_stands_once_and_covers_no_other(faces: FaceSet, scene: Scene) -> None:
    shown = list(scenes(faces, scene))
    assert [len(one.faces) for one in shown[:-1]] == [scene.crowd] * (len(shown) - 1)
    assert [face.number for one in shown for face in one.faces] == list(range(len(faces)))
    for one in shown:
        assert one.image.shape == (HEIGHT, WIDTH, 3)
        middles = np.array([(face.x, face.y) for face in one.faces])
        assert (np.abs(middles - (WIDTH / 2, HEIGHT / 2)) <= (WIDTH / 2, HEIGHT / 2) - np.float64(scene.side / 2)).all()
        apart = np.abs(middles[:, None] - middles).max(axis=2) + 1e9 * np.eye(len(middles))
        assert apart.min() >= min(scene.side * (1 + canvases.HEAD), 80)


def test_conditions_are_what_they_say(faces: FaceSet) -> None:
    plain, dark, blurred, shaded = (
        next(scenes(faces, scene)) for scene in (Scene(), Scene(light=0.2), Scene(blur=0.05), Scene(shaded=True))
    )
    assert plain.faces == dark.faces == blurred.faces == shaded.faces
    assert dark.image.mean() == pytest.approx(0.2 * plain.image.mean(), abs=1.5)
    assert np.diff(blurred.image.astype(int), axis=1).std() < np.diff(plain.image.astype(int), axis=1).std() / 2
    left, right = (int(plain.faces[0].x + way * 0.35 * plain.faces[0].side) for way in (-1, 1))
    row = int(plain.faces[0].y)
    near = slice(row - 20, row + 20)
    kept = [shaded.image[near, x - 4 : x + 4].mean() / plain.image[near, x - 4 : x + 4].mean() for x in (left, right)]
    assert min(kept) < 0.5 < max(kept)


def test_a_head_leaves_the_face_as_it_is() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    bare, whole = np.zeros((2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    where = Placed(0, 320, 240, 96, 0.0)
    canvases.paste(bare, crop, where)
    canvases.paste(whole, crop, where, head=True)
    inside = (slice(240 - 30, 240 + 30), slice(320 - 30, 320 + 30))
    assert np.abs(bare[inside].astype(int) - whole[inside]).max() <= 3  # of rounding
    assert bare[240, 320 + 56].max() == 0
    assert whole[240, 320 + 56].max() > 0
