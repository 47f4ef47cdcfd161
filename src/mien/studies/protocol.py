"""Protocol: the sentences on how the figures came to be, and on where they differ from the study's."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.printed import format_estimate
from mien.recipes.recipe import Recipe, flat
from mien.report.content import RunReport, StudyReport
from mien.report.settings import release, settings
from mien.report.words import INTERVALS, LEAK_FREE, as_given
from mien.studies.results import built_in, stand_ins


def protocol(report: StudyReport) -> tuple[str, ...]:
    """What every figure of the report means."""
    leak_free = ", ".join(f"{count:,} images of {split}" for split, count in report.data.leak_free.items())
    opened = "PrivateTest in FER2013; it is opened by evaluate only, never by train"
    if not any("test" in run.evaluations for run in report.runs):
        opened += "; this report has none"
    points = [
        "train, the training set, fits the weights.",
        "val (PublicTest in FER2013) selects: the best epoch, and the best run.",
        f"test ({opened}).",
        LEAK_FREE + (f" They keep {leak_free}." if leak_free else ""),
        INTERVALS,
        "Macro F1 is the plain mean of F1 over the classes that have an image.",
    ]
    if report.comparison:
        points.append(
            "p is of exact McNemar tests, two-sided, after Holm's correction for the tests in the table of paired "
            "tests; of tests class by class, for the classes. From p = .05 on, we cannot tell."
        )
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
        *_stand_in_sentences(runs),
        *_size_sentences(runs),
        _settings_sentence([run.recipe for run in runs if not run.card.members]),
        *_changes(runs),
    ]
    if any(recipe.model.kind == "cnn-v1" for recipe in recipes):
        points.append("The study does not print the layers of its first CNN: those of cnn-v1 are ours.")
    if any(recipe.model.kind == "vit" for recipe in recipes):
        points.append("Nor does it print those of its ViT from zero: those of vit-scratch are ours.")
    if any(recipe.expected.f1 is not None for recipe in recipes):
        points.append(
            "The study does not say how its F1 is averaged over classes; ours is macro F1, which counts a rare class "
            "as much as a common one. "
            + " ".join(_pooled_f1(run) for run in runs if run.recipe.expected.f1 is not None)
        )
    notes = dict.fromkeys((recipe.name, recipe.expected.note) for recipe in recipes if recipe.expected.note)
    points += [f"The study's {name}: {note}." for name, note in notes]
    return tuple(point.strip() for point in points)


def _stand_in_sentences(runs: Sequence[RunReport]) -> list[str]:
    sentences = []
    for asked, started in stand_ins(runs).items():
        theirs = "The study fine-tunes" if any(run.recipe.expected.accuracy for run in started) else "The recipe names"
        ours: dict[str, list[str]] = {}
        for run in started:
            ours.setdefault(str(run.card.backbone), []).append(run.recipe.name)
        words = "; ".join(f"{backbone}: {', '.join(dict.fromkeys(names))}" for backbone, names in ours.items())
        sentences.append(
            f"{theirs} {asked}; these runs start from another backbone, so any figure of the study beside them is that "
            f"of another network. From {words}."
        )
    return sentences


def _size_sentences(runs: Sequence[RunReport]) -> list[str]:
    """Runs whose input is of another size than their recipe, and so the study where it has it, gives."""
    sizes: dict[tuple[int, int], list[str]] = {}
    for run in runs:
        asked = built_in(run.recipe)
        theirs, ours = asked.data.preprocess.size if asked else None, run.card.preprocess.size
        if theirs is not None and theirs != ours:
            sizes.setdefault((theirs, ours), []).append(run.recipe.name)
    return [
        f"{', '.join(dict.fromkeys(names))} saw {ours} px instead of the {theirs} px of the recipe, and of the study "
        f"where it has that model, which costs {'less' if ours < theirs else 'more'} time."
        for (theirs, ours), names in sizes.items()
    ]


def _settings_sentence(recipes: Sequence[Recipe]) -> str:
    if any(recipe.model.kind.startswith("cnn") for recipe in recipes):
        opening = "The study gives no optimizer, epochs or learning rate for its CNNs"
        opening += ", and no optimizer for its ViTs." if any(r.model.kind == "pretrained" for r in recipes) else "."
    else:
        opening = "The study gives no optimizer for its models."
    words = "; ".join(f"{', '.join(names)}: {words}" for words, names in _by_settings(recipes).items())
    return f"{opening} Ours, from the recipes: {words}."


def _changes(runs: Sequence[RunReport]) -> list[str]:
    """Runs whose recipe was changed by hand, in what no other sentence says."""
    changed: dict[str, list[str]] = {}
    for run in runs:
        asked = built_in(run.recipe)
        words = _changed(run.recipe, asked) if asked else ""
        if words and run.recipe.name not in changed.setdefault(words, []):
            changed[words].append(run.recipe.name)
    if not changed:
        return []
    listing = "; ".join(f"{', '.join(names)}: {words}" for words, names in changed.items())
    return [f"Some runs change values of the recipe whose name they bear: {listing}."]


def _changed(ours: Recipe, asked: Recipe) -> str:
    """The values that differ, as `key ours (recipe theirs)`."""
    told = {
        "seed",
        "describe",
        "model.backbone",
        *(f"data.preprocess.{key}" for key in ("size", "mean", "std", "color")),
    }
    before, after = (
        {**flat(one.model_dump(exclude={"unfreeze"})), "unfreeze": release(one.unfreeze)} for one in (asked, ours)
    )
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    keys = [key for key in keys if key not in told and not key.startswith("expected")]
    return ", ".join(f"{key} {after.get(key, 'none')} (recipe {before.get(key, 'none')})" for key in keys)


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
