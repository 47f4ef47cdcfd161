"""Config: what a pre-trained network says of its own sizes, held against what any network has and its weights allow.

One changed digit may ask for terabytes, or for blocks that take hours to build.
"""

from __future__ import annotations

from typing import Any

from mien.errors import shortened

_LARGEST = 65_536  # of any size, and of any list
_MOST_BLOCKS = 512
_FREE = 2**26  # bytes that weights may take, however small their file is
_BLOCKS = ("num_hidden_layers", "num_layers", "depths", "num_block_repeats")


def check_config(config: dict[str, Any], weights: int | None) -> None:
    """Raise `ValueError` for sizes that no network has, or that the file of its weights, of so many bytes, cannot fill.

    `weights`: None where it is not known. The config of an ensemble is that of its members.
    """
    for one in config.get("members") or [config]:
        if isinstance(one, dict):
            _check_sizes(one)
            _check_blocks(one, weights)


def _check_sizes(value: object) -> None:
    if isinstance(value, dict):
        for inner in value.values():
            _check_sizes(inner)
    elif isinstance(value, list):
        if len(value) > _LARGEST:
            raise ValueError(f"a list of {len(value):,} values")
        for inner in value:
            _check_sizes(inner)
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"the size {shortened(str(value), 40)}")


def _check_blocks(config: dict[str, Any], weights: int | None) -> None:
    most = max((_sum(config.get(key)) for key in _BLOCKS), default=0)
    if most > _MOST_BLOCKS:
        raise ValueError(f"{most:,} blocks")
    patch = _largest(config.get("patch_size", 1))
    if patch < 1:
        raise ValueError("patches without pixels")
    hidden, inner = _largest(config.get("hidden_size")), _largest(config.get("intermediate_size"))
    blocks = max(most, 1) * (hidden + inner)  # less than the matrices of a transformer
    places = (_largest(config.get("image_size")) // patch) ** 2
    pixels = _largest(config.get("num_channels", 3)) * patch**2
    needed = 4 * hidden * (blocks + places + pixels)
    if weights is not None and exceeds(needed, weights):
        raise ValueError(f"a network of {needed:,} bytes, whose weights take {weights:,}")


def exceeds(needed: int, weights: int) -> bool:
    """Whether a network of `needed` bytes cannot have its weights in a file of so many, which may hold a byte each."""
    return needed > _FREE + 4 * weights


def _sum(value: object) -> int:
    """Of a number, or of a list of them, as of stages."""
    return sum(map(_sum, value)) if isinstance(value, list) else value if isinstance(value, int) else 0


def _largest(value: object) -> int:
    """The same for sizes: the largest counts."""
    return max(map(_largest, value), default=0) if isinstance(value, list) else value if isinstance(value, int) else 0
