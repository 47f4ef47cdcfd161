"""mien push and hf://: what goes up and what comes down, from huggingface_hub's own client to a stand-in of the hub."""

from __future__ import annotations

import json
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from stand_in import Hub, Repository, caller, serving

from mien import FaceSet, Recognizer, Run, evaluate
from mien.exports import export
from mien.ledger import LEDGER
from mien.recognize.vendored import vendored_folder

NAMES = {"README.md", "mien.json", "card.json", "model.onnx", "recipe.yaml", "model.safetensors", "seen.npz",
         LEDGER}  # fmt: skip
ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "docs" / "photo.png"
CLASSIFY = """
import json, sys
import numpy as np
from mien import Recognizer
recognizer = Recognizer(sys.argv[1], detector="none")
crops = np.random.default_rng(0).integers(0, 255, (3, 48, 48), dtype=np.uint8)
print(json.dumps([recognizer.classify(list(crops)).tolist(), recognizer.__getstate__()["model"]]))
"""


@pytest.fixture(scope="session")
def whole_run(trained_folder: Path, drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its model file and the figures of test. Read it, never change it."""
    folder = Path(shutil.copytree(trained_folder, tmp_path_factory.mktemp("whole") / "first"))
    evaluate(folder, drawn_faces)
    export(folder, drawn_faces)
    return folder


@pytest.fixture(scope="session")
def first_push(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """What the run, pushed as ann/first, left on a hub. Read it, never change it."""
    with serving() as found:
        done = caller(found, tmp_path_factory.mktemp("pushing"))("-m", "mien", "push", whole_run, "ann/first")
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture
def pushed(hub: Hub, first_push: Hub) -> Repository:
    """The same on the hub of this test."""
    hub.large.update(first_push.large)
    hub.repositories["ann/first"] = Repository(dict(first_push.repositories["ann/first"].commits))
    return hub.repositories["ann/first"]


def errors_of(done) -> str:
    """Of a command that ends with a user's mistake: what it says, without a traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return re.search(r"^error: .*", done.stderr, re.MULTILINE)[0]


def head(repository) -> tuple[dict, str]:
    """Metadata and text of its card."""
    _, metadata, text = repository.commits[repository.head]["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(metadata), text


def test_a_run_goes_up_whole_and_nothing_else_does(pushed, whole_run: Path) -> None:
    files = pushed.commits[pushed.head]
    assert set(files) == NAMES | {"pictures/confusion.png"}
    for name in ("model.onnx", "recipe.yaml", "model.safetensors", "seen.npz", "card.json", LEDGER):
        assert files[name] == (whole_run / name).read_bytes()
    told = json.loads(files["mien.json"])
    assert told["format"] == 1
    assert told["files"] == {name: sha256(files[name]).hexdigest() for name in NAMES - {"README.md", "mien.json"}}
    assert len(pushed.commits) == 1


def test_the_card_has_the_figures_of_the_run_with_their_intervals(pushed, whole_run: Path) -> None:
    metadata, text = head(pushed)
    assert metadata["library_name"] == "mien"
    assert "license" not in metadata
    assert "datasets" not in metadata
    assert "names no license" in text
    found = Run(whole_run).predictions("test")
    (results,) = [one for one in metadata["model-index"][0]["results"] if one["dataset"]["split"] == "test"]
    accuracy = results["metrics"][0]
    assert accuracy["type"] == "accuracy"
    assert accuracy["value"] == pytest.approx((found.predicted == found.labels).mean(), abs=5e-5)
    assert accuracy["args"]["n"] == len(found)
    assert accuracy["args"]["low"] <= accuracy["value"] <= accuracy["args"]["high"]
    assert "95 % interval, n = 14" in accuracy["name"]
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link in pushed.commits[pushed.head]


@pytest.mark.slow
def test_what_the_owner_says_stands_in_the_card(hub, python, whole_run: Path) -> None:
    options = ("--license", "mit", "--dataset", "ann/faces", "--private", "--json")
    told = json.loads(python("-m", "mien", "push", whole_run, "ann/second", *options).stdout)
    repository = hub.repositories["ann/second"]
    metadata, text = head(repository)
    assert (metadata["license"], metadata["datasets"]) == ("mit", ["ann/faces"])
    assert metadata["model-index"][0]["results"][0]["dataset"]["type"] == "ann/faces"
    assert "names no license" not in text
    assert repository.private
    assert told["address"] == f"hf://ann/second@{repository.head}"


def test_a_model_of_the_hub_answers_as_the_run_does(pushed, python, whole_run: Path) -> None:
    done = python("-c", CLASSIFY, "hf://ann/first")
    answers, opened = json.loads(done.stdout)
    assert opened == f"hf://ann/first@{pushed.head}"
    import numpy as np

    crops = np.random.default_rng(0).integers(0, 255, (3, 48, 48), dtype=np.uint8)
    assert np.array_equal(Recognizer(whole_run, detector="none").classify(list(crops)), np.array(answers, np.float32))


def test_a_model_of_the_hub_brings_its_ledger(pushed, python) -> None:
    script = (
        "from mien.evaluation.looks import looks; from mien.model import Model\n"
        "print(looks(Model.open('hf://ann/first')).own)"
    )
    done = python("-c", script)
    assert done.stdout.split() == ["1"], done.stderr


@pytest.mark.slow
def test_a_path_names_it_too(pushed, python) -> None:
    script = "import sys, pathlib; sys.argv[1] = pathlib.Path(sys.argv[1])" + CLASSIFY
    assert python("-c", script, "hf://ann/first").returncode == 0


@pytest.mark.slow
def test_the_command_line_takes_it_and_says_which_commit(pushed, python) -> None:
    done = python("-m", "mien", "recognize", PHOTO, "--model", "hf://ann/first", "--detector", "none", "--json")
    assert done.returncode == 0, done.stderr
    assert f"hf://ann/first: commit {pushed.head}" in done.stderr
    assert sum(json.loads(done.stdout)["faces"][0]["probabilities"].values()) == pytest.approx(1)
    assert "%|" not in done.stderr  # no bar where there is no terminal


@pytest.mark.slow
def test_evaluation_knows_what_it_has_seen_and_changes_nothing_in_the_cache(
    pushed, python, drawn_zip: Path, whole_run: Path, tmp_path: Path
) -> None:
    done = python("-m", "mien", "evaluate", "hf://ann/first", "--data", drawn_zip, "--json")
    told = json.loads(done.stdout)
    here = json.loads((whole_run / "report" / "evaluation-test.json").read_text())
    assert told["leak_free"]["n"] == here["leak_free"]["n"] < 14
    assert told["leak_free"]["accuracy"] == here["leak_free"]["accuracy"]
    assert "may have seen more" not in done.stderr
    snapshot = tmp_path / "hf" / "hub" / "models--ann--first" / "snapshots" / pushed.head
    assert {file.name for file in snapshot.iterdir()} == {
        "README.md", "mien.json", "card.json", "model.onnx", "recipe.yaml", "seen.npz", LEDGER
    }  # fmt: skip


@pytest.mark.slow
def test_a_commit_stays_what_it_was(pushed, hub, python, whole_run: Path, tmp_path: Path) -> None:
    first = pushed.head
    other = Path(shutil.copytree(whole_run, tmp_path / "other"))
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps(card | {"temperature": 3.0}))
    assert python("-m", "mien", "push", other, "hf://ann/first").returncode == 0
    assert len(pushed.commits) == 2
    old, _ = json.loads(python("-c", CLASSIFY, f"hf://ann/first@{first}").stdout)
    new, _ = json.loads(python("-c", CLASSIFY, "hf://ann/first").stdout)
    assert max(new[0]) < max(old[0])  # a higher temperature makes answers flatter


def test_it_works_offline_after_the_first_download(pushed, hub, python) -> None:
    first = python("-c", CLASSIFY, "hf://ann/first")
    hub.asked.clear()
    again = python("-c", CLASSIFY, "hf://ann/first", HF_HUB_OFFLINE="1")
    assert again.stdout == first.stdout
    pinned = python("-c", CLASSIFY, f"hf://ann/first@{pushed.head}")
    assert pinned.stdout == first.stdout
    assert hub.asked == []


@pytest.mark.slow
def test_training_begins_with_it(pushed, python, drawn_zip: Path, whole_run: Path, tmp_path: Path) -> None:
    done = python(
        "-m", "mien", "train", "cnn-v1", "--data", drawn_zip, "--out", "mine", "--set", "epochs=1",
        "--start", "hf://ann/first",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / "mine")
    assert run.card.training.start == f"hf://ann/first@{pushed.head}"
    assert set(Run(whole_run).seen()[0].tolist()) <= set(run.seen()[0].tolist())


@pytest.mark.slow
def test_files_of_an_earlier_push_do_not_stay(pushed, hub, python, whole_run: Path, drawn_zip: Path) -> None:
    file = shutil.copyfile(whole_run / "model.onnx", whole_run.parent / "first.onnx")
    done = python("-m", "mien", "evaluate", file, "--data", drawn_zip, "--report", "--robust-faces", "0")
    assert done.returncode == 0, done.stderr
    done = python("-m", "mien", "push", file, "ann/first")
    assert done.returncode == 0, done.stderr
    assert {"model.safetensors", "seen.npz", "recipe.yaml"} & set(pushed.commits[pushed.head]) == set()
    said = errors_of(
        python("-m", "mien", "train", "cnn-v1", "--data", drawn_zip, "--out", "x", "--start", "hf://ann/first")
    )
    assert "holds no trainable weights" in said


@pytest.mark.slow
def test_a_bundled_model_goes_up_with_its_trainable_weights(hub, python) -> None:
    evidence = ROOT / "docs" / "evidence" / "mien-tiny.json"
    done = python("-m", "mien", "push", "mien-tiny", "ann/tiny", "--evidence", evidence, "--license", "apache-2.0")
    assert done.returncode == 0, done.stderr
    files = hub.repositories["ann/tiny"].commits[hub.repositories["ann/tiny"].head]
    assert files["model.onnx"] == (vendored_folder("weights") / "mien-tiny.onnx").read_bytes()
    assert files["model.safetensors"] == (vendored_folder("starts") / "mien-tiny" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_models_lists_what_is_in_the_cache_and_what_can_be_had(pushed, python) -> None:
    assert python("-c", CLASSIFY, "hf://ann/first").returncode == 0
    told = json.loads(python("-m", "mien", "models", "--hub", "--json").stdout)
    (one,) = told["downloaded"]
    assert one["address"] == f"hf://ann/first@{pushed.head}"
    assert one["license"] is None
    assert one["accuracy"].startswith("Accuracy: .")
    assert one["sha256"] == sha256(pushed.commits[pushed.head]["model.onnx"]).hexdigest()
    assert told["hub"] == [{"address": "hf://ann/first", "downloads": 3, "license": None}]
    text = python("-m", "mien", "models", "--hub").stdout
    assert "in the cache" in text
    assert "on the hub, not measured" in text


CASES = {
    "no such repository": ("hf://ann/nobody", "there is no such repository, or it is private"),
    "no such revision": ("hf://ann/first@v9", "has no revision 'v9'"),
    "no name": ("hf://first", "expected hf://user/name"),
    "an empty revision": ("hf://ann/first@", "expected hf://user/name"),
    "a path in it": ("hf://ann/../first", "expected hf://user/name"),
}


@pytest.mark.parametrize(("address", "said"), CASES.values(), ids=CASES.keys())
@pytest.mark.slow
def test_an_address_that_leads_nowhere_says_so(pushed, python, address: str, said: str) -> None:
    assert said in errors_of(python("-m", "mien", "recognize", PHOTO, "--model", address))


def damaged(name: str, **files: bytes | None):
    return name, lambda repository: repository.change(**files)


@pytest.mark.parametrize(
    ("said", "change"),
    [
        damaged("has no mien.json, so it is no model of mien's", mien__json=None),
        damaged("mien.json is damaged", mien__json=b"{"),
        damaged("mien.json is damaged", mien__json=b'{"format": 1, "version": "1", "files": [1]}'),
        damaged("was written by a newer mien (format 99", mien__json=b'{"format": 99}'),
        damaged("is not the file that mien.json", model__onnx=b"another"),
        damaged("names model.onnx, and it is not there", model__onnx=None),
    ],
)
def test_a_repository_that_was_changed_is_refused(pushed, python, said: str, change) -> None:
    change(pushed)
    assert said in errors_of(python("-m", "mien", "recognize", PHOTO, "--model", "hf://ann/first"))


@pytest.mark.slow
def test_a_pickle_that_lies_there_is_not_asked_for(pushed, hub, python) -> None:
    pushed.change(pytorch_model__bin=b"cos\nsystem\n(S'true'\ntR.")
    assert python("-c", CLASSIFY, "hf://ann/first").returncode == 0
    assert not [line for line in hub.asked if "pytorch_model" in line]


@pytest.mark.slow
def test_gated_and_private_ones_name_the_way_in(pushed, python) -> None:
    pushed.gated = True
    said = errors_of(python("-m", "mien", "recognize", PHOTO, "--model", "hf://ann/first"))
    assert "accept the terms" in said
    assert "hf auth login" in said
    pushed.gated, pushed.private = False, True
    said = errors_of(python("-m", "mien", "recognize", PHOTO, "--model", "hf://ann/first", HF_TOKEN="hf_other"))
    assert "it is private" in said


@pytest.mark.slow
def test_without_a_connection_it_says_so(hub, python, whole_run: Path) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    said = errors_of(python("-m", "mien", "recognize", PHOTO, "--model", "hf://ann/first", **nowhere))
    assert "http://127.0.0.1:9 cannot be reached" in said
    said = errors_of(python("-m", "mien", "push", whole_run, "ann/first", **nowhere))
    assert "http://127.0.0.1:9 cannot be asked" in said
    said = errors_of(python("-m", "mien", "recognize", PHOTO, "--model", "hf://ann/first", HF_HUB_OFFLINE="1"))
    assert "HF_HUB_OFFLINE forbids" in said
    said = errors_of(python("-m", "mien", "push", whole_run, "ann/first", HF_HUB_OFFLINE="1"))
    assert "HF_HUB_OFFLINE forbids" in said
    hub.broken = 500
    said = errors_of(python("-m", "mien", "models", "--hub"))
    assert "answers 500" in said


@pytest.mark.slow
def test_a_push_without_the_right_is_refused(hub, python, whole_run: Path) -> None:
    said = errors_of(python("-m", "mien", "push", whole_run, "ann/first", HF_TOKEN="hf_wrong"))
    assert "hf auth login" in said
    assert hub.repositories == {}


@pytest.mark.slow
def test_a_repository_of_something_else_is_left_alone(pushed, python, whole_run: Path) -> None:
    pushed.commit({"README.md": b"# Poems", "poems.txt": b"Roses"})
    said = errors_of(python("-m", "mien", "push", whole_run, "ann/first"))
    assert "holds something else than a model of mien's" in said
    assert set(pushed.commits[pushed.head]) == {"README.md", "poems.txt"}
    assert python("-m", "mien", "push", whole_run, "ann/first", "--overwrite").returncode == 0
    assert set(pushed.commits[pushed.head]) == NAMES | {"pictures/confusion.png", "poems.txt"}


@pytest.mark.slow
def test_a_run_without_a_model_file_or_figures_is_not_pushed(hub, python, whole_run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(whole_run, tmp_path / "other"))
    (other / "model.onnx").unlink()
    assert "mien export" in errors_of(python("-m", "mien", "push", other, "ann/first"))
    said = errors_of(python("-m", "mien", "push", "mien-tiny", "ann/first"))
    assert "a model file keeps no figures" in said
    assert hub.repositories == {}


@pytest.mark.slow
def test_without_the_extra_it_is_named(python) -> None:
    script = "import sys; sys.modules['huggingface_hub'] = None; from mien import Recognizer; Recognizer('hf://a/b')"
    assert 'needs the extra "hub"' in python("-c", script).stderr
