"""The report's pages hold every number with its split, n and interval, ask for nothing outside, and trust no name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

import pytest
from markdown_it import MarkdownIt

from mien.errors import InputError
from mien.evaluation.printed import format_estimate, verdict
from mien.report.content import StudyReport
from mien.report.layout import escape_markdown
from mien.report.settings import settings
from mien.studies.page import compose, write_report

MakeReport = Callable[..., StudyReport]
SECTIONS = [
    "Verdict", "Results", "Accuracy against cost", "Label distribution", "Learning curves", "Loss against accuracy",
    "Confusion matrices", "Class by class", "Paired tests", "Recipes over seeds", "Protocol",
    "Where we differ from the study and why", "Environment and commands",
]  # fmt: skip


class Reader(HTMLParser):
    """Tags with their attributes, and the text outside of style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.in_style = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if not self.in_style:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def texts(report: StudyReport, folder: Path) -> dict[str, str]:
    """What a reader sees of both pages."""
    page = Reader(write_report(report, folder).read_text(encoding="utf-8"))
    markdown = MarkdownIt("commonmark").enable("table").render((folder / "report.md").read_text(encoding="utf-8"))
    return {"html": page.text, "markdown": Reader(markdown).text}


@pytest.fixture(scope="module")
def written(report: StudyReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(report, tmp_path_factory.mktemp("report"))


def test_page_asks_for_nothing_outside_itself(written: Path) -> None:
    page = written.read_text(encoding="utf-8")
    assert written.name == "report.html"
    assert not re.search(r"""(?:src|href|srcset|action)\s*=\s*["']?\s*(?:https?:)?//|url\(|@import""", page)
    tags = Reader(page).tags
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in tags}
    sources = [attrs["src"] for tag, attrs in tags if tag == "img"]
    assert (
        len(sources) == 3 + 3 + 4
    )  # curves and confusion of each run; cost, distribution, loss and accuracy, per class
    assert all(source is not None and source.startswith("data:image/png;base64,") for source in sources)


def test_both_pages_have_the_sections_in_order(written: Path) -> None:
    markdown = written.with_name("report.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", markdown, re.MULTILINE) == SECTIONS
    assert re.findall(r'<h2><a href="#.*?">(.*?)</a></h2>', written.read_text(encoding="utf-8")) == SECTIONS


def test_markdown_refers_to_pictures_that_exist(written: Path) -> None:
    files = re.findall(r"\]\((pictures/[a-z0-9.-]+\.png)\)", written.with_name("report.md").read_text(encoding="utf-8"))
    assert len(files) == len(set(files)) == 10
    assert sorted(files) == sorted(f"pictures/{path.name}" for path in (written.parent / "pictures").iterdir())
    assert all((written.parent / file).read_bytes().startswith(b"\x89PNG") for file in files)


@pytest.mark.usefixtures("quick")
def test_every_figure_carries_split_n_and_interval(report: StudyReport, tmp_path: Path) -> None:
    for text in texts(report, tmp_path).values():
        for run in report.runs:
            for split, evaluation in run.evaluations.items():
                figure = re.escape(format_estimate(evaluation.scores.accuracy))
                assert re.search(rf"{figure} \(?{split}, n = {evaluation.scores.n:,}", text)
            leak_free = run.evaluations["test"].leak_free
            assert leak_free is not None
            assert re.search(
                rf"{re.escape(format_estimate(leak_free.accuracy))} \(?leak-free, n = {leak_free.n:,}", text
            )
            assert format_estimate(run.evaluations["test"].scores.macro_f1) in text
        assert ".5181 / .522" in text
        assert ".6067 / .5887" in text


@pytest.mark.usefixtures("words")
def test_verdict_comes_first_and_names_the_best_by_val(report: StudyReport) -> None:
    best = max(report.runs, key=lambda run: run.evaluations["val"].scores.accuracy.value)
    first = compose(report).sections[0]
    assert f": {best.name}, with val accuracy" in first.points[0]
    said = [verdict(pair) for pair in report.comparisons["test"].pairs if best.name in (pair.first, pair.second)]
    assert len(said) == 2
    assert all(any(sentence in point for point in first.points) for sentence in said)


@pytest.mark.usefixtures("words")
def test_study_figure_is_placed_against_the_interval(report: StudyReport) -> None:
    run = report.runs[0]
    pooled = run.evaluations["pooled"].scores.accuracy
    for accuracy, place in ((pooled.low - 0.01, "below"), (pooled.value, "inside"), (pooled.high + 0.01, "above")):
        expected = run.recipe.expected.model_copy(update={"accuracy": round(accuracy, 4)})
        changed = replace(run, recipe=run.recipe.model_copy(update={"expected": expected}))
        points = compose(replace(report, runs=[changed], comparisons={})).sections[0].points
        assert points[-1].endswith(f"{place} our interval.")


@pytest.mark.usefixtures("quick")
def test_hostile_names_stay_words(make_report: MakeReport, tmp_path: Path) -> None:
    labels = ("<script>alert(1)</script>", "a|b `c` __d__ $e$", "![x](http://example.org/y.png)")
    report = make_report([("<b>bold</b>", "cnn-v2", 0.6, 0), ('q"uote', "cnn-v1", 0.4, 0)], labels, (9, 20, 30))
    path = write_report(replace(report, title="<i>study</i> & co"), tmp_path)
    page = Reader(path.read_text(encoding="utf-8"))
    assert not {"script", "b", "i"} & {tag for tag, _ in page.tags}
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    rendered = Reader(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
    assert not {"script", "b", "i", "a", "strong"} & {tag for tag, _ in rendered.tags}
    assert all(str(attrs["src"]).startswith("pictures/") for tag, attrs in rendered.tags if tag == "img")
    for seen in (page.text, rendered.text):
        assert all(label in seen for label in labels)
    widths = {
        len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if "a\\|b" in line and line[0] == "|"
    }
    assert widths == {5, 6}  # a row of the counts, and one of the classes: no cell was split


@pytest.mark.usefixtures("quick")
def test_without_test_split_val_is_shown_and_said(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report([("one", "cnn-v2", 0.6, 0), ("two", "cnn-v1", 0.4, 0)], test=False)
    for text in texts(report, tmp_path).values():
        assert "No test split was opened" in text
        assert "Images in val" in text
        assert "accuracy / F1" in text
        assert "Pooled: val and test" not in text


@pytest.mark.usefixtures("quick")
def test_one_run_of_three_classes(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report([("only", "cnn-v2", 0.6, 0)], ("no", "maybe", "yes"), (40, 10, 30))
    page = compose(report)
    assert "Paired tests" not in [section.title for section in page.sections]
    assert page.sections[0].points[0].startswith("only: val accuracy")
    assert page.subtitle.startswith("1 run on")
    (classes,) = next(section.tables for section in page.sections if section.title == "Class by class")
    assert [row[0].text for row in classes.rows] == ["no", "maybe", "yes"]
    assert [row[1].text for row in classes.rows] == ["40", "10", "30"]
    assert "only" in texts(report, tmp_path)["html"]


@pytest.mark.usefixtures("words")
def test_seeds_of_a_recipe_get_mean_and_deviation(make_report: MakeReport) -> None:
    report = make_report([(f"s{i}", "cnn-v2", 0.6, i) for i in range(3)] + [("other", "cnn-v1", 0.4, 0)])
    rows = compose(report).sections[1].tables[0].rows
    assert [row[0].text for row in rows] == ["s0", "s1", "s2", "cnn-v2, mean ± s.d.", "other"]
    assert rows[3][0].detail == "over seeds 0, 1, 2"
    values = [run.evaluations["test"].scores.accuracy.value for run in report.runs[:3]]
    assert rows[3][2].text == f"{mean(values):.3f} ± {stdev(values):.3f}".replace("0.", ".")
    assert rows[3][2].detail == "test, n = 359, 3 runs"


@pytest.mark.usefixtures("words")
def test_recipes_that_share_a_name_only_are_not_averaged(make_report: MakeReport) -> None:
    report = make_report([("a", "cnn-v2", 0.6, 0), ("b", "cnn-v2", 0.6, 1)])
    longer = report.runs[1].recipe.model_copy(update={"epochs": 99})
    report = replace(report, runs=[report.runs[0], replace(report.runs[1], recipe=longer)])
    assert len(compose(report).sections[1].tables[0].rows) == 2


@pytest.mark.usefixtures("words")
def test_who_wins_where_agrees_with_the_comparison(report: StudyReport) -> None:
    section = next(section for section in compose(report).sections if section.title == "Class by class")
    for name, point in zip(report.comparisons["test"].models, section.points, strict=False):
        won = [row.label for row in report.comparisons["test"].per_class if row.winner == name]
        assert point.startswith(f"{name} has the best F1 in {len(won)} of 7 classes")
        assert all(label in point for label in won)
    assert section.points[-1].startswith("The class with the fewest images, disgust (55 in test)")


@pytest.mark.usefixtures("words")
def test_differences_come_from_the_recipes(report: StudyReport, make_report: MakeReport) -> None:
    def points(of: StudyReport) -> str:
        return " ".join(" ".join(s.points) for s in compose(of).sections if s.title.startswith("Where we differ"))

    assert "cnn-v1, cnn-v2, cnn-v2.1: Adam 1e-3, at most 40 epochs, best epoch by val accuracy, patience 8" in points(
        report
    )
    assert "those of cnn-v1 are ours" in points(report)
    run = report.runs[1]
    changed = run.recipe.model_copy(
        update={"optimizer": run.recipe.optimizer.model_copy(update={"lr": 5e-4}), "epochs": 7}
    )
    only = replace(report, runs=[replace(run, recipe=changed)], comparisons={})
    assert "Adam 5e-4, at most 7 epochs" in points(only)
    assert "cnn-v1" not in points(only)
    assert settings(changed.model_copy(update={"early_stopping": None})) == "Adam 5e-4, 7 epochs, no early stopping"
    assert points(make_report([("mine", "cnn-v2.1", 0.6, 0)])) == ""  # the study gives no figure for it


@pytest.mark.usefixtures("words")
def test_report_without_val_or_run_is_an_input_error(report: StudyReport, tmp_path: Path) -> None:
    run = report.runs[0]
    without = replace(run, evaluations={"test": run.evaluations["test"]})
    with pytest.raises(InputError, match=r"cnn-v1 has no evaluation on val.*mien evaluate"):
        write_report(replace(report, runs=[without]), tmp_path)
    with pytest.raises(InputError, match="has no run"):
        write_report(replace(report, runs=[]), tmp_path)


def test_escaped_markdown_renders_as_it_was() -> None:
    for text in ("a_b_ *c* `d` ~~e~~ <f> &amp; [g](h) [i]: j | k\\", ".634 [.618, .650], p < .001"):
        rendered = MarkdownIt("commonmark").render("x " + escape_markdown(text))
        assert Reader(rendered).text == "x " + text
