"""Hostile files of every other kind: recipes, data, votes, models, backbones, films, journals, what a run folder keeps.

python benchmarks/fuzz_files.py
python benchmarks/fuzz_files.py --long             100,000 inputs
python benchmarks/fuzz_files.py --kinds parquet    one kind; --first N --number 1 tries case N again

Each case must be read or end in one `InputError` of at most 2,000 letters, within seconds, and all of them in less than
1 GB. Every other end is counted by kind, and its file is kept in `--keep`. Pictures: benchmarks/fuzz.py.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import json
import logging
import os
import re
import resource
import runpy
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from PIL import Image

from mien import FaceSet, InputError, Recipe, Recognizer
from mien.cards import Card
from mien.data.votes import Votes
from mien.errors import LONGEST
from mien.models import checkpoints
from mien.predictions import People, Predictions
from mien.recipes.sections import Pretrained
from mien.recognize.faces import Face
from mien.recognize.journal import Journal
from mien.recognize.vendored import read_vendored
from mien.recognize.video import Video
from mien.training.run import Run, read_history

NUMBER, LONG = 2_000, 100_000
SLOWEST = 20.0  # seconds of work that a case may take
MOST_MEMORY = 2**30  # bytes that all cases together may add
_SHORT_RECIPE = b"name: mine\nextends: vit-v1.6\ndescribe: mine\nepochs: 30\nunfreeze: {schedule: {2: 1}}\n"
_WORDS = b"# " + b"what a change here does not spoil " * 40 + b"\n"
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_SETTINGS, _PLACES = {"model": "mien-tiny", "labels": "happy, sad"}, ["/photos"]  # of the journal
_EXTREMES = (b"0", b"-1", b"1e999", b"nan", b"4294967296", b"9" * 400, b"!!int x", b"2024-01-01", b"null", b"[]", b"'")

Rng = np.random.Generator


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, whole examples, what is done with one, and the files that lie beside it, whole."""

    file: str
    originals: tuple[bytes, ...]
    ask: Callable[[Path], object]
    beside: Mapping[str, bytes] = field(default_factory=dict)


def kinds() -> dict[str, Kind]:
    """Every kind of file that a user can hand us, but for pictures."""
    card = Recognizer("mien-tiny", detector="none").card.model_dump_json(indent=1).encode()
    table = _table().encode()
    backbone, run = _backbone(), _run_of_backbone()
    return {
        "recipe": Kind("mine.yaml", (_recipe(), _SHORT_RECIPE, _SHORT_RECIPE + _WORDS), Recipe.load),
        "csv": Kind("faces.csv", (table,), _faces),
        "csv.gz": Kind("faces.csv.gz", (gzip.compress(table, mtime=0),), _faces),
        "zip": Kind("faces.zip", (_zip({}), _zip({"faces.csv": table})), _faces),
        "parquet": Kind("train.parquet", _parquet(), _faces),
        "arrow": Kind("train.arrow", (_arrow(), _arrow(feather=True)), _faces),
        "folder": Kind("photos/train/happy/0.png", (_picture(3),), _folder_of, _folder()),
        "film": Kind("clip.mp4", _films(), _watched),
        "votes": Kind("votes.csv", (_votes(),), lambda path: Votes.open(path).table(["a0.png"])),
        "predictions": Kind("test.npz", (_predictions(None), _predictions(_people())), _scored),
        "onnx": Kind("model.onnx", (read_vendored("weights", "mien-tiny.onnx"),), _recognized),
        "card": Kind("card.json", (card,), Card.load),
        "history": Kind("history.csv", (_history(),), read_history),
        "seen": Kind("seen.npz", (_seen(),), lambda path: Run(path.parent).seen()),
        "journal": Kind("t.csv.journal", (_journal(),), lambda path: list(_rows_of_journal(path.with_suffix("")))),
        "backbone's config": _one_of(backbone, "config.json", _opened_backbone),
        "backbone's preprocessor": _one_of(backbone, "preprocessor_config.json", _opened_backbone),
        "backbone's weights": _one_of(backbone, "model.safetensors", _opened_backbone),
        "backbone of a run": _one_of(run, "backbone.json", lambda path: Run(path.parent).load_model()),
        "weights of a run": _one_of(run, "model.safetensors", lambda path: Run(path.parent).load_model()),
    }  # fmt: skip


def _faces(path: Path) -> object:
    return FaceSet.open(path, size=16, skip_unreadable=True, labels=None).fingerprint


def _folder_of(path: Path) -> object:
    return FaceSet.open(path.parents[2], size=16, labels=None).fingerprint


def _scored(path: Path) -> object:
    found = Predictions.load(path)
    return found.predicted, found.by_votes() if found.people else None


def _recognized(path: Path) -> object:
    said = Recognizer(path, detector="none", threads=1).classify([np.zeros((20, 20), np.uint8)])
    assert np.isfinite(said).all()
    return said


def _recipe() -> bytes:
    return Recipe.load("cnn-v2").to_yaml().encode()


def _picture(row: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) + row).save(buffer, "PNG")
    return buffer.getvalue()


def _table() -> str:
    usages = ("Training", "PublicTest", "PrivateTest")
    lines = [
        f"{row % 7},{' '.join(str((7 * row + i) % 256) for i in range(16))},{usages[row // 7]}" for row in range(21)
    ]
    return "\n".join(["emotion,pixels,Usage", *lines]) + "\n"


def _zip(instead: dict[str, bytes]) -> bytes:
    members = instead or {
        f"{split}/{name}/{row}.png": _picture(20 * row + 10 * (split == "test"))
        for split in ("train", "test") for row, name in enumerate(CLASSES)
    }  # fmt: skip
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _rows() -> Any:
    import pyarrow as arrow

    images = [{"bytes": _picture(5 * row), "path": None} for row in range(21)]
    features = {"info": {"features": {"label": {"names": CLASSES}}}}
    rows = arrow.table({"image": images, "label": [row % 7 for row in range(21)]})
    return rows.replace_schema_metadata({"huggingface": json.dumps(features)})


def _parquet() -> tuple[bytes, ...]:
    import pyarrow.parquet as parquet

    found = []
    for packing in ("snappy", "zstd", "none"):
        buffer = io.BytesIO()
        parquet.write_table(_rows(), buffer, compression=packing)
        found.append(buffer.getvalue())
    return tuple(found)


def _arrow(*, feather: bool = False) -> bytes:
    import pyarrow as arrow

    buffer = io.BytesIO()
    with (arrow.ipc.new_file if feather else arrow.ipc.new_stream)(buffer, _rows().schema) as stream:
        stream.write_table(_rows(), max_chunksize=5)
    return buffer.getvalue()


def _votes() -> bytes:
    header = "path,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    return (header + "".join(f"a{row}.png,{row},9,0,0,0,0,0,0,0,1\n" for row in range(9))).encode()


def _people() -> People:
    return People(("happy", "sad", "bored"), np.full((6, 3), 1 / 3, np.float32), np.arange(18).reshape(6, 3))


def _predictions(people: People | None) -> bytes:
    said = np.random.default_rng(0).dirichlet(np.ones(2), 6).astype(np.float32)
    names = np.array([f"a{row}.png" for row in range(6)])
    flags = np.zeros(6, dtype=bool)
    made = Predictions("test", ("happy", "sad"), names, names, np.arange(6) % 2, said, flags, flags, people)
    with tempfile.TemporaryDirectory() as folder:
        made.save(Path(folder) / "x.npz")
        return (Path(folder) / "x.npz").read_bytes()


def _history() -> bytes:
    header = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,lr,seconds,images_per_second,val_people\n"
    return (header + "".join(f"{row},1.5,0.4,1.6,0.3,0.001,3.5,900,\n" for row in range(1, 6))).encode()


def _seen() -> bytes:
    buffer = io.BytesIO()
    hashes = np.array(["0123456789abcdef" * 2] * 5)
    np.savez_compressed(buffer, train=hashes, val=hashes, format=np.array(2), fingerprint=np.array("f" * 32))
    return buffer.getvalue()


def _folder() -> dict[str, bytes]:
    return {
        f"photos/{split}/{name}/{row}.png": _picture(20 * row + 10 * (split == "test"))
        for split in ("train", "test") for row, name in enumerate(CLASSES)
    }  # fmt: skip


def _films() -> tuple[bytes, ...]:
    """MPEG-4 in MP4 and in Matroska, JPEGs in AVI."""
    import cv2

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (suffix, codec) in enumerate((("mp4", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v"))):
            path = Path(folder) / f"{number}.{suffix}"
            film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, (32, 24))
            for value in range(3 + number):
                film.write(np.full((24, 32, 3), 60 * value % 256, dtype=np.uint8))
            film.release()
            found.append(path.read_bytes())
    return tuple(found)


def _watched(path: Path) -> object:
    with Video(path) as video:
        return [frame.image.mean() for frame in video.frames() if frame.image is not None]


def _journal() -> bytes:
    happy = Face("/photos/a.jpg", "happy", {"happy": 0.75, "sad": 0.25}, (1, 2, 30, 40), 0.9, unsure=False)
    with tempfile.TemporaryDirectory() as folder:
        with Journal(Path(folder) / "t.csv", _SETTINGS, _PLACES) as journal:
            journal.add("/photos/a.jpg", [happy, happy])
            journal.add("/photos/b.jpg", [])
            journal.add_failed("/photos/c.jpg", "cut off")
        return (Path(folder) / "t.csv.journal").read_bytes()


def _rows_of_journal(table: Path) -> Iterator[object]:
    with Journal(table, _SETTINGS, _PLACES) as journal:
        for rows in journal.rows():
            yield [row.values() for row in rows]


def _backbone() -> dict[str, bytes]:
    """A small vision transformer, in the layout of Hugging Face."""
    from transformers import ViTConfig, ViTModel
    from transformers.utils import logging as talk

    talk.disable_progress_bar()
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    said = {"size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    with tempfile.TemporaryDirectory() as folder:
        ViTModel(ViTConfig(**sizes, image_size=16, patch_size=8)).save_pretrained(folder)
        (Path(folder) / "preprocessor_config.json").write_text(json.dumps(said))
        return {f"backbone/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}


def _opened_backbone(path: Path) -> object:
    checkpoints.native_input(str(path.parent))
    return checkpoints.load(Pretrained(kind="pretrained", backbone=str(path.parent), features="cls"), 16)


def _run_of_backbone() -> dict[str, bytes]:
    """A run of it, as far as its network is rebuilt from that."""
    from safetensors.torch import save

    from mien.models.build import build, complete

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, content in _backbone().items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        settings = [f"model.backbone={folder / 'backbone'}", "data.preprocess.size=16"]
        recipe = complete(Recipe.load("vit-v1.6", settings))
        network = build(recipe.model, recipe.preprocess, (7,))
        card = Recognizer("mien-tiny", detector="none").card
        card = card.model_copy(update={"preprocess": recipe.preprocess, "labels": CLASSES, "people": None})
        config = json.dumps(network.backbone.config).encode()
    kept = {"recipe.yaml": recipe.to_yaml().encode(), "card.json": card.text().encode(), "backbone.json": config}
    return {f"run/{name}": content for name, content in kept.items()} | {
        "run/model.safetensors": save(network.state_dict())
    }


def _one_of(files: Mapping[str, bytes], name: str, ask: Callable[[Path], object]) -> Kind:
    """One file of a folder, which is changed, beside the others."""
    changed = next(place for place in files if place.endswith(f"/{name}"))
    return Kind(changed, (files[changed],), ask, files)


def _number(data: bytes, other: bytes, rng: Rng) -> bytes:
    """A number or a word of a text becomes an extreme one."""
    found = list(re.finditer(rb"[-+.\w]+", data[:100_000]))
    if not found:
        return data
    place = found[int(rng.integers(len(found)))]
    return data[: place.start()] + _EXTREMES[int(rng.integers(len(_EXTREMES)))] + data[place.end() :]


def _byte(data: bytes, other: bytes, rng: Rng) -> bytes:
    """One byte becomes any other, so that most of the file still makes sense."""
    changed = bytearray(data)
    changed[int(rng.integers(len(data)))] = int(rng.integers(256))
    return bytes(changed)


def cases(wanted: dict[str, Kind], first: int, number: int, seed: int = 0) -> Iterator[tuple[str, str, bytes]]:
    """Kind, what was done, and the bytes. A case depends on its number, `seed` and the kinds alone."""
    pictures = runpy.run_path(str(Path(__file__).with_name("fuzz.py")))
    changes = [_byte, _byte, _byte, _byte, *pictures["CHANGES"], _number, _number, _number]
    names = list(wanted)
    for i in range(first, first + number):
        rng = np.random.default_rng((seed, i))
        name = names[i % len(names)]
        originals = wanted[name].originals
        data, other = (originals[int(rng.integers(len(originals)))] for _ in range(2))
        for _ in range(int(rng.choice([1, 1, 1, 2]))):
            change = changes[int(rng.integers(len(changes)))]
            data = change(data or b"0", other, rng)
        yield name, f"case {i}: {name}, {change.__name__.removeprefix('_')}", data


def trial(kind: Kind, data: bytes, folder: Path) -> str:
    """`read`, `refused`, or what went wrong."""
    for name, content in {**kind.beside, kind.file: data}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    began = process_time()
    try:
        kind.ask(path)
        end = "read"
    except InputError as error:
        end = "refused" if len(str(error)) <= LONGEST else f"a message of {len(str(error))} letters"
    except Exception as error:
        end = f"{type(error).__name__}: {str(error)[:200]}"
    return end if process_time() - began < SLOWEST else f"took {process_time() - began:.0f} s"


def run(
    wanted: dict[str, Kind], first: int, number: int, keep: Path
) -> tuple[Counter[tuple[str, str]], list[str], int]:
    """Ends by kind, what went wrong, and the bytes of memory that were added."""
    ends: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MIEN_CACHE"] = str(Path(folder) / "cache")
        for name, what, data in cases(wanted, first, number):
            (Path(folder) / "last").write_bytes(data)
            faulthandler.dump_traceback_later(5 * SLOWEST, exit=True)
            end = trial(wanted[name], data, Path(folder))
            ends[name, end if end in ("read", "refused") else "wrong"] += 1
            if end not in ("read", "refused"):
                wrong.append(f"{what}: {end}")
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{len(wrong)}-{Path(wanted[name].file).name}").write_bytes(data)
            if sum(ends.values()) % 5000 == 0:
                print(f"{sum(ends.values()):,} of {number:,} cases, {len(wrong):,} wrong", file=sys.stderr, flush=True)
        faulthandler.cancel_dump_traceback_later()
    return ends, wrong, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=NUMBER)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--long", action="store_true", help=f"{LONG:,} cases")
    parser.add_argument("--kinds", nargs="*", help="only these")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "mien-fuzz-files")
    how = parser.parse_args()
    faulthandler.enable()
    logging.disable(logging.WARNING)
    known = kinds()
    wanted = {name: known[name] for name in how.kinds or known}
    ends, wrong, memory = run(wanted, how.first, LONG if how.long else how.number, how.keep)
    for name in wanted:
        told = ", ".join(f"{end} {ends[name, end]:,}" for end in ("read", "refused", "wrong"))
        print(f"{name}: {told}")
    print(f"{sum(ends.values()):,} cases, {len(wrong):,} wrong, {memory / 2**20:.0f} MiB of memory added")
    print("\n".join(wrong[:40]))
    sys.exit(1 if wrong or memory > MOST_MEMORY else 0)


if __name__ == "__main__":
    main()
