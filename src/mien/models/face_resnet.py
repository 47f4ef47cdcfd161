"""FaceResNet: a network that was trained to tell faces apart, as a backbone for one that reads them.

The face-identity ResNet of dlib (Davis King, dlib-models, CC0): about three million faces of 7,485 people, 150 pixels.
Its published weights have the batch norms multiplied into the kernels. Here each convolution has one again, which
changes nothing at first, so that training can move it. Shapes: B images, C channels, S pixels, H and W of a map.

Source: `dlib_face_recognition_resnet_model_v1` in the README of https://github.com/davisking/dlib-models (29
convolutions, after He et al. 2016); the order of its layers: src/faceRecognitionNet of the npm package
@vladmandic/face-api.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional

from mien.errors import InputError, MissingCheckpointError, first_line
from mien.recipes.sections import Input

FACE_RESNET = "face-resnet"
SMALLEST = 43  # side in pixels: below it nothing is left for the last block to halve
_NATIVE = 150  # side in pixels that it was trained with; from there on no convolution that halves needs padding
_MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)  # of values scaled to 0–1, red first; nothing divides them
_WIDTHS = (32,) * 3 + (64,) * 4 + (128,) * 3 + (256,) * 4  # channels of each block
_HALVING = (3, 7, 10, 13)  # blocks that halve the side
_MAKE = (
    "benchmarks/face_resnet.py of mien's repository makes them from the npm package @vladmandic/face-api 1.7.15 "
    "(python benchmarks/face_resnet.py --out PATH); then pass --set model.backbone=PATH"
)


class FaceResNet(nn.Module):
    """Normalized images `(B, C, S, S)` → the last map, `last_hidden_state` `(B, 256, H, W)`; its mean is the features.

    From 150 pixels on it is the published network. Smaller images would run out of pixels, so the convolutions that
    halve are padded there, which changes the features a little.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, _WIDTHS[0], 7, stride=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(_WIDTHS[0])
        before = (_WIDTHS[0], *_WIDTHS)
        self.blocks = nn.ModuleList(
            _Block(inputs, outputs, halves=place in _HALVING, padded=size < _NATIVE)
            for place, (inputs, outputs) in enumerate(zip(before, _WIDTHS, strict=False))
        )

    def forward(self, images: torch.Tensor) -> SimpleNamespace:
        hidden = functional.max_pool2d(torch.relu(self.stem_norm(self.stem(images))), 3, stride=2)
        for block in self.blocks:
            hidden = block(hidden)
        return SimpleNamespace(last_hidden_state=hidden)

    def take(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Load published `weights`, as `read_weights` gives them; the batch norms then pass on what comes, plus a bias.

        A gray image is three equal channels: their kernels add up, and what the means differ from their own mean goes
        into the bias. That is exact, because the first convolution has no padding.
        """
        stem, bias = weights["stem.weight"], weights["stem.bias"]
        if self.stem.in_channels == 1:
            apart = torch.tensor(native_mean("gray")) - torch.tensor(_MEAN)
            bias = bias + torch.einsum("ochw,c->o", stem, apart)
            stem = stem.sum(dim=1, keepdim=True)
        with torch.no_grad():
            _load(self.stem, self.stem_norm, stem, bias)
            for place, block in enumerate(self.blocks):
                assert isinstance(block, _Block)
                for name, convolution, norm in (
                    ("conv1", block.conv1, block.norm1),
                    ("conv2", block.conv2, block.norm2),
                ):
                    key = f"blocks.{place}.{name}"
                    _load(convolution, norm, weights[f"{key}.weight"], weights[f"{key}.bias"])

    @torch.no_grad()
    def settle(self, images: torch.Tensor) -> None:
        """Give each batch norm the mean and variance of what it sees of `images`, and weights that undo both.

        The features stay what they were, to rounding, and a first training step, which normalizes with its own batch,
        finds nearly the same ones. All at once is the same as layer by layer, since no layer's output changes.
        """
        handles = [m.register_forward_hook(_settle) for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
        training = self.training
        try:
            self.eval()(images)
        finally:
            self.train(training)
            for handle in handles:
                handle.remove()


class _Block(nn.Module):
    """Two 3x3 convolutions beside the shortcut, which is averaged and widened with zeros where the block halves."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool, padded: bool) -> None:
        super().__init__()
        stride, padding = (2, int(padded)) if halves else (1, 1)
        self.halves, self.wider = halves, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        change = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(hidden)))))
        if self.halves:
            hidden = functional.avg_pool2d(hidden, 2)
            rows, columns = (max(change.shape[i], hidden.shape[i]) for i in (2, 3))
            change, hidden = _filled(change, rows, columns, 0), _filled(hidden, rows, columns, self.wider)
        return torch.relu(change + hidden)


def _filled(hidden: torch.Tensor, rows: int, columns: int, channels: int) -> torch.Tensor:
    """With zeros at the right and at the bottom, up to `rows` and `columns`, and `channels` of zeros behind."""
    missing = (0, columns - hidden.shape[3], 0, rows - hidden.shape[2], 0, channels)
    return functional.pad(hidden, missing) if any(missing) else hidden


def _load(convolution: nn.Conv2d, norm: nn.BatchNorm2d, kernel: torch.Tensor, bias: torch.Tensor) -> None:
    convolution.weight.copy_(kernel)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)  # so that it divides by 1
    norm.weight.fill_(1)
    norm.bias.copy_(bias)


def _settle(norm: nn.Module, args: tuple[torch.Tensor], _: torch.Tensor) -> None:
    """The same line through other points: scale and shift stay, mean and variance become those of the input."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    variance, mean = torch.var_mean(args[0].float(), dim=(0, 2, 3), correction=0)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    norm.bias.add_(scale * (mean - norm.running_mean))
    norm.weight.copy_(scale * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def native_mean(color: str) -> tuple[float, ...]:
    """Of values scaled to 0–1: of each channel, or of gray values."""
    return (sum(_MEAN) / 3,) if color == "gray" else _MEAN


def native_input(color: str) -> Input:
    """What it was trained with. A recipe may name another size, from `SMALLEST` on."""
    mean = native_mean(color)
    return Input.model_validate({"size": _NATIVE, "color": color, "mean": mean, "std": (1.0,) * len(mean)})


def is_face_resnet(backbone: str) -> bool:
    """Whether `backbone` names a folder of these weights: they come without a config.json, so by the tensors' names.

    Raises `MissingCheckpointError` for the network's bare name where no such folder lies here.
    """
    folder = Path(backbone).expanduser()
    if backbone == FACE_RESNET and not folder.is_dir():
        raise MissingCheckpointError(f"model.backbone {backbone}: its weights are not here. {_MAKE}")
    weights = folder / "model.safetensors"
    if (folder / "config.json").is_file() or not weights.is_file():
        return False
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "pt") as file:
            return {"stem.weight", "blocks.13.conv2.weight"} <= set(file.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights}: cannot be read ({first_line(error)}). {_MAKE}") from error


def check_size(size: int) -> None:
    """Raise `InputError` for images that are too small."""
    if size < SMALLEST:
        raise InputError(f"{FACE_RESNET} needs images of at least {SMALLEST} pixels, data.preprocess.size is {size}")


def read_weights(backbone: str) -> dict[str, torch.Tensor]:
    """The published weights in the folder `backbone`, as float32. Raises `InputError` where one is not as expected."""
    from safetensors.torch import load_file

    path = Path(backbone).expanduser() / "model.safetensors"
    found = {key: value.float() for key, value in load_file(path).items()}
    for key, shape in shapes().items():
        if key not in found or tuple(found[key].shape) != shape:
            got = tuple(found[key].shape) if key in found else "nothing"
            raise InputError(f"{path}: expected {key} of shape {shape}, got {got}. {_MAKE}")
        if not torch.isfinite(found[key]).all():
            raise InputError(f"{path}: {key} has values that are no numbers. {_MAKE}")
    return found


def shapes() -> dict[str, tuple[int, ...]]:
    """Of the published weights that features need, by name: kernels `(outputs, inputs, height, width)` and biases."""
    found: dict[str, tuple[int, ...]] = {"stem.weight": (_WIDTHS[0], 3, 7, 7), "stem.bias": (_WIDTHS[0],)}
    inputs = _WIDTHS[0]
    for place, width in enumerate(_WIDTHS):
        for name, before in (("conv1", inputs), ("conv2", width)):
            found[f"blocks.{place}.{name}.weight"] = (width, before, 3, 3)
            found[f"blocks.{place}.{name}.bias"] = (width,)
        inputs = width
    return found
