"""Mirror images that are seen only of unsure faces: what onnxruntime is asked, and what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.special import softmax

from mien import FaceSet, formats
from mien.images import Pixels
from mien.model_files import with_features
from mien.recognize.classifier import Classifier, with_card
from mien.recognize.shift import FEATURES
from mien.recognize.vendored import read_vendored, vendored_folder

Floats = npt.NDArray[np.float32]
HEADS = (slice(0, 7), slice(7, 15))


class Asked:
    """A session that remembers how many images each call had."""

    def __init__(self, session: Any) -> None:
        self.session, self.sizes = session, list[int]()

    def run(self, outputs: list[str], given: dict[str, Floats]) -> list[Floats]:
        self.sizes += [len(images) for images in given.values()]
        return list(self.session.run(outputs, given))


@pytest.fixture(scope="module")
def content() -> bytes:
    return with_features(read_vendored("weights", "mien-small.onnx"), "mien-small")


@pytest.fixture(scope="module")
def crops(drawn_faces: FaceSet) -> list[Pixels]:
    return list(drawn_faces.images[:40])


def opened(content: bytes, **changes: object) -> tuple[Classifier, Asked]:
    found = Classifier.read(content, "mien-small", trusted=True)
    found.card = found.card.model_copy(update=changes)
    asked = Asked(found._session)
    found._session = asked
    return found, asked


@pytest.fixture(scope="module")
def views(content: bytes, crops: list[Pixels]) -> list[tuple[Floats, Floats]]:
    """Probabilities (N, O) and features (N, D) of the faces, and of their mirror images, computed here."""
    plain, asked = opened(content)
    shown = plain.card.preprocess(crops)
    found = []
    for images in (shown, np.ascontiguousarray(shown[..., ::-1])):
        logits, features = asked.session.run(["logits", FEATURES], {"images": images})
        found.append((np.concatenate([softmax(logits[:, head], axis=1) for head in HEADS], axis=1), features))
    return found


@pytest.fixture(scope="module")
def least(views: list[tuple[Floats, Floats]]) -> Floats:
    """`(N,)` confidence of the head that is less sure."""
    return np.min([views[0][0][:, head].max(axis=1) for head in HEADS], axis=0)


@pytest.fixture(scope="module")
def below(least: Floats) -> float:
    """Half of the faces are surer; none is so near that rounding would decide."""
    middle = np.sort(least)[len(least) // 2 - 1 : len(least) // 2 + 1]
    assert middle[1] - middle[0] > 1e-4
    return float(middle.mean())


def test_the_network_is_asked_again_of_unsure_faces_alone(
    content: bytes, crops: list[Pixels], least: Floats, below: float
) -> None:
    classifier, asked = opened(content, mirror_below=below)
    classifier.probabilities(crops)
    unsure = least < below
    assert asked.sizes == [32, unsure[:32].sum(), 8, unsure[32:].sum()]
    assert unsure.sum() == 20
    asked.sizes.clear()
    classifier.probabilities([crops[least.argmax()]])
    assert asked.sizes == [1]  # a sure face is one pass
    classifier.probabilities([crops[least.argmin()]])
    assert asked.sizes == [1, 1, 1]
    asked.sizes.clear()
    classifier.with_features(crops)
    assert asked.sizes == [32, unsure[:32].sum(), 8, unsure[32:].sum()]


def test_answers_and_features_are_means_of_the_views_that_are_seen(
    content: bytes, crops: list[Pixels], views: list[tuple[Floats, Floats]], least: Floats, below: float
) -> None:
    classifier, _ = opened(content, mirror_below=below)
    (said, seen), (turned, seen_turned) = views
    unsure = (least < below)[:, None]
    expected = np.where(unsure, (said + turned) / 2, said)
    assert np.abs(turned - said)[unsure[:, 0]].max() > 0.01  # so that it matters
    np.testing.assert_allclose(classifier.probabilities(crops), expected, atol=1e-5)
    answers, features = classifier.with_features(crops)
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    np.testing.assert_allclose(features, np.where(unsure, (seen + seen_turned) / 2, seen), atol=1e-4)
    for truth, head in (("labels", HEADS[0]), ("people", HEADS[1])):
        tempered = softmax(np.log(expected[:, head]) / classifier.card.head(truth).temperature, axis=1)
        np.testing.assert_allclose(classifier.classify(crops, truth), tempered, atol=1e-4)


def test_the_ends_are_always_and_never(content: bytes, crops: list[Pixels]) -> None:
    always, asked = opened(content)
    every, none = (opened(content, mirror_below=below)[0] for below in (1.0, 1e-9))
    np.testing.assert_allclose(every.probabilities(crops), always.probabilities(crops), atol=1e-6)
    assert asked.sizes == [64, 16]  # known beforehand: both views in one call
    never, asked = opened(content, mirror=False)
    np.testing.assert_array_equal(none.probabilities(crops), never.probabilities(crops))
    assert asked.sizes == [32, 8]
    assert np.abs(every.probabilities(crops) - none.probabilities(crops)).max() > 0.01


def test_a_face_is_answered_the_same_in_any_company(content: bytes, crops: list[Pixels], below: float) -> None:
    classifier, _ = opened(content, mirror_below=below)
    together = classifier.probabilities(crops)
    alone = np.concatenate([classifier.probabilities([crop]) for crop in crops])
    mixed = np.random.default_rng(0).permutation(len(crops))
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(classifier.probabilities([crops[i] for i in mixed]), together[mixed], atol=1e-5)


def test_the_head_that_is_asked_does_not_decide(
    content: bytes, crops: list[Pixels], views: list[tuple[Floats, Floats]]
) -> None:
    """Of a face that one head is sure of and the other is not, both heads see the mirror image."""
    said, turned = views[0][0], views[1][0]
    labels, people = (said[:, head].max(axis=1) for head in HEADS)
    for sure, other in ((labels, people), (people, labels)):
        i = int((sure - other).argmax())
        assert sure[i] - other[i] > 0.05
        classifier, asked = opened(content, mirror_below=float(sure[i] + other[i]) / 2)
        for truth, head in (("labels", HEADS[0]), ("people", HEADS[1])):
            mean = (said[i, head] + turned[i, head]) / 2
            expected = softmax(np.log(mean) / classifier.card.head(truth).temperature)
            np.testing.assert_allclose(classifier.classify([crops[i]], truth)[0], expected, atol=1e-4)
        assert asked.sizes == [1, 1, 1, 1]


def test_the_guide_for_phones_keeps_to_it(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own lines, with files whose rules lie above and below what is said of a crop beside its own, less clear."""
    page = (Path(__file__).parents[2] / "docs" / "guides" / "phone.md").read_text(encoding="utf-8")
    assert f"refuse a larger one than you know (now {formats.CARD})" in page
    (lines,) = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    lines = lines.replace('read_vendored("weights", "mien-small.onnx")', 'Path("new.onnx").read_bytes()')
    lines = "from pathlib import Path\n" + lines.replace('Recognizer("mien-small"', 'Recognizer("new.onnx"')
    assert lines.count("new.onnx") == 2
    assert "(180, 60, 276, 156)" in lines
    lines = lines.replace("(180, 60, 276, 156)", "(200, 120, 296, 216)")
    (tmp_path / "photo.jpg").write_bytes((vendored_folder("pictures") / "astronaut.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    crop = np.asarray(Image.open("photo.jpg").convert("L"))[120:216, 200:296]
    plain, _ = opened(content, mirror=False)
    said = plain.probabilities([crop])[0]
    least = float(min(said[head].max() for head in HEADS))
    card, answers = Classifier.read(content, "x").card, []
    for below in (least - 0.02, least + 0.02, None):
        changed = card.model_copy(update={"mirror_below": below})
        Path("new.onnx").write_bytes(with_card(content, changed, "x"))
        names: dict[str, Any] = {}
        exec(lines, names)  # raises where it is not what Python answers
        answers.append(names["probabilities"])
    np.testing.assert_array_equal(answers[1], answers[2])
    assert np.abs(answers[0] - answers[1]).max() > 0.005  # more than the lines may be off by
