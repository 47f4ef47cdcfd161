"""CNN or ViT? The answer is made of the stored predictions' own figures, and says when it cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from mien.evaluation.classes import class_tests
from mien.evaluation.compare import compare_predictions
from mien.evaluation.evaluate import score
from mien.evaluation.printed import format_estimate
from mien.evaluation.seeds import compare_recipes
from mien.labels import FER7
from mien.predictions import Predictions
from mien.report.content import RunReport, StudyReport
from mien.report.families import questions
from mien.studies import pairs
from mien.studies.page import compose
from mien.studies.question import headlines, question_sections

MakeReport = Callable[..., StudyReport]
COUNTS = np.array((100, 20, 100, 200, 150, 150, 40))  # angry, disgust, fear, happy, neutral, sad, surprise


def knowing(shares: Sequence[float]) -> Predictions:
    """A model that is right on the first share of each class, and otherwise takes the next class for it."""
    labels = np.repeat(np.arange(7), COUNTS)
    places = np.concatenate([np.arange(count) / count for count in COUNTS])
    right = places < np.asarray(shares)[labels]
    n = len(labels)
    return Predictions(
        split="test",
        label_names=FER7.labels,
        names=np.array([f"{i}.png" for i in range(n)], dtype=np.str_),
        hashes=np.array([f"{i:032x}" for i in range(n)], dtype=np.str_),
        labels=labels,
        probabilities=np.eye(7, dtype=np.float32)[np.where(right, labels, (labels + 1) % 7)],
        in_train=np.zeros(n, dtype=np.bool_),
        in_val=np.zeros(n, dtype=np.bool_),
    )


def asking(make_report: MakeReport, models: dict[str, tuple[str, Sequence[float]]]) -> StudyReport:
    """A report on runs (name → recipe, share known of each class)."""
    report = make_report([(name, recipe, 0.5, 0) for name, (recipe, _) in models.items()])
    predicted = {name: knowing(shares) for name, (_, shares) in models.items()}

    def scored(run: RunReport) -> RunReport:
        found = {split: replace(predicted[run.name], split=split) for split in ("val", "test")}
        return replace(run, evaluations={split: score(p, run.name, draws=50) for split, p in found.items()})

    runs = [scored(run) for run in report.runs]
    train = dict(zip(FER7.labels, (8 * COUNTS).tolist(), strict=True))
    return replace(
        report,
        runs=runs,
        comparisons={"test": compare_predictions(list(predicted.items()), draws=200)},
        data=replace(report.data, counts={"train": train}),
        class_tests=class_tests({name: predicted[name] for names in questions(runs) for name in names}),
    )


FLAT = [0.5] * 7
CNN, VIT, LITE = "cnn-v2", "vit-v1.6.7-dinov2-small-112px", "efficientnet-lite0-ft-112px"


def test_answers_with_the_figures_of_each_side(make_report: MakeReport) -> None:
    vit = [0.8, 0.0, 0.5, 0.7, 0.5, 0.5, 0.5]
    asked = asking(make_report, {CNN: ("cnn-v2", FLAT), VIT: ("vit-v1.6.7", vit)})
    (section,) = question_sections(asked)
    words = " ".join(section.points)
    for run in asked.runs:
        scores = run.evaluations["test"].scores
        assert f"test accuracy {format_estimate(scores.accuracy)} (n = {scores.n:,})" in words
    assert f"{VIT} is better than {CNN} by 7.9 points" in words  # (0.3 * 100 - 0.5 * 20 + 0.2 * 200) / 760
    (table,) = section.tables
    better = {row[0].text: row[-1].text for row in table.rows}
    assert better == {
        "angry": "ViT", "disgust": "CNN", "fear": "cannot tell", "happy": "ViT", "neutral": "cannot tell",
        "sad": "cannot tell", "surprise": "cannot tell",
    }  # fmt: skip
    assert "the ViT is better in 2 of 7 (angry, happy), the CNN in 1 of 7 (disgust); cannot tell in 4 of 7" in words
    rows = {row[0].text: row for row in table.rows}
    assert rows["angry"][6].text == "0 / 30"
    assert rows["disgust"][6].text == "10 / 0"
    assert rows["disgust"][0].detail == "160 in the training set"
    assert rows["happy"][2].detail == "recall .500"
    assert rows["happy"][3].detail == "recall .700"


def test_f1_decides_who_wins_a_class(make_report: MakeReport) -> None:
    vit = [0.8, 0.0, 0.5, 0.7, 0.5, 0.5, 0.5]
    asked = asking(make_report, {CNN: ("cnn-v2", FLAT), VIT: ("vit-v1.6.7", vit)})
    f1 = [[one.f1 for one in run.evaluations["test"].per_class] for run in asked.runs]
    won = [label for label, cnn, other in zip(FER7.labels, *f1, strict=True) if other > cnn]
    lost = [label for label, cnn, other in zip(FER7.labels, *f1, strict=True) if other < cnn]
    words = " ".join(question_sections(asked)[0].points)
    assert f"it wins {len(won)} of 7 ({', '.join(won)}) against {CNN}" in words
    assert f"and the CNN wins {len(lost)} of 7 ({', '.join(lost)})" in words
    assert f"The ViT has the higher F1 in {len(won)} of 7 classes; the study says 5 of 7." in headlines(asked)[0]


def test_rare_classes_are_those_with_the_fewest_training_images(make_report: MakeReport) -> None:
    vit = [0.5, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5]
    points = question_sections(asking(make_report, {CNN: ("cnn-v2", FLAT), VIT: ("vit-v1.6.7", vit)}))[0].points
    rare = next(point for point in points if point.startswith("Does the CNN win where"))
    assert "In the 2 classes with the fewest" in rare
    assert "the CNN in 1 of 2 (disgust); cannot tell in 1 of 2 (surprise)" in rare
    assert "disgust (160 training images, 20 in test)" in rare
    assert "recall .500 and .000" in rare


@pytest.mark.parametrize(
    ("cnn", "lite", "vit", "answer"),
    [
        (0.4, 0.4, 0.6, "No, it comes out the same."),
        (0.4, 0.6, 0.6, "Yes."),  # the lead is gone
        (0.4, 0.7, 0.6, "Yes."),  # turned round
        (0.5, 0.5, 0.5, "No, it comes out the same."),
        (0.6, 0.5, 0.5, "Yes."),
    ],
)
def test_whether_a_pretrained_cnn_changes_the_verdict(
    make_report: MakeReport, cnn: float, lite: float, vit: float, answer: str
) -> None:
    models = {
        CNN: ("cnn-v2", [cnn] * 7), LITE: ("efficientnet-lite0-ft", [lite] * 7), VIT: ("vit-v1.6.7", [vit] * 7),
    }  # fmt: skip
    (section,) = question_sections(asking(make_report, models))
    assert f"Does a pre-trained CNN change the verdict? {answer} On test" in section.points[-1]
    assert len(section.tables) == 2
    assert section.tables[1].header[4] == "F1, ViT − pre-trained CNN"


def test_without_a_pretrained_cnn_it_cannot_tell(make_report: MakeReport) -> None:
    asked = asking(make_report, {CNN: ("cnn-v2", FLAT), VIT: ("vit-v1.6.7", FLAT)})
    assert question_sections(asked)[0].points[-1] == (
        "Does a pre-trained CNN change the verdict? Cannot tell: none was run."
    )
    assert f"cannot tell {VIT} and {CNN} apart" in " ".join(question_sections(asked)[0].points)
    assert f"cannot tell {VIT} and {CNN} apart" in headlines(asked)[0]


def test_order_of_the_runs_does_not_turn_the_answer(make_report: MakeReport) -> None:
    models = {CNN: ("cnn-v2", FLAT), LITE: ("efficientnet-lite0-ft", [0.6] * 7), VIT: ("vit-v1.6.7", [0.7] * 7)}
    (forward,) = question_sections(asking(make_report, models))
    (backward,) = question_sections(asking(make_report, dict(reversed(models.items()))))
    assert forward.points == backward.points
    assert [t.rows for t in forward.tables] == [t.rows for t in backward.tables]


@pytest.mark.usefixtures("words")
def test_the_section_stands_where_there_is_a_question(whole_study: StudyReport, report: StudyReport) -> None:
    titles = [section.title for section in compose(whole_study).sections]
    assert titles[:4] == ["Verdict", "Results", "CNN or ViT?", "Accuracy against cost"]
    assert any(
        point.startswith("CNN or ViT? On the study's terms, labels alone: on test")
        for point in compose(whole_study).sections[0].points
    )
    assert "CNN or ViT?" not in [section.title for section in compose(report).sections]
    assert not any("CNN or ViT?" in point for point in compose(report).sections[0].points)


@pytest.mark.usefixtures("words")
def test_without_class_tests_it_answers_with_accuracy_alone(whole_study: StudyReport) -> None:
    (section,) = question_sections(replace(whole_study, class_tests=None))
    assert section.tables == ()
    assert any("points [" in point for point in section.points)


def test_the_study_s_question_is_not_asked_of_other_data(make_report: MakeReport) -> None:
    """Cartoons that are bored, curious or alert say nothing of what the study found on FER2013."""
    runs = [("cnn-v2", "cnn-v2", 0.5, 0), ("vit-v1.3", "vit-v1.3", 0.6, 0)]
    report = make_report(runs, ("bored", "curious", "alert"), (40, 10, 30))
    assert not report.data.is_fer2013
    assert question_sections(report) == headlines(report) == []


def test_the_best_of_each_side_is_asked_where_it_learned_from_more(make_report: MakeReport) -> None:
    tuned = "vit-tuned-dinov2-small"
    models = {
        CNN: ("cnn-v2", FLAT), VIT: ("vit-v1.6.7", [0.4] * 7), tuned: ("vit-tuned", [0.8] * 7),
        "mien-small": ("mien-small", [0.7] * 7),
    }  # fmt: skip
    report = asking(make_report, models)
    equal, free = question_sections(report)
    assert (equal.title, free.title) == ("CNN or ViT?", "CNN or ViT? The best of each side")
    assert f"{VIT} is worse than {CNN} by 10.0 points" in " ".join(equal.points)
    assert f"{tuned} is better than mien-small by 10.0 points" in " ".join(free.points)
    assert all(point.endswith("learned from labels and taggers' votes.") for point in free.points[:2])
    assert all(point.endswith("learned from labels alone.") for point in equal.points[:2])
    assert len(headlines(report)) == 2


def over_seeds(report: StudyReport, skills: dict[str, tuple[float, ...]]) -> StudyReport:
    """The report with what the seeds of each recipe know of every class, compared."""
    predicted = {name: [knowing((skill,) * 7) for skill in known] for name, known in skills.items()}
    return replace(report, seeds=compare_recipes(predicted))


SEEDS = [("a0", "cnn-v2", 0.5, 0), ("a1", "cnn-v2", 0.5, 1), ("b0", "cnn-v2.1", 0.5, 0), ("b1", "cnn-v2.1", 0.5, 1)]


def test_of_one_seed_each_it_is_said_of_runs(make_report: MakeReport) -> None:
    report = make_report([("c", "cnn-v2", 0.4, 0), ("c-s1", "cnn-v2", 0.4, 1), ("v", "vit-v1.3", 0.9, 0)])
    (told,) = headlines(report)
    assert told.count("said of these runs, not of their recipes: vit-v1.3 was trained with one seed") == 1
    assert "No two recipes have runs of several seeds" in " ".join(pairs.over_seeds(report).text)


def test_of_several_seeds_it_is_said_of_recipes(make_report: MakeReport) -> None:
    runs = [
        ("c", "cnn-v2", 0.4, 0),
        ("c-s1", "cnn-v2", 0.4, 1),
        ("v", "vit-v1.3", 0.9, 0),
        ("v-s1", "vit-v1.3", 0.9, 1),
    ]
    report = over_seeds(make_report(runs), {"cnn-v2": (0.5, 0.51), "vit-v1.3": (0.8, 0.81)})
    (told,) = headlines(report)
    assert "Of the recipes, by 2 and 2 seeds and mean accuracy: vit-v1.3 is better than cnn-v2 by 30" in told
    turned = over_seeds(make_report(runs), {"vit-v1.3": (0.8, 0.81), "cnn-v2": (0.5, 0.51)})
    assert headlines(turned) == headlines(report)
    section = pairs.over_seeds(report)
    assert [[cell.text for cell in row] for row in section.tables[0].rows] == [
        ["cnn-v2", "2", ".507", ".009", ".500 to .513"],  # 380 and 390 of 760
        ["vit-v1.3", "2", ".807", ".009", ".800 to .813"],  # 608 and 618
    ]


def test_whether_sampling_helps_is_said_of_recipes_that_differ_in_it_alone(make_report: MakeReport) -> None:
    report = over_seeds(make_report(SEEDS), {"cnn-v2.1": (0.8, 0.81), "cnn-v2": (0.5, 0.51)})
    assert pairs.over_seeds(report).points[0].startswith("Does sampling help? cnn-v2.1 is better than cnn-v2 by 30")
    other = [(name, "cnn-v1" if name.startswith("a") else recipe, skill, seed) for name, recipe, skill, seed in SEEDS]
    report = over_seeds(make_report(other), {"cnn-v1": (0.5, 0.51), "cnn-v2.1": (0.8, 0.81)})
    assert not any("sampling" in point for point in pairs.over_seeds(report).points)


def test_the_answer_on_new_photos_stands_beside(whole_study: StudyReport) -> None:
    comparison = whole_study.comparisons["test"]
    report = replace(whole_study, on_new_photos=comparison.model_copy(update={"n": 12}))
    (plain, *_), (told, *_) = headlines(whole_study), headlines(report)
    assert "show a photo" not in plain
    assert "Without images that show a photo of the training or validation set again (n = 12)," in told
    assert told.startswith(plain.split(" The ViT has")[0].split(" This is said")[0])
    other = comparison.model_copy(update={"models": ("a", "b")})
    assert headlines(replace(whole_study, on_new_photos=other)) == headlines(whole_study)
