"""A model beside taggers: by pencil, against plain loops over single votes, and on made-up taggers who differ."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mien.data.votes import Votes
from mien.errors import InputError
from mien.evaluation.people import HumanCeiling, Panel, entropy, human_ceiling
from mien.labels import FER7, FERPLUS8
from mien.predictions import Predictions
from mien.report.people import ceiling_sentences

COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
OF_FER7 = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")


def votes_of(table: np.ndarray, prefix: str = "") -> Votes:
    """One row of counts for each picture, over FER+'s columns."""
    return Votes("made-up.csv", COLUMNS, {f"{prefix}{i}.png": row for i, row in enumerate(table)})


def predictions_of(
    probs: np.ndarray, labels: np.ndarray | list[int], label_names: tuple[str, ...] = FER7.labels
) -> Predictions:
    n = len(probs)
    names, no = np.array([f"{i}.png" for i in range(n)], dtype=np.str_), np.zeros(n, dtype=bool)
    return Predictions(
        "test", label_names, names, names, np.asarray(labels, np.int64), probs.astype(np.float32), no, no
    )


def answering(answers: list[str], label_names: tuple[str, ...] = FER7.labels, sure: float = 0.7) -> np.ndarray:
    k = len(label_names)
    probs = np.full((len(answers), k), (1 - sure) / (k - 1))
    probs[np.arange(len(answers)), [label_names.index(answer) for answer in answers]] = sure
    return probs


def made_up(n: int, seed: int = 0, k: int = 10) -> tuple[np.ndarray, Predictions]:
    """Ten votes on each of `n` images, doubtful to different degrees, and a model that knows some of them."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(k, 0.25), n)
    table = np.array([rng.multinomial(10, row) for row in shares])
    probs = rng.dirichlet(np.full(7, 0.5), n) + 0.8 * shares[:, [4, 5, 6, 1, 0, 3, 2]] ** 2
    return table, predictions_of(probs / probs.sum(axis=1, keepdims=True), rng.integers(0, 7, n))


def row(**votes: int) -> np.ndarray:
    return np.array([votes.get(column, 0) for column in COLUMNS])


def test_three_images_by_pencil() -> None:
    table = np.array([row(happiness=10), row(neutral=6, sadness=4), row(neutral=5, anger=4, contempt=1)])
    model = predictions_of(answering(["happy", "sad", "angry"]), [3, 4, 4])  # labels: happy, neutral, neutral
    found = human_ceiling(model, votes_of(table), draws=50)
    assert (found.n, found.without_votes, found.too_few, found.ties) == (3, 0, 0, 0)
    assert found.outside == pytest.approx(1 / 30)
    # Tagger: the first image 10 of 10. The second: each neutral leaves 5 to 4, which agrees: 6 of 10; each sad leaves
    # 6 to 3: no. The third: each of 5 neutrals leaves a tie of 4 and 4: a half each, 2.5 of 9; an angry leaves 5 to 3.
    assert found.rest.human.value == pytest.approx((1 + 6 / 10 + 2.5 / 9) / 3)
    # The model: happy always; sad never; angry in the ties alone, by half.
    assert found.rest.model.value == pytest.approx((1 + 0 + 2.5 / 9) / 3)
    assert found.rest.labels.value == pytest.approx((1 + 1 + (2.5 + 4) / 9) / 3)
    assert found.rest.difference.value == pytest.approx(-0.2)
    assert found.one.human.value == pytest.approx((1 + (6 * 5 + 4 * 3) / 90 + (5 * 4 + 4 * 3) / 72) / 3)
    assert found.one.model.value == pytest.approx((1 + 4 / 10 + 4 / 9) / 3)
    assert found.best_one.value == pytest.approx((1 + 6 / 10 + 5 / 9) / 3)
    assert (found.model_majority.value, found.labels_majority.value) == (pytest.approx(1 / 3), 1)
    # With contempt an answer: each neutral leaves 4 to 4 to 1 again, the vote for contempt agrees with nobody.
    assert found.human_strict.value == pytest.approx((1 + 6 / 10 + 2.5 / 10) / 3)
    rows = {r.label: r for r in found.per_class}
    assert rows["neutral"].images == pytest.approx(1 + (2.5 + 4) / 9)
    assert rows["neutral"].human is not None
    assert rows["neutral"].human.value == pytest.approx((6 / 10 + 2.5 / 9) / (1 + 6.5 / 9))
    assert rows["angry"].images == pytest.approx(2.5 / 9)
    assert (rows["angry"].human.value, rows["angry"].model.value) == (0, 1)  # type: ignore[union-attr]
    assert (rows["fear"].human, rows["fear"].confirmed, rows["neutral"].labeled) == (None, None, 2)
    assert rows["neutral"].confirmed is not None
    assert rows["neutral"].confirmed.value == 1


def test_everything_is_what_loops_over_single_votes_give() -> None:
    table, model = made_up(120)
    found = human_ceiling(model, votes_of(table), draws=20)
    human, machine, label, pairs = [], [], [], []
    per_class = {name: Counter[str]() for name in FER7.labels}
    for i in range(120):
        ballots = [OF_FER7[c] for c in range(7) for _ in range(table[i, c])]
        answer, given = FER7.labels[model.predicted[i]], FER7.labels[model.labels[i]]
        if len(ballots) < 2:
            continue
        scores: list[tuple[float, float, float]] = []
        for left, ballot in enumerate(ballots):
            rest = Counter(ballots[:left] + ballots[left + 1 :])
            best = [name for name, count in rest.items() if count == max(rest.values())]
            scores.append(tuple(float(who in best) / len(best) for who in (ballot, answer, given)))  # type: ignore[arg-type]
            for name in best:
                weight = 1 / len(best) / len(ballots)
                per_class[name]["images"] += weight  # type: ignore[assignment]
                per_class[name]["human"] += weight * (ballot == name)  # type: ignore[assignment]
                per_class[name]["model"] += weight * (answer == name)  # type: ignore[assignment]
        for kept, value in zip((human, machine, label), np.mean(scores, axis=0), strict=True):
            kept.append(value)
        equal = [a == b for x, a in enumerate(ballots) for y, b in enumerate(ballots) if x != y]
        pairs.append(np.mean(equal))
    assert found.n == len(human) < 120
    assert found.rest.human.value == pytest.approx(np.mean(human))
    assert found.rest.model.value == pytest.approx(np.mean(machine))
    assert found.rest.labels.value == pytest.approx(np.mean(label))
    assert found.one.human.value == pytest.approx(np.mean(pairs))
    for one in found.per_class:
        counts = per_class[one.label]
        assert one.images == pytest.approx(counts["images"])
        assert one.human is not None
        assert one.model is not None
        assert one.human.value == pytest.approx(counts["human"] / counts["images"])
        assert one.model.value == pytest.approx(counts["model"] / counts["images"])


def test_classes_add_up_to_the_whole() -> None:
    table, model = made_up(300, seed=4)
    found = human_ceiling(model, votes_of(table), draws=20)
    assert sum(one.images for one in found.per_class) == pytest.approx(found.n)
    for who in ("human", "model", "labels"):
        parts = [one.images * getattr(one, who).value for one in found.per_class]
        assert sum(parts) / found.n == pytest.approx(getattr(found.rest, who).value)
    for group in ("human", "model"):
        parts = [one.n * getattr(one, group).value for one in found.by_doubt]
        assert sum(parts) / found.n == pytest.approx(getattr(found.rest, group).value)
    assert sum(one.n for one in found.by_doubt) == found.n


def test_a_model_that_copies_the_most_frequent_vote_cannot_be_beaten() -> None:
    table, _ = made_up(200, seed=1)
    table[:, :7] += np.eye(7, dtype=int)[table[:, :7].argmax(axis=1)]  # no ties, and two votes at least
    copied = [OF_FER7[c] for c in table[:, :7].argmax(axis=1)]
    found = human_ceiling(predictions_of(answering(copied), [0] * 200), votes_of(table), draws=20)
    assert found.model_majority.value == 1
    assert found.one.model == found.best_one
    assert found.rest.model.value > found.rest.human.value
    assert found.one.model.value > found.one.human.value


def test_one_more_tagger_is_as_good_as_a_tagger() -> None:
    """A model that votes like a further member of the panel: what the comparison takes to be equal must come out so."""
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(7, 0.4), 4000)
    table = np.zeros((4000, 10), dtype=int)
    table[:, :7] = [rng.multinomial(10, one) for one in shares]
    eleventh = [OF_FER7[rng.choice(7, p=one)] for one in shares]
    found = human_ceiling(predictions_of(answering(eleventh), [0] * 4000), votes_of(table), draws=300)
    for agreement in (found.rest, found.one):
        width = agreement.difference.high - agreement.difference.low
        assert width < 0.04
        assert abs(agreement.difference.value) < 0.9 * width  # 3.5 standard errors
    # Held against the votes of all ten the taggers would seem better than that eleventh one.
    naive = (Panel(table[:, :7]).shares * Panel(table[:, :7]).top).sum(axis=1).mean()
    assert naive > found.model_majority.high


def test_intervals_are_those_of_resampled_images() -> None:
    table, model = made_up(150, seed=2)
    found = human_ceiling(model, votes_of(table), draws=1500, seed=3)
    kept = [i for i in range(150) if table[i, :7].sum() >= 2]
    panel = Panel(table[kept][:, :7])
    per_image = panel.human.sum(axis=1)
    low, high = stats.bootstrap((per_image,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    assert (found.rest.human.low, found.rest.human.high) == (
        pytest.approx(low, abs=0.01),
        pytest.approx(high, abs=0.01),
    )
    assert human_ceiling(model, votes_of(table), draws=1500, seed=3) == found
    assert human_ceiling(model, votes_of(table), draws=1500, seed=4).rest.human.low != found.rest.human.low


def test_entropy_is_that_of_scipy_and_groups_hold_what_they_say() -> None:
    table, model = made_up(200, seed=6)
    table[:70] = row(happiness=10)  # more than a quarter all agree, so they stay together
    found = human_ceiling(model, votes_of(table), draws=50)
    np.testing.assert_allclose(entropy(model.probabilities), stats.entropy(model.probabilities, axis=1), atol=1e-6)
    kept = np.array([i for i in range(200) if table[i, :7].sum() >= 2])
    doubt = stats.entropy(table[kept][:, :7], axis=1)
    expected = stats.spearmanr(doubt.round(9), entropy(model.probabilities[kept])).statistic
    assert found.spearman is not None
    assert found.spearman.value == pytest.approx(expected)
    first = found.by_doubt[0]
    assert first.entropy == (0, 0)
    assert first.n == (doubt < 1e-9).sum() >= 70
    assert (first.top_share, first.human.value) == (1, 1)
    for before, after in zip(found.by_doubt, found.by_doubt[1:], strict=False):
        assert before.entropy[1] < after.entropy[0]
    last = found.by_doubt[-1]
    chosen = kept[(doubt.round(9) >= last.entropy[0]) & (doubt.round(9) <= last.entropy[1])]
    assert last.n == len(chosen)
    assert last.accuracy.value == pytest.approx((model.predicted == model.labels)[chosen].mean())
    assert last.confidence.value == pytest.approx(model.probabilities[chosen].max(axis=1).mean())


def test_a_model_of_no_doubt_has_no_correlation() -> None:
    table = np.array([row(happiness=10), row(neutral=6, sadness=4)] * 3)
    found = human_ceiling(predictions_of(answering(["happy"] * 6), [3] * 6), votes_of(table), draws=20)
    assert found.spearman is None
    assert "rank correlation" not in " ".join(ceiling_sentences(found))


def test_equal_votes_in_another_order_are_equally_doubtful() -> None:
    votes = [3, 2, 2, 1, 1, 1]
    orders = np.array([np.random.default_rng(i).permutation([*votes, 0]) for i in range(60)])
    assert len(set(Panel(orders).entropy)) == 1
    assert len(set(Panel(np.array([[10, 0], [0, 10]])).entropy)) == 1


def test_images_without_votes_are_counted() -> None:
    table = np.array([row(happiness=10), row(), row(contempt=9, fear=1), row(unknown=10), row(sadness=2)])
    votes = Votes("made-up.csv", COLUMNS, {f"{i}.png": table[i] for i in (0, 1, 2, 3, 4)})
    model = predictions_of(answering(["happy"] * 6), [3] * 6)  # 5.png is in no row
    found = human_ceiling(model, votes, draws=20)
    assert (found.n, found.without_votes, found.too_few) == (2, 2, 2)
    assert found.outside == pytest.approx(19 / 32)
    said = ceiling_sentences(found)[-1]
    assert "without votes (2)" in said
    assert "(59.4 %)" in said


def test_eight_labels_and_labels_of_ones_own() -> None:
    table = np.array([row(contempt=8, neutral=2), row(contempt=1, happiness=9)])
    eight = human_ceiling(
        predictions_of(answering(["contempt", "neutral"], FERPLUS8.labels), [7, 1], FERPLUS8.labels), votes_of(table)
    )
    assert eight.outside == 0
    assert eight.rest.model.value == pytest.approx(0.5)
    assert eight.rest.labels.value == 1
    own = ("calm", "bored", "joy")
    found = human_ceiling(predictions_of(answering(["joy", "joy"], own), [0, 2], own), votes_of(table))
    assert found.unasked == ("bored",)
    assert (found.rest.human.value, found.rest.labels.value, found.outside) == (1, 1, pytest.approx(9 / 20))
    assert "No vote could name bored" in ceiling_sentences(found)[-1]


def test_votes_of_other_images_and_of_single_taggers_are_errors() -> None:
    model = predictions_of(answering(["happy"] * 2), [3, 3])
    with pytest.raises(InputError, match="votes on none of the 2 faces"):
        human_ceiling(model, votes_of(np.array([row(happiness=10)]), "other/"))
    with pytest.raises(InputError, match="expected at least two votes for angry"):
        human_ceiling(model, votes_of(np.array([row(happiness=1), row(unknown=9, sadness=1)])))
    with pytest.raises(InputError, match="no image to score"):
        human_ceiling(model.keep(np.zeros(2, dtype=bool)), votes_of(np.array([row(happiness=10)])))


def test_json_round_trip() -> None:
    table, model = made_up(40)
    found = human_ceiling(model, votes_of(table), draws=20)
    assert HumanCeiling.model_validate_json(found.model_dump_json()) == found


def test_sentences_say_who_is_better() -> None:
    table = np.array([row(happiness=6, neutral=4)] * 60)
    for answer, words in (("happy", "more ["), ("fear", "less [")):
        said = ceiling_sentences(
            human_ceiling(predictions_of(answering([answer] * 60), [3] * 60), votes_of(table), draws=20)
        )
        assert words in said[0]
        assert "n = 60" in said[0]
        assert "confirm the label happy least often" in said[2]
    rng = np.random.default_rng(0)
    equal = [str(rng.choice(["happy", "neutral"], p=[0.6, 0.4])) for _ in range(60)]
    said = ceiling_sentences(human_ceiling(predictions_of(answering(equal), [3] * 60), votes_of(table), draws=200))
    assert "cannot be told apart" in said[0]


def test_the_real_votes_read_by_another_reader(real_data: Path) -> None:
    """FER+ of 300 private images, by the csv module and loops of its own: how often the label is the majority."""
    with (real_data / "ferplus.csv").open() as file:
        rows = [line for line in csv.DictReader(file) if line["usage"] == "PrivateTest"][:300]
    labels = [line["path"].split("/")[1] for line in rows]
    model = predictions_of(answering(labels), [FER7.labels.index(label) for label in labels])
    named = Predictions(**{**vars(model), "names": np.array([line["path"] for line in rows])})
    found = human_ceiling(named, Votes.open(real_data / "ferplus.csv"), draws=20)
    hits = []
    for line, label in zip(rows, labels, strict=True):
        counts = {name: int(line[column]) for name, column in zip(OF_FER7, COLUMNS, strict=False)}
        best = [name for name, count in counts.items() if count == max(counts.values())]
        if sum(counts.values()) >= 2:
            hits.append((label in best) / len(best))
    assert found.labels_majority.value == pytest.approx(np.mean(hits))
    assert found.model_majority == found.labels_majority
    assert found.n == len(hits)
