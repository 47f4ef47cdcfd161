"""Confidence: what a model's probabilities are made to mean by its val images: a temperature, and a threshold.

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
