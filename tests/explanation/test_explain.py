"""Explanations: pencil cases, what is left of a network after them, and whether they depend on what it learned."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from mien import FaceSet, Recognizer, Run
from mien.errors import InputError
from mien.explanation import attention, explain
from mien.explanation.explain import Explainer, scaled
from mien.explanation.occlusion import occlusion
from mien.explanation.saliency import grad_cam, saliency, way_of
from mien.images import Pixels
from mien.models import checkpoints
from mien.models.cnn import cnn_v2
from mien.models.ensemble import EnsembleNet
from mien.models.head import head, probabilities
from mien.models.pretrained import PretrainedClassifier
from mien.models.residual import ResidualNet
from mien.models.vit import ScratchVit
from mien.recipes.sections import HeadLayers, Pretrained, Residual, Vit
from mien.recognize.vendored import vendored_folder
from mien.training.predict import classify

Save = Callable[..., Path]
WAYS = {
    "vit": "attention", "deit": "attention", "beit": "attention", "dinov2": "attention",
    "dinov2-registers": "attention", "swin": None, "resnet": "grad-cam", "convnextv2": "grad-cam",
    "efficientnet": "grad-cam",
}  # fmt: skip


def pretrained(folder: Path, features: str = "mean") -> PretrainedClassifier:
    how = Pretrained(kind="pretrained", backbone=str(folder), features=features)  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = checkpoints.load(how, 32)
        return PretrainedClassifier(backbone, head(backbone.width, 3, HeadLayers(hidden=()))).eval()


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def scratch_vit() -> nn.Module:
    return ScratchVit(1, 48, 7, Vit(kind="vit", patch=8, width=16, heads=2, depth=2))


def residual() -> nn.Module:
    return ResidualNet(1, 7, Residual(kind="residual", widths=(8, 16, 24), depths=(1, 1, 1), stem=8))


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Grad-CAM


def test_grad_cam_by_pencil() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, 4.0]]]])
    gradients = torch.tensor([[[[1.0, 3.0], [2.0, 2.0]], [[-1.0, -1.0], [-2.0, 0.0]]]])  # of mean 2 and −1
    assert grad_cam(maps, gradients).tolist() == [[[2.0, 3.0], [6.0, 0.0]]]


def test_grad_cam_of_a_network_by_pencil() -> None:
    """Two maps, the image and its negative; class 1 is 3 times the mean of the first and once that of the second."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        network[3].weight.copy_(torch.tensor([[0.0, 0.0], [3.0, 1.0]]))
        network[3].bias.zero_()
    image = noise(1, 1, 4, 4)
    found = saliency(network, image, "grad-cam", label=1)
    assert torch.allclose(found.maps, ((3 - 1) * image[:, 0] / 16).relu())
    assert torch.allclose(found.probabilities, torch.tensor([[0.0, 2 * image.mean()]]).softmax(1))


def test_cnn_v2_is_explained_by_its_last_convolution_before_pooling() -> None:
    """6 x 6 positions, not the 3 x 3 after it."""
    network = seeded(lambda: cnn_v2(1, 48, 7))
    image = noise(1, 1, 48, 48)
    upto = next(i for i, part in enumerate(network) if isinstance(part, nn.Flatten)) - 2  # type: ignore[arg-type]
    maps = network[:upto](image).detach().requires_grad_()  # type: ignore[index]
    assert maps.shape == (1, 256, 6, 6)
    logits = network[upto:](maps)  # type: ignore[index]
    (gradients,) = torch.autograd.grad(logits[0, 4], [maps])
    expected = np.maximum(np.einsum("d,dhw->hw", gradients[0].mean((1, 2)), maps[0].detach()), 0)
    found = saliency(network, image, "grad-cam", label=4).maps[0]
    assert np.allclose(found, cv2.resize(expected, (48, 48), interpolation=cv2.INTER_LINEAR), atol=1e-7)
    assert found.max() > 1e-4


# Attention


def test_relevance_by_pencil() -> None:
    attention_0 = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.25, 0.75]]]])
    gradient_0 = torch.tensor([[[[2.0, -1.0], [5.0, 1.0]], [[0.0, 1.0], [4.0, -4.0]]]])
    once = attention.relevance([attention_0], [gradient_0])
    # HeadLayers 1: [[1, 0], [0, 1]], head 2: [[0, 0], [1, 0]]; their mean, and the identity.
    assert once.tolist() == [[[1.5, 0.0], [0.5, 1.5]]]
    attention_1, gradient_1 = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]]), torch.tensor([[[[1.0, 2.0], [-1.0, 1.0]]]])
    # One head: [[0, 2], [0, 0]] times the above is [[1, 3], [0, 0]].
    twice = attention.relevance([attention_0, attention_1], [gradient_0, gradient_1])
    assert twice.tolist() == [[[2.5, 3.0], [0.5, 1.5]]]


@pytest.mark.parametrize(
    ("features", "expected"),
    [("cls", [[0.0, 0.6, 0.1, 0.3]]), ("mean", [[0.2, 0.0, 0.1, 0.1]]), ("both", [[0.0, 0.2, 0.0, 0.1]])],
)
def test_relevance_is_read_from_the_tokens_that_the_features_use(
    features: str, expected: list[list[float]], tiny_vit: Path
) -> None:
    R = torch.eye(5)
    R[0, 1:] += torch.tensor([0.2, 0.8, 0.3, 0.5])  # the class token's
    R[1:, 1:] += torch.tensor([0.4, 0.2, 0.3, 0.3])  # of each patch
    R[:, 0] += 9  # on the class token, which is no place
    network = pretrained(tiny_vit, features)
    found = attention.of_patches(network, R[None], torch.zeros(1, 3, 16, 16))
    assert torch.allclose(found.flatten(1), torch.tensor(expected), atol=1e-6)
    assert attention.of_patches(network, R[None], torch.zeros(1, 3, 8, 32)).shape == (1, 1, 4), "grids need no square"


def test_attention_of_our_own_vit_is_that_of_torch() -> None:
    network = seeded(scratch_vit)
    images = noise(2, 1, 48, 48)
    with torch.no_grad(), attention.recorded(network) as seen:  # type: ignore[arg-type]
        again = network.train(False)(images.requires_grad_())
        tokens = network.stem(images).flatten(2).transpose(1, 2) + network.positions
        layer = network.encoder.layers[0]
        tokens = layer.norm1(tokens) if layer.norm_first else tokens
    _, expected = layer.self_attn(tokens, tokens, tokens, need_weights=True, average_attn_weights=False)
    assert torch.allclose(again, network(images), atol=1e-5)
    assert [tuple(one.shape) for one in seen] == [(2, 2, 36, 36)] * 2
    assert torch.allclose(seen[0], expected, atol=1e-6)


# All networks


def test_every_architecture_that_gives_features_is_explained(save_checkpoint: Save, tmp_path: Path) -> None:
    """All that the tests know, but masked autoencoders, of which no model can be made."""
    known = set(inspect.getmodule(save_checkpoint)._ARCHITECTURES)  # type: ignore[union-attr]
    assert known - set(WAYS) == {"mae"}
    with pytest.raises(InputError, match="no features of an image"):
        pretrained(save_checkpoint(tmp_path / "mae", "mae"))


@pytest.mark.parametrize("name", WAYS)
def test_every_architecture_gives_a_map_or_says_that_it_has_none(name: str, save_checkpoint: Save, tmp_path: Path
                                                                  ) -> None:  # fmt: skip
    network = pretrained(save_checkpoint(tmp_path / name, name))
    images = noise(2, 3, 32, 32)
    way = way_of(network, torch.zeros(1, 3, 32, 32))
    assert way == WAYS[name]
    if way is None:
        return
    before = network(images)
    found = saliency(network, images, way)
    assert found.maps.shape == (2, 32, 32)
    assert found.maps.isfinite().all()
    assert (found.maps >= 0).all()
    # What this tiny EfficientNet makes of any image, with fresh weights, is below what float32 holds.
    assert name == "efficientnet" or (found.maps.flatten(1).std(1) > 0).any(), "not the same all over"
    assert torch.allclose(found.probabilities, before.softmax(1), atol=1e-5)
    assert torch.equal(found.labels, before.argmax(1))


@pytest.mark.parametrize("make", [lambda: cnn_v2(1, 48, 7), residual, scratch_vit])
def test_a_network_is_left_as_it_was(make: Callable[[], nn.Module]) -> None:
    network = seeded(make)
    modules = list(network.modules())
    modules[1].train()
    images, before = noise(2, 1, 48, 48), [module.training for module in modules]
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    way = way_of(network, images[:1])
    assert way is not None
    answer = seeded(make)(images)
    saliency(network, images, way)
    assert [module.training for module in modules] == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
    assert torch.equal(network.eval()(images), answer)


def test_a_backbone_is_left_as_it_was_also_after_an_error(tiny_vit: Path) -> None:
    network = pretrained(tiny_vit)
    model, images = network.backbone.network.model, noise(2, 3, 32, 32)
    before, answer = (model.config._attn_implementation, model.config.output_attentions), network(images)
    assert before == ("sdpa", False)
    saliency(network, images, "attention")
    with pytest.raises(ValueError, match="Expected 3 but got 4"):
        saliency(network, noise(2, 4, 32, 32), "attention")
    assert (model.config._attn_implementation, model.config.output_attentions) == before
    assert not any(module._forward_hooks for module in network.modules())
    assert torch.equal(network(images), answer)


@pytest.mark.parametrize("make", [residual, scratch_vit])
def test_models_that_see_mirror_images_are_explained_with_them(make: Callable[[], nn.Module]) -> None:
    network, images = seeded(make), noise(2, 1, 48, 48)
    way = way_of(network, images[:1])
    assert way is not None
    plain, turned = (saliency(network, shown, way, label=2).maps for shown in (images, images.flip(-1)))
    both = saliency(network, images, way, label=2, mirror=True)
    assert torch.allclose(both.maps, (plain + turned.flip(-1)) / 2, atol=1e-6)
    with torch.no_grad():
        expected = probabilities(network, images, mirror=True)
    assert torch.allclose(both.probabilities, expected, atol=1e-6)
    assert torch.allclose(
        saliency(network, images.flip(-1), way, label=2, mirror=True).maps, both.maps.flip(-1), atol=1e-6
    )


def test_ensembles_have_no_gradients_of_their_own() -> None:
    assert way_of(EnsembleNet([seeded(residual), seeded(residual, 1)]), torch.zeros(1, 1, 48, 48)) is None


# Sanity: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018


def likeness(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean rank correlation of maps (N, H, W)."""
    return float(np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]))


def test_a_map_depends_on_what_was_learned(trained_folder: Path, drawn_faces: FaceSet) -> None:
    run = Run.open(trained_folder)
    images = torch.from_numpy(run.card.preprocess(list(drawn_faces.gather(np.arange(20)))))
    learned, again, random = run.load_model(), run.load_model(), run.load_model()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for part in random.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                part.reset_parameters()
    first, second, other = (saliency(net, images, "grad-cam", label=3).maps for net in (learned, again, random))
    assert torch.equal(first, second)
    assert likeness(first, other) < 0.5


def test_attention_depends_on_what_was_learned(drawn_faces: FaceSet) -> None:
    """Of a transformer that learns by heart who of 60 drawn faces is happy."""
    images = torch.from_numpy(np.stack(list(drawn_faces.gather(np.arange(60))))[:, None] / np.float32(255) - 0.5)
    answers = torch.from_numpy((drawn_faces.labels[:60] == 3).astype(np.int64))
    learned = seeded(scratch_vit)
    optimizer = torch.optim.AdamW(learned.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(learned(images), answers)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2, "or there is nothing to lose"
    again = seeded(scratch_vit, 5)
    again.load_state_dict(learned.state_dict())
    random = seeded(scratch_vit, 1)
    first, second, other = (saliency(net, images[:20], "attention", label=1).maps for net in (learned, again, random))
    assert torch.equal(first, second)
    assert likeness(first, other) < 0.5


# Occlusion


def test_occlusion_marks_the_corner_that_a_classifier_looks_at_and_no_other() -> None:
    """Class 1 is how bright the upper left 12 x 12 pixels are. The rest of the face is dark; patches are 10 wide."""

    def looks_at_a_corner(crops: Sequence[Pixels]) -> np.ndarray:
        bright = np.array([crop[:12, :12].mean() / 255 for crop in crops], dtype=np.float32)
        return np.stack([1 - bright, bright], axis=1)

    face = np.full((48, 48), 10, np.uint8)
    face[:12, :12] = 250
    gray = round(float(face.mean()))
    heat, drop = occlusion(looks_at_a_corner, face, 1)
    assert drop == pytest.approx(100 / 144 * (250 - gray) / 255, abs=1e-3)
    assert heat[:5, :5] == pytest.approx(drop), "seen by the patch in the corner alone"
    rows, columns = np.nonzero(heat > 1e-6)
    assert max(rows.max(), columns.max()) < 20, "the last patch that touches the corner begins at 10"
    other, _ = occlusion(looks_at_a_corner, face, 0)
    assert other == pytest.approx(-heat)
    assert scaled(other).max() == 0


@pytest.mark.parametrize("shape", [(48, 48), (33, 57, 3), (8, 8)])
def test_occlusion_covers_every_pixel_and_changes_no_face(shape: tuple[int, ...]) -> None:
    face = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before, seen = face.copy(), []

    def notes(crops: Sequence[Pixels]) -> np.ndarray:
        seen.extend(crops)
        return np.full((len(crops), 2), 0.5, np.float32)

    heat, drop = occlusion(notes, face, 0)
    changed = np.any([(crop != before).reshape(*shape[:2], -1).any(axis=2) for crop in seen], axis=0)
    unlikely = np.all(before.reshape(*shape[:2], -1) == np.rint(before.mean(axis=(0, 1))), axis=2)
    assert (changed | unlikely).all()
    assert (heat.shape, heat.dtype, drop) == (shape[:2], np.float32, 0)
    assert np.array_equal(face, before)


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="above 0, below 1"):
        occlusion(lambda crops: np.ones((len(crops), 1), np.float32), np.zeros((9, 9), np.uint8), 0, share=share)


def test_scaled_cuts_what_speaks_against_and_never_divides_by_nothing() -> None:
    assert scaled(np.array([[-1, 0], [1, 4]], np.float32)).tolist() == [[0, 0], [0.25, 1]]
    assert scaled(np.full((2, 2), -3, np.float32)).tolist() == [[0, 0], [0, 0]]


# Explainer


def faces_of(drawn_faces: FaceSet, count: int = 3) -> list[Pixels]:
    return list(drawn_faces.gather(np.arange(count)))


def test_a_run_is_explained_by_its_gradients(trained_run: Run, drawn_faces: FaceSet) -> None:
    faces, steps = faces_of(drawn_faces), []
    explainer = Explainer(trained_run.folder)
    found = list(explainer(faces, progress=lambda *step: steps.append(step)))
    assert steps == [("explaining", i, 3) for i in (1, 2, 3)]
    expected = classify(trained_run.load_model(), explainer.card, faces)
    for one, face, answer in zip(found, faces, expected, strict=True):
        assert (one.method, one.drop, one.heat.shape, one.heat.dtype) == ("grad-cam", None, (48, 48), np.float32)
        assert list(one.probabilities) == list(explainer.card.labels)
        assert list(one.probabilities.values()) == pytest.approx(answer, abs=1e-5)
        assert one.label == one.emotion == explainer.card.labels[answer.argmax()]
        assert one.probability == max(one.probabilities.values())
        assert np.array_equal(one.face, face)
        assert one.heat.max() in (0, 1)


def test_the_temperature_of_a_card_is_in_the_probabilities(trained_run: Run, drawn_faces: FaceSet) -> None:
    faces = faces_of(drawn_faces, 1)
    (before,) = Explainer(trained_run.folder)(faces)
    trained_run.card.model_copy(update={"temperature": 2.0}).save(trained_run.folder / "card.json")
    (after,) = Explainer(trained_run.folder)(faces)
    roots = np.sqrt(list(before.probabilities.values()))
    assert list(after.probabilities.values()) == pytest.approx(roots / roots.sum(), abs=1e-5)
    assert np.array_equal(after.heat, before.heat)


def test_occlusion_of_a_run_and_another_label(trained_run: Run, drawn_faces: FaceSet) -> None:
    explainer = Explainer(trained_run.folder, "occlusion", "fear")
    (one,) = explainer(faces_of(drawn_faces, 1))
    assert (one.method, one.label) == ("occlusion", "fear")
    network, card = trained_run.load_model(), trained_run.card
    drops, drop = occlusion(lambda c: classify(network, card, list(c)), one.face, card.labels.index("fear"))
    assert one.drop == drop
    assert np.array_equal(one.heat, scaled(drops))


def test_model_files_and_runs_without_torch_are_explained_by_occlusion(
    trained_run: Run, drawn_faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = faces_of(drawn_faces, 2)
    expected = Recognizer("mien-tiny").classify(faces)
    shutil.copyfile(vendored_folder("weights") / "mien-tiny.onnx", trained_run.folder / "model.onnx")
    Recognizer("mien-tiny").card.save(trained_run.folder / "card.json")
    monkeypatch.setattr(explain, "find_spec", lambda _: None)
    monkeypatch.setattr("mien.model.find_spec", lambda _: None)
    monkeypatch.setattr(Run, "load_model", None)
    for model in ("mien-tiny", trained_run.folder / "model.onnx", trained_run.folder):
        found = list(Explainer(model)(faces))
        assert [one.method for one in found] == ["occlusion"] * 2
        assert np.allclose([list(one.probabilities.values()) for one in found], expected, atol=1e-6)


def test_what_does_not_fit_is_told_with_the_way_that_does(trained_run: Run) -> None:
    for method in ("grad-cam", "attention"):
        with pytest.raises(InputError, match=r"mien-tiny: an \.onnx file has no gradients; use the run or"):
            Explainer("mien-tiny", method)
    with pytest.raises(InputError, match=r"attention needs .*trained is a CNN: use --method grad-cam or occlusion"):
        Explainer(trained_run.folder, "attention")
    with pytest.raises(InputError, match=r"unknown method 'gradcam'\. Did you mean 'grad-cam'\?"):
        Explainer(trained_run.folder, "gradcam")
    with pytest.raises(InputError, match=r"unknown label 'hapy'\. Did you mean 'happy'\?"):
        Explainer("mien-tiny", label="hapy")


def test_runs_of_other_networks(trained_run: Run, save_checkpoint: Save, tmp_path: Path, drawn_faces: FaceSet) -> None:
    """Windowed transformers by occlusion, as told; transformers by attention."""
    for name, way, unfit, message in (
        ("swin", "occlusion", "attention", "is neither .*: use --method occlusion"),
        ("dinov2", "attention", "grad-cam", "is a vision transformer: use --method attention or occlusion"),
    ):
        run = as_pretrained(trained_run, save_checkpoint(tmp_path / name, name))
        (one,) = Explainer(run.folder)(faces_of(drawn_faces, 1))
        assert (one.method, one.heat.shape, one.face.shape) == (way, (32, 32), (32, 32, 3))
        with pytest.raises(InputError, match=message):
            Explainer(run.folder, unfit)


def as_pretrained(run: Run, checkpoint: Path) -> Run:
    """The folder of `run` with another network in it, that learned nothing."""
    from safetensors.torch import save_file

    from mien.models.build import build
    from mien.preprocess import Preprocess

    how = Preprocess(size=32, color="rgb", mean=(0.5,) * 3, std=(0.5,) * 3)
    model = Pretrained(kind="pretrained", backbone=str(checkpoint), features="mean")
    network = build(model, how, len(run.card.labels))
    run.card.model_copy(update={"preprocess": how}).save(run.folder / "card.json")
    (run.folder / "recipe.yaml").write_text(run.recipe.model_copy(update={"model": model}).to_yaml())
    run.save_backbone_config(network.backbone.config)
    save_file(network.state_dict(), run.weights_file)
    return run
