"""Hub card: README.md of a repository on the Hugging Face hub: the model card, under metadata that the hub reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mien import hub
from mien.cards import Card
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.evaluate import Evaluation
from mien.evaluation.printed import format_estimate
from mien.report.layout import Page, Section, templates

_TASK = "image-classification"
_TAGS = ("mien", "facial-expression-recognition", "facial-emotion-recognition", "onnx")
_FIGURES = (("accuracy", "accuracy", "Accuracy"), ("macro_f1", "f1", "Macro F1"))  # of `Scores`; for the hub; in words
NO_LICENSE = "Its owner names no license, so nothing here says who may use it."


@dataclass(frozen=True)
class Told:
    """What only the owner can say of a model. `datasets`: their names on the hub."""

    license: str | None = None
    datasets: tuple[str, ...] = ()


def hub_card(
    page: Page, card: Card, evaluations: Sequence[Evaluation], repository: str, told: Told
) -> tuple[str, dict[str, bytes]]:
    """README.md of `repository`, and its pictures by path. Nothing in it is guessed: neither license nor data set."""
    page = page.with_pictures_in("pictures")
    use = Section(
        "Use",
        text=(() if told.license else (NO_LICENSE,)),
        code=(
            "pip install 'mien[hub]'",
            f"mien recognize photo.jpg --model hf://{repository}",
            f"mien evaluate hf://{repository} --data PATH",
        ),
    )
    page = replace(page, sections=(use, *page.sections))
    text = templates().get_template("report.md.j2").render(page=page)
    pictures = {picture.file: picture.png for picture in page.pictures}
    return f"---\n{_metadata(card, evaluations, repository, told)}\n---\n\n{text}", pictures


def _metadata(card: Card, evaluations: Sequence[Evaluation], repository: str, told: Told) -> str:
    """YAML by the hub's own types. Source: huggingface.co/docs/hub/model-cards, section on metadata."""
    client = hub.client("mien push")
    results = [
        result for one in evaluations for result in _results(one, card.training.data, card.training.fingerprint, told)
    ]
    data = client.ModelCardData(
        library_name="mien",
        license=told.license,
        pipeline_tag=_TASK,
        tags=list(_TAGS),
        datasets=list(told.datasets) or None,
        metrics=[metric for _, metric, _ in _FIGURES],
        model_name=repository.rpartition("/")[2],
        eval_results=[client.EvalResult(**result) for result in results],
    )
    text: str = data.to_yaml()
    return text.strip()


def _results(evaluation: Evaluation, data: str, fingerprint: str, told: Told) -> list[dict[str, object]]:
    """Each figure of a split as the hub has it; its interval stands in its name, for readers, and in its arguments."""
    of = {
        "task_type": _TASK,
        "task_name": "Facial expression recognition",
        "dataset_name": data,
        "dataset_type": told.datasets[0] if len(told.datasets) == 1 else re.sub(r"\W+", "-", data.lower()).strip("-"),
        "dataset_split": evaluation.split,
        "dataset_args": {"fingerprint_of_train_and_val": fingerprint},
    }
    found = []
    for scores, which in ((evaluation.scores, ""), (evaluation.leak_free, ", leak-free")):
        for figure, metric, name in _FIGURES if scores else ():
            value: Estimate = getattr(scores, figure)
            assert scores is not None
            found.append(
                {
                    **of,
                    "metric_type": metric,
                    "metric_name": f"{name}{which}: {format_estimate(value)}, 95 % interval, n = {scores.n:,}",
                    "metric_value": round(value.value, 4),
                    "metric_args": {
                        "low": round(value.low, 4),
                        "high": round(value.high, 4),
                        "confidence": 0.95,
                        "n": scores.n,
                    },
                }
            )
    return found
