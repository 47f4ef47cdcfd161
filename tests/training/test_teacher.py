"""A teacher that is asked with each batch sees what its pupil sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien import FaceSet, InputError, Recipe, Run
from mien.models.build import build
from mien.training import module
from mien.training.hardware import detect
from mien.training.loaders import Examples
from mien.training.predict import outputs
from mien.training.prepare import prepare
from mien.training.targets import Sources, targets
from mien.training.teacher import open_teacher
from mien.training.train import train

ASKED = ("targets.teacher=0.6", "targets.teacher_sees=batch")


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.load("cnn-v2", [*ASKED, "epochs=1", "data.batch_size=50"])


def test_its_answers_on_the_batch_join_the_targets(trained_run: Run, drawn_faces: FaceSet, recipe: Recipe) -> None:
    faces = drawn_faces.select("train")
    own = targets(recipe, faces, Sources(teacher=trained_run))
    assert own is not None
    assert own.sum(axis=1) == pytest.approx(np.full(len(faces), 0.4))
    teacher = open_teacher(trained_run, recipe, faces.label_set.labels)
    network = build(recipe.model, recipe.preprocess, 7)
    examples = Examples(faces, targets=own)
    pupil = module.TrainingModule(network, recipe, examples, Examples(faces), teacher=teacher)
    pixels, wanted = torch.from_numpy(faces.images[:5]), torch.from_numpy(own[:5])
    _, blended = pupil._seen(pixels, wanted)
    said = outputs(trained_run.load_model(), trained_run.card, list(faces.images[:5]))
    np.testing.assert_allclose(blended.numpy(), own[:5] + 0.6 * said, atol=1e-5)
    assert not any("teacher" in key for key in pupil.state_dict())


def test_it_sees_the_picture_in_its_own_size_and_color(trained_run: Run, drawn_faces: FaceSet, recipe: Recipe) -> None:
    """Normalization, side and number of channels are the teacher's own."""
    teacher = open_teacher(trained_run, recipe, drawn_faces.label_set.labels)
    seen: list[torch.Tensor] = []
    teacher.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    other = recipe.preprocess.model_copy(update={"mean": (0.2,), "std": (0.7,)})
    shown = prepare(torch.from_numpy(drawn_faces.images[:3]), other)
    teacher = replace(teacher, seen=other)
    teacher.blend(shown, torch.zeros(3, 7))
    expected = prepare(torch.from_numpy(drawn_faces.images[:3]), trained_run.card.preprocess)
    assert torch.allclose(seen[0], expected, atol=1e-5)
    told = {"color": "rgb", "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "size": 30}
    colored = teacher.card.preprocess.model_copy(update=told)
    teacher = replace(teacher, card=teacher.card.model_copy(update={"preprocess": colored}))
    with pytest.raises(RuntimeError):  # this network takes one channel
        teacher.blend(shown, torch.zeros(3, 7))
    assert seen[1].shape == (3, 3, 30, 30)
    gray = torch.nn.functional.interpolate(
        torch.from_numpy(drawn_faces.images[:3])[:, None].float() / 255, size=(30, 30), mode="bilinear"
    )
    for channel, (mean, std) in enumerate(zip(colored.mean, colored.std, strict=True)):
        assert torch.allclose(seen[1][:, channel], (gray[:, 0] - mean) / std, atol=1e-4)


def test_a_pupil_is_trained_and_resumed_with_it_alone(
    trained_run: Run, drawn_faces: FaceSet, recipe: Recipe, tmp_path: Path
) -> None:
    hardware = detect(device="cpu", precision="float32")
    longer = recipe.model_copy(update={"epochs": 2, "early_stopping": None})
    run = train(longer, drawn_faces, tmp_path / "pupil", Sources(teacher=trained_run), hardware)
    assert run.finished
    alone = longer.model_copy(update={"targets": longer.targets.model_copy(update={"teacher": 0.0})})
    other = train(alone, drawn_faces, tmp_path / "alone", hardware=hardware)
    assert run.history[-1].train_loss != other.history[-1].train_loss
    with pytest.raises(InputError, match="its teacher sees the batch, so it takes a run"):
        train(longer, drawn_faces, tmp_path / "no", Sources(teacher=trained_run.predictions("val")), hardware)
    with pytest.raises(InputError, match=r"the teacher .* knows the classes"):
        open_teacher(trained_run, recipe, ("a", "b"))
