"""Parquet: labeled faces in the Hugging Face image layout, as Parquet files or as `save_to_disk` writes it (Arrow)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.data.entry import Entry, Loader, file_digest, labeled
from mien.data.folders import split_of
from mien.data.messages import is_compressed
from mien.data.pages import check_pages
from mien.errors import InputError, MissingExtraError, first_line, shortened
from mien.images import MAX_BYTES
from mien.labels import Naming

_ARROW = ".arrow"
_BATCH, _BATCH_BYTES = 256, 2**27  # rows at a time; fewer where each may be a large value of a dictionary
_LONGEST = 200  # letters of a class


class ParquetSource:
    """Columns: `image` {bytes, path} and an integer or text `label`.

    The split is read from the file's name (`train-00000-of-00001.parquet`) or its folder's; class names from the file's
    own metadata.
    """

    def __init__(self, files: Sequence[Path], path: Path, labels: Naming | None) -> None:
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("reading Parquet", "parquet") from error
        # What `map` of the same library keeps beside the data.
        self._files = [file for file in files if not file.name.startswith("cache-")]
        self._root = path
        self.left_out: Counter[str] = Counter()
        self.unlabeled: Sequence[str] = ()
        self.labels: Sequence[str] | None = None
        splits = [self._split(file) for file in self._files]
        unknown = next((file for file, split in zip(self._files, splits, strict=True) if split is None), None)
        if unknown and len(splits) > 1 and (any(splits) or unknown.suffix != _ARROW):
            raise InputError(f"{unknown}: cannot tell its split. Begin file names with train, validation or test")
        classes = [_classes(file, labels) for file in self._files]
        self._rows = list(map(len, classes))
        self.entries: Sequence[Entry] = [
            labeled(f"{self._name(file)}_{row}", name, split)
            for file, split, names in zip(self._files, splits, classes, strict=True)
            for row, name in enumerate(names)
        ]

    def _split(self, file: Path) -> str | None:
        by_name = None if file.suffix == _ARROW else split_of(file.stem.partition("-")[0])
        return by_name or (split_of(file.parent.name) if file.parent != self._root else None)

    def _name(self, file: Path) -> str:
        # Each folder of `save_to_disk` names its files alike.
        return f"{file.parent.name}_{file.stem}" if file.suffix == _ARROW and len(self._files) > 1 else file.stem

    def loaders(self) -> Iterator[Loader]:
        for file, rows in zip(self._files, self._rows, strict=True):
            called, row = self._name(file), 0
            for row, value in enumerate(_pictures(file), start=1):
                if row <= rows:
                    yield lambda value=value, name=f"{called}_{row - 1}": _picture(value, name)  # type: ignore[misc]
            if row != rows:  # a damaged page may hold fewer values than its rows, which pyarrow does not notice
                raise InputError(f"{file}: damaged: has {rows:,} labels and {row:,} pictures. Download it again")

    def digest(self) -> str:
        return hashlib.blake2b("".join(map(file_digest, self._files)).encode(), digest_size=16).hexdigest()


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, Callable[[str], Iterator[Any]]]]:
    """The schema, and what gives the batches of a column. Raises `InputError`, also where reading them fails."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    kind = "Arrow" if file.suffix == _ARROW else "Parquet"
    try:
        with file.open("rb") as stream:
            if kind == "Arrow":
                if is_compressed(stream):
                    raise InputError(
                        f"{file}: is compressed, which is not read in Arrow files: 30 KB could unpack to gigabytes. "
                        "Save it without compression, or as Parquet"
                    )
                reader = arrow.ipc.open_stream(stream)
                yield reader.schema, lambda column: (batch.column(column) for batch in reader)
                return
            largest = check_pages(stream, ("image", "label"))
            table = parquet.ParquetFile(stream)
            rows = max(1, min(_BATCH, _BATCH_BYTES // max(largest, 1)))
            yield (
                table.schema_arrow,
                lambda column: (b.column(0) for b in table.iter_batches(batch_size=rows, columns=[column])),
            )
    except (arrow.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise InputError(f"{file}: damaged or no {kind} ({first_line(error)}). Download it again") from error


def _pictures(file: Path) -> Iterator[object]:
    """The values of `image`: the encoded picture, or none; one at a time, since many rows may name the same bytes."""
    import pyarrow.compute as compute

    with _opened(file) as (_, batches):
        left = file.stat().st_size
        for batch in batches("image"):
            batch.validate(full=True)  # places outside of the data would end the process
            encoded = compute.struct_field(batch, ["bytes"]) if batch.type.num_fields else batch
            for value in encoded:
                picture = value.as_py()
                if file.suffix == _ARROW and picture is not None:
                    left -= len(picture)
                    if left < 0:
                        raise ValueError("has pictures of more bytes than the file")
                yield picture


def _check_types(schema: Any, file: Path) -> None:
    """Raise `InputError` for columns of which a few bytes could stand for any number of rows, or that make no sense."""
    from pyarrow import types

    missing = [name for name in ("image", "label") if name not in schema.names]
    if missing:
        found = shortened(", ".join(schema.names), 300)
        raise InputError(f"{file}: no column {', '.join(missing)} (found: {found}). Expected image and label")
    image, label = (schema.field(name).type for name in ("image", "label"))
    if types.is_struct(image) and image.get_field_index("bytes") >= 0:
        image = image.field("bytes").type
    if types.is_dictionary(label):
        label = label.value_type
    bytes_of = (types.is_binary, types.is_large_binary, types.is_binary_view)
    if not any(fits(image) for fits in bytes_of):
        found = shortened(str(schema.field("image").type), 300)
        raise InputError(f"{file}: its column image holds {found}, expected encoded pictures: {{bytes, path}}")
    names_or_codes = (types.is_integer, types.is_string, types.is_large_string, types.is_string_view)
    if not any(fits(label) for fits in names_or_codes):
        found = shortened(str(schema.field("label").type), 300)
        raise InputError(f"{file}: its column label holds {found}, expected whole numbers or names")


def _classes(file: Path, labels: Naming | None) -> list[str]:
    with _opened(file) as (schema, batches):
        _check_types(schema, file)
        values: list[object] = []
        for batch in batches("label"):
            batch.validate(full=True)
            for value in batch:
                values.append(label := value.as_py())
                if isinstance(label, str) and len(label) > _LONGEST:
                    raise InputError(
                        f"{file}: a label of more than {_LONGEST} letters. Is label the column of classes?"
                    )
        return _parquet_classes(schema.metadata or {}, values, labels, file)


def _parquet_classes(
    metadata: dict[bytes, bytes], values: Sequence[object], labels: Naming | None, file: Path
) -> list[str]:
    if not values:
        raise InputError(f"{file}: has no rows. Download it again, or leave the file out")
    if all(isinstance(value, str) for value in values):
        return [str(value) for value in values]
    names = _class_label_names(metadata)
    if not names and isinstance(labels, Mapping):
        return [str(value) for value in values]  # as numbered folders, which these labels name
    if not names and labels is not None and not isinstance(labels, Mapping):
        names = labels
    if not names:
        raise InputError(
            f"{file}: its labels are numbers without names. Name them in order: --labels angry,disgust,…; or one by "
            "one: --labels 0=angry,1=-,…"
        )
    codes = [value for value in values if type(value) is int and 0 <= value < len(names)]
    if len(codes) != len(values):
        strange = next(v for v in values if not (type(v) is int and 0 <= v < len(names)))
        raise InputError(f"{file}: label {shortened(repr(strange), 80)} is not a number from 0 to {len(names) - 1}")
    return [names[code] for code in codes]


def _class_label_names(metadata: dict[bytes, bytes]) -> Sequence[str]:
    """What a Hugging Face file calls its codes, in their order; empty where it does not say."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features["label"]["names"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()


def _picture(value: object, name: str) -> bytes:
    if not isinstance(value, bytes):
        raise InputError(f"{name}: has no encoded picture (column image should contain bytes)")
    if len(value) > MAX_BYTES:
        raise InputError(f"{name}: over {MAX_BYTES:,} bytes")
    return value
