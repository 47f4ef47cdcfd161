"""Every run has its family, and the question goes to the best of each side by val accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mien.models import family as module
from mien.models.family import family
from mien.recipes.recipe import Recipe, names
from mien.recipes.sections import Pretrained
from mien.report.content import RunReport, StudyReport
from mien.report.families import called, kind, leading, on_any_terms, on_equal_terms, questions, short_names


def test_every_built_in_recipe_is_of_a_known_family() -> None:
    from_zero = {name: family(Recipe.load(name)) for name in names() if not _pretrained(name)}
    assert {name for name, found in from_zero.items() if found == "ViT from zero"} == {
        "vit-scratch", "vit-scratch-tuned"
    }  # fmt: skip
    assert set(from_zero.values()) == {"CNN from zero", "ViT from zero"}


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("dinov2", "pre-trained ViT"),
        ("vit", "pre-trained ViT"),
        ("convnext", "pre-trained CNN"),
        ("resnet", "pre-trained CNN"),
        ("efficientnet-lite0", "pre-trained CNN"),
        ("face-resnet", "pre-trained CNN"),
        ("unheard-of", "pre-trained"),
        (None, "pre-trained"),  # an older card
    ],
)
def test_a_backbone_is_what_its_own_config_says(architecture: str | None, expected: str) -> None:
    named_otherwise = Recipe.load("vit-v1.3", ["model.backbone=/models/resnet/unheard-of"])
    assert family(named_otherwise, architecture) == expected


def test_known_architectures_are_those_of_transformers() -> None:
    from transformers import CONFIG_MAPPING

    known = module._CNNS | module._TRANSFORMERS
    assert known - set(CONFIG_MAPPING) == {"efficientnet-lite0", "face-resnet"}


def _pretrained(name: str) -> bool:
    return isinstance(Recipe.load(name).model, Pretrained)


def test_the_question_goes_to_the_best_by_val(whole_study: StudyReport) -> None:
    def best(of: str) -> RunReport:
        return max((run for run in whole_study.runs if kind(run) == of), key=lambda run: run.val_accuracy)

    sides = ("CNN from zero", "pre-trained CNN", "pre-trained ViT")
    assert on_equal_terms(whole_study.runs) == tuple(best(side).name for side in sides)
    without_cnn = [run for run in whole_study.runs if kind(run) != "pre-trained CNN"]
    assert on_equal_terms(without_cnn) == (best(sides[0]).name, best(sides[2]).name)
    for missing in (sides[0], sides[2]):
        assert on_equal_terms([run for run in whole_study.runs if kind(run) != missing]) == ()


def test_test_figures_do_not_choose(whole_study: StudyReport) -> None:
    worse = [
        replace(run, evaluations={**run.evaluations, "test": whole_study.runs[5].evaluations["test"]})
        if run.name in on_equal_terms(whole_study.runs)
        else run
        for run in whole_study.runs
    ]
    assert on_equal_terms(worse) == on_equal_terms(whole_study.runs)


def test_who_learned_from_more_than_labels_does_not_answer(make_report: Callable[..., StudyReport]) -> None:
    both = [("vit", "vit-v1.3", 0.6, 0), ("cnn", "cnn-v2", 0.6, 0)]
    assert on_equal_terms(make_report([*both, ("votes", "mien-small", 0.9, 0)]).runs) == ("cnn", "vit")
    assert on_equal_terms(make_report([both[0], ("votes", "mien-small", 0.9, 0)]).runs) == ()


def test_leading_runs_are_all_of_a_few_and_the_best_of_each_family_of_many(
    report: StudyReport, whole_study: StudyReport
) -> None:
    assert leading(report.runs) == list(report.runs)
    chosen = leading(whole_study.runs)
    families = [kind(run) for run in chosen]
    assert sorted(families) == sorted({kind(run) for run in whole_study.runs})
    assert {run.name for run in chosen} >= set(on_equal_terms(whole_study.runs))
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


def test_the_best_of_each_side_on_any_terms(make_report: Callable[..., StudyReport]) -> None:
    labels = [("vit", "vit-v1.3", 0.6, 0), ("cnn", "cnn-v2", 0.6, 0)]
    more = [("votes", "mien-small", 0.9, 0), ("tuned", "vit-tuned", 0.9, 0)]
    runs = make_report([*labels, *more]).runs
    assert on_any_terms(runs) == ("votes", "tuned")
    assert questions(runs) == (("cnn", "vit"), ("votes", "tuned"))
    alone = make_report(labels).runs
    assert on_any_terms(alone) == ("cnn", "vit")
    assert questions(alone) == (("cnn", "vit"),)  # once
    assert on_any_terms(make_report(labels[:1]).runs) == ()
