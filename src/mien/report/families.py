"""Families: the runs of a report by the kind of their network, and which of them answer the study's question."""

from __future__ import annotations

from collections.abc import Sequence

from mien.models.family import FAMILIES, Family, family
from mien.recipes.sections import Ensemble, Pretrained
from mien.report.content import RunReport, StudyReport


def kind(run: RunReport) -> Family:
    """The family of the run's network."""
    return family(run.recipe, run.card.architecture)


def on_equal_terms(runs: Sequence[RunReport]) -> tuple[str, ...]:
    """The runs that answer the study's question on its own terms, each the best of its family by val accuracy.

    Their names in this order: CNN from zero, pre-trained CNN where there is one, pre-trained ViT. Empty unless there
    are the first and the last. Ensembles, runs that learned from more than labels, and those that began with another
    run's weights are left out: the question is about networks, on the same terms.
    """
    best = _best_of_families([run for run in runs if _is_one_network(run) and not learned_from_more(run)])
    sides: tuple[Family, ...] = ("CNN from zero", "pre-trained CNN", "pre-trained ViT")
    if sides[0] not in best or sides[-1] not in best:
        return ()
    return tuple(best[side].name for side in sides if side in best)


def on_any_terms(runs: Sequence[RunReport]) -> tuple[str, ...]:
    """The best CNN and the best ViT by val accuracy, whatever they learned from; empty unless there are both."""
    best = _best_of_families([run for run in runs if _is_one_network(run)])
    cnns = [best[side] for side in ("CNN from zero", "pre-trained CNN") if side in best]
    vits = [best[side] for side in ("ViT from zero", "pre-trained ViT") if side in best]
    if not cnns or not vits:
        return ()
    return tuple(max(side, key=lambda run: run.val_accuracy).name for side in (cnns, vits))


def questions(runs: Sequence[RunReport]) -> tuple[tuple[str, ...], ...]:
    """The runs of both verdicts on "CNN or ViT?": on equal terms, and on any where those are other runs."""
    equal, free = on_equal_terms(runs), on_any_terms(runs)
    return tuple(names for names in (equal, free if not set(free) <= set(equal) else ()) if names)


def asked_runs(report: StudyReport) -> tuple[tuple[str, ...], ...]:
    """`questions` of a report; none where its data are not those of the study."""
    return questions(report.runs) if report.data.is_fer2013 else ()


def learned_from_more(run: RunReport) -> str:
    """What the run learned from besides the labels of the data; empty where nothing."""
    targets, start = run.recipe.targets, run.card.training.start
    more = [
        "taggers' votes" if targets.of_votes else "",
        "a teacher's answers" if targets.teacher else "",
        f"the weights of {start}" if start else "",
    ]
    return " and ".join(filter(None, more))


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


def _is_one_network(run: RunReport) -> bool:
    return not isinstance(run.recipe.model, Ensemble)


def _best_of_families(runs: Sequence[RunReport]) -> dict[Family, RunReport]:
    best: dict[Family, RunReport] = {}
    for name in FAMILIES:
        members = [run for run in runs if kind(run) == name]
        if members:
            best[name] = max(members, key=lambda run: run.val_accuracy)
    return best
