"""The study's networks, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mien.errors import InputError
from mien.models.build import build, count_parameters
from mien.models.cnn import cnn_v1, cnn_v2
from mien.preprocess import Preprocess
from mien.recipes.sections import Cnn

# As printed in the study's slide "CNN V2": FERModel.
STUDY_V2 = """
Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
BatchNorm2d(32, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
ReLU()
MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
Conv2d(32, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
ReLU()
MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
Dropout(p=0.5, inplace=False)
Conv2d(64, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
ReLU()
MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
Conv2d(128, 256, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
BatchNorm2d(256, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
ReLU()
MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
Dropout(p=0.5, inplace=False)
""".strip().splitlines()


def test_cnn_v2_is_the_study_s_network_layer_by_layer() -> None:
    layers = list(cnn_v2(1, 48, 7))
    told = [
        # torch now leaves out settings that are at their default; the study's torch printed them
        repr(layer).replace("bias=True, ", "")
        for layer in layers[:-2]
    ]
    assert [text.split("(")[0] for text in told] == [text.split("(")[0] for text in STUDY_V2]
    assert told == STUDY_V2
    assert isinstance(layers[-2], nn.Flatten)
    assert (layers[-1].in_features, layers[-1].out_features, layers[-1].bias is not None) == (2304, 7, True)


def test_cnn_v2_has_as_many_parameters_as_counted_by_hand() -> None:
    convolutions = sum(9 * a * b + b for a, b in ((1, 32), (32, 64), (64, 128), (128, 256)))
    norms = 2 * (32 + 64 + 128 + 256)
    assert count_parameters(cnn_v2(1, 48, 7)) == convolutions + norms + 2304 * 7 + 7 == 404_935


def test_cnn_v1_is_plain() -> None:
    kinds = {type(layer) for layer in cnn_v1(1, 48, 7)}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear}


@pytest.mark.parametrize("kind", ["cnn-v1", "cnn-v2"])
@pytest.mark.parametrize(("color", "channels"), [("gray", 1), ("rgb", 3)])
def test_other_sizes_colors_and_class_counts(kind: str, color: str, channels: int) -> None:
    preprocess = Preprocess(size=64, color=color, mean=(0.5,) * channels, std=(0.5,) * channels)
    network = build(Cnn(kind=kind), preprocess, 3).eval()
    assert network(torch.zeros(2, channels, 64, 64)).shape == (2, 3)


def test_too_small_an_input_is_an_error_that_names_the_key() -> None:
    with pytest.raises(InputError, match=r"at least 16 pixels, data\.preprocess\.size is 8"):
        build(Cnn(kind="cnn-v2"), Preprocess(size=8, color="gray", mean=(0.5,), std=(0.5,)), 7)
