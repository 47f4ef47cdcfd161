"""A model card tells what the card and the figures say, and names what nobody has measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from statsmodels.stats.proportion import proportion_confint

from mien.cards import Alignment, Card, Training
from mien.errors import InputError
from mien.evaluation.evaluate import Evaluation, score
from mien.evaluation.printed import format_estimate
from mien.predictions import Predictions
from mien.preprocess import Preprocess
from mien.recipes.recipe import Recipe
from mien.report.layout import Page, Section, write_page
from mien.report.model_card import model_card

LABELS = ("angry", "happy", "sad")
CONFUSION = ((40, 5, 15), (1, 97, 2), (20, 10, 10))  # rows: true


def a_card(**changes: Any) -> Card:
    how = Training(
        data="fer2013.zip", fingerprint="f" * 32, train_images=28709, val_images=3589, seed=3, epochs=30, best_epoch=21,
        best_value=0.6, device="2 CPU cores", precision="bfloat16", minutes=41.26,
        versions={"mien": "0.1.0", "torch": "2.13.0"}, commit="abc123",
    )  # fmt: skip
    card = Card(
        recipe="cnn-v2",
        labels=LABELS,
        preprocess=Preprocess(size=48, color="gray", mean=(0.5,), std=(0.25,)),
        parameters=412345,
        training=how.model_copy(update=changes.pop("training", {})),
    )
    return card.model_copy(update=changes)


def an_evaluation(split: str = "test", leaked: int = 0) -> Evaluation:
    labels = np.repeat([0, 1, 2], [sum(row) for row in CONFUSION])
    answers = np.concatenate([np.repeat([0, 1, 2], row) for row in CONFUSION])
    probabilities = np.full((len(labels), 3), 0.15, dtype=np.float32)
    probabilities[np.arange(len(labels)), answers] = 0.7
    names = np.array([f"{i}" for i in range(len(labels))], dtype=np.str_)
    seen = np.arange(len(labels)) < leaked
    return score(
        Predictions(split, LABELS, names, names, labels, probabilities, seen, np.zeros_like(seen)), "m", draws=50
    )


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return an_evaluation()


def section(page: Page, title: str) -> Section:
    return next(section for section in page.sections if section.title == title)


def points(page: Page, title: str) -> str:
    return "\n".join(section(page, title).points)


def test_the_order_is_that_of_mitchell_et_al(evaluation: Evaluation, quick: None) -> None:
    page = model_card("mine", a_card(), [evaluation], parts=[Section("Humans"), Section("Groups")])
    assert [part.title for part in page.sections] == [
        "Model", "What it is for", "What it is not for", "Training data and protocol", "Figures", "Class by class",
        "Confidence", "Humans", "Groups", "Limits", "Responsible use", "How to make it again",
    ]  # fmt: skip
    assert page.title == "Model card: mine"
    assert page.subtitle.endswith(f"3 classes; test accuracy {format_estimate(evaluation.scores.accuracy)}, n = 200")


def test_it_says_what_the_model_is(evaluation: Evaluation, quick: None) -> None:
    plain = points(model_card("mine", a_card(), [evaluation]), "Model")
    assert plain.splitlines()[:3] == [
        "Recipe cnn-v2.", "412,345 parameters.", "Input: one face, cut out and upright, 48 × 48 pixels, gray."
    ]  # fmt: skip
    assert "angry, happy and sad; they add up to 1" in plain
    assert "Data: their own terms (FER2013: DbCL 1.0 on Kaggle)." in plain
    assert not any(word in plain for word in ("mirror", "ensemble", "started"))
    eyes = Alignment(eye_distance=0.38, eye_x=0.5, eye_y=0.41, eyes_to_mouth=0.36, faces=512)
    everything = a_card(
        backbone="dinov2-small", members=("a", "b"), mirror=True, alignment=eyes,
        training={"start": "earlier", "data": "mine.zip"},
    )  # fmt: skip
    full = points(model_card("mine", everything, [evaluation], recipe=Recipe.load("cnn-v2")), "Model")
    for words in (
        "Recipe cnn-v2 (CNN from zero): ", "of the probabilities of a and b.", "eyes .38 of the side apart",
        "mirror image", "started from dinov2-small", "started from the run earlier", "Data: their own terms (mine.zip)",
    ):  # fmt: skip
        assert words in full
    assert "leaves" not in full
    some = points(model_card("mine", a_card(mirror=True, mirror_below=0.75), [evaluation]), "Model")
    assert "sure of the face alone, with 0.75 or more before any temperature, it leaves the mirror image out" in some


def test_data_and_protocol(evaluation: Evaluation, quick: None) -> None:
    told = points(model_card("mine", a_card(), [evaluation]), "Training data and protocol")
    assert "The training set of fer2013.zip fits the weights: 28,709 images." in told
    assert f"Fingerprint of training set and val: {'f' * 32}." in told
    assert "val, 3,589 images, chose epoch 21 of 30" in told
    assert "Seed 3; 2 CPU cores, bfloat16; 41.3 minutes." in told
    assert "votes" not in told
    assert "temperature" not in told
    fitted = points(model_card("mine", a_card(threshold=0.6, risk=0.2), [evaluation]), "Training data and protocol")
    assert "epoch 21 of 30, and temperature and threshold of the confidence, by the images" in fitted
    votes = a_card(training={"votes": "ferplus.csv"})
    page = model_card("mine", votes, [evaluation], recipe=Recipe.load("mien-small"))
    told = points(page, "Training data and protocol")
    for words in (
        "28,709 images, identical ones counted once.",
        "votes of several taggers on the images of the training set (ferplus.csv)", "Training: Muon 2e-2",
    ):  # fmt: skip
        assert words in told


def test_figures_stand_with_n_and_interval_for_every_split(quick: None) -> None:
    test, val = an_evaluation("test", leaked=30), an_evaluation("val")
    (table,) = section(model_card("mine", a_card(), [val, test]), "Figures").tables
    assert [(row[0].text, row[1].text) for row in table.rows] == [
        ("val", "200"), ("test", "200"), ("test, leak-free", "170")
    ]  # fmt: skip
    assert test.leak_free is not None
    assert [cell.text for cell in table.rows[2]][2:4] == [
        format_estimate(test.leak_free.accuracy), format_estimate(test.leak_free.macro_f1)
    ]  # fmt: skip
    assert "val has chosen the epoch" in table.note
    (alone,) = section(model_card("mine", a_card(), [test]), "Figures").tables
    assert "val has chosen" not in alone.note


def test_classes_have_wilsons_intervals_of_test(quick: None) -> None:
    page = model_card("mine", a_card(), [an_evaluation("val"), an_evaluation("test")])
    (table,) = section(page, "Class by class").tables
    assert table.header[1] == "Images in test"
    low, high = proportion_confint(40, 60, method="wilson")
    assert table.rows[0][2].text == f".667 [{low:.3f}, {high:.3f}]".replace("0.", ".")
    low, high = proportion_confint(40, 61, method="wilson")
    assert table.rows[0][3].text == f".656 [{low:.3f}, {high:.3f}]".replace("0.", ".")
    assert table.rows[0][3].detail == "of 61 answers"
    assert [row[4].text for row in table.rows] == [".661", ".915", ".299"]  # 2·40/121, 2·97/212, 2·10/67


def test_a_class_without_images_or_answers_has_no_figure(quick: None) -> None:
    found = an_evaluation()
    rows = (*found.per_class[:2], found.per_class[2].model_copy(update={"support": 0, "recall": None, "f1": None}))
    empty = found.model_copy(update={"per_class": rows, "confusion": ((55, 5, 0), (3, 97, 0), (0, 0, 0))})
    page = model_card("mine", a_card(), [empty])
    (table,) = section(page, "Class by class").tables
    assert [cell.text for cell in table.rows[2]] == ["sad", "0", "–", "–", "–"]


def test_limits_name_the_weakest_class_and_what_is_not_measured(evaluation: Evaluation, quick: None) -> None:
    told = points(model_card("mine", a_card(), [evaluation]), "Limits")
    low, high = proportion_confint(10, 40, method="wilson")
    recall = f".250 [{low:.3f}, {high:.3f}]".replace("0.", ".")
    assert f"It does worst on sad: recall {recall} of 40 images, most often taken for angry (20)." in told
    assert "Groups of people are not told apart" in told
    assert "Bad light" in told
    measured = model_card("mine", a_card(), [evaluation], parts=[Section("Groups"), Section("Robustness")])
    assert "not told apart" not in points(measured, "Limits")
    assert "Bad light" not in points(measured, "Limits")


@pytest.mark.parametrize(
    ("changes", "told", "not_told"),
    [
        ({}, ("No temperature is applied.", "It has no threshold"), "surety"),
        ({"temperature": 1.3}, ("Temperature 1.300, fitted on val, is part of every answer.",), "No temperature"),
        ({"threshold": 0.58}, ("confidence below .580 are marked unsure.",), "surety"),
        (
            {"threshold": 0.58, "risk": 0.2},
            ("below .580 are marked unsure. It is set by val so that at most 20 % of the other", "95 % surety"),
            "no threshold",
        ),
        (
            {"threshold": 1.0, "risk": 0.05},
            ("marked unsure: none of val kept the share of wrong answers within 5 %, so every answer is.",),
            "surety",
        ),
    ],
)
def test_confidence(
    changes: dict[str, float], told: tuple[str, ...], not_told: str, evaluation: Evaluation, quick: None
) -> None:
    found = points(model_card("mine", a_card(**changes), [evaluation]), "Confidence")
    assert "Expected calibration error on test, n = 200: " in found
    assert all(words in found for words in told)
    assert not_told not in found


def test_calibration_says_whether_chance_explains_it(evaluation: Evaluation, quick: None) -> None:
    assert evaluation.calibration is not None
    for limits, words in (((0.0, 0.5), ", what chance makes ("), ((0.0, 0.001), ", more than chance makes (")):
        changed = evaluation.calibration.model_copy(update={"ece": 0.04, "ece_if_perfect": limits})
        page = model_card("mine", a_card(), [evaluation.model_copy(update={"calibration": changed})])
        assert f".040{words}" in points(page, "Confidence")
    older = evaluation.model_copy(update={"calibration": None})
    assert "calibration error" not in points(model_card("mine", a_card(), [older]), "Confidence")


def test_commands_make_it_again(evaluation: Evaluation, quick: None) -> None:
    def code(card: Card) -> tuple[str, ...]:
        return section(model_card("mine", card, [evaluation]), "How to make it again").code

    assert code(a_card(training={"votes": "ferplus.csv", "start": "first"})) == (
        "mien train cnn-v2 --data fer2013.zip --out runs/mine --seed 3 --votes ferplus.csv --start first",
        "mien evaluate runs/mine --data fer2013.zip",
    )
    card = a_card(training={"votes": "ferplus.csv", "start": "first"})
    changed = Recipe.load("cnn-v2", ["optimizer.lr=1e-4", "unfreeze.last=all", "seed=3"])
    for recipe, command in (
        (changed, "mien train cnn-v2 --data fer2013.zip --out runs/mine --set 'optimizer.lr=0.0001' --set 'seed=3'"),
        (
            changed.model_copy(update={"name": "own"}),
            "mien train runs/mine/recipe.yaml --data fer2013.zip --out runs/mine",
        ),
    ):
        made = section(model_card("mine", card, [evaluation], recipe=recipe), "How to make it again").code[0]
        assert made == f"{command} --votes ferplus.csv --start first"
    assert code(a_card(members=("a", "b")))[0] == "mien ensemble runs/a runs/b --out runs/mine"
    (text,) = section(model_card("mine", a_card(), [evaluation]), "How to make it again").text
    assert text.startswith("Commit abc123. Made with mien 0.1.0, torch 2.13.0.")


def test_it_is_written_as_html_and_markdown(evaluation: Evaluation, tmp_path: Path) -> None:
    page = model_card("my <model> | a_b", a_card(recipe="*bold*"), [evaluation])
    assert write_page(page, tmp_path, "model-card") == tmp_path / "model-card.html"
    assert {file.name for file in tmp_path.iterdir()} == {"model-card.html", "model-card.md", "pictures"}
    html = (tmp_path / "model-card.html").read_text("utf-8")
    assert "my &lt;model&gt; | a_b" in html
    assert "Article 5(1)(f)" in html
    shown = MarkdownIt().enable("table").render((tmp_path / "model-card.md").read_text("utf-8"))
    assert "<h1>Model card: my &lt;model&gt; | a_b</h1>" in shown
    assert "Recipe *bold*." in shown
    assert (tmp_path / "pictures" / "model-card" / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_no_figures_or_those_of_other_labels_are_refused(evaluation: Evaluation) -> None:
    with pytest.raises(InputError, match=r"mine: a model card needs figures\. Make them: mien evaluate MODEL"):
        model_card("mine", a_card(), [])
    with pytest.raises(InputError, match="its card has the labels a, b, its evaluation on test angry, happy, sad"):
        model_card("mine", a_card(labels=("a", "b")), [evaluation])


def test_a_value_stays_in_its_place(evaluation: Evaluation, quick: None) -> None:
    hostile = a_card(
        backbone="x\n## Limits\n- none\n<evidence>", recipe="{{ name }}\u2028- y", license="<figures>\r\n# z"
    )
    page = model_card("mine\n\n## Groups", hostile, [evaluation])
    plain = model_card("mine", a_card(backbone="x"), [evaluation])
    assert [part.title for part in page.sections] == [part.title for part in plain.sections]
    assert [len(part.points) for part in page.sections] == [len(part.points) for part in plain.sections]
    assert page.title == "Model card: mine ## Groups"
    told = points(page, "Model")
    assert "Recipe {{ name }} - y." in told
    assert "Its weights started from x ## Limits - none <evidence>; what" in told
    assert "License: <figures> # z Data:" in told
