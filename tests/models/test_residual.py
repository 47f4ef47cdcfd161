"""The residual network: shapes, counted parameters, and errors that name the key."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from pydantic import ValidationError

from mien.errors import InputError
from mien.exports import quiet_exporter
from mien.models import residual
from mien.models.build import build, count_parameters
from mien.preprocess import Preprocess
from mien.recipes.recipe import Recipe
from mien.recipes.sections import Residual

GRAY48 = Preprocess(size=48, color="gray", mean=(0.5,), std=(0.5,))
STAGES = {"kind": "residual", "widths": (8, 16), "depths": (2, 1)}


@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_images_become_logits(squeeze: bool, stem_stride: int) -> None:
    how = Residual(**STAGES, squeeze=squeeze, stem=4, stem_stride=stem_stride)
    network = build(how, GRAY48, 7).eval()
    assert network(torch.zeros(3, 1, 48, 48)).shape == (3, 7)


def test_parameters_of_plain_blocks_as_counted_by_hand() -> None:
    network = build(Residual(**STAGES, stem=4), GRAY48, 7)

    def norm(width: int) -> int:
        return 2 * width

    first = 4 * 8 * 9 + norm(8) + 8 * 8 * 9 + norm(8) + 4 * 8 + norm(8)  # 3x3, 3x3, and a 1x1 shortcut
    second = 2 * (8 * 8 * 9 + norm(8))  # a shortcut without weights
    third = 8 * 16 * 9 + norm(16) + 16 * 16 * 9 + norm(16) + 8 * 16 + norm(16)
    assert count_parameters(network) == 4 * 9 + norm(4) + first + second + third + 16 * 7 + 7


def test_a_block_whose_convolutions_say_nothing_passes_its_images_on() -> None:
    network = build(Residual(**STAGES, stem=4), GRAY48, 7).eval()
    block = network.body[-2]  # the second of the first stage: same width, no stride
    torch.nn.init.zeros_(block.change[-1].weight)
    images = torch.rand(2, 8, 12, 12)
    torch.testing.assert_close(block(images), images)


def test_odd_sides_keep_both_ways_equal() -> None:
    how = Residual(**STAGES, stem=4)
    assert build(how, GRAY48.model_copy(update={"size": 45}), 7).eval()(torch.zeros(2, 1, 45, 45)).shape == (2, 7)


def test_standardized_images_look_the_same_in_any_light() -> None:
    torch.manual_seed(0)
    network = build(Residual(**STAGES, stem=4, standardize=True), GRAY48, 7).eval()
    images = torch.randn(2, 1, 48, 48)
    seen = network.body[0](images)
    torch.testing.assert_close(seen.mean(dim=(2, 3)), torch.zeros(2, 1), atol=1e-6, rtol=0)
    torch.testing.assert_close(seen.var(dim=(2, 3), correction=0), torch.ones(2, 1), atol=0.02, rtol=0)
    torch.testing.assert_close(network(3 * images + 1), network(images), atol=0.02, rtol=0)
    assert network(torch.ones(1, 1, 48, 48)).isfinite().all()  # a blank image


def test_one_depth_for_each_width() -> None:
    with pytest.raises(ValidationError, match="widths names 2 stages, depths 1"):
        Residual(kind="residual", widths=(8, 16), depths=(1,))


def test_too_small_an_input_names_the_key() -> None:
    how = Residual(kind="residual", widths=(8,) * 4, depths=(1,) * 4)
    with pytest.raises(InputError, match=r"at least 16 pixels, data\.preprocess\.size is 12"):
        build(how, GRAY48.model_copy(update={"size": 12}), 7)


@pytest.mark.parametrize("size", [(6, 6), (5, 5), (6, 7), (1, 3)])
def test_halving_takes_means_of_what_is_there(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    torch.testing.assert_close(residual._Halve()(images), torch.nn.AvgPool2d(2, ceil_mode=True)(images))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("small-v2", 3), ("tiny-v2", 5)])
def test_onnxruntime_stays_in_its_fast_layout(name: str, most: int, tmp_path: Path) -> None:
    """Each convolution that is reached in the plain layout costs a node that reorders its input."""
    recipe = Recipe.load(name)
    network = build(recipe.model, recipe.preprocess, (7, 7)).eval()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    with quiet_exporter():
        program = torch.onnx.export(network, (torch.zeros(2, 1, 48, 48),), dynamo=True, verbose=False)
    onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    if "ReorderInput" not in kinds and "ReorderOutput" not in kinds:
        pytest.skip("onnxruntime has no other layout on this processor")
    assert kinds.count("ReorderInput") <= most
