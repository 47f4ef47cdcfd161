"""mien data: look at a data set before training on it, or draw one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.console import (
    JsonOption,
    LabelsOption,
    OverwriteOption,
    Reading,
    SkipOption,
    SubjectsOption,
    check_picture,
    open_faces,
    progress,
    save_picture,
    say,
    table,
)

if TYPE_CHECKING:
    from mien.data.audit import Audit

app = typer.Typer(help="Count, audit, compare splits of, or draw labeled faces.", no_args_is_help=True)
SourceArgument = Annotated[str, typer.Argument(help="Labeled faces: folder, zip, fer2013.csv or Parquet.")]


@app.command("stats")
def stats(
    data: SourceArgument,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write the picture of the label distribution.")] = None,
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Images per class and split, as a table and a picture."""
    check_picture(plot, [data], overwrite=overwrite)
    faces = open_faces(data, Reading(labels, subjects, skip_unreadable))
    counts = {split: found for split, found in faces.counts().items() if sum(found.values())}
    if as_json:
        import json

        say(json.dumps({"source": faces.source, "fingerprint": faces.fingerprint, "counts": counts}, indent=2))
    else:
        rows = [
            [label, *(f"{found[label]:,} ({found[label] / sum(found.values()):.1%})" for found in counts.values())]
            for label in faces.label_set.labels
        ]
        rows.append(["all", *(f"{sum(found.values()):,}" for found in counts.values())])
        table(f"{faces.source}: images per class and split", ["class", *counts], rows)
        say(f"fingerprint {faces.fingerprint}")
    if plot:
        from mien.report.data import label_distribution

        save_picture(label_distribution(counts, faces.label_set.labels), plot)


@app.command("audit")
def audit(
    data: SourceArgument, labels: LabelsOption = None, subjects: SubjectsOption = None, as_json: JsonOption = False
) -> None:
    """Repeats, leaks and persons between splits, conflicting labels, blank, tiny and unreadable pictures."""
    from mien.data.audit import audit as audit_faces

    found = audit_faces(open_faces(data, Reading(labels, subjects, skip_unreadable=True)))
    if as_json:
        say(found.model_dump_json(indent=2))
        return
    table(f"audit of {found.source}", ["what", "count"], _audit_rows(found))
    for group in found.conflicts[:3]:
        pairs = zip(group.names, group.labels, strict=True)
        say("conflict: " + "; ".join(f"{name} is {label}" for name, label in pairs))
    if len(found.conflicts) > 3:
        say(f"… and {len(found.conflicts) - 3} more conflicts; all of them: --json")
    for name in found.blank[:3]:
        say(f"blank: {name}")


@app.command("leaks")
def leaks(
    data: SourceArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the page of pairs and the list of them.")],
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.75, max=1, help="Similarity from which two images are one photo.")
    ] = 0.86,
    labels: LabelsOption = None,
    subjects: SubjectsOption = None,
    skip_unreadable: SkipOption = False,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Photos of one split that stand in another cut, scaled or mirrored, with a page of pairs to judge; and persons."""
    from mien.data.leaks import leaks as find
    from mien.files import write_whole
    from mien.outputs import check_output, json_with
    from mien.report.layout import check_page, write_page
    from mien.report.leaks import leak_sentences, leaks_page

    numbers = out / "leaks.json"
    check_page(out, "leaks", overwrite=overwrite)
    check_output(numbers, json_with("threshold", "pairs"), [data], overwrite=overwrite)
    faces = open_faces(data, Reading(labels, subjects, skip_unreadable), size=48)
    with progress() as bar:
        found = find(faces, threshold, bar)
    page = write_page(leaks_page(found, faces), out, "leaks", overwrite=overwrite)
    write_whole(numbers, found.model_dump_json(indent=2) + "\n")
    if as_json:
        say(found.model_dump_json(indent=2, exclude={"pairs"}))
        return
    for line in (*leak_sentences(found), f"pairs to look at: {page}", f"all of them: {numbers}"):
        say(line)


@app.command("draw")
def draw(
    out: Annotated[Path, typer.Argument(help="Folder, or a file ending in .zip.")],
    count: Annotated[int, typer.Option("--count", help="Faces in all.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other faces.")] = 0,
    size: Annotated[int, typer.Option("--size", help="Side of each picture, in pixels.")] = 48,
    color: Annotated[bool, typer.Option("--color", help="RGB pictures instead of gray ones.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Draw cartoon faces of the seven emotions: free of any license, for tests and first steps."""
    from mien.data.draw import draw_set

    say(f"{count} faces: {draw_set(out, count, seed, size=size, color=color, overwrite=overwrite)}")


def _audit_rows(found: Audit) -> list[list[str]]:
    rows = [[f"images in {split}", f"{count:,}"] for split, count in found.images.items()]
    rows += [
        ["sets of identical images", f"{found.repeated_groups:,}"],
        ["images beyond the first of each set", f"{found.surplus:,}"],
    ]
    rows += [[f"repeats within {split}", f"{count:,}"] for split, count in found.repeats_within.items()]
    for pair, count in found.shared.items():
        later, _, earlier = pair.partition(" in ")
        rows.append([f"{later} images that are also in {earlier}", f"{count:,}"])
    if found.persons:
        rows.append(["persons that are known", f"{found.persons:,}"])
    for pair, count in found.shared_persons.items():
        later, _, earlier = pair.partition(" in ")
        rows.append([f"persons of {later} who are also in {earlier}", f"{count:,}"])
    rows.append(["sets of identical images with different labels", f"{len(found.conflicts):,}"])
    rows += [[f"leak-free images of {split}", f"{count:,}"] for split, count in found.leak_free.items()]
    rows += [
        ["blank images (one gray value)", f"{len(found.blank):,}"],
        ["tiny images (a side under 24 pixels)", f"{len(found.tiny):,}"],
        ["unreadable files", f"{len(found.unreadable):,}"],
    ]
    return rows
