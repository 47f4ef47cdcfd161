"""Sizes in a backbone's config that no network has, or that its weights cannot fill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien import InputError
from mien.models import checkpoints
from mien.models.config import check_config
from mien.recipes.sections import Pretrained

VIT_BASE = {  # of google/vit-base-patch16-224, whose file takes 345,579,424 bytes
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "image_size": 224, "patch_size": 16, "num_channels": 3,
}  # fmt: skip
CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"num_hidden_layers": 3000}, "3,000 blocks"),
    ({"depths": [2, 2, 600]}, "604 blocks"),
    ({"hidden_size": 4_294_967_296}, "the size 4294967296"),
    ({"hidden_size": 60_000}, r"a network of [\d,]+ bytes, whose weights take"),
    ({"intermediate_size": 60_000, "hidden_size": 4_000}, "a network of"),
    ({"image_size": 60_000}, "a network of"),
    ({"image_size": [16, 60_000]}, "a network of"),
    ({"patch_size": 0}, "patches without pixels"),
    ({"patch_size": [0, 0]}, "patches without pixels"),
]


def test_a_known_network_passes_with_its_weights_in_any_precision() -> None:
    for weights in (345_579_424, 345_579_424 // 2, 345_579_424 // 4, None):
        check_config(VIT_BASE, weights)
        check_config({"members": [VIT_BASE, None]}, weights)


@pytest.mark.parametrize(("change", "why"), CHANGES)
def test_other_sizes_are_refused_before_anything_is_built(
    tiny_vit: Path, tmp_path: Path, change: Any, why: str
) -> None:
    folder = Path(shutil.copytree(tiny_vit, tmp_path / "vit"))
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, **change}))
    with pytest.raises(InputError, match=f"vit: its config.json tells of {why}"):
        checkpoints.load(Pretrained(kind="pretrained", backbone=str(folder), features="cls"), 32)
    with pytest.raises(InputError, match=f"tells of {why}"):
        checkpoints.native_input(str(folder))
    with pytest.raises(ValueError, match=why):
        check_config({"members": [VIT_BASE, {**said, **change}]}, 345_579_424)


def test_what_transformers_raises_on_a_strange_config_is_one_error(tiny_vit: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_vit, tmp_path / "vit"))
    said = json.loads((folder / "config.json").read_text())
    for change in ({"num_attention_heads": 0}, {"model_type": []}, {"hidden_act": "none of them"}):
        (folder / "config.json").write_text(json.dumps({**said, **change}))
        with pytest.raises(InputError, match=r"model\.backbone .*vit: "):
            checkpoints.load(Pretrained(kind="pretrained", backbone=str(folder), features="cls"), 32)
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not readable JSON"):
        checkpoints.native_input(str(folder))


def test_sizes_that_no_backbone_has_are_refused() -> None:
    check_config({"hidden_size": 768, "depths": [2, 2], "layer_norm_eps": 1e-12, "use": True}, None)
    for config in ({"hidden_size": 2**40}, {"depths": [1, -(10**9)]}, {"inner": {"layers": 99_999}}):
        with pytest.raises(ValueError, match="the size"):
            check_config(config, None)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("resnet", {"embedding_size": 8, "hidden_sizes": [8, 16, 60_000]}),
        ("convnextv2", {"hidden_sizes": [8, 16, 30_000]}),
        ("efficientnet", {"width_coefficient": 400.0}),
        ("swin", {"mlp_ratio": 4e6}),
    ],
)
def test_any_architecture_is_counted_before_it_takes_memory(
    save_checkpoint: Callable[..., Path], tmp_path: Path, name: str, change: dict[str, Any]
) -> None:
    folder = save_checkpoint(tmp_path / name, name)
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, **change}))
    with pytest.raises(InputError, match=r"cannot be opened \(a network of [\d,]+ bytes, whose weights take"):
        checkpoints.load(Pretrained(kind="pretrained", backbone=str(folder), features="mean"), 32)
    with pytest.raises(ValueError, match="a network of"):
        checkpoints.check_memory({"members": [said, {**said, **change}]}, 1_000_000)
