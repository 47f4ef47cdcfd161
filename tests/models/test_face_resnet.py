"""The face-identity backbone against a plain reading of its description, and against kept features of the real one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from mien import FaceSet, Recipe, Run
from mien.errors import InputError, MissingCheckpointError
from mien.models import checkpoints
from mien.models.build import build, complete
from mien.models.family import family
from mien.models.pretrained import Backbone
from mien.recipes.sections import Pretrained
from mien.training.hardware import Hardware
from mien.training.predict import predict
from mien.training.train import fresh_network, train

Weights = dict[str, torch.Tensor]
MEAN = (122.782, 117.001, 104.298)
CPU = Hardware("cpu", "float32")
HALVING = {3, 7, 10, 13}


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Of the published shapes, random, and of a size at which the features neither vanish nor explode."""
    made = torch.Generator().manual_seed(3)
    widths = [32, 32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256]

    def kernel(outputs: int, inputs: int, side: int) -> torch.Tensor:
        return (torch.randn(outputs, inputs, side, side, generator=made) / (inputs * side**2) ** 0.5).half()

    found = {"stem.weight": kernel(32, 3, 7), "stem.bias": torch.randn(32, generator=made).half()}
    for place in range(14):
        for name, inputs in (("conv1", widths[place]), ("conv2", widths[place + 1])):
            found[f"blocks.{place}.{name}.weight"] = kernel(widths[place + 1], inputs, 3)
            found[f"blocks.{place}.{name}.bias"] = (0.1 * torch.randn(widths[place + 1], generator=made)).half()
    return found | {"descriptor.weight": torch.randn(128, 256, generator=made).half()}


@pytest.fixture(scope="module")
def folder(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("face-resnet")
    save_file(weights, made / "model.safetensors")
    return made


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3), np.uint8)


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Recipe:
    return complete(Recipe.load("face-resnet-ft", [f"model.backbone={folder}", "data.preprocess.size=48"]))


def features_of(weights: Mapping[str, torch.Tensor], pixels: np.ndarray, padding: int = 0) -> np.ndarray:
    """`(B, 256)` for uint8 `(B, S, S, 3)`: the README of the weights, word for word, in float64."""
    double = {key: value.double() for key, value in weights.items()}

    def convolved(images: torch.Tensor, name: str, stride: int, padding: int) -> torch.Tensor:
        return functional.conv2d(images, double[f"{name}.weight"], double[f"{name}.bias"], stride, padding)

    images = (torch.from_numpy(pixels).double() - torch.tensor(MEAN, dtype=torch.float64)) / 255
    images = functional.max_pool2d(functional.relu(convolved(images.permute(0, 3, 1, 2), "stem", 2, 0)), 3, 2)
    for place in range(14):
        stride, pad = (2, padding) if place in HALVING else (1, 1)
        change = convolved(
            functional.relu(convolved(images, f"blocks.{place}.conv1", stride, pad)), f"blocks.{place}.conv2", 1, 1
        )
        if place in HALVING:
            images = functional.avg_pool2d(images, 2)
        count, wide, rows, columns = (max(a, b) for a, b in zip(change.shape, images.shape, strict=True))
        total = torch.zeros(count, wide, rows, columns, dtype=torch.float64)
        for part in (change, images):
            total[:, : part.shape[1], : part.shape[2], : part.shape[3]] += part
        images = functional.relu(total)
    return images.mean(dim=(2, 3)).numpy()


def opened(folder: Path, size: int = 150, color: str = "rgb") -> Backbone:
    how = Pretrained(kind="pretrained", backbone=str(folder), features="mean")
    return checkpoints.load(how, size, 3 if color == "rgb" else 1).eval()


def answer(backbone: Backbone, folder: Path, pixels: np.ndarray, size: int = 150) -> np.ndarray:
    color = "rgb" if pixels.ndim == 4 else "gray"
    said = checkpoints.native_input(str(folder), color)
    with torch.no_grad():
        return backbone(torch.from_numpy(said.preprocess().model_copy(update={"size": size})(list(pixels)))).numpy()


def test_features_are_those_of_the_description(weights: Weights, folder: Path, pictures: np.ndarray) -> None:
    ours = answer(opened(folder), folder, pictures)
    assert ours.shape == (2, 256)
    assert ours.std() > 0.1
    np.testing.assert_allclose(ours, features_of(weights, pictures), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [43, 80, 96])
def test_smaller_images_pad_the_convolutions_that_halve(
    weights: Weights, folder: Path, pictures: np.ndarray, size: int
) -> None:
    small = pictures[:, :size, :size]
    ours = answer(opened(folder, size), folder, small, size)
    np.testing.assert_allclose(ours, features_of(weights, small, padding=1), rtol=1e-3, atol=1e-4)


def test_gray_images_are_three_equal_channels(weights: Weights, folder: Path, pictures: np.ndarray) -> None:
    gray = pictures[..., 0]
    ours = answer(opened(folder, color="gray"), folder, gray)
    np.testing.assert_allclose(ours, features_of(weights, gray[..., None].repeat(3, 3)), rtol=1e-3, atol=1e-4)


def test_the_real_weights_give_the_kept_features() -> None:
    folder = Path(os.environ.get("MIEN_SHARED") or Path(__file__).parents[3] / "shared") / "models" / "face-resnet"
    if not (folder / "check.npz").is_file():
        pytest.skip(f"{folder} holds no check.npz; set MIEN_SHARED to the folder that holds models/face-resnet")
    kept = np.load(folder / "check.npz", allow_pickle=False)
    backbone = opened(folder)
    ours = answer(backbone, folder, kept["images"])
    np.testing.assert_allclose(ours, kept["features"], rtol=1e-4, atol=1e-5)
    network = backbone.network
    network.settle(torch.rand(32, 3, 150, 150) - 0.5)  # type: ignore[operator]
    np.testing.assert_allclose(answer(backbone, folder, kept["images"]), kept["features"], rtol=1e-3, atol=1e-4)


def test_settled_norms_change_nothing_and_know_what_they_see(folder: Path, pictures: np.ndarray) -> None:
    backbone = opened(folder, 80)
    shown = torch.randn(24, 3, 80, 80, generator=torch.Generator().manual_seed(1)) * 0.3
    before, unsettled = answer(backbone, folder, pictures, 80), _as_in_training(backbone, shown)
    with torch.no_grad():
        as_it_is = backbone(shown)
    network = backbone.network
    network.settle(shown)  # type: ignore[operator]
    np.testing.assert_allclose(answer(backbone, folder, pictures, 80), before, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        seen = functional.conv2d(shown, network.stem.weight, stride=2).double()  # type: ignore[arg-type]
    norm = network.stem_norm
    np.testing.assert_allclose(norm.running_mean, seen.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-5)  # type: ignore[arg-type]
    np.testing.assert_allclose(norm.running_var, seen.var(dim=(0, 2, 3), correction=0), rtol=1e-3)  # type: ignore[arg-type]
    # A step of training normalizes with its own batch: of these very images it finds the same, and did not before.
    torch.testing.assert_close(_as_in_training(backbone, shown), as_it_is, rtol=1e-2, atol=1e-3)
    assert (unsettled - as_it_is).abs().mean() > 0.1
    assert not network.training


def _as_in_training(backbone: Backbone, shown: torch.Tensor) -> torch.Tensor:
    momenta = [norm for norm in backbone.modules() if isinstance(norm, nn.BatchNorm2d)]
    for norm in momenta:
        norm.momentum = 0.0  # statistics stay
    with torch.no_grad():
        found: torch.Tensor = backbone.train()(shown)
    backbone.eval()
    return found


def test_blocks_and_units_are_those_of_the_network(folder: Path) -> None:
    backbone = opened(folder, 80, "gray")
    assert len(backbone.blocks) == 14
    assert [len(unit) for unit in backbone.units] == [3, *[6] * 14, 0]
    assert backbone.width == 256
    shown = torch.rand(2, 1, 80, 80)
    with torch.no_grad():
        torch.testing.assert_close(backbone.after(backbone.until(shown, 10), 10), backbone(shown))


def test_the_recipe_takes_its_normalization_from_the_network(recipe: Recipe) -> None:
    assert recipe.preprocess.color == "gray"
    assert recipe.preprocess.mean == pytest.approx((sum(MEAN) / 3 / 255,))
    assert recipe.preprocess.std == (1.0,)
    assert family(recipe, "face-resnet") == "pre-trained CNN"


@pytest.mark.slow
def test_a_training_begins_with_settled_norms_and_its_folder_rebuilds_the_network(
    recipe: Recipe, folder: Path, drawn_faces: FaceSet, tmp_path: Path
) -> None:
    recipe = recipe.model_copy(update={"epochs": 2})
    network = fresh_network(recipe, drawn_faces)
    plain = build(recipe.model, recipe.preprocess, 7)
    shown = torch.rand(4, 1, 48, 48) - 0.5
    with torch.no_grad():
        own, bare = (one.eval().backbone(shown) for one in (network, plain))
    torch.testing.assert_close(own, bare, rtol=1e-3, atol=1e-4)
    assert float(plain.backbone.network.stem_norm.running_mean.abs().max()) == 0
    assert float(network.backbone.network.stem_norm.running_mean.abs().max()) > 0.01

    run = train(recipe, drawn_faces, tmp_path / "run")
    assert run.card.architecture == "face-resnet"
    kept = predict(run, drawn_faces, "val", CPU).probabilities
    moved = Run(Path(run.folder).rename(tmp_path / "elsewhere"))
    weights = (folder / "model.safetensors").rename(tmp_path / "away")
    try:
        np.testing.assert_array_equal(predict(moved, drawn_faces, "val", CPU).probabilities, kept)
    finally:
        weights.rename(folder / "model.safetensors")


def test_weights_that_are_not_here_say_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        MissingCheckpointError, match=r"face-resnet: its weights are not here.*benchmarks/face_resnet\.py"
    ):
        complete(Recipe.load("face-resnet-ft"))
    with pytest.raises(InputError, match="no such folder"):
        complete(Recipe.load("face-resnet-ft", ["model.backbone=./nowhere"]))


def test_a_completed_recipe_whose_folder_is_gone_says_so(recipe: Recipe) -> None:
    model = recipe.model.model_copy(update={"backbone": "/gone/face-resnet"})
    with pytest.raises(InputError, match=r"/gone/face-resnet: no such folder"):
        complete(recipe.model_copy(update={"model": model}))


def test_a_folder_of_that_name_is_found(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "face-resnet").mkdir()
    save_file(weights, tmp_path / "face-resnet" / "model.safetensors")
    assert complete(Recipe.load("face-resnet-ft")).preprocess.size == 80


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"blocks.5.conv2.bias": None}, r"expected blocks\.5\.conv2\.bias of shape \(64,\), got nothing"),
        ({"stem.bias": torch.zeros(16)}, r"expected stem\.bias of shape \(32,\), got \(16,\)"),
        ({"stem.bias": torch.full((32,), torch.nan)}, r"stem\.bias has values that are no numbers"),
    ],
)
def test_damaged_weights_are_refused(
    weights: Weights, tmp_path: Path, change: dict[str, torch.Tensor | None], told: str
) -> None:
    save_file({k: v for k, v in (weights | change).items() if v is not None}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=told):
        opened(tmp_path)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"<html>not found</html>" * 9)
    with pytest.raises(InputError, match=r"model\.safetensors: cannot be read"):
        opened(tmp_path)


def test_too_few_pixels_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"at least 43 pixels, data\.preprocess\.size is 42"):
        opened(folder, 42)


@pytest.mark.parametrize("rest", ["", ", mean: [0.5], std: [0.5]"])
def test_other_backbones_still_refuse_gray(tiny_vit: Path, rest: str) -> None:
    gray = [f"data.preprocess={{size: 32, color: gray{rest}}}", f"model.backbone={tiny_vit}"]
    with pytest.raises(InputError, match=r"this pre-trained backbone needs data\.preprocess\.color rgb"):
        complete(Recipe.load("vit-v1.6.7", gray))


def test_a_folder_that_holds_no_network_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        complete(Recipe.load("face-resnet-ft", [f"model.backbone={tmp_path}"]))
