"""mien train --find-lr: a search for a learning rate, its picture and numbers, and what to do with them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli.console import check_picture, command, progress, say

if TYPE_CHECKING:
    from mien.data.faceset import FaceSet
    from mien.recipes.recipe import Recipe
    from mien.training.hardware import Hardware


def _search_files(out: Path) -> tuple[Path, Path]:
    """Picture and numbers of a search, beside the run that it is for."""
    place = out if out.name not in ("", "..") else out.resolve()
    return place.with_name(f"{place.name}-find-lr.png"), place.with_name(f"{place.name}-find-lr.csv")


def check_free(out: Path, inputs: Sequence[str], *, overwrite: bool) -> None:
    """Raise `InputError` where picture or numbers of a search for the run `out` must not be written."""
    from mien.outputs import check_output, csv_with

    picture, numbers = _search_files(out)
    check_picture(picture, inputs, overwrite=overwrite)
    check_output(numbers, csv_with("learning_rate", "smoothed_loss"), inputs, overwrite=overwrite)


def search_rate(recipe: Recipe, faces: FaceSet, out: Path, hardware: Hardware) -> None:
    """Search, write and tell."""
    from mien.report.search import learning_rates
    from mien.report.style import save
    from mien.training.find_lr import find_lr, save_csv

    with progress() as bar:
        search = find_lr(recipe, faces, hardware, progress=bar)
    picture, numbers = _search_files(out)
    save_csv(search, numbers)
    save(learning_rates(search.rates, search.losses, search.smoothed, recipe.name, search.suggestion), picture)
    low, high, own = search.rates[0], search.rates[-1], recipe.optimizer.lr
    say(
        f"{recipe.name}: {len(search.rates)} steps, learning rates {low:.0e} to {high:.2g}; the recipe's own is {own:g}"
    )
    say(f"curve: {picture}; numbers: {numbers}")
    if search.suggestion is None:
        say(
            "no suggestion: the loss never falls by more than its noise between batches. "
            "Read the curve, or compare rates in short trainings: mien sweep … --grid optimizer.lr=1e-4,1e-3"
        )
        return
    rate = f"{search.suggestion:g}"
    arguments = [word for word in sys.argv[1:] if word != "--find-lr"]
    say(f"suggestion: {rate}, inside the longest fall of the loss. A first guess from a few steps; a sweep decides")
    say(f"use it: {command(*arguments, '--set', f'optimizer.lr={rate}')}")
