"""Parts: the Parquet files that a job leaves: one row a picture, or a look at a video, with a list of its faces.

Flattened, these are the rows of `mien.recognize.rows`: one a face, one for what gave none.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mien import formats
from mien.errors import InputError, first_line
from mien.labels import BAR
from mien.outputs import MARK
from mien.recognize.faces import Face
from mien.recognize.quality import Quality
from mien.recognize.rows import Blank, Row, TableFile, of_quality
from mien.recognize.summary import Summary
from mien.scale import places
from mien.scale.job import Job

Rows = Sequence[Row | Blank]
Read = TypeVar("Read")
_TALLY = "mien.tally"  # key of a part's metadata
_SUMMARY = "mien.summary"  # the same, of a part that is a video
_QUALITY = tuple(of_quality(None))
_OF_FACE = (
    "face_id", "x", "y", "width", "height", "detection_score", "emotion", "unsure", *_QUALITY, "why_unsure",
    "set",
)  # fmt: skip
_KINDS = 50  # of failures that are told apart in one part


@dataclass
class Tally:
    """What came of pictures, or of looks at videos."""

    inputs: int = 0  # pictures, and videos
    looks: int = 0  # rows: pictures, and looked-at frames
    with_face: int = 0
    faces: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # kind → how many

    @property
    def failures(self) -> int:
        return sum(self.failed.values())

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.looks += other.looks
        self.with_face += other.with_face
        self.faces += other.faces
        self.failed = dict(Counter(self.failed) + Counter(other.failed))


def tally(inputs: int, looks: Sequence[Rows]) -> Tally:
    """Of the rows of `inputs` pictures or videos."""
    blanks = [rows[0] for rows in looks if isinstance(rows[0], Blank)]
    failed = Counter(_kind(blank) for blank in blanks if blank.error)
    return Tally(
        inputs=inputs,
        looks=len(looks),
        with_face=len(looks) - len(blanks),
        faces=sum(len(rows) for rows in looks if isinstance(rows[0], Row)),
        failed=dict(failed.most_common(_KINDS)),
    )


def write_part(job: Job, part: int, looks: Sequence[Rows], summary: Summary | None = None) -> Tally:
    """Write a part, whole or not at all. `looks`: the rows of each picture, or of each look at the video that `summary`
    sums up.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    counted = tally(job.size(part), looks)
    told = {MARK: "faces", "mien.job": job.fingerprint, _TALLY: json.dumps(asdict(counted))}
    if summary is not None:
        told[_SUMMARY] = json.dumps(summary.state())
    table = pa.Table.from_pylist([_packed(rows, job.labels) for rows in looks], schema=_schema(job.labels, told))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    places.write(job.file(part), buffer.getvalue())
    return counted


def read_tally(job: Job, part: int) -> Tally:
    """What was counted when a part was written. Raises `InputError` for a part of another job."""
    return _of_metadata(job, part, lambda told: Tally(**json.loads(told[_TALLY.encode()])))


def read_summary(job: Job, part: int) -> Summary | None:
    """Of the video that is this part; None where it could not be read. Raises `InputError` as `read_tally` does, and
    for a part of an older mien, which kept none.
    """

    def read(told: dict[bytes, bytes]) -> Summary | None:
        state = told.get(_SUMMARY.encode())
        if state is not None:
            return Summary.of(json.loads(state))
        if json.loads(told[_TALLY.encode()])["failed"]:
            return None
        raise InputError(
            f"{job.file(part)}: was written by an older mien, which kept no summaries. Leave out --summary, or "
            "begin anew with --overwrite"
        )

    return _of_metadata(job, part, read)


def _of_metadata(job: Job, part: int, read: Callable[[dict[bytes, bytes]], Read]) -> Read:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = job.file(part)
    try:
        told = places.patient(file, lambda: pq.read_metadata(places.opened(file))).metadata or {}
        if told.get(b"mien.job") != job.fingerprint.encode():
            raise InputError(f"{file}: is a part of another job. Choose another --out, or begin anew with --overwrite")
        return read(told)
    except (pa.ArrowException, places.Missing, KeyError, ValueError, TypeError) as error:
        why = first_line(error)
        raise InputError(f"{file}: is no part that mien wrote ({why}). Remove it; the same command goes on") from error


def flatten(out: str, table: Path) -> TableFile:
    """Write the table of all faces of a finished job, in the order of its list: the one that `mien recognize --out`
    writes on one machine. Raises `InputError` where parts are missing.
    """
    job = Job.read(out)
    missing = set(job.parts) - job.done()
    if missing:
        raise InputError(
            f"{out}: {len(missing):,} of {len(job.parts):,} parts are not done. The command that began it goes on"
        )
    with TableFile(table, job.labels) as written:
        for part in job.parts:
            read_tally(job, part)
            for rows in looks_of(job, part):
                written.write(rows)
    return written


def looks_of(job: Job, part: int) -> Iterator[Rows]:
    """The rows of each picture, or look, of a part."""
    import pyarrow.parquet as pq

    file = job.file(part)
    for values in places.patient(file, lambda: pq.ParquetFile(places.opened(file)).read()).to_pylist():
        yield _unpacked(values, job.labels)


def _schema(labels: Sequence[str], told: dict[str, str]) -> Any:
    import pyarrow as pa

    whole, real = pa.int64(), pa.float64()
    face = pa.struct(
        [("face_id", whole), ("x", whole), ("y", whole), ("width", whole), ("height", whole), ("detection_score", real),
         ("emotion", pa.string()), *((f"p_{label}", real) for label in labels), ("unsure", pa.bool_()),
         *((name, real) for name in _QUALITY), ("why_unsure", pa.string()), ("set", pa.string())]
    )  # fmt: skip
    columns = [
        ("source", pa.string()), ("frame", whole), ("time_s", real), ("status", pa.string()), ("error", pa.string()),
        ("faces", pa.list_(face)), ("format", whole),
    ]  # fmt: skip
    return pa.schema(columns, metadata=told)


def _packed(rows: Rows, labels: Sequence[str]) -> dict[str, Any]:
    first = rows[0].values()
    names = [*_OF_FACE, *(f"p_{label}" for label in labels)]
    faces = [{name: row.values()[name] for name in names} for row in rows if isinstance(row, Row)]
    look = {name: _readable(first[name]) for name in ("source", "frame", "time_s", "status", "error")}
    return {**look, "faces": faces, "format": formats.PARTS}


def _unpacked(values: dict[str, Any], labels: Sequence[str]) -> Rows:
    source, frame, time_s = values["source"], values["frame"], values["time_s"]
    if not values["faces"]:
        return [Blank(source, frame, time_s, values["error"])]
    return [
        Row(
            Face(
                source=source,
                emotion=face["emotion"],
                probabilities={label: face[f"p_{label}"] for label in labels},
                box=(face["x"], face["y"], face["width"], face["height"]),
                detection_score=face["detection_score"],
                unsure=face["unsure"],
                quality=_quality(face),
                set=tuple(face["set"].split(BAR)) if face.get("set") else None,
            ),
            face["face_id"],
            frame,
            time_s,
        )
        for face in values["faces"]
    ]


def _quality(face: dict[str, Any]) -> Quality | None:
    """None in parts of format 1."""
    if face.get("face_size") is None:
        return None
    return Quality(**{name.removeprefix("face_"): face[name] for name in _QUALITY})


def _readable(value: Any) -> Any:
    """Bytes of a name that are no UTF-8 become question marks, as in every Parquet table of ours."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value


def _kind(blank: Blank) -> str:
    """A failure without what is particular to one picture: its name, and what stands in brackets."""
    told = (blank.error or "").removeprefix(blank.source).lstrip(": ")
    return told.partition(" (")[0].partition(";")[0][:100]
