"""Annex: what Annex IV of the AI Act asks of a technical documentation, and which figure of a dossier answers it.

Source: Regulation (EU) 2024/1689, Annex IV, in short words of our own; in force words count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.report.layout import Cell, Section, Table

_CARD = "model-card.html"
NOT_MEASURED = "not measured"
_LINES: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # number, what is asked, places that answer it, best first
    ("1(a)", "Intended purpose, name of the provider, version", (f"{_CARD}#what-it-is-for",)),
    ("1(b)", "How it works together with other hardware and software", ()),
    ("1(c)", "Versions of the software", (f"{_CARD}#how-to-make-it-again", "card.json")),
    ("1(d)", "Forms in which it is put on the market", ("#model-file",)),
    ("1(e)", "Hardware that it is meant to run on", ()),
    ("1(f)", "Pictures of the product that it is a part of", ()),
    ("1(g), (h)", "User interface and instructions for use", (f"{_CARD}#what-it-is-for",)),
    ("2(a)", "Steps of development; pre-trained parts", (f"{_CARD}#training-data-and-protocol", "card.json")),
    ("2(b)", "Design: logic, choices, what is optimized for", ("recipe.yaml", "card.json")),
    ("2(c)", "Architecture and computing resources", (f"{_CARD}#model", "card.json")),
    ("2(d)", "Training data: origin, scope, labeling, cleaning", ("data.croissant.json",)),
    ("2(e)", "Human oversight: measures that are needed", (f"{_CARD}#abstention",)),
    ("2(f)", "Changes that are planned beforehand", ()),
    ("2(g)", "Validation and testing: data, metrics, accuracy", (f"{_CARD}#figures",)),
    ("2(g)", "Test logs: each time that test was opened", ("test-ledger.jsonl",)),
    ("2(g)", "Robustness", (f"{_CARD}#robustness",)),
    ("2(g)", "Impacts that may discriminate: figures of groups", (f"{_CARD}#groups",)),
    ("2(h)", "Cybersecurity", ()),
    ("3", "Capabilities and limits; accuracy by class", (f"{_CARD}#class-by-class", f"{_CARD}#limits")),
    ("3", "Accuracy for the persons or groups that it is used on", (f"{_CARD}#groups",)),
    ("3", "Foreseeable unintended outcomes and sources of risk", (f"{_CARD}#what-it-is-not-for",)),
    ("3", "Specifications of input data", (f"{_CARD}#model", "card.json")),
    ("4", "Why the metrics of performance fit", (f"{_CARD}#calibration",)),
    ("5", "Risk management system (Article 9)", ()),
    ("6", "Changes over the lifecycle", ()),
    ("7", "Harmonized standards that were applied", ()),
    ("8", "EU declaration of conformity", ()),
    ("9", "Monitoring after it is put on the market (Article 72)", ()),
)


def annex_section(names: Sequence[str], anchors: Mapping[str, Sequence[str]]) -> Section:
    """A line for each demand, linked to what answers it. `names`: files of the dossier; `anchors`: in its pages."""
    rows, answered = [], 0
    for number, asked, places in _LINES:
        link = next((place for place in places if _is_there(place, names, anchors)), "")
        answered += bool(link)
        what = link.replace(".html#", ": ").removeprefix("#").replace("-", " ") if "#" in link else link
        missing = NOT_MEASURED if places else f"{NOT_MEASURED}: for the provider to write"
        rows.append((Cell(number), Cell(asked), Cell(what or missing, link=link)))
    text = (
        "What Annex IV of the AI Act (Regulation (EU) 2024/1689) asks of the technical documentation of a high-risk "
        f"system, in short, and where this folder answers it: {answered} of {len(_LINES)} lines, each in part. The "
        "rest is not measured or not known to the program, and is for whoever puts a system on the market to write. "
        "The duties for stand-alone high-risk systems apply from 2 December 2027 (Article 113 as amended by Regulation "
        "(EU) 2026/1744). This is no legal advice and no assessment of conformity."
    )
    return Section("Index along Annex IV", text=(text,), tables=(Table(("Annex IV", "Asked", "Here"), tuple(rows)),))


def _is_there(place: str, names: Sequence[str], anchors: Mapping[str, Sequence[str]]) -> bool:
    file, _, anchor = place.partition("#")
    if not file:
        return True  # a section of the dossier's own page
    return file in names and (not anchor or anchor in anchors.get(file, ()))
