"""Settings: how a recipe trains, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mien.recipes.recipe import Recipe
from mien.recipes.sections import Pretrained, Unfreeze
from mien.report.words import as_given, listed, plural

_NAMES = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "muon": "Muon"}


def settings(recipe: Recipe) -> str:
    """How a recipe trains, in a few words."""
    stop, optimizer = recipe.early_stopping, recipe.optimizer
    words = [f"{_NAMES[optimizer.name]} {_power_of_ten(optimizer.lr)}"]
    if optimizer.layer_decay < 1:
        words[0] += f", less by a factor of {as_given(optimizer.layer_decay)} per block from the top"
    if optimizer.weight_decay:
        words.append(f"weight decay {_power_of_ten(optimizer.weight_decay)}")
    schedule = recipe.schedule
    rise, fall = schedule.warmup_epochs, schedule.decay_epochs
    if schedule.name != "constant" or rise or fall:
        after = f" after {rise:g} {plural('epoch', rise)} of warm-up" if rise else ""
        end = f", falling to 0 in the last {fall:g} {plural('epoch', fall)}" if fall else ""
        words.append(f"{schedule.name} schedule{after}{end}")
    if stop is None:
        words.append(f"{recipe.epochs} epochs, no early stopping")
    else:
        monitor = stop.monitor.replace("_", " ")
        words.append(f"at most {recipe.epochs} epochs, best epoch by {monitor}, patience {stop.patience}")
    if isinstance(recipe.model, Pretrained):
        words.append(release(recipe.unfreeze))
    return ", ".join(words)


def release(how: Unfreeze) -> str:
    """Which blocks of a backbone train and when, in words.

    >>> release(Unfreeze.model_validate({"schedule": {2: 1, 4: 1, 6: 1}}))
    'backbone frozen at first, then one more block from the top in epochs 2, 4 and 6'
    >>> release(Unfreeze(last=4, schedule={3: 2}))
    'the last 4 blocks train, then 2 more blocks from the top in epoch 3'
    """
    if how.last == "all":
        return "the whole backbone trains"
    start = f"the last {_blocks(how.last)} {'trains' if how.last == 1 else 'train'}" if how.last else "backbone frozen"
    if not how.schedule:
        return start
    start += "" if how.last else " at first"
    steps: dict[int, list[int]] = {}  # blocks at a time → the epochs in which they are released
    for epoch, count in sorted(how.schedule.items()):
        steps.setdefault(count, []).append(epoch)
    return ", ".join([start, *(f"then {_more(count)} from the top in {_epochs(at)}" for count, at in steps.items())])


def _more(count: int) -> str:
    return "one more block" if count == 1 else f"{count} more blocks"


def _blocks(count: int) -> str:
    return "block" if count == 1 else f"{count} blocks"


def _epochs(epochs: Sequence[int]) -> str:
    """
    >>> _epochs([3]), _epochs([2, 4, 6, 8, 10]), _epochs([2, 6, 12, 18])
    ('epoch 3', 'every 2nd epoch from 2 to 10', 'epochs 2, 6, 12 and 18')
    """
    gaps = {later - earlier for earlier, later in pairwise(epochs)}
    if len(epochs) > 3 and len(gaps) == 1:
        step = gaps.pop()
        every = {1: "every", 2: "every 2nd", 3: "every 3rd"}.get(step, f"every {step}th")
        return f"{every} epoch from {epochs[0]} to {epochs[-1]}"
    return f"epoch{'s' if len(epochs) > 1 else ''} {listed([str(epoch) for epoch in epochs])}"


def _power_of_ten(value: float) -> str:
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
