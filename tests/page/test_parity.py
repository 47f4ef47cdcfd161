"""The browser's recognizer beside Python's: the same faces, boxes and probabilities, on PNG files of both."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mien import FaceSet
from mien.images import Pixels
from mien.predictions import Truth
from mien.recognize.classifier import Classifier, with_card
from mien.recognize.cuts import Cuts, small
from mien.recognize.faces import Face
from mien.recognize.quality import Quality
from mien.recognize.recognizer import Recognizer
from mien.recognize.track import Tracker
from mien.recognize.vendored import read_vendored

FILES = {"fast": "blazeface_back", "default": "centerface"}
# CenterFace computes in 8 bits: where a value lies between two steps, the last digit of an input decides which one it
# takes, and on faces of 20 pixels that moves the eyes by a tenth of a pixel. Two x86 processors differ as much.
BOX = {"fast": 1, "default": 3}  # pixels
PROBABILITY = {"fast": 0.01, "default": 0.05}
QUALITY = {  # size in pixels, sharpness, brightness, roll and yaw in degrees
    "none": (1e-9, 0.002, 0.15, 0, 0),
    "fast": (0.2, 0.01, 0.3, 0.2, 0.3),
    "default": (2.5, 0.04, 1.5, 1.2, 2.0),
}
LOAD = """async ({model, detector, name, truth}) => {
  const { Recognizer } = await import("/assets/mien-web.js");
  window.recognizer?.close();
  window.recognizer = await Recognizer.load({ model: `/models/${model}.onnx`, assets: "/assets/", truth,
    detector: detector ? `/models/${detector}.onnx` : null, detectorName: name });
}"""
ASK = """async (pictures) => {
  const answers = [];
  for (const text of pictures) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    answers.push(await window.recognizer.recognize(new Blob([bytes], { type: "image/png" })));
  }
  return answers;
}"""


def png(image: Pixels) -> str:
    shown = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    return base64.b64encode(cv2.imencode(".png", shown)[1].tobytes()).decode()


def drawn(portrait: Path) -> list[Pixels]:
    """40 pictures: one to four faces, small to large, turned, gray, dark, and four without any."""
    rng = np.random.default_rng(5)
    photo = cv2.cvtColor(cv2.imread(str(portrait)), cv2.COLOR_BGR2RGB)
    head = photo[20:310, 90:380]
    pictures = []
    for i in range(40):
        height, width = (480, 640) if i % 3 else (rng.integers(200, 1100), rng.integers(200, 1100))
        noise = rng.normal(0, 5, (height, width, 3))
        image = np.clip(np.linspace(60, 180, width)[None, :, None] + noise, 0, 255).astype(np.uint8)
        for _ in range(0 if i % 10 == 9 else 1 + i % 4):
            side = min(round(float(np.exp(rng.uniform(np.log(40), np.log(300))))), min(height, width) - 4)
            turn = cv2.getRotationMatrix2D((145, 145), float(rng.uniform(-30, 30)) if i % 2 else 0, 1.0)
            face = cv2.warpAffine(head, turn, (290, 290), borderMode=cv2.BORDER_REPLICATE)
            y, x = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
            image[y : y + side, x : x + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        if i % 5 == 4:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        elif i % 5 == 3:
            image = (image * 0.4).astype(np.uint8)
        pictures.append(image)
    return pictures


@pytest.fixture(scope="module")
def pictures(portrait: Path) -> list[Pixels]:
    return drawn(portrait)


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Any:
    opened = browser.new_page()
    opened.goto(address)
    return opened


@pytest.mark.parametrize("detector", ["fast", "default"])
@pytest.mark.parametrize("model", ["mien-tiny", "mien-small"])
def test_faces_are_those_of_python(page: Any, pictures: Sequence[Pixels], model: str, detector: str) -> None:
    page.evaluate(LOAD, {"model": model, "detector": FILES[detector], "name": detector})
    ours = page.evaluate(ASK, [png(image) for image in pictures])
    theirs = Recognizer(model, detector=detector)(list(pictures))
    assert [len(faces) for faces in ours] == [len(faces) for faces in theirs]
    assert sum(map(len, theirs)) > 30
    assert [] in theirs
    for our_faces, their_faces in zip(ours, theirs, strict=True):
        for our, their in zip(our_faces, their_faces, strict=True):
            assert our["emotion"] == their.emotion
            assert np.abs(np.subtract(our["box"], their.box)).max() <= BOX[detector]
            assert list(our["probabilities"]) == list(their.probabilities)
            apart = np.subtract(list(our["probabilities"].values()), list(their.probabilities.values()))
            assert np.abs(apart).max() <= PROBABILITY[detector]
            assert our["detectionScore"] == pytest.approx(their.detection_score, abs=0.05)
            clear = abs(their.confidence - Recognizer(model).threshold) > PROBABILITY[detector]
            assert our["unsure"] == their.unsure or not clear
            assert our["quality"] == alike(their.quality, detector)
            values = np.array(list(their.probabilities.values()))
            far = np.abs(values - Recognizer(model).card.head().sets.thresholds).min() > PROBABILITY[detector]
            assert our["set"] == list(their.set) or not far or len(set(values.round(3))) < len(values)


def alike(quality: Quality | None, detector: str) -> dict[str, object]:
    """What a quality of the browser's is to be compared with."""
    assert quality
    bounds = zip(asdict(quality).items(), QUALITY[detector], strict=True)
    return {name: None if value is None else pytest.approx(value, abs=bound) for (name, value), bound in bounds}


def test_the_quality_of_one_crop_is_that_of_python(page: Any, pictures: Sequence[Pixels], portrait: Path) -> None:
    """Without a detector both see the very same pixels: also sharp, blurred, tiny and empty ones."""
    photo = cv2.cvtColor(cv2.imread(str(portrait)), cv2.COLOR_BGR2RGB)
    head, rng = photo[100:230, 170:300], np.random.default_rng(2)
    crops = [*pictures, head, cv2.GaussianBlur(head, (0, 0), 4), cv2.resize(head, (12, 12)), head[:30, :90]]
    crops += [np.full((60, 60), 77, np.uint8), rng.integers(0, 256, (48, 48), dtype=np.uint8)]
    page.evaluate(LOAD, {"model": "mien-tiny", "detector": None, "name": "fast"})
    ours = page.evaluate(ASK, [png(crop) for crop in crops])
    theirs = Recognizer("mien-tiny", detector="none")(crops)
    assert min(face[0].quality.size for face in theirs if face[0].quality) == 12
    for our, their in zip(ours, theirs, strict=True):
        assert our[0]["quality"] == alike(their[0].quality, "none")


WHY = """async (qualities) => {
  const { whyUnsure } = await import("/assets/mien-web.js");
  return qualities.map(whyUnsure);
}"""
SURE_OR_NOT = """async ([abstain, text]) => {
  const { Recognizer } = await import("/assets/mien-web.js");
  const recognizer = await Recognizer.load({ model: "/models/mien-tiny.onnx", assets: "/assets/", abstain });
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const [face] = await recognizer.recognize(new Blob([bytes], { type: "image/png" }));
  recognizer.close();
  return [face.unsure, face.whyUnsure];
}"""


def test_why_an_answer_is_unsure_is_what_python_says(page: Any) -> None:
    """On both sides of each boundary."""
    sizes, angles = (19.9, 20.0, 90.0), (None, 0.0, -14.9, 15.0, -15.0, 39.9, 40.0, -40.0)
    qualities = [Quality(size, 0.8, 120.0, roll, yaw) for size in sizes for roll in angles for yaw in angles]
    assert page.evaluate(WHY, [asdict(quality) for quality in qualities]) == [quality.why for quality in qualities]
    assert {quality.why for quality in qualities} == {"too small", "turned away", "not sure"}
    tiny = png(np.full((15, 15), 99, np.uint8))
    assert page.evaluate(SURE_OR_NOT, [1, tiny]) == [True, "too small"]
    assert page.evaluate(SURE_OR_NOT, [0, tiny]) == [False, None]


@pytest.mark.parametrize("truth", ["people", "labels"])
def test_crops_are_answered_as_in_python(page: Any, fer2013: FaceSet, truth: str) -> None:
    faces = fer2013.select("val")
    drawn = np.arange(0, len(faces), 7)[:500]  # the file is sorted by class
    crops = list(faces.gather(drawn))
    page.evaluate(LOAD, {"model": "mien-small", "detector": None, "name": "fast", "truth": truth})
    ours = page.evaluate(ASK, [png(crop) for crop in crops])
    theirs = Recognizer("mien-small", detector="none", truth=truth)(crops)
    same = sum(our[0]["emotion"] == their[0].emotion for our, their in zip(ours, theirs, strict=True))
    assert same >= 498
    label = [faces.label_set.labels[i] for i in faces.labels[drawn]]
    right = [
        sum(face == name for face, name in zip(told, label, strict=True))
        for told in ([our[0]["emotion"] for our in ours], [their[0].emotion for their in theirs])
    ]
    assert abs(right[0] - right[1]) <= 2


LOAD_BYTES = """async ({ text, truth }) => {
  const { Recognizer } = await import("/assets/mien-web.js");
  window.recognizer?.close();
  const model = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  window.recognizer = await Recognizer.load({ model, assets: "/assets/", truth, detector: null });
}"""


@pytest.mark.parametrize("truth", ["people", "labels"])
def test_mirror_images_are_seen_of_the_same(page: Any, drawn_faces: FaceSet, tmp_path: Path, truth: Truth) -> None:
    """With a rule, that of Python; it lies in the middle between two faces, so that rounding does not decide."""
    content, crops = read_vendored("weights", "mien-small.onnx"), list(drawn_faces.images[:40])
    card = Recognizer("mien-small").card
    seen = Classifier.read(content, "x", card=card.model_copy(update={"mirror": False})).probabilities(crops)
    least = np.sort(np.minimum(seen[:, : len(card.labels)].max(axis=1), seen[:, len(card.labels) :].max(axis=1)))
    rules = {"always": None, "half": float(least[19:21].mean()), "never": 1e-9}
    ours, theirs = {}, {}
    for name, below in rules.items():
        file = tmp_path / f"{name}.onnx"
        file.write_bytes(with_card(content, card.model_copy(update={"mirror_below": below}), "x"))
        page.evaluate(LOAD_BYTES, {"text": base64.b64encode(file.read_bytes()).decode(), "truth": truth})
        told = page.evaluate(ASK, [png(crop) for crop in crops])
        ours[name] = np.array([list(faces[0]["probabilities"].values()) for faces in told])
        theirs[name] = Recognizer(file, detector="none", truth=truth).classify(crops)
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)
    as_always, as_never = (np.abs(ours["half"] - ours[name]).max(axis=1) < 1e-6 for name in ("always", "never"))
    assert (as_always | as_never).all()
    assert as_always.sum() == as_never.sum() == 20
    assert not (as_always & as_never).any()


FOLLOW = """async (looks) => {
  const { Tracker } = await import("/assets/mien-web.js");
  const tracker = new Tracker({ threshold: 0.5 });
  return looks.map(([time, faces]) => tracker.next(faces, time));
}"""


def test_faces_are_followed_as_in_python(page: Any) -> None:
    """Three faces cross, change their size and go away for a while; numbers, emotions and probabilities agree."""
    rng = np.random.default_rng(3)
    looks: list[tuple[float, list[Face]]] = []
    for i in range(120):
        time = i / 12 + float(rng.uniform(0, 0.03))
        faces = []
        for k, speed in enumerate((9.0, -7.0, 2.0)):
            if rng.random() < 0.15 or (k == 1 and 40 <= i < 60):
                continue
            side = 60 + 20 * k + round(6 * np.sin(i / 9))
            middle = 300 * k + 100 + speed * i + rng.normal(0, 2)
            shares = rng.dirichlet([6, 2, 1.5]) if i % 30 < 20 else rng.dirichlet([1.5, 2, 6])
            values = dict(zip(("happy", "sad", "fear"), map(float, shares), strict=True))
            best = max(values, key=values.__getitem__)
            seen = Quality(side / 2, 0.8, 120.0, 0.0, 4.0 * k + 8)
            faces.append(Face("film", best, values, (round(middle), 80, side, side), 0.9, values[best] < 0.5, seen))
        looks.append((time, faces))
    told = [
        [
            {"box": list(face.box), "emotion": face.emotion, "confidence": face.confidence, "unsure": face.unsure,
             "probabilities": face.probabilities, "detectionScore": 0.9,
             "quality": asdict(face.quality), "whyUnsure": face.why_unsure, "set": None}
            for face in faces
        ]
        for _, faces in looks
    ]  # fmt: skip
    ours = page.evaluate(FOLLOW, [[time, faces] for (time, _), faces in zip(looks, told, strict=True)])
    tracker = Tracker(threshold=0.5)
    numbers, reasons = set(), set()
    for our_faces, (time, faces) in zip(ours, looks, strict=True):
        for our, (number, their) in zip(our_faces, tracker(faces, time), strict=True):
            numbers.add(number)
            assert (our["id"], our["emotion"], our["unsure"]) == (number, their.emotion, their.unsure)
            assert our["whyUnsure"] == their.why_unsure
            reasons.add(their.why_unsure)
            assert our["probabilities"] == pytest.approx(their.probabilities, abs=1e-12)
    assert len(numbers) >= 3
    assert reasons == {None, "turned away", "not sure"}


CUTS = """async (grays) => {
  const { Cuts } = await import("/assets/mien-web.js");
  const cuts = new Cuts();
  return grays.map((gray) => cuts.nextGray(gray));
}"""
CUTS_OF_PICTURES = """async (pictures) => {
  const { Cuts } = await import("/assets/mien-web.js");
  const cuts = new Cuts();
  const found = [];
  for (const text of pictures) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    found.push(cuts.next(await createImageBitmap(new Blob([bytes], { type: "image/png" }))));
  }
  return found;
}"""


def test_cuts_are_those_of_python(page: Any) -> None:
    """Of mosaics, of each again shifted, darker and hidden in part, and of black ones between them."""
    rng, film = np.random.default_rng(8), list[Pixels]()
    for i in range(24):
        drawn = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (320, 240), interpolation=cv2.INTER_NEAREST)
        moved = (np.roll(drawn, 4 * i, axis=1) * 0.7).astype(np.uint8)
        moved[:, : 6 * i] = 90
        film += [drawn, moved, *[np.zeros_like(drawn)] * (i % 7 == 6)]
    cuts = Cuts()
    theirs = [cuts(image) for image in film]
    assert 23 <= sum(theirs) < len(film) - 10
    assert page.evaluate(CUTS, [small(image).ravel().tolist() for image in film]) == theirs
    ours = page.evaluate(CUTS_OF_PICTURES, [png(image) for image in film])
    assert sum(our != their for our, their in zip(ours, theirs, strict=True)) <= 1  # the browser shrinks in its own way
