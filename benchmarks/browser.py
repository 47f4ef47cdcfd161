"""Browser: the page's recognizer in headless Chromium, beside Python in the same run and beside @vladmandic/human.

    python benchmarks/browser.py --data fer2013.zip [--human node_modules] [--faces 1000]

One WebAssembly thread on our side, one thread in Python. `--human`: a folder into which `npm install @vladmandic/human
@tensorflow/tfjs-backend-wasm` installed. Prints one table; times are medians of one run.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from mien import FaceSet
from mien.images import Pixels, read
from mien.page.local import serve_page
from mien.page.site import write_site
from mien.recognize.naming import model_content
from mien.recognize.recognizer import Recognizer
from mien.recognize.vendored import vendored_folder

_PORTRAIT = vendored_folder("pictures") / "astronaut.jpg"
_FRAMES, _PHOTOS = 90, 15
_BLANK = "licenses/onnxruntime-web.txt"  # a page of the same origin that loads nothing

_PARTS = """
window.bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
window.bitmapOf = (text) => createImageBitmap(new Blob([bytesOf(text)], { type: "image/png" }));
window.opens_mien = async (detector, truth) => {
  const { Recognizer } = await import("/assets/mien-web.js");
  const loaded = await Recognizer.load({ model: "/models/model.onnx", truth, assets: "/assets/", threads: 1,
    detector: detector ? "/models/blazeface_back.onnx" : null });
  return { look: (one) => loaded.recognize(one), follow: (one) => loaded.follow(one),
    name: (faces) => faces[0]?.emotion ?? null };
};
window.opens_human = async (detector) => {
  const { Human } = await import("/human/dist/human.esm.js");
  const off = { enabled: false };
  const made = new Human({ backend: "wasm", wasmPath: "/human/wasm/", modelBasePath: "/human/models/", debug: false,
    face: { enabled: true, detector: { enabled: detector, modelPath: "blazeface.json" }, mesh: off, iris: off,
      description: off, antispoof: off, liveness: off, emotion: { enabled: true, minConfidence: 0 } },
    body: off, hand: off, object: off, gesture: off, segmentation: off, filter: off });
  await made.load();
  const look = async (one) => (await made.detect(one)).face;
  return { look, follow: look, backend: () => made.tf.getBackend(),
    name: (faces) => faces[0]?.emotion?.[0]?.emotion ?? null };
};
window.first = async (kind, photo) => {
  const began = performance.now();
  const opened = await window[`opens_${kind}`](true);
  const faces = await opened.look(await bitmapOf(photo));
  window.opened = opened;
  return [performance.now() - began, faces.length];
};
window.photos = async (photo, count) => {
  const times = [];
  for (let i = 0; i < count; i += 1) {
    const bitmap = await bitmapOf(photo);
    const began = performance.now();
    await opened.look(bitmap);
    times.push(performance.now() - began);
  }
  return times;
};
window.film = async (photo, count) => {
  const bitmap = await bitmapOf(photo);
  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
  const context = canvas.getContext("2d");
  const began = performance.now();
  for (let i = 0; i < count; i += 1) {
    context.fillRect(0, 0, 640, 480);
    context.drawImage(bitmap, 60 + 50 * (1 + Math.sin(i / 10)), 30, 420, 420);
    await (i % 3 === 0 ? opened.look(canvas) : opened.follow(canvas));
  }
  return (1000 * count) / (performance.now() - began);
};
window.answers = async (kind, crops) => {
  window.whole ??= await window[`opens_${kind}`](false, "labels");
  const names = [];
  for (const crop of crops) names.push(whole.name(await whole.look(await bitmapOf(crop))));
  return names;
};
null;  // else Playwright would call the last of them
"""


@dataclass(frozen=True)
class Measured:
    name: str
    megabytes: tuple[float, float]  # of all that was loaded: as it is, by gzip
    first_s: float  # from nothing to the first answer, all files from localhost
    photo_ms: float
    frames: float  # a second, of 640 × 480 with one face
    accuracy: float


def png(image: Pixels) -> str:
    shown = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    return base64.b64encode(cv2.imencode(".png", shown)[1].tobytes()).decode()


def measured(
    browser: Browser, address: str, name: str, kind: str, crops: Sequence[Pixels], truth: list[str]
) -> Measured:
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(600_000)
    page.goto(address + _BLANK)
    answers: list[Any] = []
    context.on("response", lambda answer: answers.append(answer))  # those of workers too
    page.evaluate(_PARTS)
    photo = png(read(_PORTRAIT))
    first_ms, faces = page.evaluate("([kind, photo]) => first(kind, photo)", [kind, photo])
    assert faces == 1
    contents = [answer.body() for answer in answers if not answer.url.startswith("blob:")]
    photo_ms = median(page.evaluate("([photo, count]) => photos(photo, count)", [photo, _PHOTOS]))
    frames = page.evaluate("([photo, count]) => film(photo, count)", [photo, _FRAMES])
    named = named_by(page, kind, crops)
    right = float(np.mean([one == label for one, label in zip(named, truth, strict=True)]))
    context.close()
    sizes = (sum(map(len, contents)) / 1e6, sum(len(gzip.compress(one)) for one in contents) / 1e6)
    return Measured(name, sizes, first_ms / 1000, photo_ms, frames, right)


def named_by(page: Page, kind: str, crops: Sequence[Pixels]) -> list[str]:
    named: list[str] = []
    for start in range(0, len(crops), 100):
        named += page.evaluate(
            "([kind, crops]) => answers(kind, crops)", [kind, [png(crop) for crop in crops[start : start + 100]]]
        )
    return named


def native_ms(model: str) -> float:
    recognizer, photo = Recognizer(model, detector="fast", threads=1), read(_PORTRAIT)
    recognizer(photo)
    return median(timed(lambda: recognizer(photo)) for _ in range(_PHOTOS))


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def table(rows: Sequence[Measured], faces: int) -> str:
    head = (
        "| | loaded, MB (gzip) | first answer, s | a photo, ms | frames a second | "
        f"accuracy on {faces:,} PrivateTest faces |\n|---|---|---|---|---|---|"
    )
    lines = [
        f"| {one.name} | {one.megabytes[0]:.1f} ({one.megabytes[1]:.2f}) | {one.first_s:.2f} | {one.photo_ms:.0f} | "
        f"{one.frames:.0f} | {one.accuracy:.3f} |"
        for one in rows
    ]
    return "\n".join([head, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--human", type=Path)
    parser.add_argument("--faces", type=int, default=1000)
    given = parser.parse_args()
    test = FaceSet.open(given.data, size=48).select("test")
    drawn = np.random.default_rng(0).permutation(len(test))[: given.faces]  # the file is sorted by class
    crops = list(test.gather(drawn))
    truth = [test.label_set.labels[label] for label in test.labels[drawn]]
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    rows: list[Measured] = []
    natives: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for model in ("mien-tiny", "mien-small"):
            site = Path(folder) / model
            write_site(site, model, model_content(model))
            with_human(site, given.human)
            server = serve_page(0, site)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://localhost:{server.server_port}/"
            rows.append(measured(browser, address, f"{model}, BlazeFace", "mien", crops, truth))
            natives[model] = native_ms(model)
            if given.human and model == "mien-small":
                version = json.loads((given.human / "@vladmandic/human/package.json").read_text())["version"]
                rows.append(measured(browser, address, f"human {version} (wasm)", "human", crops, truth))
            server.shutdown()
            server.server_close()
        browser.close()
    print(table(rows, given.faces))
    for row, (model, native) in zip(rows, natives.items(), strict=False):
        print(
            f"{model}: a photo takes {row.photo_ms / native:.1f} times as long as in Python "
            f"({native:.1f} ms, one thread)"
        )


def with_human(site: Path, modules: Path | None) -> None:
    if modules is None:
        return
    for name, source in (
        ("dist", modules / "@vladmandic/human/dist"),
        ("models", modules / "@vladmandic/human/models"),
        ("wasm", modules / "@tensorflow/tfjs-backend-wasm/dist"),
    ):
        shutil.copytree(source, site / "human" / name, ignore=shutil.ignore_patterns("*.map", "*.d.ts", "types"))


if __name__ == "__main__":
    main()
