"""Training speed: the study's way against ours, on the same network and images, in alternating rounds of one process.

The study's way opens an image folder file by file, transforms each picture with Pillow (gray, resize, to tensor,
normalize, as torchvision does it) in a DataLoader without workers, and trains in float32 in torch's default layout.
Ours decodes once into a memory map and gathers batches from it; channels last; bfloat16 where the hardware has it.

python benchmarks/train_throughput.py --data fer2013.zip [--images 6400] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mien import FaceSet, Recipe
from mien.models.build import build
from mien.training.hardware import detect
from mien.training.loaders import Batches, Examples, chance, train_order
from mien.training.prepare import prepare
from mien.training.train import train

BATCHES = (32, 64, 128, 256)


class StudyFolder(Dataset):
    """`ImageFolder` with the study's transforms, one picture at a time."""

    def __init__(self, folder: Path, names: list[str], labels: np.ndarray) -> None:
        self.files = [folder / name for name in names]
        self.labels = labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with self.files[index].open("rb") as file:
            image = Image.open(file).convert("RGB")  # ImageFolder's loader
        gray = image.convert("L")
        if gray.size != (48, 48):
            gray = gray.resize((48, 48), Image.Resampling.BILINEAR)
        tensor = torch.from_numpy(np.array(gray)).view(48, 48, 1).permute(2, 0, 1).contiguous().float().div(255)
        return tensor.sub_(0.5).div_(0.5), int(self.labels[index])


def study_data(dataset: StudyFolder, batch: int) -> float:
    began = time.perf_counter()
    for _ in DataLoader(dataset, batch_size=batch, shuffle=True):
        pass
    return time.perf_counter() - began


def our_data(faces: FaceSet, recipe: Recipe) -> float:
    data = recipe.data
    began = time.perf_counter()
    order = train_order(faces.labels, len(faces.label_set), False, chance(0, "", 0))
    for pixels, _ in Batches(Examples(faces), recipe.preprocess, data.batch_size, order):
        prepare(pixels, recipe.preprocess)
    return time.perf_counter() - began


def study_epoch(dataset: StudyFolder, recipe: Recipe, batch: int) -> float:
    torch.manual_seed(0)
    model = build(recipe.model, recipe.preprocess, 7).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.optimizer.lr)
    criterion = nn.CrossEntropyLoss()
    began = time.perf_counter()
    total = 0.0
    for images, labels in DataLoader(dataset, batch_size=batch, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return time.perf_counter() - began


def our_epoch(faces: FaceSet, recipe: Recipe, batch: int, precision: str) -> float:
    """Seconds of the training pass of the real `train`, Lightning and metrics included."""
    changed = recipe.model_copy(
        update={"epochs": 1, "early_stopping": None, "data": recipe.data.model_copy(update={"batch_size": batch})}
    )
    with tempfile.TemporaryDirectory() as folder:
        run = train(changed, faces, Path(folder) / "run", hardware=detect(precision=precision))
        images = int((faces.splits == "train").sum())
        return images / run.history[0].images_per_second


def subset(faces: FaceSet, images: int) -> FaceSet:
    """The first faces of a fixed shuffle of train, and a few of val, so that a round is short."""
    rng = np.random.default_rng(0)
    kept = np.zeros(len(faces), dtype=bool)
    kept[rng.permutation(np.flatnonzero(faces.splits == "train"))[:images]] = True
    kept[np.flatnonzero(faces.splits == "val")[:64]] = True
    return faces.keep(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="zip in the Kaggle layout")
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()

    recipe = Recipe.load("cnn-v2")
    faces = subset(FaceSet.open(chosen.data, size=48), chosen.images)
    fit = faces.select("train")
    full = 28_709 / len(fit)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(chosen.data) as archive:
            archive.extractall(folder, members=[str(name) for name in fit.names])
        dataset = StudyFolder(Path(folder), [str(name) for name in fit.names], fit.labels)
        measures = {
            "data path, study's way": lambda: study_data(dataset, 32),
            "data path, ours": lambda: our_data(fit, recipe),
            "epoch, study's way, batch 32": lambda: study_epoch(dataset, recipe, 32),
            "epoch, ours, batch 32, float32": lambda: our_epoch(faces, recipe, 32, "float32"),
            **{f"epoch, ours, batch {b}": (lambda b=b: our_epoch(faces, recipe, b, "auto")) for b in BATCHES},
        }
        times: dict[str, list[float]] = {name: [] for name in measures}
        for number in range(chosen.rounds):
            for name, measure in measures.items():
                times[name].append(measure())
                print(f"round {number + 1}: {name}: {times[name][-1]:.2f} s", file=sys.stderr)

    print(f"{len(fit):,} images, median of {chosen.rounds} alternating rounds, {torch.get_num_threads()} threads\n")
    print("| what | images/s | seconds per FER2013 epoch | times the study's |\n|---|---|---|---|")
    for name, seconds in times.items():
        base = times["data path, study's way" if name.startswith("data") else "epoch, study's way, batch 32"]
        median = statistics.median(seconds)
        ratio = statistics.median(b / s for b, s in zip(base, seconds, strict=True))
        print(f"| {name} | {len(fit) / median:,.0f} | {median * full:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
