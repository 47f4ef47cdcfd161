"""What belongs to a project beside its code: citation, notices, the package's metadata, the release."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
sys.path.insert(0, str(ROOT))

from hatch_build import absolute  # noqa: E402

NO_TEXT = (".onnx", ".wasm", ".mjs", ".safetensors", ".npz", ".jpg", ".jpeg", ".png", ".woff2", ".ttf")


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(cited)
    assert (cited["version"], cited["license"]) == (PROJECT["project"]["version"], PROJECT["project"]["license"])


def test_the_notice_names_all_that_is_not_our_code() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    named = re.findall(r"src/mien/[\w./-]+[\w/]", notice)
    package = ROOT / "src" / "mien"
    others = [path for path in package.rglob("*") if path.suffix in NO_TEXT or path.name.startswith("swagger-ui")]
    assert len(others) > 10
    for path in others:
        place = path.relative_to(ROOT).with_suffix("").as_posix()
        assert any(place.startswith(Path(one).with_suffix("").as_posix()) for one in named), place
    for place in named:
        assert (ROOT / place).exists(), place


def test_links_of_the_readme_lead_somewhere_on_pypi() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = absolute(text, "https://r.org/mien", "1.0")
    assert re.findall(r"!\[[^\]]*\]\(https://r\.org/mien/raw/v1\.0/docs/photo\.png\)", shown)
    targets = re.findall(r"\]\(([^)\s]+)\)", shown)
    assert [target for target in targets if not target.startswith("https://")] == []
    for target in targets:
        if place := re.match(r"https://r\.org/mien/(?:blob|raw)/v1\.0/([^#]+)", target):
            assert (ROOT / place[1]).exists(), target
    assert "`[a](b)`" not in text  # code is not told apart from links


def test_links_that_lead_somewhere_stay() -> None:
    kept = "[d](https://d.org) [e](#e) [m](mailto:a@b.org)"
    assert absolute(kept, "https://r.org", "1") == kept
    assert (
        absolute("[![s](s.svg)](docs/a.md)", "https://r.org", "1") == "[![s](s.svg)](https://r.org/blob/v1/docs/a.md)"
    )


def test_what_the_package_is_built_of_reaches_the_container() -> None:
    built = PROJECT["tool"]["hatch"]["build"]["targets"]
    needed = ["README.md", "hatch_build.py", *PROJECT["project"]["license-files"], *built["wheel"]["force-include"]]
    allowed = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().split()
    for name in needed:
        assert (ROOT / name).is_file(), name
        assert f"!{name}" in allowed, name
        assert name in built["sdist"]["include"], name
    assert built["wheel"]["force-include"]["docs/responsible-use.md"] == "mien/responsible-use.md"


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_yaml_with_jobs(path: Path) -> None:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, job in found["jobs"].items():
        assert job["steps"], name
        assert job.get("timeout-minutes") or "environment" in job, name


def test_a_release_is_checked_attested_and_needs_no_token() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    used = {job: [step.get("uses", "").partition("@")[0] for step in jobs[job]["steps"]] for job in jobs}
    assert jobs["build"]["needs"] == "check"
    assert jobs["pypi"]["needs"] == "build"
    assert "pypa/gh-action-pypi-publish" in used["pypi"]
    assert jobs["pypi"]["permissions"] == {"id-token": "write"}
    assert {"actions/attest-build-provenance", "actions/attest-sbom"} <= set(used["build"])
    assert set(re.findall(r"secrets\.(\w+)", text)) == {"GITHUB_TOKEN"}  # the one that each run is given
    program = next(step["run"] for step in jobs["check"]["steps"] if "PYTHON" in step.get("run", ""))
    (code,) = re.findall(r"<<'PYTHON'\n(.*?)\nPYTHON", program, re.DOTALL)
    for tag, is_wrong in ((f"v{PROJECT['project']['version']}", False), ("v99", True)):
        assert _fails(code, tag) == is_wrong


def _fails(code: str, tag: str) -> bool:
    env = {**os.environ, "GITHUB_REF_NAME": tag}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True).returncode != 0
