"""What the documentation reads from the code is complete, and what it says of tables is true of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.cli.main import app
from mien.evaluation.bootstrap import Estimate
from mien.evaluation.printed import format_estimate
from mien.labels import FER7
from mien.recipes.recipe import names
from mien.recognize.rows import columns
from mien.recognize.summaries import Summaries
from mien.training.run import Epoch

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import generated  # noqa: E402

COMMANDS = [name for name, _ in generated.commands()]
PAGES = [*DOCS.glob("*.md"), *DOCS.glob("*/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def sections(text: str, level: int) -> dict[str, str]:
    """Text of each section by its heading."""
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = CliRunner().invoke(app, ["--help"]).output
    verbs = set(re.findall(r"^│ ([a-z]+)  +\S", found, flags=re.MULTILINE))
    assert {"train", "recognize", "serve"} <= verbs
    documented = sections(generated.command_line(), 2)
    assert list(documented) == sorted(COMMANDS)
    assert verbs <= {name.split()[1] for name in documented}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_told(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = sections(generated.command_line(), 2)[command]
    help_page = CliRunner().invoke(app, [*command.split()[1:], "--help"]).output
    flags = set(re.findall(r"^│ *\*? *(--[a-z][a-z0-9-]*)", help_page, flags=re.MULTILINE)) - {"--help"}
    told = set(re.findall(r"^\| `(--[a-z0-9-]+)", text, flags=re.MULTILINE))
    assert flags == told


def test_every_recipe_has_a_section() -> None:
    assert list(sections(generated.recipe_list(), 3)) == list(names())


def test_every_key_of_a_recipe_is_told() -> None:
    text = generated.recipe_keys()
    for key in ("votes_head", "decay_epochs", "backbone", "augment", "patience", "batch_norm", "jpeg", "stem_stride"):
        assert key in text, key


def test_the_codebook_has_every_column() -> None:
    parts = sections((DOCS / "reference" / "codebook.md").read_text(encoding="utf-8"), 2)
    bundled = columns(FER7.labels)
    assert first_cells(parts["Faces"]) == list(dict.fromkeys(re.sub("^p_.*", "p_LABEL", name) for name in bundled))
    assert first_cells(parts["Training history"]) == [field.name for field in fields(Epoch)]
    spss = parts["How to read it in R and in SPSS"]
    (listed,) = re.findall(r"/VARIABLES=(.*?)\.\n", spss, flags=re.DOTALL)
    assert listed.split()[::2] == bundled


def test_the_codebook_has_every_column_of_a_summary() -> None:
    page = (DOCS / "reference" / "codebook.md").read_text(encoding="utf-8")
    told = {name: first_cells(text) for name, text in sections(sections(page, 2)["Summaries of videos"], 3).items()}
    summaries = Summaries(FER7.labels)
    written = {
        "By face": summaries.columns("by-face"), "By video": summaries.columns("by-video"),
        "By group": summaries.group_columns(),
    }  # fmt: skip
    short = {
        name: list(dict.fromkeys(re.sub("^(share|mean)_.*", r"\1_LABEL", column) for column in columns))
        for name, columns in written.items()
    }
    assert told == short


def first_cells(text: str) -> list[str]:
    """What stands in backticks in the first column of all tables."""
    return re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE)


def test_the_codebook_has_every_column_of_a_sweep() -> None:
    text = sections((DOCS / "reference" / "codebook.md").read_text(encoding="utf-8"), 2)["Sweep"]
    header = (DOCS / "sweep" / "vit-v1.3-frozen.csv").read_text().splitlines()[0].split(",")
    for name in header:
        assert f"`{name}`" in text or "." in name, name


def test_the_results_of_the_readme_are_those_of_the_study() -> None:
    """The program writes docs/study.md, docs/evidence and docs/peers."""
    runs = [line for line in (DOCS / "study.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    beside = json.loads((DOCS / "peers" / "peers.json").read_text())
    (person,) = {format_estimate(Estimate(**found["people"]["one"]["human"])) for found in beside.values()}
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- results -->")[1].split("<!-- end of")[0]
    for row in table.strip().splitlines()[2:]:
        model, *told = [cell.strip() for cell in row.strip("|").split("|")]
        if model == "one person":
            assert told == ["–", "–", "–", person, "–"]
            continue
        if "`fer`" in model:
            found = beside["fer 25.10.3"]
            scores, people = found["evaluation"], found["people"]
            figures = (scores["scores"]["accuracy"], scores["leak_free"]["accuracy"], scores["scores"]["macro_f1"])
            assert told[:3] == [format_estimate(Estimate(**figure)) for figure in figures]
        else:
            (name,) = re.findall(r"^`([\w.-]+)`", model)
            (run,) = (line for line in runs if line.startswith(f"| {name}") and all(cell in line for cell in told[:3]))
            file = DOCS / "evidence" / f"{run.split()[1]}.json"
            people = json.loads(file.read_text())["humans"]
        figures = (people["one"]["model"], people["model_majority"])
        assert told[3:] == [format_estimate(Estimate(**figure)) for figure in figures], model


def test_the_table_of_results_has_every_run() -> None:
    told = re.findall(r"^\| ([\w.-]+) \(", generated.study_results(), flags=re.MULTILINE)
    assert sorted(told) == sorted({path.parent.name for path in (ROOT / "results").glob("*/recipe.yaml")})
    assert "CNN or ViT?" in generated.study_verdict()


def test_markers_name_parts() -> None:
    found = {name for page in PAGES for name in re.findall(r"<!-- generated: ([\w-]+) -->", page.read_text("utf-8"))}
    assert found == set(generated.PARTS)


def test_addresses_stand_in_one_place() -> None:
    """Until they are known they are placeholders, which pyproject.toml alone holds."""
    for address in generated.addresses().values():
        assert not [page.name for page in PAGES if address in page.read_text(encoding="utf-8")]


def test_pages_need_no_network() -> None:
    for page in PAGES:
        assert not re.findall(r"!\[[^\]]*\]\(https?:", page.read_text(encoding="utf-8")), page.name


@pytest.mark.slow
def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Recognizer" in (tmp_path / "reference" / "api.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("language", "program"), [("r", "Rscript"), ("text", "pspp")])  # PSPP reads what SPSS reads
def test_the_codebook_s_lines_for_statistics_run(language: str, program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    page = (DOCS / "reference" / "codebook.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"```{language}\n(.*?)```", page[page.index("## How to read it") :], re.DOTALL)
    ending = {"r": "\nprint(per_face)\n", "text": "\nLIST.\n"}[language]
    opening = "" if language == "r" else "SET DECIMAL=DOT.\n"
    (tmp_path / "lines").write_text(f"{opening}{code}{ending}", encoding="utf-8")
    photo = ROOT / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"
    done = CliRunner().invoke(app, ["recognize", str(photo), "--out", str(tmp_path / "faces.csv")])
    assert done.exit_code == 0, done.output
    said = subprocess.run([program, "lines"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "error" not in said.stdout.lower() + said.stderr.lower()
    assert "happy" in said.stdout
