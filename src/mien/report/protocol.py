"""Protocol: the sentences on how the figures came to be, and on where they differ from the study's."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.evaluate import format_estimate
from mien.recipes.recipe import Recipe
from mien.report.content import RunReport, StudyReport


def protocol(report: StudyReport) -> tuple[str, ...]:
    """What every figure of the report means."""
    leak_free = ", ".join(f"{count:,} images of {split}" for split, count in report.data.leak_free.items())
    opened = "PrivateTest in FER2013; it is opened by evaluate only, never by train"
    if not any("test" in run.evaluations for run in report.runs):
        opened += "; this report has none"
    points = [
        "train fits the weights.",
        "val (PublicTest in FER2013) selects: the best epoch, and the best run.",
        f"test ({opened}).",
        "Leak-free: the test images whose pixels stand in neither train nor val"
        + (f" (over any other split, not in train). It keeps {leak_free}." if leak_free else "."),
        "Intervals are 95 % percentile bootstrap over 2,000 resamples of the images; they do not hold the chance of "
        "the seed, which only several runs of a recipe show.",
        "Macro F1 is the plain mean of F1 over the classes that have an image.",
    ]
    if any("pooled" in run.evaluations for run in report.runs):
        pooled = "Pooled: val and test together, as in the study, for comparison with it only. "
        points.insert(4, pooled + "Selection used its public half, so it flatters.")
    return tuple(points)


def differences(runs: Sequence[RunReport]) -> tuple[str, ...]:
    """Where we differ from the study and why; nothing when no run repeats one of its figures."""
    recipes = [run.recipe for run in runs if any(run.recipe.expected.model_dump().values())]  # a figure or a note
    if not any(recipe.expected.accuracy or recipe.expected.f1 for recipe in recipes):
        return ()
    points = [
        "The study selects and reports on the same pooled test set, so its figures flatter by an unknown amount. "
        "Here val alone selects; test decides, and the pooled score is given for comparison only.",
    ]
    settings = _by_settings(recipes)
    if any(recipe.model.kind.startswith("cnn") for recipe in recipes):
        points.append("The study gives no optimizer, epochs or learning rate for its CNNs. Ours, from the recipes:")
    else:
        points.append("The study gives no optimizer for its models. Ours, from the recipes:")
    points[-1] += " " + "; ".join(f"{', '.join(names)}: {words}" for words, names in settings.items()) + "."
    if any(recipe.model.kind == "cnn-v1" for recipe in recipes):
        points.append("The study does not print the layers of its first CNN: those of cnn-v1 are ours.")
    if any(recipe.expected.f1 is not None for recipe in recipes):
        points.append(
            "The study does not say how its F1 is averaged over classes; ours is macro F1, which counts a rare class "
            "as much as a common one. "
            + " ".join(_pooled_f1(run) for run in runs if run.recipe.expected.f1 is not None)
        )
    notes = dict.fromkeys((recipe.name, recipe.expected.note) for recipe in recipes if recipe.expected.note)
    points += [f"The study's {name}: {note}." for name, note in notes]
    return tuple(point.strip() for point in points)


def as_given(figure: float) -> str:
    """A figure of the study with the digits that it gives.

    >>> as_given(0.5181), as_given(0.634)
    ('.5181', '.634')
    """
    return f"{figure:.6g}".removeprefix("0")


def settings(recipe: Recipe) -> str:
    """How a recipe trains, in a few words."""
    stop, optimizer = recipe.early_stopping, recipe.optimizer
    words = [f"{_NAMES[optimizer.name]} {_power_of_ten(optimizer.lr)}"]
    if optimizer.weight_decay:
        words.append(f"weight decay {_power_of_ten(optimizer.weight_decay)}")
    if recipe.schedule.name != "constant" or recipe.schedule.warmup_epochs:
        warmup = f" after {recipe.schedule.warmup_epochs:g} epochs of warm-up" if recipe.schedule.warmup_epochs else ""
        words.append(f"{recipe.schedule.name} schedule{warmup}")
    if stop is None:
        words.append(f"{recipe.epochs} epochs, no early stopping")
    else:
        monitor = stop.monitor.replace("_", " ")
        words.append(f"at most {recipe.epochs} epochs, best epoch by {monitor}, patience {stop.patience}")
    return ", ".join(words)


_NAMES = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}


def _by_settings(recipes: Sequence[Recipe]) -> dict[str, list[str]]:
    """The words of `settings`, each with the recipes that share them."""
    shared: dict[str, list[str]] = {}
    for recipe in recipes:
        names = shared.setdefault(settings(recipe), [])
        if recipe.name not in names:
            names.append(recipe.name)
    return shared


def _pooled_f1(run: RunReport) -> str:
    pooled, expected = run.evaluations.get("pooled"), run.recipe.expected.f1
    if pooled is None or expected is None:
        return ""
    macro, weighted = format_estimate(pooled.scores.macro_f1), format_estimate(pooled.scores.weighted_f1)
    ours = f"macro {macro}, weighted {weighted}"
    return f"{run.name}, pooled, n = {pooled.scores.n:,}: {ours}; the study {as_given(expected)}."


def _power_of_ten(value: float) -> str:
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
