"""Hostile pictures: random bytes and damaged files into `Recognizer`, and into a server if one runs.

python benchmarks/fuzz.py
python benchmarks/fuzz.py --server http://127.0.0.1:8000

Each case must give a list of faces or an `InputError` (of the server: an answer in JSON below 500), within seconds. The
first case that does not is written to `--keep` and ends the run with code 1; so does a crash of the interpreter, since
a case lies there while it is tried. `--first N --number 1` tries case N again.
"""

from __future__ import annotations

import argparse
import faulthandler
import http.client
import io
import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from mien import InputError, Recognizer
from mien.recognize.vendored import vendored_folder

NUMBER = 20_000
SLOWEST = 5.0  # seconds of work that a case may take
LONGEST = 60  # seconds until a case counts as hanging
SIDE = 160  # of the portrait in pixels: the files are small, so most changes hit something
_BOUNDARY = "mien-fuzz-4f1c"

Rng = np.random.Generator


def originals() -> dict[str, bytes]:
    """The portrait of the package in every kind of file that is read, and in odd forms of it."""
    portrait = Image.open(vendored_folder("pictures") / "astronaut.jpg").resize((SIDE, SIDE))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "portrait", {0x9003: "2026:01:01 00:00:00"}
    turned = portrait.rotate(90)
    gray, palette, clear = portrait.convert("L"), portrait.quantize(32), portrait.convert("RGBA")
    clear.putalpha(128)
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    kinds: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "jpeg": (portrait, "JPEG", {"exif": exif}),
        "jpeg, progressive": (portrait, "JPEG", {"progressive": True}),
        "jpeg, cmyk": (portrait.convert("CMYK"), "JPEG", {}),
        "png": (portrait, "PNG", {"exif": exif}),
        "png, palette": (palette, "PNG", {"transparency": 3}),
        "png, 16 bit": (deep, "PNG", {}),
        "png, clear": (clear, "PNG", {}),
        "apng": (portrait, "PNG", {"save_all": True, "append_images": [turned]}),
        "webp": (portrait, "WEBP", {}),
        "webp, lossless": (clear, "WEBP", {"lossless": True}),
        "webp, animated": (portrait, "WEBP", {"save_all": True, "append_images": [turned]}),
        "gif": (palette, "GIF", {"transparency": 3, "comment": b"portrait"}),
        "gif, animated": (portrait, "GIF", {"save_all": True, "append_images": [turned]}),
        "bmp": (portrait, "BMP", {}),
        "bmp, palette": (palette, "BMP", {}),
        "tiff": (portrait, "TIFF", {"tiffinfo": {0x0112: 6}}),
        "tiff, lzw": (gray, "TIFF", {"compression": "tiff_lzw"}),
        "tiff, deflate": (deep, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "tiff, jpeg": (portrait, "TIFF", {"compression": "jpeg"}),
        "tiff, pages": (portrait, "TIFF", {"save_all": True, "append_images": [turned]}),
        "ppm": (portrait, "PPM", {}),
        "pgm": (gray, "PPM", {}),
        "avif": (portrait, "AVIF", {"exif": exif}),
        "avif, clear": (clear, "AVIF", {}),
    }
    try:
        from pillow_heif import register_heif_opener
    except ImportError:  # it is an extra
        return {name: _saved(*how) for name, how in kinds.items()}
    register_heif_opener()  # it writes as well
    kinds |= {"heic": (portrait, "HEIF", {"exif": exif}), "heic, gray": (gray, "HEIF", {})}
    return {name: _saved(*how) for name, how in kinds.items()}


def _saved(image: Image.Image, kind: str, options: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def cases(first: int, number: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """What was done, and the bytes. A case depends on its number and `seed` alone."""
    files = originals()
    for i in range(first, first + number):
        rng = np.random.default_rng((seed, i))
        names = list(files)
        name = names[i % len(names)]
        change = CHANGES[int(rng.integers(len(CHANGES)))]
        other = files[names[int(rng.integers(len(names)))]]
        yield f"case {i}: {name}, {change.__name__.removeprefix('_')}", change(files[name], other, rng)


def _random_bytes(data: bytes, other: bytes, rng: Rng) -> bytes:
    return rng.bytes(int(rng.integers(0, 4096)))


def _random_after_the_first(data: bytes, other: bytes, rng: Rng) -> bytes:
    kept = int(rng.integers(2, 40))
    return data[:kept] + rng.bytes(int(rng.integers(0, 4096)))


def _cut(data: bytes, other: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def _flipped(data: bytes, other: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), int(rng.integers(1, 64))):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _header(data: bytes, other: bytes, rng: Rng) -> bytes:
    """A few bytes of the first hundred become extreme, where sizes, counts and offsets stand."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        width = int(rng.choice([1, 2, 4]))
        place = int(rng.integers(2, 100))
        extreme = [b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01"][int(rng.integers(5))]
        changed[place : place + width] = extreme * width
    return bytes(changed)


def _spliced(data: bytes, other: bytes, rng: Rng) -> bytes:
    """The beginning of one file and the rest of another."""
    return data[: int(rng.integers(2, max(len(data), 3)))] + other[int(rng.integers(0, max(len(other), 1))) :]


def _stretched(data: bytes, other: bytes, rng: Rng) -> bytes:
    """A slice taken out, or repeated up to a thousand times."""
    start, length = int(rng.integers(0, len(data))), int(rng.integers(1, 64))
    times = int(rng.choice([0, 2, 10, 1000]))
    return data[:start] + data[start : start + length] * times + data[start + length :]


Change = Callable[[bytes, bytes, Rng], bytes]
CHANGES: tuple[Change, ...] = (
    _random_bytes, _random_after_the_first, _cut, _flipped, _flipped, _header, _header, _spliced, _stretched
)  # fmt: skip


def ask_recognizer() -> Callable[[bytes], str]:
    """`faces`, `no face` or `refused`, with detection and without; anything else that is raised is a finding."""
    finding, whole = (Recognizer("mien-tiny", detector=detector, threads=1) for detector in ("fast", "none"))

    def ask(data: bytes) -> str:
        try:
            faces = finding(data)
            whole(data)
        except InputError:
            return "refused"
        for face in faces:
            assert abs(sum(face.probabilities.values()) - 1) < 1e-3, face
            assert min(face.box) >= 0, face
        return "faces" if faces else "no face"

    return ask


def ask_server(url: str) -> Callable[[bytes], str]:
    """The code of the answer, which must be JSON and below 500."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port or 80, timeout=30)
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}

    def ask(data: bytes) -> str:
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="x.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        body = head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()
        connection.request("POST", "/v1/recognize", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        json.loads(content)
        if answer.status >= 500:
            raise RuntimeError(f"{answer.status}: {content[:200]!r}")
        return str(answer.status)

    return ask


def trial(ask: Callable[[bytes], str], data: bytes) -> tuple[str, float]:
    """What became of a case, and the seconds that this process worked on it: others may keep the cores busy."""
    began = process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about damaged blocks
        answer = ask(data)
    return answer, process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=NUMBER)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--server", help="address of a running mien serve; without it, the Recognizer of this process")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "mien-fuzz.bin")
    how = parser.parse_args()
    faulthandler.enable()
    ask = ask_server(how.server) if how.server else ask_recognizer()
    answers: Counter[str] = Counter()
    slowest = (0.0, "none")
    began = perf_counter()
    for number, (what, data) in enumerate(cases(how.first, how.number, how.seed), start=1):
        how.keep.write_bytes(data)
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        try:
            answer, seconds = trial(ask, data)
        except Exception as error:
            sys.exit(f"{what}, kept at {how.keep}: {type(error).__name__}: {error}")
        faulthandler.cancel_dump_traceback_later()
        if seconds > SLOWEST:
            sys.exit(f"{what}, kept at {how.keep}: took {seconds:.1f} s")
        answers[answer] += 1
        slowest = max(slowest, (seconds, what))
        if number % 1000 == 0:
            print(f"{number:,} cases", file=sys.stderr)
    how.keep.unlink(missing_ok=True)
    told = ", ".join(f"{answer} {count:,}" for answer, count in sorted(answers.items()))
    print(f"{how.number:,} cases in {perf_counter() - began:.0f} s, nothing but answers and refusals: {told}")
    print(f"slowest: {slowest[0]:.2f} s ({slowest[1]})")


if __name__ == "__main__":
    main()
