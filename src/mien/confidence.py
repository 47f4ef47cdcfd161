"""Confidence: what a model's probabilities are made to mean by its val images: a temperature, a threshold, and sets.

Shapes: N images, K classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.errors import InputError

RISK = 0.2  # share of wrong answers that is let through, where nobody says another
RISK_OF_PEOPLE = 0.1  # the same where wrong means: not what most people see
SURETY = 0.95  # with which the threshold keeps the wanted risk
FEWEST_IMAGES = 100  # that a temperature is fitted on; of fewer, chance would decide it
_TEMPERATURES = (0.2, 5.0)  # among which the best is looked for: where every answer is right, there is no end
_FEWEST = 0.05  # share of the images at which the search for a threshold begins
_STEPS = 96  # of a hundredth of the images each, from there to all of them
SMALLEST_PROBABILITY = 1e-7  # of an nll: below it one sure mistake would decide the mean; float32 softmax reaches 0
_ROUNDED = 1e-9  # what sums of shares may be off by

Floats = npt.NDArray[np.float64]


def tempered(probs_NK: npt.NDArray[np.floating], temperature: float) -> Floats:
    """Probabilities at another temperature: the softmax of their logarithms divided by it. The order stays."""
    wide_NK = np.asarray(probs_NK, dtype=np.float64)
    if temperature == 1:
        return wide_NK
    logs_NK = np.log(np.clip(wide_NK, np.finfo(np.float64).tiny, None)) / temperature
    powers_NK = np.exp(logs_NK - logs_NK.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(powers_NK / powers_NK.sum(axis=1, keepdims=True))


def fit_temperature(labels_N: npt.NDArray[np.int64], probs_NK: npt.NDArray[np.floating]) -> float:
    """The temperature that gives `tempered` probabilities the lowest nll. Above 1: the model is too sure of itself.

    Fit it on images that were not trained on. Source: Guo et al., ICML 2017, section 4.2. Raises `InputError` where
    there is no image.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels_N):
        raise InputError("temperature: no image to fit it on")
    rows_N = np.arange(len(labels_N))

    def nll(log_temperature: float) -> float:
        true_N = tempered(probs_NK, np.exp(log_temperature))[rows_N, labels_N]
        return float(-np.log(true_N.clip(SMALLEST_PROBABILITY, 1.0)).mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(nll, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x))


def is_unsure(confidence: float, threshold: float) -> bool:
    """Whether an answer is to be marked unsure; a threshold of 1 marks all, also those of confidence 1."""
    return confidence < threshold or threshold >= 1


def threshold_for(risk: float, confidence_N: Floats, right_N: npt.NDArray[np.bool_]) -> float:
    """The confidence (0–1) from which answers are wrong in at most a share `risk` of cases, so far as N images tell.

    Answers are added from the surest down, a hundredth of the images at a time and equal confidences together, for as
    long as the upper 95 % bound (Clopper and Pearson, one-sided) of their error stays within `risk`; the first failure
    ends it. So on further images of the same kind the wanted risk is kept with 95 % probability, and not on average
    only; images that chose the epoch too flatter a little. 0 where all answers keep it, 1 (see `is_unsure`) where
    none do.
    Source: selective classification, Geifman and El-Yaniv, NeurIPS 2017; testing in a fixed order, Angelopoulos et
    al., "Learn then test", arXiv:2110.01052.
    """
    if not 0 < risk < 1:
        raise InputError(f"risk {risk:g}: expected a share of wrong answers, above 0 and below 1")
    n = len(confidence_N)
    if not n:
        return 1.0
    from scipy.stats import beta

    order = np.argsort(-confidence_N, kind="stable")
    wrong = np.cumsum(~right_N[order])
    # The first step is the smallest that could pass at all, which depends on counts alone.
    first = max(int(np.ceil(_FEWEST * n)), int(np.ceil(np.log(1 - SURETY) / np.log(1 - risk))))
    given, falling = 0, -confidence_N[order]
    steps = np.linspace(min(first, n), n, _STEPS).round().astype(np.int64)
    for count in np.unique(np.searchsorted(falling, falling[steps - 1], side="right")):  # the last of equal ones
        errors = int(wrong[count - 1])
        bound = float(beta.ppf(SURETY, errors + 1, count - errors)) if errors < count else 1.0
        if bound > risk:
            break
        given = int(count)
    if given == n:
        return 0.0
    return float(confidence_N[order[given - 1]]) if given else 1.0


def set_thresholds(level: float, probs_NK: npt.NDArray[np.floating], shares_NK: npt.NDArray[np.floating]) -> Floats:
    """`(K,)` the probability from which each label belongs into a set that holds the truth with probability `level`.

    `shares_NK`: how much of the truth of an image each label is, 0–1: one 1 where labels are the truth, the shares of
    the votes where a tagger drawn at random is; zeros for images to leave out. For each label k: of the images, weighed
    by their share of k, at least `level` have such a probability for k, one more image of weight 1 that has none
    counted in. So of a further image of the same kind whose truth is k, k lies in the set with at least this
    probability, over all draws of these images and that one; that is, the promise holds in each class and hence for
    all of them. 0 where too few images can tell: the label then lies in every set.
    Source: Vovk, Gammerman and Shafer, Algorithmic learning in a random world (2005), 4.5, for promises by class;
    Sadinle, Lei and Wasserman, JASA 114 (2019), for this score. With shares the proof is the same: leave each image out
    in turn, and those that miss weigh at most 1 − `level` of all.
    Raises `InputError` for a level that is no probability between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputError(f"sets {level:g}: expected the probability to hold the truth, above 0 and below 1")
    found_K = np.zeros(probs_NK.shape[1])
    for k, share_N in enumerate(np.asarray(shares_NK, dtype=np.float64).T):
        falling = np.argsort(-probs_NK[share_N > 0, k], kind="stable")
        reached = np.cumsum(share_N[share_N > 0][falling])
        needed = level * (share_N.sum() + 1) - _ROUNDED
        place = int(np.searchsorted(reached, needed))
        if place < len(falling):
            found_K[k] = probs_NK[share_N > 0, k][falling[place]]
    return found_K


def in_set(probs_NK: npt.NDArray[np.floating], thresholds_K: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """`(N, K)` whether each label lies in the set: from its threshold on, and the most probable one always.

    The most probable one only makes sets larger, so the promise stays, no set is empty, and none contradicts the
    answer.
    """
    held_NK = np.asarray(probs_NK >= thresholds_K)
    held_NK[np.arange(len(probs_NK)), probs_NK.argmax(axis=1)] = True
    return held_NK
