"""The words on settings and differences follow from the recipes, for transfer learning as for CNNs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mien.recipes.recipe import Recipe
from mien.recipes.sections import Unfreeze
from mien.report.content import StudyReport
from mien.report.settings import release, settings
from mien.studies.protocol import differences, protocol

MakeReport = Callable[..., StudyReport]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vit-v1.3", "Adam 1e-4, 10 epochs, no early stopping, the whole backbone trains"),
        ("vit-v1.3-frozen", "Adam 1e-4, 10 epochs, no early stopping, backbone frozen"),
        (
            "vit-v1.6",
            "Adam 1e-4, at most 24 epochs, best epoch by val accuracy, patience 5, backbone frozen at first, then one "
            "more block from the top in every 2nd epoch from 2 to 18",
        ),
        (
            "vit-v1.6.7-layer-decay",
            "AdamW 1e-4, less by a factor of .75 per block from the top, weight decay 5e-2, cosine schedule after 1 "
            "epoch of warm-up, at most 24 epochs, best epoch by val accuracy, patience 5, the whole backbone trains",
        ),
        (
            "resnet50-ft",
            "Adam 1e-4, at most 24 epochs, best epoch by val accuracy, patience 5, backbone frozen at first, then one "
            "more block from the top in epochs 2, 6, 12 and 18",
        ),
        (
            "small-v2",
            "Muon 1.4e-2, weight decay 5e-2, constant schedule after 1 epoch of warm-up, falling to 0 in the last 40 "
            "epochs, 400 epochs, no early stopping",
        ),
        ("vit-scratch", "Adam 1e-3, 20 epochs, no early stopping"),
        (
            "mien-small",
            "Muon 2e-2, weight decay 5e-2, cosine schedule after 1 epoch of warm-up, 70 epochs, no early stopping",
        ),
    ],
)
def test_settings_in_words(name: str, words: str) -> None:
    assert settings(Recipe.load(name)) == words


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"last": 1}, "the last block trains"),
        ({"last": 4}, "the last 4 blocks train"),
        ({"last": 4, "schedule": {3: 2}}, "the last 4 blocks train, then 2 more blocks from the top in epoch 3"),
        (
            {"schedule": {2: 1, 4: 3, 6: 1}},
            "backbone frozen at first, then one more block from the top in epochs 2 and 6, then 3 more blocks from the "
            "top in epoch 4",
        ),
    ],
)
def test_release_in_words(how: dict[str, object], words: str) -> None:
    assert release(Unfreeze.model_validate(how)) == words


def test_another_backbone_and_size_are_said(whole_study: StudyReport) -> None:
    words = " ".join(differences(whole_study.runs))
    assert "The study fine-tunes google/vit-base-patch16-224; these runs start from another backbone" in words
    assert "From dinov2-small: vit-v1.3, vit-v1.3-frozen, vit-v1.5" in words
    assert "saw 112 px instead of the 224 px of the recipe" in words
    assert "vit-v1.6.7-layer-decay: AdamW 1e-4, less by a factor of .75 per block" in words
    assert "no optimizer for its ViTs" in words


def test_the_study_s_own_backbone_needs_no_word(whole_study: StudyReport) -> None:
    run = next(run for run in whole_study.runs if run.recipe.name == "vit-v1.6.7")
    card = run.card.model_copy(
        update={"backbone": "vit-base-patch16-224", "preprocess": run.card.preprocess.model_copy(update={"size": 224})}
    )
    words = " ".join(differences([replace(run, card=card)]))
    assert "another backbone" not in words
    assert "instead of" not in words


def test_values_changed_by_hand_are_said(make_report: MakeReport, report: StudyReport) -> None:
    run = make_report([("x", "vit-v1.6.7", 0.6, 3)]).runs[0]
    assert not any("change values" in point for point in differences([run, *report.runs]))
    recipe = run.recipe.model_copy(update={"epochs": 8, "unfreeze": Unfreeze(last=4)})
    sentence = next(point for point in differences([replace(run, recipe=recipe)]) if "change values" in point)
    assert "vit-v1.6.7: " in sentence
    assert "epochs 8 (recipe 24)" in sentence
    assert "unfreeze the last 4 blocks train (recipe backbone frozen at first" in sentence
    assert "seed" not in sentence
    assert "mean" not in sentence


def test_the_correction_is_said_where_there_are_tests(report: StudyReport) -> None:
    assert any("Holm" in point for point in protocol(report))
    assert not any("Holm" in point for point in protocol(replace(report, runs=report.runs[:1], comparisons={})))
