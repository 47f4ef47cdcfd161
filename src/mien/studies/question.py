"""Question: CNN or ViT? The study's question, answered by the best run of each side."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evaluation.classes import ClassComparison, ClassTest
from mien.evaluation.compare import PairedTest
from mien.evaluation.printed import NONE, format_estimate, p_text, verdict
from mien.report.content import DataReport, RunReport, StudyReport
from mien.report.families import asked_runs, called, kind, learned_from_more
from mien.report.layout import Cell, Section, Table
from mien.report.words import share, spoken
from mien.studies.pairs import between, of_recipes, shown_pairs

TITLE = "CNN or ViT?"
_CLAIM = "The study found its ViT better in 5 of 7 classes, and its CNN better where training images are few."
_EQUAL = "Here each side sends its best run by val accuracy among those that learned from the labels of the data alone."
_ANY_TITLE = "The best of each side"
_ANY = (
    "Here each side sends its best run by val accuracy, whatever it learned from: what is better in practice, not "
    "which kind of network is."
)


def headlines(report: StudyReport) -> list[str]:
    """The answers, a sentence for each terms on which the question is put; none when the runs cannot answer."""
    return [_headline(report, runs) for runs in _asked(report)]


def _headline(report: StudyReport, runs: Sequence[RunReport]) -> str:
    cnn, vit = runs[0], runs[-1]
    sentence = f"{TITLE} {_terms(runs)}: {_accuracy(report, cnn, vit, begin=False)} {of_recipes(report, cnn, vit)}"
    tests = _tests(report, cnn, vit)
    if tests is None:
        return sentence
    won = [row.label for row in tests.rows if row.better == 1]
    study = "" if _more(runs) else "; the study says 5 of 7"
    return f"{sentence} The ViT has the higher F1 in {len(won)} of {len(tests.rows)} classes{study}."


def question_sections(report: StudyReport) -> list[Section]:
    """One for each terms on which the question is put; none where there is not a run of each side."""
    return [_section(report, runs) for runs in _asked(report)]


def _section(report: StudyReport, runs: Sequence[RunReport]) -> Section:
    cnn, *between_them, vit = runs
    tests = _tests(report, cnn, vit)
    equal = not _more(runs)
    points = [
        *(_introduction(run) for run in runs),
        _accuracy(report, cnn, vit),
        of_recipes(report, cnn, vit),
        *((_classes_won(tests), _rare_classes(tests, report.data)) if tests else ()),
        *((_pretrained_cnn(report, runs),) if equal else ()),
    ]
    tables = [_class_table(tests, "CNN", "ViT", report.data)] if tests else []
    further = [_tests(report, other, vit) for other in between_them]
    tables += [_class_table(found, "pre-trained CNN", "ViT", report.data) for found in further if found]
    if equal:
        return Section(TITLE, text=(f"{_CLAIM} {_EQUAL}",), points=tuple(points), tables=tuple(tables))
    return Section(f"{TITLE} {_ANY_TITLE}", text=(_ANY,), points=tuple(points), tables=tuple(tables))


def _asked(report: StudyReport) -> list[list[RunReport]]:
    """The runs of `families.asked_runs`; none without their comparison."""
    by_name = {run.name: run for run in report.runs}
    return [[by_name[name] for name in names] for names in asked_runs(report)] if report.comparison else []


def _more(runs: Sequence[RunReport]) -> bool:
    return any(map(learned_from_more, runs))


def _terms(runs: Sequence[RunReport]) -> str:
    return "The best of each side, whatever it learned from" if _more(runs) else "On the study's terms, labels alone"


def _tests(report: StudyReport, first: RunReport, second: RunReport) -> ClassComparison | None:
    return report.class_tests.pair(first.name, second.name) if report.class_tests else None


def _introduction(run: RunReport) -> str:
    card = run.card
    more = learned_from_more(run)
    return (
        f"{_upper(kind(run))}: {called(run)}, {card.preprocess.size} px, {card.parameters / 1e6:.2f} M parameters, "
        f"{spoken(run.final)}, macro F1 {format_estimate(run.final.scores.macro_f1)}; learned from labels"
        f"{f' and {more}' if more else ' alone'}."
    )


def _accuracy(report: StudyReport, first: RunReport, second: RunReport, *, begin: bool = True) -> str:
    comparison = report.comparison
    assert comparison is not None  # there is no side without one
    where = f"{'On' if begin else 'on'} {comparison.split} (accuracy, n = {comparison.n:,})"
    return f"{where}, {verdict(_pair(report, first, second))}.{_on_new_photos(report, first, second)}"


def _on_new_photos(report: StudyReport, first: RunReport, second: RunReport) -> str:
    """The same where no run can know the photo; models from zero know those of the training set best."""
    comparison = report.on_new_photos
    if comparison is None or not {first.name, second.name} <= set(comparison.models):
        return ""
    pair = between(list(comparison.pairs), first.name, second.name)
    named = pair.model_copy(update={"first": called(first), "second": called(second)})
    where = f"Without images that show a photo of the training or validation set again (n = {comparison.n:,})"
    return f" {where}, {verdict(named)}."


def _pair(report: StudyReport, first: RunReport, second: RunReport) -> PairedTest:
    pair = between(shown_pairs(report), first.name, second.name)
    return pair.model_copy(update={"first": called(first), "second": called(second)})


def _classes_won(tests: ClassComparison) -> str:
    k = len(tests.rows)
    won = {side: [row for row in tests.rows if row.better == side] for side in (0, 1)}
    asked = "Does the ViT win 5 of 7 classes, as in the study?"
    return (
        f"{asked} By F1 on {tests.split} (n = {tests.n:,}) it wins {_count(won[1], k)} against {tests.first}"
        f"{_surely(won[1])}, and the CNN wins {_count(won[0], k)}{_surely(won[0])}. By paired tests of recall (exact "
        f"McNemar, p < .05 after Holm over {k} classes) {_by_recall(tests.rows, 'the CNN')}"
    )


def _surely(rows: Sequence[ClassTest]) -> str:
    sure = [row.label for row in rows if row.f1_difference and row.f1_difference.low * row.f1_difference.high > 0]
    return f" (the 95 % interval of the difference leaves out 0 in {', '.join(sure) or 'none of them'})" if rows else ""


def _by_recall(rows: Sequence[ClassTest], cnn: str) -> str:
    """What the paired tests say of these rows."""
    vit_better, cnn_better, undecided = ([row for row in rows if row.significant == side] for side in (1, 0, None))
    k = len(rows)
    open_ones = f"; cannot tell in {_count(undecided, k)}" if undecided else ""
    return f"the ViT is better in {_count(vit_better, k)}, {cnn} in {_count(cnn_better, k)}{open_ones}."


def _rare_classes(tests: ClassComparison, data: DataReport) -> str:
    """The study's second claim, on the third of the classes with the fewest training images."""
    seen = data.counts.get("train", {})
    rare = sorted((row for row in tests.rows if row.support), key=lambda row: seen.get(row.label, row.support))
    rare = rare[: max(1, len(tests.rows) // 3)]
    words = ". ".join(_in_words(row, seen.get(row.label), tests.split) for row in rare)
    which = f"the {len(rare)} classes" if len(rare) > 1 else "the class"
    return (
        f"Does the CNN win where training images are few? In {which} with the fewest, by the same tests of recall, "
        f"{_by_recall(rare, 'the CNN')} In detail, CNN against ViT: {words}."
    )


def _in_words(row: ClassTest, seen: int | None, split: str) -> str:
    images = f"{seen:,} training images, " if seen is not None else ""
    difference = f", difference {format_estimate(row.f1_difference)}" if row.f1_difference else ""
    p = p_text(row.p_holm)
    return (
        f"{row.label} ({images}{row.support:,} in {split}), F1 {share(row.f1[0])} and {share(row.f1[1])}{difference}, "
        f"recall {share(row.recall[0])} and {share(row.recall[1])}, p {p if p.startswith('<') else f'= {p}'}"
    )


def _pretrained_cnn(report: StudyReport, sides: Sequence[RunReport]) -> str:
    """Whether a pre-trained CNN changes the verdict between the CNN from zero and the ViT."""
    asked = "Does a pre-trained CNN change the verdict?"
    cnn, *pretrained, vit = sides
    if not pretrained:
        return f"{asked} Cannot tell: none was run."
    before, after = _outcome(_pair(report, cnn, vit)), _outcome(_pair(report, pretrained[0], vit))
    answer = "No, it comes out the same." if before == after else "Yes."
    sentence = f"{asked} {answer} {_accuracy(report, pretrained[0], vit)}"
    tests = _tests(report, pretrained[0], vit)
    if tests is None:
        return sentence
    won = [row for row in tests.rows if row.better == 1]
    k, by_recall = len(tests.rows), _by_recall(tests.rows, "the pre-trained CNN")
    return f"{sentence} Against it the ViT wins {_count(won, k)} by F1; by recall, tested as above, {by_recall}"


def _outcome(pair: PairedTest) -> int:
    """1 when the second model is better, -1 when it is worse, 0 where that cannot be told."""
    return 0 if pair.p_holm >= 0.05 else 1 if pair.accuracy_difference.value > 0 else -1


def _count(rows: Sequence[ClassTest], k: int) -> str:
    return f"{len(rows)} of {k} ({', '.join(row.label for row in rows)})" if rows else f"0 of {k}"


def _class_table(tests: ClassComparison, first: str, second: str, data: DataReport) -> Table:
    header = ("Class", f"Images in {tests.split}", f"{_upper(first)}: F1", f"{second}: F1", f"F1, {second} − {first}",
              "Higher F1", f"Right alone: {first} / {second}", "McNemar p, Holm", "Better recall")  # fmt: skip
    sides = (first, second)
    seen = data.counts.get("train", {})
    rows = tuple(
        (
            Cell(row.label, f"{seen[row.label]:,} in the training set" if row.label in seen else ""),
            Cell(f"{row.support:,}"),
            *(Cell(share(f1), f"recall {share(recall)}") for f1, recall in zip(row.f1, row.recall, strict=True)),
            Cell(format_estimate(row.f1_difference) if row.f1_difference else NONE),
            Cell(NONE if row.better is None else sides[row.better]),
            Cell(f"{row.only_first_right:,} / {row.only_second_right:,}"),
            Cell(p_text(row.p_holm)),
            Cell("cannot tell" if row.significant is None else sides[row.significant]),
        )
        for row in tests.rows
    )
    note = (
        f"{_upper(first)}: {tests.first}; {second}: {tests.second}; on {tests.split}, n = {tests.n:,}. In brackets the "
        "95 % interval of the paired bootstrap. The test is the exact McNemar test on the images of a class, so it "
        f"speaks of recall; p is corrected for {len(rows)} classes by Holm's method. Recall rises for a model that "
        "names a class more often, rightly or wrongly; F1 counts both."
    )
    return Table(header, rows, note)


def _upper(word: str) -> str:
    return f"{word[:1].upper()}{word[1:]}"
