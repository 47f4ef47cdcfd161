"""CSV rows: of a plain, gzipped or zipped file, with lines and fields of bounded length and errors that name a line."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mien.errors import InputError, first_line

_LONGEST_LINE = 8 * 2**20  # letters; 1,024 x 1,024 pixels take 4 per pixel
_MOST_RATIO = 20  # unpacked to packed; fer2013.csv has 3
_FREE = 16 * 2**20  # letters that a packed file may unpack to, however small it is


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number of the last line (from 1) and fields, stripped, of each row that is not empty.

    The first is the header. Raises `InputError`, which names `path`, for what is no CSV.
    """
    before = csv.field_size_limit(_LONGEST_LINE)
    try:
        with _text(path) as (text, most):
            reader = csv.reader(_lines(text, most))
            for row in reader:
                if row:
                    yield reader.line_num, [field.strip() for field in row]
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except Exception as error:  # gzip, zlib, zipfile, csv and codecs each raise their own on a damaged file
        raise InputError(f"{path}: cannot be read as CSV ({first_line(error)}). Download it again") from error
    finally:
        csv.field_size_limit(before)


@contextmanager
def _text(path: Path) -> Iterator[tuple[IO[str], int | None]]:
    """The file as text, and how many letters it may have at most; None where it is not packed."""
    name, size = path.name.lower(), path.stat().st_size
    allowed = _FREE + _MOST_RATIO * size
    if name.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
            yield text, allowed
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            tables = [one for one in archive.infolist() if one.filename.lower().endswith(".csv")]
            tables = [one for one in tables if not one.filename.startswith("__MACOSX")]
            if len(tables) != 1:
                raise InputError(f"{path}: has {len(tables)} tables in it; expected one .csv. Unpack it and name one")
            with archive.open(tables[0]) as packed, io.TextIOWrapper(packed, "utf-8-sig", newline="") as text:
                yield text, allowed
    else:
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield text, None


def _lines(text: IO[str], most: int | None) -> Iterator[str]:
    total = 0
    while line := text.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"a line of more than {_LONGEST_LINE:,} letters")
        total += len(line)
        if most is not None and total > most:
            raise ValueError(f"unpacks to more than {most:,} letters: a bomb?")
        yield line
