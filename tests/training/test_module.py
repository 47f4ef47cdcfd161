"""Loss, optimizer and schedule are what the recipe says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from mien import FaceSet, Recipe
from mien.models.build import build, complete
from mien.training import graphs, module, muon
from mien.training.hardware import detect
from mien.training.loaders import Examples, class_weights
from mien.training.prepare import prepare
from mien.training.train import train


def _lrs(*overrides: str, steps: int) -> list[float]:
    recipe = Recipe.load("cnn-v2", ["optimizer.lr=0.1", *overrides])
    return [0.1 * module.rate_at(recipe, steps, step) for step in range(recipe.epochs * steps)]


def test_constant_schedule_stays() -> None:
    assert _lrs("epochs=3", steps=5) == pytest.approx([0.1] * 15)


def test_cosine_schedule_falls_to_zero() -> None:
    expected = [0.05 * (1 + math.cos(math.pi * step / 20)) for step in range(20)]
    assert _lrs("epochs=2", "schedule.name=cosine", steps=10) == pytest.approx(expected, abs=1e-9)


def test_warmup_rises_in_a_line_then_the_cosine_begins() -> None:
    lrs = _lrs("epochs=4", "schedule.name=cosine", "schedule.warmup_epochs=1", steps=10)
    assert lrs[0] == pytest.approx(0.01)
    assert lrs[:10] == sorted(lrs[:10])
    assert lrs[10] == pytest.approx(0.1)
    assert lrs[25] == pytest.approx(0.05)


def test_a_constant_rate_falls_in_its_last_epochs_alone() -> None:
    lrs = _lrs("epochs=6", "schedule.warmup_epochs=1", "schedule.decay_epochs=2", steps=10)
    assert lrs[10:41] == pytest.approx([0.1] * 31)
    # 1 - sqrt of the part of the fall that is done
    assert lrs[45] == pytest.approx(0.1 * (1 - math.sqrt(0.25)))
    assert lrs[59] == pytest.approx(0.1 * (1 - math.sqrt(0.95)))
    # What comes before the fall does not depend on where the run ends.
    assert _lrs("epochs=60", "schedule.warmup_epochs=1", steps=10)[:41] == lrs[:41]


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_optimizer_is_the_named_one(name: str, kind: type) -> None:
    recipe = Recipe.load("cnn-v2", [f"optimizer.name={name}", "optimizer.weight_decay=0.01", "optimizer.lr=0.02"])
    optimizer = module.make_optimizer(torch.nn.Linear(2, 2), recipe)
    assert type(optimizer) is kind
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.02, 0.01)


def test_a_training_step_on_a_cpu_leaves_out_torch_s_slow_fused_attention(faces: FaceSet) -> None:
    recipe = Recipe.load("vit-scratch", ["model.depth=1"])
    train = faces.select("train")
    classifier = module.TrainingModule(
        build(recipe.model, recipe.preprocess, 7), recipe, Examples(train), Examples(train)
    )
    shown = torch.from_numpy(train.images[:2])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        classifier.training_step((shown, torch.tensor([0, 1])), 1).backward()
    called = {event.key for event in seen.key_averages()}
    assert "aten::scaled_dot_product_attention" in called
    assert not [name for name in called if "flash" in name]


def _two_heads(faces: FaceSet, wanted: torch.Tensor | None) -> module.TrainingModule:
    torch.manual_seed(0)
    model = "model={kind: residual, widths: [8], depths: [1], stem: 4}"
    recipe = Recipe.load("cnn-v2", [model, "targets={votes_head: 0.5, contempt: true}"])
    train = Examples(faces.select("train"), targets=None if wanted is None else wanted.numpy())
    return module.TrainingModule(build(recipe.model, recipe.preprocess, (7, 8)), recipe, train, train)


def test_a_second_head_adds_its_weighted_loss_and_stays_out_of_the_figures(faces: FaceSet) -> None:
    wanted = torch.zeros(4, 15)
    wanted[range(4), [0, 1, 2, 3]], wanted[range(3), [7, 8, 14]] = 1, 1  # nobody voted on the last
    classifier = _two_heads(faces, wanted).eval()
    pixels = torch.from_numpy(faces.select("train").images[:4])
    logits = classifier.network(prepare(pixels, classifier.preprocess))
    own = functional.cross_entropy(logits[:, :7], wanted[:, :7])
    votes = logits[:, 7:].log_softmax(dim=1)
    expected = own - 0.5 * (votes[0, 0] + votes[1, 1] + votes[2, 7]) / 4
    assert classifier.training_step((pixels, wanted), 0).item() == pytest.approx(expected.item(), rel=1e-5)
    assert classifier.figures["train_loss"].compute().item() == pytest.approx(own.item(), rel=1e-5)


def test_val_follows_both_heads_each_against_its_own_truth(faces: FaceSet) -> None:
    classifier = _two_heads(faces, torch.zeros(4, 15)).eval()
    pixels = torch.from_numpy(faces.select("train").images[:4])
    logits = classifier.network(prepare(pixels, classifier.preprocess))
    labels, people = logits[:, :7].argmax(dim=1), logits[:, 7:].argmax(dim=1)
    wanted = torch.zeros(4, 15)
    wanted[range(4), labels] = 1
    wanted[0, labels[0]], wanted[0, (labels[0] + 1) % 7] = 0, 1  # one label is missed
    wanted[range(3), 7 + people[:3]] = torch.tensor([1.0, 0.5, 0.25])  # shares of the votes for the answers
    wanted[range(1, 3), 7 + (people[1:3] + 1) % 8] = torch.tensor([0.5, 0.75])  # nobody voted on the last
    classifier.validation_step((pixels, wanted), 0)
    assert classifier.figures["val_accuracy"].compute().item() == pytest.approx(0.75)
    assert classifier.figures["val_people"].compute().item() == pytest.approx(1.75 / 3)


def test_weighted_loss_is_torch_s_with_inverse_class_counts(faces: FaceSet) -> None:
    torch.manual_seed(0)
    recipe = Recipe.load("cnn-v1", ["data.imbalance=loss"])
    train = faces.select("train")
    network = build(recipe.model, recipe.preprocess, 7)
    classifier = module.TrainingModule(network, recipe, Examples(train), Examples(faces.select("val")))
    pixels, labels = torch.from_numpy(train.images[::7]), torch.from_numpy(train.labels[::7])
    logits = network(prepare(pixels, recipe.preprocess))
    weights = torch.tensor(class_weights(train.labels, 7), dtype=torch.float32)
    expected = functional.cross_entropy(logits, labels, weight=weights)
    assert classifier.training_step((pixels, labels), 0).item() == pytest.approx(expected.item(), rel=1e-5)
    assert expected.item() != pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-3)


def test_soft_targets_are_compared_as_distributions(faces: FaceSet) -> None:
    torch.manual_seed(0)
    recipe = Recipe.load("cnn-v1", ["targets.smoothing=0.2"])
    train = faces.select("train")
    network = build(recipe.model, recipe.preprocess, 7)
    classifier = module.TrainingModule(network, recipe, Examples(train), Examples(train))
    pixels, targets = torch.from_numpy(train.images[:6]), torch.rand(6, 7).softmax(dim=1)
    logs = network(prepare(pixels, recipe.preprocess)).log_softmax(dim=1)
    by_hand = -((0.8 * targets + 0.2 / 7) * logs).sum(dim=1).mean()
    assert classifier.training_step((pixels, targets), 1).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_the_moving_average_has_short_memory_first_then_that_of_its_decay() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    average = module.Average(network, 0.9)
    weight, expected = network[0].weight, None
    for step in range(200):
        with torch.no_grad():
            weight.fill_(float(step))
            network[1].running_mean.fill_(float(-step))
            network[1].num_batches_tracked.fill_(step)
        average.update_parameters(network)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = float(step) if expected is None else decay * expected + (1 - decay) * step
    assert average.module[0].weight.item() == pytest.approx(expected, rel=1e-4)
    assert average.module[1].running_mean.item() == pytest.approx(-expected, rel=1e-4)
    assert average.module[1].num_batches_tracked.item() == 199
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert weight.item() == 199  # the network itself goes its own way


def test_val_is_seen_by_the_average(faces: FaceSet) -> None:
    recipe = Recipe.load("cnn-v1", ["average=0.99"])
    train = faces.select("train")
    classifier = module.TrainingModule(
        build(recipe.model, recipe.preprocess, 7), recipe, Examples(train), Examples(train)
    ).eval()
    batch = torch.from_numpy(train.images[:4]), torch.from_numpy(train.labels[:4])
    for parameter in classifier.kept.parameters():
        parameter.data.zero_()
    classifier.validation_step(batch, 0)
    assert classifier.figures["val_loss"].compute().item() == pytest.approx(math.log(7), rel=1e-6)
    assert classifier.kept is not classifier.network


@pytest.mark.parametrize("name", ["small-v2", "vit-tuned"])
def test_a_step_reads_no_value_and_leaves_nothing_on_the_cpu(
    name: str, faces: FaceSet, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would make a GPU wait. On the device "meta" tensors have no values, so both are errors."""
    sets = [f"model.backbone={tiny_vit}", "data.preprocess.size=32"] if name == "vit-tuned" else []
    recipe = complete(Recipe.load(name, [*sets, "data.augment.mixup=0.2"]))
    monkeypatch.setattr(muon, "orthogonal", lambda matrix: muon.orthogonal_all([matrix])[0])  # as on a GPU
    network = build(recipe.model, recipe.preprocess, (7, len(recipe.targets.people_labels(faces.label_set.labels))))
    classifier = module.TrainingModule(network, recipe, Examples(faces), Examples(faces)).to("meta").train()
    assert classifier._averaged is not None
    classifier._averaged.n_averaged = torch.tensor(0)  # read once, at the first step
    optimizer = module.make_optimizer(classifier.network, recipe)
    batch = torch.zeros(8, 32, 32, dtype=torch.uint8, device="meta"), torch.rand(8, 14, device="meta")
    for step in (1, 2):
        classifier.training_step(batch, step).backward()
        optimizer.step()
        optimizer.zero_grad()
        classifier.on_train_batch_end(None, batch, step)
    classifier.eval()
    classifier.validation_step(batch, 0)
    assert all(value.device.type == "meta" for value in classifier.state_dict().values() if value.ndim)


@pytest.mark.parametrize("name", ["cnn-v2", "small-v2", "vit-v1.6.6"])
def test_recorded_steps_train_the_same(
    name: str, faces: FaceSet, tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph repeats a step on the memory that it was recorded with; here a CPU repeats it there."""
    sets = ["epochs=3", "data.batch_size=50"]
    if name == "small-v2":
        sets += ["schedule.decay_epochs=1", "schedule.warmup_epochs=1", "model.widths=[8, 8, 16, 16]", "targets={}"]
    if name.startswith("vit"):  # of which a block begins to move in the second epoch
        sets += [f"model.backbone={tiny_vit}", "data.preprocess.size=32", "unfreeze.schedule={2: 1}"]
    recipe = Recipe.load(name, [*sets, "early_stopping=null"])
    hardware, replayed = detect(device="cpu", precision="float32"), []

    def record(step: Callable[[], None]) -> Callable[[], None]:
        for _ in range(3):
            step()

        def replay() -> None:
            replayed.append(step)
            with graphs._rates_in(step.__self__._optimizer, step.__self__._rates):  # type: ignore[attr-defined]
                step()

        return replay

    plain = train(recipe, faces, tmp_path / "plain", hardware=hardware)
    assert not replayed
    monkeypatch.setattr(graphs, "record", record)
    recorded = train(recipe, faces, tmp_path / "recorded", hardware=replace(hardware, graphs=True))
    assert len(replayed) == 3 * 2  # of 112 faces two batches of 50 an epoch, and a smaller one
    for name in ("train_loss", "val_loss", "train_accuracy", "lr"):
        values = [[getattr(row, name) for row in run.history] for run in (plain, recorded)]
        one_image = 1.01 / 112 if name == "train_accuracy" else 0.0  # rates of 32 and 64 bits round differently
        assert values[0] == pytest.approx(values[1], rel=1e-3, abs=one_image), name
    one, other = (load_file(run.weights_file) for run in (plain, recorded))
    # Biases before a batch norm have no gradient but for rounding, of which Adam makes moves; a step moves by .001.
    assert all(torch.allclose(one[key], other[key], atol=1e-5) for key in one if key.endswith("weight"))


def test_a_step_that_cannot_be_recorded_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten())
    optimizer = muon.Muon(network.parameters(), lr=0.1)

    def losses(shown: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits = network(shown)
        loss = functional.cross_entropy(logits, wanted)
        return loss, loss, logits

    def fail(step: Callable[[], None]) -> Callable[[], None]:
        step()
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    example = torch.rand(2, 2, 4, 4), torch.tensor([1, 2])
    losses(*example)[0].backward()
    optimizer.step()
    optimizer.zero_grad()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    momentum = optimizer.state[network[0].weight]["momentum_buffer"].clone()
    monkeypatch.setattr(graphs, "record", fail)
    assert graphs.recorded(losses, network, optimizer, example, half=False) is None
    assert caplog.messages == [
        "a training step cannot be recorded as a CUDA graph (operation not permitted): slower, same numbers"
    ]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert torch.equal(momentum, optimizer.state[network[0].weight]["momentum_buffer"])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.01])
    assert all(parameter.grad is None for parameter in network.parameters())
