"""Pictures as bytes, and folders and zips of them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.images import Pixels

Encode = Callable[[Pixels], bytes]
Pack = Callable[[str, Mapping[str, bytes]], Path]
Noise = Callable[..., Pixels]


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Gray or RGB pixels as PNG."""

    def png(pixels: Pixels) -> bytes:
        stored = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
        return cv2.imencode(".png", stored)[1].tobytes()

    return png


@pytest.fixture(scope="session")
def noise() -> Noise:
    """Random pixels of a shape; the same for the same seed."""

    def make(shape: tuple[int, ...], seed: int = 0) -> Pixels:
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Write files into a new folder, or into a zip if its name ends so."""

    def write(name: str, files: Mapping[str, bytes]) -> Path:
        out = tmp_path / name
        if name.endswith(".zip"):
            with zipfile.ZipFile(out, "w") as archive:
                for member, data in files.items():
                    archive.writestr(member, data)
            return out
        for member, data in files.items():
            (out / member).parent.mkdir(parents=True, exist_ok=True)
            (out / member).write_bytes(data)
        return out

    return write


@pytest.fixture(scope="session")
def classes(encode: Encode, noise: Noise) -> Callable[..., dict[str, bytes]]:
    """`<prefix><class>/<i>.png` with `count` gray pictures of 8 by 8 pixels for each class name, no two the same."""

    def make(names: Iterable[str], count: int = 2, prefix: str = "", seed: int = 0) -> dict[str, bytes]:
        return {
            f"{prefix}{name}/{i}.png": encode(noise((8, 8), 1_000_000 * seed + 1_000 * k + i))
            for k, name in enumerate(names)
            for i in range(count)
        }

    return make
