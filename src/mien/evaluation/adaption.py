"""Adaption: biases of the labels, learned of few labeled faces of one camera, and what they gain on faces left out.

A bias is added to the logarithm of a label's probability. Of sixty faces no more than that can be learned: seven
numbers, shrunk toward 0 by a normal prior (Bishop, Pattern Recognition and Machine Learning 2006, section 4.5), or
toward a neutral baseline, a share of the mean log-probabilities of the neutral faces, taken away. How far they are
shrunk is chosen on faces that are left out, anew in each part of the leave-one-out loop, so that the loop counts the
choice too (Varma and Simon, BMC Bioinformatics 7, 2006).

Shapes: N faces, K classes of a head, V views of a face (it, and its mirror image where the card asks for both), G
groups that are left out together, P parts, W weightings of the faces, C choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.cards import Head, Learned
from mien.confidence import tempered, threshold_for
from mien.data.faceset import FaceSet
from mien.data.persons import fold_of, groups_of
from mien.errors import InputError
from mien.evaluation.bootstrap import Estimate, Floats, Ints, estimates, nll_per_image
from mien.labels import FER7, canonical
from mien.predictions import Truth

FEWEST_FACES = 20
FEWEST_PERSONS = 10  # of whom whole persons are left out: of fewer, an interval over persons says nothing
MOST_PARTS = 60  # left out one after another; of more groups, several at a time
SPREADS = (0.25, 0.5, 1.0, 2.0)  # standard deviations of the prior of a bias, in nats
BASELINES = (0.0, 0.25)  # shares of the neutral faces' mean log-probabilities
CHOICES = ((0.0, 0.0), *((spread, share) for share in BASELINES for spread in SPREADS))  # the first: no biases
_INNER = 5  # parts in which the choice is made
_FULL_AT = 2  # neutral faces at which the baseline counts by half
_SMALLEST = 1e-4  # probability that biases are fitted on: rounding below it must not decide
_STEPS, _CLOSE = 200, 1e-6


@dataclass(frozen=True, eq=False)
class Labeled:
    """Labeled faces as one head sees them."""

    labels: Ints  # (N,)
    said: Floats  # (V, N, K) probabilities of each view, before any temperature
    groups: Ints  # (N,) that must not be parted, numbered from 0
    neutral: int | None = None  # index of the label of neutral faces

    @property
    def logs(self) -> Floats:
        """`(N, K)` logarithms of the mean over the views, which biases are fitted on."""
        return np.asarray(np.log(self.said.mean(axis=0).clip(_SMALLEST, None)))


def groups_left_out(faces: FaceSet) -> tuple[Ints, int | None]:
    """`(N,)` groups that are left out together, and how many persons they are: None where faces are left out singly.

    Identical pictures stay together; faces of one person where `FEWEST_PERSONS` or more are known.
    """
    persons = len(set(faces.persons.tolist()) - {""})
    by_person = persons >= FEWEST_PERSONS
    who = faces.persons if by_person else np.zeros(len(faces), dtype="<U1")
    return groups_of(who, faces.hashes), persons if by_person else None


def neutral_of(labels: tuple[str, ...]) -> int | None:
    """Where the label of neutral faces stands."""
    return next((i for i, label in enumerate(labels) if canonical(label, FER7) == "neutral"), None)


def learn(given: Labeled, head: Head, truth: Truth, *, seed: int = 0) -> tuple[Learned, float | None]:
    """Biases of one head, what they gain on faces that are left out, and the threshold that keeps the head's risk.

    The threshold is fitted on the answers to faces left out; None where none of these few faces can tell one, or the
    head wants no risk. The gain is of the whole procedure: the choice of spread and baseline is made without the faces
    that are left out. Raises `InputError` for fewer than `FEWEST_FACES` faces, or a single label.
    """
    n = len(given.labels)
    if n < FEWEST_FACES:
        raise InputError(f"{n} faces to adapt on; at least {FEWEST_FACES} are needed, and 60 or more tell more")
    if len(np.unique(given.labels)) < 2:
        raise InputError("the faces to adapt on all have one label; nothing can be told of the others")
    parts_N = _parts(given, MOST_PARTS, seed)
    kept_PN = np.vstack([np.arange(parts_N.max() + 1)[:, None] != parts_N, np.ones((1, n), dtype=bool)]).astype(float)
    biases_PK, choice = _chosen(given, head.temperature, kept_PN, _parts(given, _INNER, seed))
    before_NK = adapted(given.said, np.zeros(len(head.labels)), head.temperature)
    after_NK = adapted(given.said, biases_PK[parts_N], head.temperature)
    was_N, is_N = (np.asarray(said.argmax(axis=1) == given.labels) for said in (before_NK, after_NK))
    gains = _over_groups(
        given.groups,
        {
            "accuracy": is_N.astype(float) - was_N,
            "nll": nll_per_image(given.labels, before_NK) - nll_per_image(given.labels, after_NK),
        },
        seed,
    )
    spread, share = CHOICES[choice]
    learned = Learned(
        truth=truth,
        biases=tuple(round(float(bias), 4) for bias in biases_PK[-1]),
        spread=spread,
        baseline=share,
        before=float(was_N.mean()),
        after=float(is_N.mean()),
        accuracy=_three(gains["accuracy"]),
        nll=_three(gains["nll"]),
    )
    threshold = None if head.risk is None else threshold_for(head.risk, after_NK.max(axis=1), is_N)
    return learned, None if threshold is None or threshold >= 1 else threshold


def adapted(said_VNK: Floats, biases: Floats, temperature: float) -> Floats:
    """`(N, K)` what a model file with these biases `(K,)`, or `(N, K)` one a face, answers; views are averaged after.

    That is what the file computes: biases are a part of its network.
    """
    logs_VNK = np.log(said_VNK.clip(np.finfo(np.float64).tiny, None)) + biases
    powers_VNK = np.exp(logs_VNK - logs_VNK.max(axis=-1, keepdims=True))
    return tempered((powers_VNK / powers_VNK.sum(axis=-1, keepdims=True)).mean(axis=0), temperature)


def fit_biases(given: Labeled, temperature: float, weights_WN: Floats, spread: float, starts_WK: Floats) -> Floats:
    """`(W, K)` biases of the highest posterior density, for each weighting of the faces.

    The likelihood is that of softmax((log p + bias) / temperature), the prior normal around `starts_WK` with standard
    deviation `spread`. By Newton's method for all weightings at once; steps are bounded, and the function is convex.
    """
    k = starts_WK.shape[1]
    biases_WK, precision = starts_WK.copy(), 1 / spread**2
    wanted_WK = weights_WN @ np.eye(k)[given.labels]
    logs_NK = given.logs
    for _ in range(_STEPS):
        said_WNK = _softmax((logs_NK + biases_WK[:, None]) / temperature)
        weighted_WNK = weights_WN[..., None] * said_WNK
        sums_WK = weighted_WNK.sum(axis=1)
        slope_WK = (sums_WK - wanted_WK) / temperature + precision * (biases_WK - starts_WK)
        curve_WKK = -np.matmul(weighted_WNK.transpose(0, 2, 1), said_WNK) / temperature**2
        curve_WKK[:, np.arange(k), np.arange(k)] += sums_WK / temperature**2 + precision
        step_WK = np.linalg.solve(curve_WKK, slope_WK[..., None])[..., 0].clip(-1, 1)
        biases_WK = biases_WK - step_WK
        if np.abs(step_WK).max() < _CLOSE:
            break
    return np.asarray(biases_WK)


def baseline(given: Labeled, weights_WN: Floats, share: float) -> Floats:
    """`(W, K)` a share of the mean log-probabilities of the neutral faces, taken away; of few neutral faces less.

    0 where there is none.
    """
    logs_NK = given.logs
    if given.neutral is None or share == 0:
        return np.zeros((len(weights_WN), logs_NK.shape[1]))
    of_neutral_WN = weights_WN * (given.labels == given.neutral)
    count_W1 = of_neutral_WN.sum(axis=1, keepdims=True)
    sums_WK = of_neutral_WN @ (logs_NK - logs_NK.mean(axis=1, keepdims=True))
    return np.asarray(-share * sums_WK / (count_W1 + _FULL_AT))


def _chosen(given: Labeled, temperature: float, kept_PN: Floats, inner_N: Ints) -> tuple[Floats, int]:
    """`(P, K)` biases fitted on the faces that each part keeps, and the choice of the last.

    Spread and baseline are those with the highest likelihood of the faces that inner parts leave out.
    """
    parts, n = kept_PN.shape
    rows_N, k = np.arange(n), given.said.shape[2]
    inside_IN = inner_N == np.arange(inner_N.max() + 1)[:, None]
    fitted_WN = (kept_PN[:, None] * ~inside_IN).reshape(-1, n)
    judged_WN = (kept_PN[:, None] * inside_IN).reshape(-1, n)
    likelihoods_CP, biases_CPK = [], []
    for spread, share in CHOICES:
        if spread == 0:
            tried_WK, biases_PK = np.zeros((len(fitted_WN), k)), np.zeros((parts, k))
        else:
            tried_WK = fit_biases(given, temperature, fitted_WN, spread, baseline(given, fitted_WN, share))
            biases_PK = fit_biases(given, temperature, kept_PN, spread, baseline(given, kept_PN, share))
        said_WNK = _softmax((given.logs + tried_WK[:, None]) / temperature)
        told_WN = np.log(said_WNK[:, rows_N, given.labels])
        likelihoods_CP.append((judged_WN * told_WN).sum(axis=1).reshape(parts, -1).sum(axis=1))
        biases_CPK.append(biases_PK)
    best_P = np.argmax(likelihoods_CP, axis=0)
    return np.stack(biases_CPK)[best_P, np.arange(parts)], int(best_P[-1])


def _parts(given: Labeled, most: int, seed: int) -> Ints:
    """`(N,)` part of each face: a part a group, or `most` parts of whole groups, alike in labels."""
    groups = int(given.groups.max()) + 1
    return given.groups if groups <= most else fold_of(given.groups, given.labels, most, seed)


def _over_groups(groups_N: Ints, differences: dict[str, Floats], seed: int) -> dict[str, Estimate]:
    """The mean of each difference, and its interval over resamples of whole groups."""
    sizes_G = np.bincount(groups_N).astype(float)
    sums = {
        name: (np.bincount(groups_N, weights=each_N).astype(float), sizes_G) for name, each_N in differences.items()
    }
    return estimates(sums, seed=seed)


def _three(found: Estimate) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def _softmax(logs: npt.NDArray[np.float64]) -> Floats:
    powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
