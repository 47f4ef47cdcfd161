"""Arrays: `.npz` files read back, each array measured before it is taken into memory."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_RATIO = 200  # unpacked to packed; what mien writes stays below 100
_FREE = 64 * 2**20  # bytes that a file may unpack to, however small it is


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an `.npz` by name; without pickles. Raises `ValueError` or what zipfile raises for damaged files.

    numpy alone believes the shape that a header tells, and takes that much memory before it reads a byte.
    """
    allowed = _FREE + MAX_RATIO * path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > allowed:
            raise ValueError(f"unpacks to more than {allowed:,} bytes")
        return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, kind = read_header(file)  # raises for more than 10,000 letters of it
        if kind.hasobject:
            raise ValueError(f"{member.filename} holds objects, which could run code")
        told, here = math.prod(shape) * kind.itemsize, member.file_size - file.tell()
        if min(shape, default=0) < 0 or told != here:
            raise ValueError(f"{member.filename} says that it holds {told:,} bytes, and holds {here:,}")
        content = file.read()  # to its end, where its checksum is compared
    if len(content) != told:
        raise ValueError(f"{member.filename} is cut off")
    if not content:
        return np.zeros(shape, dtype=kind)
    return np.frombuffer(bytearray(content), dtype=kind).reshape(shape, order="F" if by_columns else "C")
