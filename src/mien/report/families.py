"""Families: which kind of network each run is, and which runs answer the study's question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from mien.recipes.recipe import Recipe
from mien.recipes.sections import Cnn, Ensemble, Pretrained, Residual, Vit
from mien.report.content import RunReport, StudyReport

Family = Literal["CNN from zero", "ViT from zero", "pre-trained ViT", "pre-trained CNN", "pre-trained"]
FAMILIES: tuple[Family, ...] = get_args(Family)
_CNNS = ("resnet", "convnext", "efficientnet", "regnet", "mobilenet")
_TRANSFORMERS = ("vit", "dinov2", "beit")  # deit, too, is used with its class token


def family(recipe: Recipe) -> Family:
    """The family of a recipe's network.

    A network from zero is named by the recipe's `kind`, an ensemble by its first member. Of a pre-trained one
    neither recipe nor card says what it is made of, and a report opens no checkpoint, so it is told by what they do
    say: first by a name that all know as a CNN's, because the setting `features` is passed over where features are
    maps and not tokens; then by features that need a class token (cls, both), which only transformers have; then by
    a transformer's name. Anything else stays "pre-trained" and takes no side.
    """
    model = recipe.model
    if isinstance(model, Ensemble):
        model = model.members[0]
    if isinstance(model, Cnn | Residual):
        return "CNN from zero"
    if isinstance(model, Vit):
        return "ViT from zero"
    name = backbone_name(model).lower()
    if any(word in name for word in _CNNS):
        return "pre-trained CNN"
    if model.features != "mean" or any(word in name for word in _TRANSFORMERS):
        return "pre-trained ViT"
    return "pre-trained"


def question(runs: Sequence[RunReport]) -> tuple[str, ...]:
    """The runs that answer the study's question, CNN or ViT, each the best of its family by val accuracy.

    Their names in this order: CNN from zero, pre-trained CNN where there is one, pre-trained ViT. Empty unless there
    are the first and the last. Ensembles, runs that learned from more than labels, and those that began with another
    run's weights are left out: the question is about networks, on the same terms.
    """
    best = _best_of_families([run for run in runs if _is_one_network_on_labels(run)])
    sides: tuple[Family, ...] = ("CNN from zero", "pre-trained CNN", "pre-trained ViT")
    if sides[0] not in best or sides[-1] not in best:
        return ()
    return tuple(best[side].name for side in sides if side in best)


def asked_runs(report: StudyReport) -> tuple[str, ...]:
    """The runs that answer the study's question in a report; none where its data are not those of the study."""
    return question(report.runs) if report.data.is_fer2013 else ()


def leading(runs: Sequence[RunReport], all_up_to: int = 4) -> list[RunReport]:
    """The runs that are shown in full: all of a few, otherwise the best of each family by val accuracy."""
    if len(runs) <= all_up_to:
        return list(runs)
    chosen = {run.name for run in _best_of_families(runs).values()}
    return [run for run in runs if run.name in chosen]


def called(run: RunReport) -> str:
    """The run's name and, unless the name says it, the backbone that its weights started from."""
    backbone = run.card.backbone
    return run.name if backbone is None or backbone in run.name else f"{run.name} ({backbone})"


def short_names(runs: Sequence[RunReport]) -> dict[str, str]:
    """For pictures: run name → its recipe's name, with the seed or more where that is not enough to tell runs apart."""
    recipes = [run.recipe.name for run in runs]
    seeded = [(run.recipe.name, run.card.training.seed) for run in runs]
    short = {}
    for run, seed in zip(runs, seeded, strict=True):
        if not run.name.startswith(run.recipe.name):
            short[run.name] = run.name
        elif recipes.count(run.recipe.name) == 1:
            short[run.name] = run.recipe.name
        else:
            short[run.name] = f"{run.recipe.name}-s{seed[1]}" if seeded.count(seed) == 1 else run.name
    return short


def backbone_name(model: Pretrained) -> str:
    """As cards have it: without folder or owner."""
    from mien.models.checkpoints import display_name

    return display_name(model.backbone)


def _is_one_network_on_labels(run: RunReport) -> bool:
    more = run.recipe.targets.of_votes or run.recipe.targets.teacher or run.card.training.start
    return not (isinstance(run.recipe.model, Ensemble) or more)


def _best_of_families(runs: Sequence[RunReport]) -> dict[Family, RunReport]:
    best: dict[Family, RunReport] = {}
    for name in FAMILIES:
        members = [run for run in runs if family(run.recipe) == name]
        if members:
            best[name] = max(members, key=lambda run: run.val_accuracy)
    return best
