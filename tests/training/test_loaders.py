"""Which faces make up each batch."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien import FaceSet
from mien.errors import InputError
from mien.preprocess import Preprocess
from mien.training.loaders import Batches, Examples, chance, class_weights, resident_on, train_order

GRAY48 = Preprocess(size=48, color="gray", mean=(0.5,), std=(0.5,))


def test_plain_order_holds_every_face_once_and_depends_on_seed_and_epoch() -> None:
    labels = np.arange(100) % 7
    orders = [train_order(labels, 7, False, chance(seed, "", epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert np.array_equal(orders[0], train_order(labels, 7, False, chance(0, "", 0)))
    assert np.array_equal(orders[0], np.random.default_rng([0, 0]).permutation(100))  # as version 0.1 drew it


def test_what_a_training_began_with_makes_another_order_of_the_same_seed() -> None:
    labels = np.arange(100) % 7
    starts = ("", "0123456789ab", "0123456789ac")
    orders = {tuple(train_order(labels, 7, False, chance(0, start, 0))) for start in starts}
    assert len(orders) == 3
    masks = {int(chance(0, start, 0, 0, 0).generate_state(1)[0]) for start in starts}
    assert len(masks) == 3


def test_balanced_order_draws_each_class_equally_often() -> None:
    labels = np.repeat([0, 1, 2], [9000, 900, 100])
    drawn = labels[train_order(labels, 3, True, chance(0, "", 0))]
    assert len(drawn) == 10_000
    # three standard deviations of a binomial with p = 1/3
    assert np.abs(np.bincount(drawn) - 10_000 / 3).max() < 3 * np.sqrt(10_000 * 2 / 9)


def test_class_weights_are_inverse_to_counts_and_average_to_one() -> None:
    labels = np.array([0, 0, 0, 1])
    assert class_weights(labels, 2) == pytest.approx([4 / 6, 4 / 2])
    assert class_weights(labels, 2)[labels].mean() == pytest.approx(1)


def test_batches_cover_the_order_and_keep_the_rest(faces: FaceSet) -> None:
    order = np.random.default_rng(0).permutation(len(faces))
    batches = list(Batches(Examples(faces), GRAY48, 32, order))
    assert len(batches) == len(Batches(Examples(faces), GRAY48, 32, order)) == -(-len(faces) // 32)
    assert np.array_equal(np.concatenate([pixels.numpy() for pixels, _ in batches]), faces.images[order])
    assert np.array_equal(np.concatenate([labels.numpy() for _, labels in batches]), faces.labels[order])


def test_batches_of_resident_faces_are_the_same(faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    order = np.random.default_rng(0).permutation(len(faces))[:50]
    targets = np.random.default_rng(1).random((len(faces), 7), dtype=np.float32)
    examples, cpu = Examples(faces, targets=targets), torch.device("cpu")
    assert resident_on(cpu, examples, GRAY48) is None  # a CPU reads the memory map
    monkeypatch.setattr("mien.training.loaders.room", lambda _: 2**30)
    monkeypatch.setattr("mien.training.loaders._UPLOAD", 30)
    for size, rank, world in ((48, 0, 1), (32, 1, 2)):  # stored faces are as large as the model's input, or larger
        how = GRAY48.model_copy(update={"size": size})
        kept = resident_on(cpu, examples, how)
        assert kept is not None
        batches = Batches(examples, how, 16, order, rank, world)
        resident = Batches(examples, how, 16, order, rank, world, kept)
        for (shown, wanted), (theirs, their_targets) in zip(batches, resident, strict=True):
            assert torch.equal(shown, theirs)
            assert torch.equal(wanted, their_targets)


@pytest.mark.parametrize(("images", "world"), [(101, 2), (101, 3), (60, 2), (63, 3), (7, 3)])
def test_processes_share_each_batch_and_take_equally_many_steps(faces: FaceSet, images: int, world: int) -> None:
    order = np.random.default_rng(0).permutation(len(faces))[:images]
    labels = faces.labels[order]
    alone = [batch.tolist() for _, batch in Batches(Examples(faces), GRAY48, 10, order)]
    parts = [list(Batches(Examples(faces), GRAY48, 10, order, rank, world)) for rank in range(world)]
    together = [sorted(torch.cat([labels for _, labels in step]).tolist()) for step in zip(*parts, strict=True)]
    if images % 10 == 0 or images % 10 >= 2 * world or images < 10:
        assert together == [sorted(batch) for batch in alone]
    assert sorted(itertools.chain(*together)) == sorted(labels.tolist())  # each once
    assert min(len(batch) for part in parts for _, batch in part) >= 2


def test_the_mean_over_processes_is_the_mean_over_the_batch(faces: FaceSet) -> None:
    rng = np.random.default_rng(1)
    order, losses, weights = np.arange(71), rng.random(len(faces)), rng.random(len(faces))
    whole = Batches(Examples(faces), GRAY48, 10, order)
    parts = [Batches(Examples(faces), GRAY48, 10, order, rank, 3) for rank in range(3)]
    bounds = [*range(0, 70, 10), 71]
    assert len(whole) == len(parts[0]) == 7
    for step, (start, end) in enumerate(itertools.pairwise(bounds)):
        batch = order[start:end]
        own = [batch[rank::3] for rank in range(3)]
        means = [np.average(losses[one], weights=weights[one]) for one in own]
        shared = np.mean([mean * part.shares(weights)[step] for mean, part in zip(means, parts, strict=True)])
        assert shared == pytest.approx(np.average(losses[batch], weights=weights[batch]))


def test_fewer_images_than_processes_are_refused(faces: FaceSet) -> None:
    with pytest.raises(InputError, match="2 images are too few for 3 devices"):
        Batches(Examples(faces), GRAY48, 10, np.arange(2), 0, 3)


def test_faces_stored_larger_than_the_input_are_shrunk_as_preprocess_does(faces: FaceSet) -> None:
    small = Preprocess(size=20, color="gray", mean=(0.5,), std=(0.5,))
    pixels, _ = next(iter(Batches(Examples(faces), small, 4, np.arange(4))))
    assert np.array_equal(pixels.numpy(), np.stack([small.pixels(image) for image in faces.images[:4]]))


def test_a_set_is_read_batch_by_batch_not_whole(faces: FaceSet) -> None:
    class Counting(np.ndarray):
        largest = 0

        def __getitem__(self, key):  # type: ignore[no-untyped-def]
            Counting.largest = max(Counting.largest, np.size(key))
            return np.asarray(super().__getitem__(key))

    spied = replace(faces, store=np.asarray(faces.store).view(Counting))
    for _ in Batches(Examples(spied), GRAY48, 8, np.arange(len(faces))):
        pass
    assert Counting.largest == 8


def test_a_last_face_by_itself_joins_the_batch_before(faces: FaceSet) -> None:
    batches = list(Batches(Examples(faces), GRAY48, 8, np.arange(33)))
    assert [len(labels) for _, labels in batches] == [8, 8, 8, 9]
    assert len(Batches(Examples(faces), GRAY48, 8, np.arange(33))) == 4
    assert [len(labels) for _, labels in Batches(Examples(faces), GRAY48, 8, np.arange(1))] == [1]
