"""Every run has its family, and the question goes to the best of each side by val accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mien.recipes.recipe import Recipe, names
from mien.report.content import RunReport, StudyReport
from mien.report.families import called, family, leading, question, short_names


def pretrained(backbone: str, features: str) -> Recipe:
    return Recipe.load("vit-v1.3", [f"model.backbone={backbone}", f"model.features={features}"])


def test_every_built_in_recipe_is_of_a_known_family() -> None:
    assert {name: family(Recipe.load(name)) for name in names() if not name.startswith("vit-v")} == {
        "base-v2": "CNN from zero",
        "cnn-v1": "CNN from zero",
        "cnn-v2": "CNN from zero",
        "cnn-v2.1": "CNN from zero",
        "efficientnet-lite0-ft": "pre-trained CNN",
        "mien-small": "CNN from zero",
        "mien-tiny": "CNN from zero",
        "resnet50-ft": "pre-trained CNN",
        "small-ft": "CNN from zero",
        "small-v2": "CNN from zero",
        "small-v2-labels": "CNN from zero",
        "tiny-ft": "CNN from zero",
        "tiny-v2": "CNN from zero",
        "vit-scratch": "ViT from zero",
        "vit-scratch-tuned": "ViT from zero",
        "vit-tuned": "pre-trained ViT",
    }
    assert {family(Recipe.load(name)) for name in names() if name.startswith("vit-v")} == {"pre-trained ViT"}


@pytest.mark.parametrize(
    ("backbone", "features", "expected"),
    [
        ("../shared/models/dinov2-small", "cls", "pre-trained ViT"),
        ("../shared/models/dinov2-small", "mean", "pre-trained ViT"),
        ("some/unheard-of", "both", "pre-trained ViT"),
        ("some/unheard-of", "mean", "pre-trained"),
        ("facebook/convnext-tiny-224", "mean", "pre-trained CNN"),
        ("microsoft/resnet-50", "cls", "pre-trained CNN"),  # a class token is asked for, and passed over
        ("/models/resnet-and-others/unheard-of", "mean", "pre-trained"),  # the folder does not count
    ],
)
def test_a_pretrained_backbone_is_told_by_name_or_class_token(backbone: str, features: str, expected: str) -> None:
    assert family(pretrained(backbone, features)) == expected


def test_the_question_goes_to_the_best_by_val(whole_study: StudyReport) -> None:
    def best(of: str) -> RunReport:
        return max((run for run in whole_study.runs if family(run.recipe) == of), key=lambda run: run.val_accuracy)

    sides = ("CNN from zero", "pre-trained CNN", "pre-trained ViT")
    assert question(whole_study.runs) == tuple(best(side).name for side in sides)
    without_cnn = [run for run in whole_study.runs if family(run.recipe) != "pre-trained CNN"]
    assert question(without_cnn) == (best(sides[0]).name, best(sides[2]).name)
    for missing in (sides[0], sides[2]):
        assert question([run for run in whole_study.runs if family(run.recipe) != missing]) == ()


def test_test_figures_do_not_choose(whole_study: StudyReport) -> None:
    worse = [
        replace(run, evaluations={**run.evaluations, "test": whole_study.runs[5].evaluations["test"]})
        if run.name in question(whole_study.runs)
        else run
        for run in whole_study.runs
    ]
    assert question(worse) == question(whole_study.runs)


def test_who_learned_from_more_than_labels_does_not_answer(make_report: Callable[..., StudyReport]) -> None:
    both = [("vit", "vit-v1.3", 0.6, 0), ("cnn", "cnn-v2", 0.6, 0)]
    assert question(make_report([*both, ("votes", "mien-small", 0.9, 0)]).runs) == ("cnn", "vit")
    assert question(make_report([both[0], ("votes", "mien-small", 0.9, 0)]).runs) == ()


def test_leading_runs_are_all_of_a_few_and_the_best_of_each_family_of_many(
    report: StudyReport, whole_study: StudyReport
) -> None:
    assert leading(report.runs) == list(report.runs)
    chosen = leading(whole_study.runs)
    families = [family(run.recipe) for run in chosen]
    assert sorted(families) == sorted({family(run.recipe) for run in whole_study.runs})
    assert {run.name for run in chosen} >= set(question(whole_study.runs))
    assert [run.name for run in chosen] == [run.name for run in whole_study.runs if run in chosen]


def test_a_backbone_is_named_once(make_report: Callable[..., StudyReport]) -> None:
    report = make_report([("mine", "vit-v1.3", 0.6, 0), ("vit-v1.5-dinov2-small", "vit-v1.5", 0.6, 0)])
    assert [called(run) for run in report.runs] == ["mine (dinov2-small)", "vit-v1.5-dinov2-small"]


def test_short_names_tell_runs_apart(whole_study: StudyReport, make_report: Callable[..., StudyReport]) -> None:
    short = short_names(whole_study.runs)
    assert len(set(short.values())) == len(short) == 15
    assert short["vit-v1.6.7-weight-decay-dinov2-small-112px"] == "vit-v1.6.7-weight-decay"
    assert (short["cnn-v2"], short["cnn-v2-s1"]) == ("cnn-v2-s0", "cnn-v2-s1")
    named = make_report([("mine", "cnn-v2", 0.6, 0), ("cnn-v2-a", "cnn-v2", 0.6, 0), ("cnn-v2-b", "cnn-v2", 0.6, 0)])
    assert list(short_names(named.runs).values()) == ["mine", "cnn-v2-a", "cnn-v2-b"]
