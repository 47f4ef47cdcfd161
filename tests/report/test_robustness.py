"""The section and the pictures of robustness hold what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from mien.cards import Alignment
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from mien.evaluation.robustness import CorruptionScore, Robustness
from mien.recognize.align import FER2013
from mien.report import robustness, style
from mien.report.robustness import robustness_section, robustness_sentences

NAMES = [
    "Blur",
    "Noise",
    "Brightness",
    "Low contrast",
    "JPEG",
    "Low resolution",
    "Rotation",
    "Shift",
    "Covered eyes",
    "Covered mouth",
]


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.02, high=value + 0.03)


def made_up(clean: float = 0.7, n: int = 300, seed: int = 0) -> Robustness:
    """Of corruption c, severity s has accuracy `clean` − c s / 100."""
    scores = []
    for c, name in enumerate(CORRUPTIONS):
        first, second, third, fourth, fifth = (estimate(clean - c * s / 100) for s in SEVERITIES)
        scores.append(
            CorruptionScore(
                corruption=name,
                accuracy=(first, second, third, fourth, fifth),
                mean=estimate(clean - 0.03 * c),
                drop=estimate(0.03 * c),
            )
        )
    return Robustness(
        split="val", n=n, of=3589, seed=seed, alignment=FER2013, clean=estimate(clean), mean=estimate(0.565),
        drop=estimate(0.135), corruptions=tuple(scores),
    )  # fmt: skip


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_section_holds_every_accuracy_with_its_interval() -> None:
    found = made_up()
    section = robustness_section(found)
    assert section.points == robustness_sentences(found)
    (table,) = section.tables
    assert table.header == ("Corruption", *(f"Severity {s}" for s in SEVERITIES), "Mean", "Lost")
    assert [row[0].text for row in table.rows] == [*NAMES, "all"]
    rotation = table.rows[6]
    assert rotation[0].detail == "± 5, 10, 20, 30, 40 degrees"
    assert [cell.text for cell in rotation[1:]] == [".640", ".580", ".520", ".460", ".400", ".520", ".180"]
    assert rotation[3].detail == "[.500, .550]"
    assert [(cell.text, cell.detail) for cell in table.rows[-1][2:]] == [
        (".565", "[.545, .595]"), (".135", "[.115, .165]"),
    ]  # fmt: skip
    assert "val, n = 300 of 3,589" in table.note
    assert ".700 [.680, .730]" in table.note
    (picture,) = section.pictures
    assert picture.name == "robustness"
    assert picture.png.startswith(b"\x89PNG")


def test_strengths_in_the_table_are_those_that_are_applied() -> None:
    rows = robustness_section(made_up()).tables[0].rows
    details = {corruption: row[0].detail for corruption, row in zip(CORRUPTIONS, rows, strict=False)}
    white = np.full((1, 1), 255, np.uint8)
    left = 255 - min(int(corrupt(white, "brightness", 5, identity=i)[0, 0]) for i in "abcdef")
    assert details["brightness"].endswith(f"{round(100 * left / 255)} % of white")
    pair = np.array([[0, 200]], np.uint8)
    apart = np.ptp(corrupt(pair, "contrast", 5).astype(int))
    assert details["contrast"].endswith(f"{round(100 * apart / 200)} % are left")


def test_panels_hold_the_accuracies_of_every_model() -> None:
    models = {"one": made_up(0.7), "_two": made_up(0.6)}
    figure = robustness.accuracy_by_severity(models)
    assert len(figure.axes) == 10
    for c, axes in enumerate(figure.axes):
        assert axes.get_title(loc="left") == NAMES[c]
        for found, clean, line in zip(models.values(), axes.lines[0:4:2], axes.lines[1:4:2], strict=True):
            assert list(clean.get_ydata()) == [found.clean.value] * 2
            assert clean.get_linestyle() == "--"
            assert list(line.get_xdata()) == [1, 2, 3, 4, 5]
            assert list(line.get_ydata()) == [one.value for one in found.corruptions[c].accuracy]
        bands = [band.get_paths()[0].vertices[:, 1] for band in axes.collections]
        expected = [found.corruptions[c].accuracy for found in models.values()]
        assert [(band.min(), band.max()) for band in bands] == [
            (min(one.low for one in five), max(one.high for one in five)) for five in expected
        ]
    assert legend(figure) == ["one", "_two", "without corruption"]
    colors = [line.get_color() for line in figure.axes[0].lines[1:4:2]]
    assert len(set(colors)) == 2


def test_every_panel_shows_all_its_values() -> None:
    low, high = made_up(0.46), made_up(0.97)
    for models in ({"low": low}, {"high": high}, {"low": low, "high": high}):
        figure = robustness.accuracy_by_severity(models)
        bottom, top = figure.axes[0].get_ylim()
        ends = [one.high for found in models.values() for score in found.corruptions for one in score.accuracy]
        assert bottom == 0
        assert min(max(ends), 1) < top <= 1.02


def test_six_models_can_be_told_apart_and_more_are_refused() -> None:
    figure = robustness.accuracy_by_severity({f"model {i}": made_up(0.5 + i / 50) for i in range(6)})
    lines = figure.axes[3].lines[1:12:2]
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 6
    for models in ({}, {f"model {i}": made_up() for i in range(7)}):
        with pytest.raises(InputError, match="expected 1 to 6"):
            robustness.accuracy_by_severity(models)


def test_models_on_other_faces_are_refused() -> None:
    for other in (made_up(n=299), made_up(seed=1), made_up().model_copy(update={"split": "test"})):
        with pytest.raises(InputError, match=r"a was measured on 300 of 3589 faces of val with seed 0, b on"):
            robustness.accuracy_by_severity({"a": made_up(), "b": other})


@pytest.mark.parametrize("shape", [(48, 48), (60, 50, 3), (1, 1)])
def test_examples_show_the_face_and_what_becomes_of_it(shape: tuple[int, ...]) -> None:
    face = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    figure = robustness.examples(face, FER2013, seed=3)
    grid = np.array(figure.axes).reshape(6, 10)
    for column, corruption in zip(grid.T, CORRUPTIONS, strict=True):
        shown = [np.asarray(axes.images[0].get_array()) for axes in column]
        np.testing.assert_array_equal(shown[0], face)
        for severity, image in zip(SEVERITIES, shown[1:], strict=True):
            np.testing.assert_array_equal(image, corrupt(face, corruption, severity, alignment=FER2013, seed=3))
    assert grid[0, 8].get_title() == "Covered\neyes"
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["clean", "1", "2", "3", "4", "5"]


def test_examples_of_one_pixel_can_be_drawn() -> None:
    assert style.png_bytes(robustness.examples(np.zeros((1, 1), np.uint8)))


def losing(means: dict[str, float], clean: float = 0.8) -> Robustness:
    """Accuracy falls evenly from `clean` over the severities, so that its mean is the given one (`clean` otherwise)."""

    def exactly(value: float) -> Estimate:
        return Estimate(value=value, low=value - 0.01, high=value + 0.01)

    scores = []
    for name in CORRUPTIONS:
        step = (clean - means.get(name, clean)) / 3
        first, second, third, fourth, fifth = (exactly(clean - step * severity) for severity in SEVERITIES)
        mean = means.get(name, clean)
        scores.append(
            CorruptionScore(
                corruption=name,
                accuracy=(first, second, third, fourth, fifth),
                mean=exactly(mean),
                drop=exactly(clean - mean),
            )
        )
    return Robustness(
        split="val", n=300, of=3589, seed=0, clean=exactly(clean), mean=exactly(0.7), drop=exactly(0.1),
        alignment=Alignment(eye_distance=0.4, eye_x=0.5, eye_y=0.4, eyes_to_mouth=0.4, faces=0),
        corruptions=tuple(scores),
    )  # fmt: skip


def test_words_name_the_largest_drops_and_where_a_quarter_is_lost() -> None:
    found = losing({"noise": 0.2, "blur": 0.62, "eyes": 0.68, "mouth": 0.7, "shift": 0.81})
    opening, extremes, quarters = robustness_sentences(found)
    assert opening == (
        "Mean accuracy over 10 corruptions at five severities: .700 [.690, .710] on val, n = 300 of 3,589, drawn "
        "evenly; without corruption .800 [.790, .810], so .100 [.090, .110] is lost."
    )
    assert extremes == (
        "In the mean over severities most is lost to noise .600 [.590, .610], blur .180 [.170, .190], covered eyes "
        ".120 [.110, .130]; least to shift -.010 [-.020, .000]."
    )
    # A quarter is 0.2: noise loses 0.2 a severity, blur 0.06, covered eyes 0.04 and covered mouth 0.033.
    assert quarters == (
        "A quarter of the clean accuracy is lost, .600 or less are left, from severity 1 of noise; 4 of blur; 5 of "
        "covered eyes; not even at 5 of brightness, low contrast, JPEG, low resolution, rotation, shift, covered mouth."
    )
    assert [found.lost_a_quarter(score) for score in found.corruptions] == [4, 1, *[None] * 6, 5, None]


def test_words_for_a_model_that_loses_nothing_or_knows_nothing() -> None:
    for found in (losing({}), losing({}, clean=0.0)):
        _, extremes, quarters = robustness_sentences(found)
        assert extremes == "No corruption takes anything in the mean over its severities."
        assert quarters == "No corruption takes a quarter of the clean accuracy, not even at severity 5."
