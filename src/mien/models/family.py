"""Family: which kind of network a recipe trains."""

from __future__ import annotations

from typing import Literal, get_args

from mien.recipes.recipe import Recipe
from mien.recipes.sections import Cnn, Ensemble, Residual, Vit

Family = Literal["CNN from zero", "ViT from zero", "pre-trained ViT", "pre-trained CNN", "pre-trained"]
FAMILIES: tuple[Family, ...] = get_args(Family)
# By the `model_type` of a backbone's own config, as the card keeps it.
_CNNS = {
    "bit", "convnext", "convnextv2", "dinov3_convnext", "efficientnet", "efficientnet-lite0", "face-resnet",
    "focalnet",
    "mobilenet_v1", "mobilenet_v2", "regnet", "resnet",
}  # fmt: skip
_TRANSFORMERS = {
    "beit", "clip_vision_model", "data2vec-vision", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "hiera",
    "ijepa", "pvt", "pvt_v2", "siglip_vision_model", "siglip2_vision_model", "swin", "swinv2", "vit",
    "vit_mae", "vit_msn", "vivit",
}  # fmt: skip


def family(recipe: Recipe, architecture: str | None = None) -> Family:
    """The family of a recipe's network.

    A network from zero is named by the recipe's `kind`, an ensemble by its first member. A pre-trained one is what
    the config of its backbone says: `architecture` is the `model_type` there. One of an unknown type stays
    "pre-trained" and takes no side.
    """
    model = recipe.model
    if isinstance(model, Ensemble):
        model = model.members[0]
    if isinstance(model, Cnn | Residual):
        return "CNN from zero"
    if isinstance(model, Vit):
        return "ViT from zero"
    if architecture in _CNNS:
        return "pre-trained CNN"
    return "pre-trained ViT" if architecture in _TRANSFORMERS else "pre-trained"
