"""The folder of the face-identity network: made from a package of the same form, tensor by tensor by hand."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import functional

from mien.models import checkpoints
from mien.recipes.sections import Pretrained

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import face_resnet

ROOT = Path(__file__).parents[2]
WIDTHS = {"conv32": 32, "conv64": 64, "conv128": 128, "conv256": 256}


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    """Bytes by the package's names and in its order; `fc` is kept in full."""
    rng = np.random.default_rng(1)
    found: dict[str, np.ndarray] = {}

    def layer(name: str, inputs: int, outputs: int, side: int) -> None:
        found[f"{name}/conv/filters"] = rng.integers(0, 256, (side, side, inputs, outputs), np.uint8)
        for rest in ("conv/bias", "scale/weights", "scale/biases"):
            found[f"{name}/{rest}"] = rng.integers(0, 256, outputs, np.uint8)

    layer("conv32_down", 3, 32, 7)
    before = 32
    for block in (
        *("conv32_1", "conv32_2", "conv32_3"),
        *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
        *("conv128_down", "conv128_1", "conv128_2"),
        *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
    ):
        width = WIDTHS[block.split("_")[0]]
        layer(f"{block}/conv1", before, width, 3)
        layer(f"{block}/conv2", width, width, 3)
        before = width
    return found | {"fc": rng.normal(size=(256, 128)).astype(np.float32)}


SCALE = {"filters": (0.001, -0.1275), "bias": (0.002, -0.3), "weights": (0.004, 0.5), "biases": (0.003, -0.4)}


def value(name: str, stored: np.ndarray) -> np.ndarray:
    scale, least = SCALE[name.split("/")[-1]]
    return stored.astype(np.float64) * scale + least


def packed(path: Path, tensors: dict[str, np.ndarray], content: bytes | None = None) -> Path:
    said: list[dict[str, Any]] = []
    for name, stored in tensors.items():
        one: dict[str, Any] = {"name": name, "shape": list(stored.shape), "dtype": "float32"}
        if stored.dtype == np.uint8:
            scale, least = SCALE[name.split("/")[-1]]
            one["quantization"] = {"dtype": "uint8", "scale": scale, "min": least}
        said.append(one)
    whole = b"".join(stored.tobytes() for stored in tensors.values()) if content is None else content
    with tarfile.open(path, "w:gz") as archive:
        for end, data in (("-weights_manifest.json", json.dumps([{"weights": said}]).encode()), (".bin", whole)):
            member = tarfile.TarInfo(f"package/model/face_recognition_model{end}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_scales_are_multiplied_out(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    made = face_resnet.make(packed(tmp_path / "face-api.tgz", tensors), tmp_path / "face-resnet")
    found = load_file(made)
    assert {array.dtype for array in found.values()} == {np.dtype("float16")}
    images = torch.from_numpy(np.random.default_rng(2).normal(size=(2, 64, 9, 9)))
    theirs = {name: value(name, stored) for name, stored in tensors.items() if name.startswith("conv128_down/conv1/")}
    kernel = torch.from_numpy(theirs["conv128_down/conv1/conv/filters"]).permute(3, 2, 0, 1)
    # As the package's own program has it: convolve, add, multiply, add.
    wanted = functional.conv2d(images, kernel, torch.from_numpy(theirs["conv128_down/conv1/conv/bias"]), stride=2)
    wanted = wanted * torch.from_numpy(theirs["conv128_down/conv1/scale/weights"])[:, None, None]
    wanted = wanted + torch.from_numpy(theirs["conv128_down/conv1/scale/biases"])[:, None, None]
    ours = [torch.from_numpy(found[f"blocks.7.conv1.{end}"].astype(np.float64)) for end in ("weight", "bias")]
    torch.testing.assert_close(functional.conv2d(images, *ours, stride=2), wanted, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(found["descriptor.weight"], tensors["fc"].T, rtol=1e-3, atol=1e-6)


def test_the_folder_opens_as_a_backbone(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    made = face_resnet.make(packed(tmp_path / "face-api.tgz", tensors), tmp_path / "face-resnet")
    how = Pretrained(kind="pretrained", backbone=str(made.parent), features="mean")
    kernel = checkpoints.load(how, 80).network.blocks[13].conv2.weight.detach()  # type: ignore[index, union-attr]
    stored = tensors["conv256_down_out/conv2/conv/filters"][2, 0, 5, 9]
    scale = tensors["conv256_down_out/conv2/scale/weights"][9]
    assert float(kernel[9, 5, 2, 0]) == pytest.approx((stored * 0.001 - 0.1275) * (scale * 0.004 + 0.5), rel=1e-3)
    again = face_resnet.make(packed(tmp_path / "again.tgz", tensors), tmp_path / "again")
    assert again.read_bytes() == made.read_bytes()


def test_other_packages_are_refused(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(face_resnet.PackageError, match="cannot be read"):
        face_resnet.make(tmp_path / "nowhere.tgz", tmp_path / "out")
    with tarfile.open(tmp_path / "other.tgz", "w:gz"):
        pass
    with pytest.raises(
        face_resnet.PackageError, match=r"holds no package/model/face_recognition_model-weights_manifest\.json"
    ):
        face_resnet.make(tmp_path / "other.tgz", tmp_path / "out")
    with pytest.raises(face_resnet.PackageError, match="conv32_1/conv1/conv/filters is not stored as expected"):
        face_resnet.make(packed(tmp_path / "cut.tgz", tensors, b"\0" * 5000), tmp_path / "out")
    narrow = tensors | {"fc": np.zeros((256, 64), np.float32)}
    with pytest.raises(face_resnet.PackageError, match="another network than expected"):
        face_resnet.make(packed(tmp_path / "narrow.tgz", narrow), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_told_next_is_for_a_shell_and_a_file_in_the_way_is_no_traceback(
    tensors: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package, out = packed(tmp_path / "own.tgz", tensors), tmp_path / "my face-resnet"
    monkeypatch.setattr("sys.argv", ["face_resnet.py", str(package), "--out", str(out)])
    face_resnet.main()
    assert capsys.readouterr().out.endswith(f"--set 'model.backbone={out}'\n")
    monkeypatch.setattr("sys.argv", ["face_resnet.py", str(package), "--out", str(package)])
    with pytest.raises(SystemExit, match="File exists"):
        face_resnet.main()


def test_the_real_package_is_the_folder_that_is_shared(tmp_path: Path) -> None:
    """Needs the packed npm package beside the shared folder's file: MIEN_FACE_API names it."""
    package = os.environ.get("MIEN_FACE_API")
    shared = Path(os.environ.get("MIEN_SHARED") or ROOT.parent / "shared") / "models" / "face-resnet"
    if not package or not (shared / "model.safetensors").is_file():
        pytest.skip("set MIEN_FACE_API to vladmandic-face-api-1.7.15.tgz and MIEN_SHARED")
    ours, theirs = (
        load_file(p) for p in (face_resnet.make(Path(package), tmp_path / "o"), shared / "model.safetensors")
    )
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)
