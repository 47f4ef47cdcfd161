"""Teacher: another run's network that is asked along with each batch, on the pictures as the pupil sees them.

Source: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent": both see the same changed
picture. Shapes: B images, C channels, S pixels, K labels, O answers of all heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mien.cards import Card
from mien.errors import InputError
from mien.models.head import probabilities
from mien.preprocess import Preprocess
from mien.recipes.recipe import Recipe
from mien.training.prepare import normalized, of_channels, resized, to_gray
from mien.training.run import Run


@dataclass(frozen=True, eq=False)
class Teacher:
    """`network` answers for pictures prepared for the pupil, as they are: mirror images would cost as much again."""

    network: nn.Module
    card: Card
    seen: Preprocess  # the pupil's
    share: float  # of the targets
    identity: str

    def blend(self, shown: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """`(B, K)` or `(B, O)` targets with the teacher's share in them.

        `wanted`: the labels' part already leaves room for it; what people see is made room in.
        """
        classes = len(self.card.labels)
        said = self._asked(shown)
        blended = wanted.clone()
        blended[:, :classes] += self.share * said[:, :classes]
        if wanted.shape[1] > classes and self.card.people:
            blended[:, classes:] = (1 - self.share) * wanted[:, classes:] + self.share * said[:, classes:]
        return blended

    @torch.no_grad()
    def _asked(self, shown: torch.Tensor) -> torch.Tensor:
        network = self.network.to(shown.device)  # where it stays
        theirs = _as_it_sees(shown, self.seen, self.card.preprocess)
        return probabilities(network, theirs, mirror=False, widths=self.card.widths)


def open_teacher(run: Run, recipe: Recipe, labels: tuple[str, ...]) -> Teacher:
    """Raises `InputError` where the run answers with other labels."""
    card = run.card
    if card.labels != labels:
        raise InputError(
            f"the teacher {run.folder} knows the classes {', '.join(card.labels)}, the faces have {', '.join(labels)}"
        )
    people = recipe.targets.people_labels(labels)
    if people and card.people and card.people.labels != people:
        raise InputError(f"the teacher {run.folder} has another people's head: {', '.join(card.people.labels)}")
    network = run.load_model().requires_grad_(False).eval()
    return Teacher(network, card, recipe.preprocess, recipe.targets.teacher, run.identity)


def _as_it_sees(shown: torch.Tensor, ours: Preprocess, theirs: Preprocess) -> torch.Tensor:
    """Normalized `(B, C, S, S)` as another network takes it."""
    if ours == theirs:
        return shown
    images = shown.float() * of_channels(ours.std, shown.device) + of_channels(ours.mean, shown.device)
    if theirs.color == "gray" and images.shape[1] == 3:
        images = to_gray(images)
    return normalized(resized(images, theirs), theirs)
