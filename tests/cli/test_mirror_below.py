"""mien calibrate --mirror-below: on drawn faces that are all of val, with votes that are made up."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from mien import FaceSet, InputError, Recognizer, Run, Votes, adapt, calibrate
from mien.cards import Card
from mien.evaluation.views import Views
from mien.model import Model


@pytest.fixture(scope="module")
def faces(drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "faces"
    of_train = drawn_faces.splits == "test"
    copies = ~of_train & np.isin(drawn_faces.hashes, drawn_faces.hashes[of_train])  # a bundled model knows what it saw
    for i, image in enumerate(drawn_faces.images):
        if copies[i]:
            continue
        split = "train" if of_train[i] else "val"
        place = folder / split / drawn_faces.label_set.labels[drawn_faces.labels[i]] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), image)
    return folder


@pytest.fixture(scope="module")
def votes(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten votes a face, most of them for what the model's people's head says of both views, or for what is next."""
    opened = FaceSet.open(faces, size=48)
    said = Recognizer("mien-small", detector="none").classify(list(opened.images))
    columns = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
    order = [("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt").index(label)
             for label in Recognizer("mien-small").labels]  # fmt: skip
    lines = [",".join(("path", *columns, "unknown", "NF"))]
    for i, (name, shares) in enumerate(zip(opened.names, said, strict=True)):
        counts = np.zeros(8, dtype=int)
        first, second = np.argsort(-shares)[:2]
        counts[order[first]], counts[order[second]] = (7, 3) if i % 5 else (3, 7)
        lines.append(",".join((str(name), *map(str, counts), "0", "0")))
    file = tmp_path_factory.mktemp("votes") / "votes.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def ask(model: object, faces: Path, votes: Path, to: Path, rule: str, *more: str) -> list[object]:
    return ["calibrate", model, "--data", faces, "--votes", votes, "--to", to, "--mirror-below", rule, *more]


def keys(file: Path) -> list[str]:
    return [one.key for one in onnx.load(file).metadata_props]


def test_a_confidence_is_chosen_and_all_else_is_fitted_under_it(mien, faces: Path, votes: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.onnx"
    done = mien(*ask("mien-small", faces, votes, new, "auto", "--risk", "0.6"))
    assert done.code == 0, done.err
    before, card = Recognizer("mien-small").card, Recognizer(new).card
    opened, tagged = FaceSet.open(faces, size=48), Votes.open(votes)
    views = Views.of(Model.open("mien-small"), opened, tagged)
    below = views.chosen("auto")
    assert below is not None
    assert card.mirror_below == below < 0.99
    assert Card.parse(card.text(), "card") == card
    # What the written file itself says of these faces is what its card was fitted on.
    said = Model.open(new).predictions(opened, "val", votes=tagged)
    expected = card.calibrated(said, 0.6)
    always = before.calibrated(Model.open("mien-small").predictions(opened, "val", votes=tagged), 0.6)
    assert card.people
    assert expected.people
    assert card.temperature == pytest.approx(expected.temperature, abs=2e-4)
    assert card.threshold == pytest.approx(expected.threshold, abs=2e-3)
    assert card.people.temperature == pytest.approx(expected.people.temperature, abs=2e-4)
    assert card.people.threshold == pytest.approx(expected.people.threshold, abs=2e-3)
    assert abs(card.temperature - always.temperature) > 1e-3  # of other answers it is another
    # And so is what is told of it.
    share = re.search(r"of ([\d.]+) % of 125 val images", done.out)
    assert share
    assert float(share[1]) == pytest.approx(100 * views.seen_twice(below).mean(), abs=0.05)
    assert f"below a confidence of {below:g}, chosen on these images" in done.out
    assert f"temperature {card.temperature:.3f}" in done.out
    rule = views.rule(below)
    for head in rule.heads:
        assert head.rule_change.value >= 0
        assert f"{head.truth}, below {below:g}" in done.out
    assert [head.truth for head in rule.heads] == ["labels", "people"]
    assert not any(key.startswith("mien.reference") for key in keys(new))
    assert "the reference of mien check is left out" in done.err
    assert f"mien calibrate {new} --reference --data PATH --to NEW.onnx" in done.err
    # It stays when it is calibrated again, and goes with `always`.
    again = tmp_path / "again.onnx"
    done = mien("calibrate", new, "--data", faces, "--votes", votes, "--to", again)
    assert (done.code, Recognizer(again).card.mirror_below) == (0, below)
    done = mien(*ask(new, faces, votes, tmp_path / "always.onnx", "always", "--risk", "0.6"))
    assert "mirror images are seen of all faces\n" in done.out
    back = Recognizer(tmp_path / "always.onnx").card
    assert (back.mirror_below, back.temperature) == (None, pytest.approx(always.temperature, abs=2e-4))


def test_a_number_is_kept_as_it_is(mien, faces: Path, votes: Path, tmp_path: Path) -> None:
    done = mien(*ask("mien-small", faces, votes, tmp_path / "new.onnx", "0.8"))
    assert done.code == 0, done.err
    assert Recognizer(tmp_path / "new.onnx").card.mirror_below == 0.8
    assert "below a confidence of 0.8: of " in done.out
    done = mien(*ask("mien-small", faces, votes, tmp_path / "same.onnx", "always"))
    assert done.code == 0, done.err
    assert "reference" not in done.err  # nothing changed that it depends on
    assert [key for key in keys(tmp_path / "same.onnx") if key.startswith("mien.reference")]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("0", "expected a probability above 0, up to 1"),
        ("1.5", "expected a probability above 0, up to 1"),
        ("nan", "expected a probability above 0, up to 1"),
        ("often", "unknown --mirror-below 'often'"),
    ],
)
def test_what_is_no_confidence_is_refused(mien, faces: Path, votes: Path, tmp_path: Path, rule: str, told: str) -> None:
    done = mien(*ask("mien-small", faces, votes, tmp_path / "new.onnx", rule))
    assert done.code == 2
    assert told in done.err
    assert not list(tmp_path.iterdir())


def test_models_that_cannot_have_it(mien, faces: Path, votes: Path, trained_run: Run, tmp_path: Path) -> None:
    done = mien(*ask("mien-tiny", faces, votes, tmp_path / "new.onnx", "auto"))
    assert (done.code, "sees no mirror images" in done.err) == (2, True)
    done = mien("calibrate", "mien-small", "--data", faces, "--to", tmp_path / "new.onnx", "--mirror-below", "auto")
    assert (done.code, "Name them: --votes FILE" in done.err) == (2, True)
    done = mien("calibrate", trained_run.folder, "--mirror-below", "auto")
    assert done.code == 2
    assert f"mien export {trained_run.folder} --data PATH --to model.onnx" in done.err
    done = mien("calibrate", "mien-small", "--reference", "--mirror-below", "auto", "--to", tmp_path / "new.onnx")
    assert (done.code, "leave out --mirror-below" in done.err) == (2, True)
    assert not (tmp_path / "new.onnx").exists()


def test_few_images_choose_nothing(drawn_zip: Path, votes: Path, tmp_path: Path) -> None:
    few = FaceSet.open(drawn_zip, size=48)
    tagged = Votes("made up", ("happiness",), {str(name): np.array([1]) for name in few.names})
    with pytest.raises(InputError, match="14 val images that are not in train; at least 100"):
        calibrate("mien-small", faces=few, votes=tagged, to=tmp_path / "new.onnx", mirror_below="auto")


def test_the_network_of_a_run_would_not_keep_to_it(trained_run: Run) -> None:
    card = trained_run.card.model_copy(update={"mirror": True, "mirror_below": 0.9})
    card.save(trained_run.folder / "card.json")
    with pytest.raises(InputError, match=r"card\.json: has mirror_below, which is of model files alone"):
        trained_run.load_model()


def test_biases_are_not_added_to_it(faces: Path, votes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They would change which faces are seen twice, of both heads. The file with every mirror image can have them."""
    opened, tagged = FaceSet.open(faces, size=48), Votes.open(votes)
    some, every = tmp_path / "some.onnx", tmp_path / "every.onnx"
    calibrate("mien-small", faces=opened, votes=tagged, to=some, mirror_below=0.7)
    with pytest.raises(InputError, match=r"only below a confidence of 0\.7, which biases change") as told:
        adapt(some, opened, tmp_path / "no.onnx", anyway=True)
    assert f"mien calibrate {some} --data PATH --mirror-below always" in str(told.value)
    assert not (tmp_path / "no.onnx").exists()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        calibrate(some, faces=opened, votes=tagged, to=every, mirror_below="always")
    assert "reference" not in caplog.text  # none was left
    adapt(every, opened, tmp_path / "adapted.onnx", anyway=True)
    card = Recognizer(tmp_path / "adapted.onnx").card
    assert card.adapted
    assert card.mirror_below is None
    again = calibrate(
        tmp_path / "adapted.onnx", faces=opened, votes=tagged, to=tmp_path / "quick.onnx", mirror_below=0.8
    )
    assert (again.adapted, again.mirror_below) == (card.adapted, 0.8)
