"""Groups of images: what each scores, and whether their gaps are more than chance or another mix of emotions."""

from __future__ import annotations

from matplotlib.figure import Figure

from mien.evaluation.groups import FEW, Gap, Groups, GroupScore
from mien.evaluation.printed import NONE, figure_text, format_estimate, p_words, points_text
from mien.report.layout import Cell, Picture, Section, Table
from mien.report.style import BLUE, FAINT, INK, WIDTH, share_axis, shorten, styled
from mien.report.words import plural

TITLE = "Groups"
DRAWN = 30  # groups in the picture at most; the table has all
_LEVEL = 0.05
_MOST = 0.5  # of a gap that is explained, or not


def groups_section(found: Groups) -> Section:
    """The verdict in words, every group's figures, what labels it holds, and a picture of the accuracies."""
    alt = f"Accuracy of each group on {found.split} with its interval, as in the table."
    return Section(
        TITLE,
        text=gap_sentences(found),
        points=_notes(found),
        tables=(_figures(found), _mixes(found)),
        pictures=(Picture.of("groups", accuracy_by_group(found), alt),),
    )


def gap_sentences(found: Groups) -> tuple[str, ...]:
    """Whether groups differ in accuracy, in plain words, and whether their mix of emotions explains it.

    The largest gap comes first; another pair that is surer than it, or one that only shows at the same mix, after it.
    p < .05 decides.
    """
    largest, clearest, same_mix = found.largest, found.clearest, found.clearest_same_mix
    if largest is None or clearest is None:
        return (f"No two groups have {FEW} images each, so no gap is tested.",)
    sentences = [f"Largest gap: {_told(largest)}"]
    shown = [largest]
    if clearest not in shown and clearest.p_value < _LEVEL:
        sentences.append(f"Surest gap: {_told(clearest)}")
        shown.append(clearest)
    if same_mix is not None and same_mix not in shown and (same_mix.p_same_mix or 0) < _LEVEL:
        sentences.append(f"Surest gap at the same mix of emotions: {_told(same_mix)}")
    return tuple(sentences)


@styled
def accuracy_by_group(found: Groups) -> Figure:
    """Accuracy of each group as a dot with its interval; hollow and gray where few images make it. G rows, by name.

    The line is the accuracy over all images that are in a group. Of many groups the largest are drawn.
    """
    largest = sorted(found.scores, key=lambda score: -score.n)[:DRAWN]
    scores = [score for score in found.scores if score in largest]
    figure = Figure(figsize=(WIDTH, 1.0 + 0.3 * len(scores)))
    axes = figure.subplots()
    together = sum(score.accuracy.value * score.n for score in found.scores) / found.n
    axes.axvline(together, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0.5)
    for row, score in enumerate(scores):
        color, x = FAINT if score.few else BLUE, score.accuracy
        axes.plot([x.low, x.high], [row, row], color=color, linewidth=1.6, solid_capstyle="butt")
        axes.plot([x.value], [row], "o", color="white" if score.few else color, markeredgecolor=color,
                  markeredgewidth=1.5, markersize=6.5, zorder=3)  # fmt: skip
        axes.annotate(format_estimate(x), (1, row), (6, 0), ("axes fraction", "data"), "offset points", va="center",
                      fontsize=8, color=FAINT if score.few else INK)  # fmt: skip
    names = [f"{shorten(score.name)} (n = {score.n:,}{', few' if score.few else ''})" for score in scores]
    axes.set_yticks(range(len(scores)), names)
    axes.set_ylim(len(scores) - 0.4, -0.6)  # the first on top
    axes.tick_params(axis="y", length=0)
    share_axis(axes.xaxis)
    axes.set_xlabel(f"accuracy on {found.split}, 95 % interval; dashed: all {found.n:,} images in a group")
    return figure


def _told(gap: Gap) -> str:
    which = f"{gap.higher} above {gap.lower} by {points_text(gap.difference)}, {p_words(gap.p_value)}"
    if gap.same_mix is None or gap.p_same_mix is None:
        return f"{which}. The two share no emotion, so the faces cannot be told from the mix of emotions."
    same_mix = f"{points_text(gap.same_mix)}, {p_words(gap.p_same_mix)}"
    return f"{which}; at the same mix of emotions {same_mix}: {_meaning(gap)}"


def _meaning(gap: Gap) -> str:
    assert gap.same_mix is not None
    assert gap.p_same_mix is not None
    plain, same_mix = gap.p_value < _LEVEL, gap.p_same_mix < _LEVEL
    kept = gap.same_mix.value / gap.difference.value if gap.difference.value else 1.0
    if plain and same_mix:
        if kept < 0:
            return "more than chance, and the mix of emotions turns it round."
        return "more than chance, and more than the mix of emotions."
    if plain:
        return (
            "more than chance; the mix of emotions explains most of it."
            if kept < _MOST
            else "more than chance; whether the mix of emotions explains it cannot be told."
        )
    if same_mix:
        return "hidden by the mix of emotions."
    return (
        f"cannot tell them apart. With these numbers of images a test of this pair alone would "
        f"show a true gap of {100 * gap.detectable:.1f} points four times in five."
    )


def _notes(found: Groups) -> tuple[str, ...]:
    few = [score.name for score in found.scores if score.few]
    notes = []
    if few:
        names = ", ".join(few[:10]) + (" and others" if len(few) > 10 else "")
        notes.append(f"Fewer than {FEW} images, marked “few” and left out of the tests: {names}.")
    if found.without_group:
        n = found.without_group
        notes.append(f"{n:,} {plural('image', n)} of {found.split} {'is' if n == 1 else 'are'} in no group.")
    if len(found.scores) > DRAWN:
        notes.append(f"The picture shows the {DRAWN} largest of {len(found.scores)} groups.")
    return tuple(notes)


def _figures(found: Groups) -> Table:
    header = ("Group", f"Images in {found.split}", "Accuracy", "Macro F1", "Mean class accuracy",
              "Confidence − accuracy")  # fmt: skip
    rows = tuple(
        (
            Cell(score.name),
            Cell(f"{score.n:,}", "few" if score.few else ""),
            Cell(format_estimate(score.accuracy)),
            Cell(format_estimate(score.macro_f1), _classes(score)),
            Cell(format_estimate(score.mean_class_accuracy)),
            Cell(format_estimate(score.overconfidence)),
        )
        for score in found.scores
    )
    note = (
        f"On {found.split}, {found.n:,} images in groups. In brackets 95 % intervals: Wilson's for accuracy, the "
        "bootstrap within the group for the rest. Macro F1 and mean class accuracy run over the classes that occur in "
        "a group. Gaps have Newcombe's interval, at the same mix of emotions that of the bootstrap; p is of "
        "permutation tests that deal out the groups anew, over all images or within each class, and is corrected for "
        "picking among all pairs."
    )
    return Table(header, rows, note)


def _mixes(found: Groups) -> Table:
    rows = tuple(
        (Cell(score.name), *(Cell(figure_text(x, 2) if x else NONE) for x in score.shares)) for score in found.scores
    )
    return Table(("Share of the group", *found.labels), rows, "By true label.")


def _classes(score: GroupScore) -> str:
    held = sum(x > 0 for x in score.shares)
    return f"{held} of {len(score.shares)} classes" if held < len(score.shares) else ""
