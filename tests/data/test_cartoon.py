"""The cartoon faces: size, gray range, determinism, and classes that can be told apart but not perfectly."""

from __future__ import annotations

import numpy as np
import pytest

from mien.data.cartoon import EXPRESSIONS, draw_face
from mien.data.draw import drawn_files
from mien.errors import InputError
from mien.labels import FER7


def test_every_label_has_an_expression() -> None:
    assert tuple(EXPRESSIONS) == FER7.labels


def test_a_face_is_gray_of_the_asked_size_and_uses_the_gray_range() -> None:
    for emotion in FER7.labels:
        face = draw_face(emotion, np.random.default_rng(1), size=40)
        assert face.shape == (40, 40)
        assert face.dtype == np.uint8
        assert face.std() > 15


def test_one_generator_gives_one_face() -> None:
    same = [draw_face("fear", np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(same[0], same[1])
    assert not np.array_equal(same[0], draw_face("fear", np.random.default_rng(6)))
    assert not np.array_equal(same[0], draw_face("happy", np.random.default_rng(5)))


def test_a_face_draws_on_its_generator_alone() -> None:
    np.random.seed(0)
    first = draw_face("sad", np.random.default_rng(2))
    np.random.seed(1)
    assert np.array_equal(first, draw_face("sad", np.random.default_rng(2)))


def test_an_unknown_emotion_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"unknown emotion 'hapy'\. Did you mean 'happy'\?"):
        draw_face("hapy", np.random.default_rng(0))


@pytest.mark.parametrize("size", [15, 513])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"got size {size}"):
        draw_face("sad", np.random.default_rng(0), size)


def test_classes_can_be_told_apart_but_not_perfectly() -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    faces = [(file.emotion, np.random.default_rng([3, i])) for i, file in enumerate(drawn_files(600))]
    labels = np.array([emotion for emotion, _ in faces])
    pixels = np.stack([draw_face(emotion, rng, 32).ravel() for emotion, rng in faces]).astype(np.float64)
    order = np.random.default_rng(0).permutation(len(labels))
    fit, held = order[:450], order[450:]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=200)).fit(pixels[fit], labels[fit])
    majority = float((labels[held] == "happy").mean())
    assert majority + 0.15 < model.score(pixels[held], labels[held]) < 0.97
