"""Groups: what a model scores on groups of images, such as those of an age or a camera, and how far apart they are.

Shapes: N images, K classes, G groups, P pairs of groups, B bootstrap draws.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np

from mien.errors import InputError, suggestion
from mien.evaluation.bootstrap import (
    Estimate,
    Frozen,
    bootstrap_figures,
    bootstrap_weights,
    estimate,
    point_figures,
    tally,
)
from mien.evaluation.evaluate import check_scorable
from mien.evaluation.significance import PERMUTATIONS, detectable_gap, newcombe, permutation_p, share_difference, wilson
from mien.predictions import Predictions

FEW = 30  # fewer images than that are marked, and compared with nothing
_COLUMNS = ("name", "group")
_SHOWN = 3  # names that an error lists


class GroupScore(Frozen):
    """One group of `n` images. Figures are 0–1; macro F1 and mean class accuracy run over the classes that it holds."""

    name: str
    n: int
    accuracy: Estimate  # the interval is Wilson's: a bootstrap of few images that are all right would have no width
    macro_f1: Estimate
    mean_class_accuracy: Estimate
    overconfidence: Estimate  # mean confidence less accuracy: above 0 it is too sure of itself
    shares: tuple[float, ...]  # (K,) of the group's images with each true label

    @property
    def few(self) -> bool:
        return self.n < FEW


class Gap(Frozen):
    """Two groups that both have at least 30 images; differences are of accuracy, the higher's less the lower's."""

    higher: str
    lower: str
    difference: Estimate  # Newcombe's interval
    p_value: float  # permutation test, corrected for the number of pairs
    same_mix: Estimate | None  # class by class, as if both held the same emotions; None where they share none
    p_same_mix: float | None
    detectable: float  # a true difference that would be found in four of five samples of this size


class Groups(Frozen):
    """The groups of a split, sorted by name. No gap stands where fewer than two groups have 30 images."""

    split: str
    n: int  # images that are in a group
    without_group: int
    labels: tuple[str, ...]
    scores: tuple[GroupScore, ...]
    largest: Gap | None
    clearest: Gap | None  # the pair with the smallest p: whether groups differ at all
    clearest_same_mix: Gap | None  # the same by p at the same mix of emotions


def read_groups(path: str | Path) -> dict[str, str]:
    """A CSV with the columns `name`, as the data set names its images, and `group` → name → group.

    Raises `InputError` for a file that is missing or something else, a name or group that is empty, and a name that
    stands in two groups.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [str(column).strip().lower() for column in reader.fieldnames or []]
            reader.fieldnames = header
            if not set(_COLUMNS) <= set(header):
                raise InputError(
                    f"{path}: expected the columns name and group, found: {', '.join(header) or 'none'}. "
                    "The first line holds the columns' names, with commas between them"
                )
            return _read_rows(path, reader)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file of groups") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error


def by_group(
    predictions: Predictions,
    groups: Mapping[str, str],
    *,
    known: Collection[str] | None = None,
    draws: int = 2000,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Groups:
    """Score each group of images apart, and test whether groups differ more than chance makes them.

    `groups` is name → group; `known` are the names of the whole data set, so that a file may speak of other splits too
    (without it, every name must be of `predictions`). Raises `InputError` for unknown names, fewer than two groups
    among these images, and predictions that cannot be scored.
    """
    check_scorable(predictions, "this model")
    _check_names(predictions, groups, known)
    group_N = np.array([groups.get(str(name), "") for name in predictions.names])
    names = sorted(set(group_N.tolist()) - {""})
    if len(names) < 2:
        raise InputError(
            f"groups: expected at least two among the {len(group_N):,} images of '{predictions.split}', found "
            f"{f'one, {names[0]}' if names else f'none: all {len(groups):,} names are of other splits'}"
        )
    parts = [predictions.keep(group_N == name) for name in names]
    drawn = [_Drawn(part, draws, seed + i) for i, part in enumerate(parts)]  # a stream each: groups are independent
    found = _gaps([(name, d) for name, d in zip(names, drawn, strict=True) if d.n >= FEW], permutations, seed)
    return Groups(
        split=predictions.split,
        n=sum(map(len, parts)),
        without_group=int((group_N == "").sum()),
        labels=predictions.label_names,
        scores=tuple(_score(name, part, d) for name, part, d in zip(names, parts, drawn, strict=True)),
        largest=max(found, key=lambda gap: gap.difference.value, default=None),
        clearest=min(found, key=lambda gap: (gap.p_value, -gap.difference.value), default=None),
        clearest_same_mix=min(
            (gap for gap in found if gap.p_same_mix is not None), key=lambda gap: gap.p_same_mix or 0, default=None
        ),
    )


class _Drawn:
    """A group as it is and in every bootstrap draw of its images."""

    def __init__(self, part: Predictions, draws: int, seed: int) -> None:
        k, right_N = len(part.label_names), part.predicted == part.labels
        of_class_NK = np.eye(k)[part.labels]
        sure_N1 = (part.probabilities.max(axis=1) - right_N)[:, None]
        added_NC = np.hstack([of_class_NK * right_N[:, None], of_class_NK, sure_N1])
        sums_BC = np.concatenate([weights @ added_NC for weights in bootstrap_weights(len(part), draws, seed)])
        (self.figures,) = bootstrap_figures([tally(part.labels, part.probabilities)], draws, seed)
        self.n = len(part)
        self.right_K = np.bincount(part.labels, weights=right_N, minlength=k).astype(np.int64)
        self.n_K = np.bincount(part.labels, minlength=k).astype(np.int64)
        self.right_BK, self.n_BK = sums_BC[:, :k], sums_BC[:, k : 2 * k]
        self.overconfidence = estimate(float(sure_N1.mean()), sums_BC[:, -1] / len(part))


def _score(name: str, part: Predictions, drawn: _Drawn) -> GroupScore:
    point = point_figures(part.labels, part.probabilities)
    low, high = wilson(int(drawn.right_K.sum()), drawn.n)
    return GroupScore(
        name=name,
        n=drawn.n,
        accuracy=Estimate(value=float(point.accuracy[0]), low=low, high=high),
        macro_f1=estimate(point.macro_f1[0], drawn.figures.macro_f1),
        mean_class_accuracy=estimate(point.mean_class_accuracy[0], drawn.figures.mean_class_accuracy),
        overconfidence=drawn.overconfidence,
        shares=tuple(float(share) for share in drawn.n_K / drawn.n),
    )


def _gaps(drawn: list[tuple[str, _Drawn]], permutations: int, seed: int) -> list[Gap]:
    """Every pair of groups; differences as they are, and within the classes."""
    if len(drawn) < 2:
        return []
    right_GK, n_GK = (np.array(rows) for rows in zip(*((d.right_K, d.n_K) for _, d in drawn), strict=True))
    right_G1, n_G1 = right_GK.sum(axis=1, keepdims=True), n_GK.sum(axis=1, keepdims=True)
    p_P = permutation_p(right_G1, n_G1, permutations=permutations, seed=seed)
    p_same_mix_P = permutation_p(right_GK, n_GK, permutations=permutations, seed=seed)
    return [
        _gap(drawn[i], drawn[j], float(p), float(p_same_mix))
        for (i, j), p, p_same_mix in zip(combinations(range(len(drawn)), 2), p_P, p_same_mix_P, strict=True)
    ]


def _gap(first: tuple[str, _Drawn], second: tuple[str, _Drawn], p: float, p_same_mix: float) -> Gap:
    (higher, a), (lower, b) = sorted((first, second), key=lambda group: -group[1].right_K.sum() / group[1].n)
    right, n = (int(a.right_K.sum()), int(b.right_K.sum())), (a.n, b.n)
    low, high = newcombe(right, n)
    same_mix = float(share_difference((a.right_K, a.n_K), (b.right_K, b.n_K)))
    same_mix_B = share_difference((a.right_BK, a.n_BK), (b.right_BK, b.n_BK))
    shared = not np.isnan(same_mix)
    return Gap(
        higher=higher,
        lower=lower,
        difference=Estimate(value=right[0] / n[0] - right[1] / n[1], low=low, high=high),
        p_value=p,
        same_mix=estimate(same_mix, same_mix_B[~np.isnan(same_mix_B)]) if shared else None,
        p_same_mix=p_same_mix if shared else None,
        detectable=detectable_gap(sum(right) / sum(n), n),
    )


def _read_rows(path: str | Path, reader: csv.DictReader[str]) -> dict[str, str]:
    groups: dict[str, str] = {}
    for row in reader:
        name, group = row["name"], (row["group"] or "").strip()
        if not name or not group:
            raise InputError(f"{path}, line {reader.line_num}: has no {'group' if name else 'name'}")
        if groups.setdefault(name, group) != group:
            raise InputError(
                f"{path}, line {reader.line_num}: {name} is in group '{group}', before it was in '{groups[name]}'. "
                "Each image is in one group"
            )
    if not groups:
        raise InputError(f"{path}: names no image below its first line")
    return groups


def _check_names(predictions: Predictions, groups: Mapping[str, str], known: Collection[str] | None) -> None:
    names = predictions.names.tolist() if known is None else known
    there = set(map(str, names))
    unknown = [name for name in groups if name not in there]
    if unknown:
        few = ", ".join(unknown[:_SHOWN]) + (", …" if len(unknown) > _SHOWN else "")
        raise InputError(
            f"groups: {len(unknown):,} of {len(groups):,} names are of no image of the data: {few}. "
            f"Names here look like {predictions.names[0]}.{suggestion(unknown[0], there)}"
        )
