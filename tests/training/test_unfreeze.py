"""Which parameters change in which epoch: seen in the weights before and after, not in flags."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mien import FaceSet, InputError, Recipe
from mien.models.build import build, complete
from mien.models.pretrained import PretrainedClassifier
from mien.training.train import train
from mien.training.unfreeze import check_unfreeze, frozen_depth, parameter_groups, set_phase

BATCH = 8


def recipe_of(checkpoint: Path, *overrides: str) -> Recipe:
    return complete(Recipe.load("vit-v1.6.7", [f"model.backbone={checkpoint}", "data.preprocess.size=32", *overrides]))


def network_of(recipe: Recipe) -> PretrainedClassifier:
    torch.manual_seed(0)
    network = build(recipe.model, recipe.preprocess, 7)
    assert isinstance(network, PretrainedClassifier)
    return network


def part_of(name: str) -> str:
    """stem, block 0 to 3, norm or head, from the parameter's name in transformers' ViT."""
    words = name.split(".")
    if words[0] == "head":
        return "head"
    number = next((word for word in words if word.isdigit()), None)
    return f"block {number}" if number else "stem" if "embeddings" in words else "norm"


def changed_by_a_step(network: PretrainedClassifier, recipe: Recipe, epoch: int) -> set[str]:
    set_phase(network, recipe.unfreeze, epoch)
    optimizer = torch.optim.Adam(parameter_groups(network, recipe), lr=1e-2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer.zero_grad()
    logits = network(torch.rand(BATCH, 3, 32, 32))
    nn.functional.cross_entropy(logits, torch.arange(BATCH) % 7).backward()
    optimizer.step()
    return {part_of(name) for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(
    ("unfreeze", "changed_in_epoch"),
    [
        (
            "{schedule: {2: 1, 4: 1, 5: 2}}",
            {
                1: {"head"},
                2: {"head", "norm", "block 3"},
                3: {"head", "norm", "block 3"},
                4: {"head", "norm", "block 3", "block 2"},
                5: {"head", "norm", "block 3", "block 2", "block 1", "block 0"},
            },
        ),
        ("none", {1: {"head"}, 9: {"head"}}),
        ("{last: 2}", {1: {"head", "norm", "block 3", "block 2"}, 9: {"head", "norm", "block 3", "block 2"}}),
        ("all", {1: {"head", "norm", "block 3", "block 2", "block 1", "block 0", "stem"}}),
        ("{last: 1, schedule: {3: 1}}", {2: {"head", "norm", "block 3"}, 3: {"head", "norm", "block 3", "block 2"}}),
    ],
)
def test_each_phase_changes_exactly_its_parts(
    unfreeze: str, changed_in_epoch: dict[int, set[str]], tiny_vit: Path
) -> None:
    recipe = recipe_of(tiny_vit, f"unfreeze={unfreeze}")
    for epoch, expected in changed_in_epoch.items():
        assert changed_by_a_step(network_of(recipe), recipe, epoch) == expected, epoch


def test_frozen_parts_stay_in_eval_mode_and_get_no_gradient(tiny_vit: Path) -> None:
    recipe = recipe_of(tiny_vit)
    network = network_of(recipe)
    set_phase(network, recipe.unfreeze, 4)  # blocks 3 and 2
    blocks = network.backbone.blocks
    assert [block.training for block in blocks] == [False, False, True, True]
    assert network.head.training
    network(torch.rand(BATCH, 3, 32, 32)).sum().backward()
    assert {part_of(name) for name, p in network.named_parameters() if p.grad is not None} == {
        "head", "norm", "block 2", "block 3",
    }  # fmt: skip


def test_batch_norms_of_a_frozen_cnn_keep_their_statistics() -> None:
    recipe = complete(Recipe.load("efficientnet-lite0-ft", ["data.preprocess.size=64"]))
    network = network_of(recipe)
    set_phase(network, recipe.unfreeze, 2)  # the top block, and what stands above it
    before = {name: value.clone() for name, value in network.backbone.named_buffers() if "running" in name}
    network(torch.rand(BATCH, 3, 64, 64))
    moved = {
        name for name, value in network.backbone.named_buffers() if name in before and (value != before[name]).any()
    }
    assert moved
    assert all("_blocks.15." in name or name.startswith("network.net._bn1") for name in moved)


@pytest.mark.parametrize("unfreeze", ["{last: 5}", "{schedule: {2: 3, 4: 2}}"])
def test_more_blocks_than_there_are(unfreeze: str, tiny_vit: Path) -> None:
    recipe = recipe_of(tiny_vit, f"unfreeze={unfreeze}")
    with pytest.raises(InputError, match=r"unfreeze names 5 blocks, the backbone has 4\. Name at most 4"):
        check_unfreeze(network_of(recipe), recipe)


def test_a_training_with_too_long_a_schedule_is_refused_before_it_begins(
    tiny_vit: Path, drawn_faces: FaceSet, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="unfreeze names 9 blocks, the backbone has 4"):
        train(recipe_of(tiny_vit), drawn_faces, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "depth"),
    [
        (("unfreeze=none",), 4),
        (("unfreeze={schedule: {2: 1, 4: 1}}", "epochs=10"), 2),
        (("unfreeze={schedule: {2: 1, 4: 1}}", "epochs=3"), 3),  # epoch 4 never comes
        (("unfreeze={last: 4}",), None),
        (("unfreeze=all",), None),
        (("unfreeze=none", "data.augment.flip=0.5"), None),  # another image in each epoch
    ],
)
def test_how_much_stays_the_same_all_through_a_run(
    overrides: tuple[str, ...], depth: int | None, tiny_vit: Path
) -> None:
    recipe = recipe_of(tiny_vit, *overrides)
    assert frozen_depth(network_of(recipe), recipe) == depth


def test_layer_decay_by_hand(tiny_vit: Path) -> None:
    recipe = recipe_of(tiny_vit, "unfreeze=all", "optimizer.lr=0.1", "optimizer.layer_decay=0.5")
    network = network_of(recipe)
    names = {id(p): part_of(name) for name, p in network.named_parameters()}
    rates = {names[id(group["params"][0])]: group["lr"] for group in parameter_groups(network, recipe)}
    assert rates == pytest.approx(
        {"head": 0.1, "norm": 0.1, "block 3": 0.05, "block 2": 0.025, "block 1": 0.0125, "block 0": 0.00625,
         "stem": 0.003125}
    )  # fmt: skip
    trained = {id(p) for group in parameter_groups(network, recipe) for p in group["params"]}
    unused = {name for name, p in network.named_parameters() if id(p) not in trained}
    assert all("pooler" in name for name in unused)


def test_a_cnn_has_nothing_to_unfreeze() -> None:
    with pytest.raises(InputError, match="need a pre-trained model; cnn-v2 is none"):
        Recipe.load("cnn-v2", ["unfreeze=none"])
