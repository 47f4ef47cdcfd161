"""The types of the npm package, as a page written in TypeScript sees them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
TSC = WEB / "node_modules" / ".bin" / "tsc"
PAGE = """
import { Cuts, Recognizer, Tracker, whyUnsure } from "mien-web";
import type { Face, Options, Picture, Quality, Why } from "mien-web";

const options: Options = { model: "model.onnx", detector: "blazeface_back.onnx", assets: "assets/", abstain: 0.5 };

export async function told(picture: Picture, video: HTMLVideoElement): Promise<string[]> {
  const recognizer = await Recognizer.load(options);
  const tracker = new Tracker({ threshold: recognizer.threshold });
  if (new Cuts().next(video)) tracker.cut();
  const faces: Face[] = await recognizer.recognize(picture);
  const sizes: number[] = faces.map(({ quality }) => quality.size);
  const reasons: (Why | null)[] = tracker.next(faces, sizes.length).map((face) => face.whyUnsure);
  return reasons.map((why) => why ?? "sure");
}

export const turned = (quality: Quality): boolean => whyUnsure(quality) === "turned away";
// @ts-expect-error: without a detector, roll is not known
export const roll = (quality: Quality): number => quality.roll;
// @ts-expect-error: no such reason
export const blurred = (quality: Quality): boolean => whyUnsure(quality) === "blurred";
// @ts-expect-error: a model is needed
export const none: Options = { assets: "assets/" };
"""


@pytest.mark.skipif(shutil.which("node") is None or not TSC.exists(), reason="no node: npm ci --prefix web")
def test_a_page_in_typescript_finds_its_types(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "mien-web"
    package.mkdir(parents=True)
    shutil.copy(WEB / "package.json", package)
    made = tsc(WEB, "-p", "tsconfig.types.json", "--outDir", str(package / "types"))
    assert made.returncode == 0, made.stdout
    (tmp_path / "page.ts").write_text(PAGE)
    options = ("--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler")
    checked = tsc(tmp_path, *options, "--skipLibCheck", "page.ts")
    assert (checked.returncode, checked.stdout) == (0, "")


def tsc(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(TSC), *options], cwd=folder, capture_output=True, text=True, check=False)
