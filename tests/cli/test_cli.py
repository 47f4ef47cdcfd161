"""The command line as a person meets it: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from mien import FaceSet, Run
from mien.recipes.recipe import names
from mien.report import style


def test_help_does_not_import_the_heavy_libraries() -> None:
    code = (
        "import sys; sys.argv = ['mien', '--help']\n"
        "from mien.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'lightning', 'cv2', 'numpy', 'matplotlib', 'sklearn', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "recognize" in done.stdout


def test_a_light_install_says_which_extra_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"  # as if it were not installed
        f"sys.argv = ['mien', 'train', 'cnn-v2', '--data', 'x', '--out', {str(tmp_path / 'run')!r}]\n"
        "from mien.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install -c constraints.txt ".[train]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bundled_model_is_evaluated_without_torch(drawn_zip: Path) -> None:
    code = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] == 'torch': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        f"sys.argv = ['mien', 'evaluate', 'mien-tiny', '--data', {str(drawn_zip)!r}, '--json']\n"
        "from mien.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["n"] == 14


def test_version(mien) -> None:
    assert mien("--version").out.startswith("mien 0.")


def test_recipes(mien) -> None:
    listed = mien("recipes")
    assert listed.code == 0
    assert all(name in listed.out for name in ("cnn-v1", "cnn-v2", "cnn-v2.1"))
    shown = mien("recipes", "show", "cnn-v2", "--set", "optimizer.lr=0.5")
    assert "lr: 0.5" in shown.out
    assert "extends" not in shown.out
    as_json = json.loads(mien("recipes", "--json").out)
    assert [recipe["name"] for recipe in as_json] == names()
    assert {"cnn-v1", "vit-scratch", "vit-v1.3", "vit-v1.6.7", "efficientnet-lite0-ft"} <= set(names())


def test_data_draw_stats_audit(mien, tmp_path: Path) -> None:
    drawn = mien("data", "draw", tmp_path / "faces", "--count", 70, "--seed", 3)
    assert drawn.code == 0
    stats = mien("data", "stats", tmp_path / "faces", "--plot", tmp_path / "stats.png")
    assert stats.code == 0
    assert "surprise" in stats.out
    assert Image.open(tmp_path / "stats.png").width > 2.5 * style.DPI
    counts = json.loads(mien("data", "stats", tmp_path / "faces", "--json").out)["counts"]
    assert sum(sum(split.values()) for split in counts.values()) == 70
    audit = json.loads(mien("data", "audit", tmp_path / "faces", "--json").out)
    assert audit["surplus"] >= 1
    assert "test images that are also in train" in mien("data", "audit", tmp_path / "faces").out
    again = mien("data", "draw", tmp_path / "faces", "--count", 70)
    assert again.code == 2
    assert "--overwrite" in again.err


def test_train_evaluate_compare_recognize(mien, drawn_zip: Path, drawn_folder: Path, tmp_path: Path) -> None:
    for name in ("cnn-v1", "cnn-v2"):
        trained = mien("train", name, "--data", drawn_zip, "--out", tmp_path / name, "--set", "epochs=2", "--seed", 4)
        assert trained.code == 0, trained.err
        assert "mien evaluate" in trained.out
        assert Image.open(tmp_path / name / "report" / "curves.png").width > 2.5 * style.DPI
        assert Run(tmp_path / name).card.training.seed == 4
        evaluated = mien("evaluate", tmp_path / name, "--data", drawn_zip)
        assert evaluated.code == 0, evaluated.err
        assert "leak-free" in evaluated.out
        as_json = json.loads(mien("evaluate", tmp_path / name, "--data", drawn_zip, "--json").out)
        assert f"n={as_json['scores']['n']}" in evaluated.out
    compared = mien("compare", tmp_path / "cnn-v1", tmp_path / "cnn-v2")
    assert compared.code == 0
    assert "exact McNemar" in compared.out
    assert json.loads(mien("compare", tmp_path / "cnn-v1", tmp_path / "cnn-v2", "--json").out)["models"] == [
        "cnn-v1",
        "cnn-v2",
    ]

    faces = sorted((drawn_folder / "test" / "happy").iterdir())
    ready = ["--model", tmp_path / "cnn-v2", "--detector", "none"]
    one = mien("recognize", faces[0], *ready, "--plot", tmp_path / "face.png", "--json")
    assert one.code == 0, one.err
    (face,) = json.loads(one.out)["faces"]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert face["emotion"] == max(face["probabilities"], key=face["probabilities"].get)
    assert face["box"] == [0, 0, 48, 48]
    assert Image.open(tmp_path / "face.png").width > 2.5 * style.DPI

    (tmp_path / "broken.png").write_bytes(b"no picture")
    some = mien("recognize", faces[0], tmp_path / "broken.png", faces[1], *ready)
    assert some.code == 1
    assert len(some.out.splitlines()) == 2
    assert "broken.png" in some.err


@pytest.fixture(scope="module")
def votes(drawn_faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten votes on every drawn face, seven of them for its label."""
    emotions = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    lines = [",".join(["path", *emotions, "contempt", "unknown", "NF"])]
    for name, label in zip(drawn_faces.names, drawn_faces.labels, strict=True):
        counts = [7 if i == label else 0 for i in range(7)]
        lines.append(",".join([str(name), *map(str, counts), "1", "1", "1"]))
    file = tmp_path_factory.mktemp("votes") / "votes.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.slow
@pytest.mark.usefixtures("no_onnx_of_train")
def test_votes_ensemble_teacher_export(mien, drawn_zip: Path, drawn_folder: Path, votes: Path, tmp_path: Path) -> None:
    short = ["--data", drawn_zip, "--set", "epochs=1"]
    for seed in (0, 1):
        out = tmp_path / f"s{seed}"
        soft = ["--votes", votes, "--set", "targets.votes=0.5", "--set", "data.repeats=merge", "--seed", seed]
        assert mien("train", "cnn-v1", *short, *soft, "--out", out).code == 0
        assert Run(out).card.training.votes == "votes.csv"
        assert mien("evaluate", out, "--data", drawn_zip, "--split", "train").code == 0
    made = mien("ensemble", tmp_path / "s0", tmp_path / "s1", "--out", tmp_path / "both")
    assert made.code == 0, made.err
    assert made.out.count("val accuracy") == 3
    taught = mien(
        "train", "cnn-v1", *short, "--out", tmp_path / "pupil", "--teacher", tmp_path / "both",
        "--set", "targets.teacher=0.7",
    )  # fmt: skip
    assert taught.code == 0, taught.err
    exported = mien("export", tmp_path / "both", "--data", drawn_zip, "--to", tmp_path / "both.onnx", "--float16")
    assert exported.code == 0, exported.err
    assert "against torch on 14 faces: largest difference" in exported.out
    face = next((drawn_folder / "test" / "happy").iterdir())
    read = mien("recognize", face, "--model", tmp_path / "both.onnx", "--detector", "none")
    assert read.code == 0
    of_file = mien("evaluate", tmp_path / "both.onnx", "--data", drawn_zip, "--split", "pooled")
    assert of_file.code == 0, of_file.err
    of_run = mien("evaluate", tmp_path / "both", "--data", drawn_zip, "--split", "pooled").out
    assert next(line for line in of_run.splitlines() if "accuracy " in line) in of_file.out
    assert "other data" not in of_file.err
    elsewhere = mien("evaluate", tmp_path / "both.onnx", "--data", drawn_folder / "test")
    assert "was trained on other data (drawn.zip)" in elsewhere.err
    on_gpu = mien("evaluate", tmp_path / "both.onnx", "--data", drawn_zip, "--device", "cuda")
    assert on_gpu.code == 2
    assert "Leave out --device cuda" in on_gpu.err


@pytest.mark.usefixtures("no_onnx_of_train")
def test_the_eight_labels_of_ferplus(mien, drawn_zip: Path, votes: Path, tmp_path: Path) -> None:
    ferplus = ["--data", drawn_zip, "--votes", votes, "--ferplus", "majority"]
    trained = mien("train", "cnn-v1", *ferplus, "--out", tmp_path / "eight", "--set", "epochs=1")
    assert trained.code == 0, trained.err
    assert "FER+ majority: 140 of 140 faces have a label" in trained.err
    assert Run(tmp_path / "eight").card.labels[-1] == "contempt"
    scored = mien("evaluate", tmp_path / "eight", *ferplus, "--json")
    assert json.loads(scored.out)["scores"]["n"] == 14
    alone = mien("evaluate", tmp_path / "eight", "--data", drawn_zip, "--ferplus", "majority")
    assert alone.code == 2
    assert "pass --votes FILE" in alone.err
    missing = mien("train", "cnn-v1", "--data", drawn_zip, "--out", tmp_path / "no", "--set", "targets.votes=0.5")
    assert missing.code == 2
    assert "learns from votes: pass --votes FILE" in missing.err


def test_a_bundled_model_is_evaluated_on_other_classes(mien, drawn_folder: Path, tmp_path: Path) -> None:
    for number, label in enumerate(("happy", "sad", "fear"), start=1):
        shutil.copytree(drawn_folder / "test" / label, tmp_path / "set" / "test" / str(number))
    images, of_fear = (len(list((tmp_path / "set" / "test").glob(f"{name}/PrivateTest*"))) for name in ("*", "3"))
    refused = mien("evaluate", "mien-tiny", "--data", tmp_path / "set")
    assert refused.code == 2
    assert "mien-tiny was trained on angry, disgust" in refused.err
    assert "--labels 1=" in refused.err
    named = mien("evaluate", "mien-tiny", "--data", tmp_path / "set", "--labels", "1=joy,2=sad,3=fear", "--json")
    assert named.code == 0, named.err
    assert "has no class angry, disgust, neutral, surprise, which mien-tiny may answer" in named.err
    found = json.loads(named.out)
    assert found["scores"]["n"] == images
    assert [row["support"] > 0 for row in found["per_class"]] == [False, False, True, True, False, True, False]
    fewer = mien("evaluate", "mien-tiny", "--data", tmp_path / "set", "--labels", "1=joy,2=sad,3=-", "--json")
    assert json.loads(fewer.out)["scores"]["n"] == images - of_fear < images


@pytest.mark.usefixtures("no_onnx_of_train")
def test_a_cross_validation_by_persons(mien, drawn_folder: Path, tmp_path: Path) -> None:
    """JAFFE's names on drawn faces: six people, two faces of each emotion."""
    codes = {
        "angry": "AN",
        "disgust": "DI",
        "fear": "FE",
        "happy": "HA",
        "neutral": "NE",
        "sad": "SA",
        "surprise": "SU",
    }
    people = ("KA", "KL", "KM", "KR", "MK", "NA")
    (tmp_path / "jaffe").mkdir()
    for label, code in codes.items():
        faces = sorted((drawn_folder / "train" / label).iterdir())
        for i in range(12):
            name = f"{people[i % 6]}.{code}{i // 6 + 1}.{10 * i}.tiff"
            shutil.copyfile(faces[i % len(faces)], tmp_path / "jaffe" / name)
    told = ["train", "cnn-v1", "--data", tmp_path / "jaffe", "--out", tmp_path / "folds", "--folds", "2"]
    done = mien(*told, "--set", "epochs=1")
    assert done.code == 0, done.err
    assert "read as JAFFE, 84 faces" in done.err
    assert "2 folds by persons: nobody is in two of them" in done.err
    assert "cnn-v1 on jaffe, 2 folds by persons" in done.out
    assert re.search(r"out of fold: accuracy \S+ \[.*\(n = 84; 95 % bootstrap intervals over 6 persons\)", done.out)
    assert (tmp_path / "folds" / "fold-02" / "predictions" / "test.npz").is_file()
    again = mien(*told, "--set", "epochs=1")
    assert again.out == done.out
    for option in (["--teacher", "x"], ["--resume"], ["--branch", "x"]):
        refused = mien(*told, *option)
        assert refused.code == 2
        assert f"{option[0]} is nothing for --folds" in refused.err


def test_a_place_that_cannot_be_written_is_one_clear_line(mien, drawn_zip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = mien("data", "stats", drawn_zip, "--plot", tmp_path / "file" / "stats.png")
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert "file" in answer.err


@pytest.mark.slow
@pytest.mark.usefixtures("no_onnx")
def test_study(mien, drawn_zip: Path, tmp_path: Path) -> None:
    done = mien(
        "study", "--recipes", "cnn-v1,cnn-v2", "--data", drawn_zip, "--out", tmp_path / "study", "--set", "epochs=1"
    )
    assert done.code == 0, done.err
    assert (tmp_path / "study" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("no_onnx", "no_onnx_of_train")
def test_study_shows_each_recipe_the_pictures_at_its_own_size(mien, drawn_zip: Path, tmp_path: Path) -> None:
    """A recipe of 30 pixels beside one of 40, on pictures of 48: the same numbers as trained alone."""
    for size in (30, 40):
        text = f"name: at-{size}\nextends: cnn-v1\ndescribe: x\nepochs: 1\ndata: {{preprocess: {{size: {size}}}}}\n"
        (tmp_path / f"{size}.yaml").write_text(text)
    small, large = tmp_path / "30.yaml", tmp_path / "40.yaml"
    together = mien("study", "--recipes", f"{small},{large}", "--data", drawn_zip, "--out", tmp_path / "study")
    assert together.code == 0, together.err
    assert mien("train", small, "--data", drawn_zip, "--out", tmp_path / "alone").code == 0
    first, second = Run(tmp_path / "study" / "at-30").history, Run(tmp_path / "alone").history
    assert first[0].train_loss == second[0].train_loss


@pytest.mark.slow
@pytest.mark.usefixtures("no_onnx")
def test_study_goes_by_cost_and_names_what_cannot_be_had(
    mien, drawn_zip: Path, tiny_vit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    settings = ["epochs=1", f"vit-*:model.backbone={tiny_vit}", "vit-*:data.preprocess.size=32"]
    command = [
        "study", "--recipes", "cnn-v2,vit-v1.3-frozen,resnet50-ft", "--data", drawn_zip, "--out", tmp_path / "study",
        *(word for setting in settings for word in ("--set", setting)),
    ]  # fmt: skip
    done = mien(*command)
    assert done.code == 0, done.err
    assert (
        "resnet50-ft: not run. model.backbone microsoft/resnet-50: is no folder here, is not in the local cache"
        in done.err
    )
    estimates = re.findall(r"^(\S+): at most about \d+ (?:s|min)$", done.err, flags=re.MULTILINE)
    trained = re.findall(r"^(\S+): \d of 2$", done.err, flags=re.MULTILINE)
    assert estimates == trained
    assert set(trained) == {"cnn-v2", "vit-v1.3-frozen-tiny-vit-32px"}
    page = (tmp_path / "study" / "report.md").read_text()
    assert "resnet50-ft" in page
    assert "not run" in page
    latencies = json.loads((tmp_path / "study" / "latency.json").read_text())
    assert set(latencies) == set(trained)
    again = mien(*command)
    assert "training" not in again.err
    assert json.loads((tmp_path / "study" / "latency.json").read_text()) == latencies


TRAIN = ("train", "cnn-v2", "--data", "x", "--out", "y")
MISTAKES = {
    "unknown recipe 'cnn-v3'. Did you mean 'cnn-v2'? See: mien recipes": ("train", "cnn-v3", *TRAIN[2:]),
    "no/such.zip: does not exist": ("train", "cnn-v2", "--data", "no/such.zip", "--out", "y"),
    "optimizer.weightdecay: unknown key. Did you mean 'weight_decay'?": (*TRAIN, "--set", "optimizer.weightdecay=1"),
    "epochs: Input should be greater than or equal to 1, got 0": (*TRAIN, "--set", "epochs=0"),
    "expected KEY=VALUE": (*TRAIN, "--set", "epochs"),
    "unknown device 'gpu'": (*TRAIN, "--device", "gpu"),
    "no/run: no such run folder": ("evaluate", "no/run", "--data", "x"),
    "two or more models are compared, got 1": ("compare", "."),
    "no recipe of this study is named like 'vot-*': cnn-v1": (
        "study",
        "--recipes",
        "cnn-v1",
        "--data",
        "x",
        "--out",
        "y",
        "--set",
        "vot-*:epochs=1",
    ),
    "model.backbone no/such/folder: no such folder": (
        "train",
        "vit-v1.3",
        "--data",
        "x",
        "--out",
        "y",
        "--set",
        "model.backbone=no/such/folder",
    ),
    "unknown model 'mien-tin'. Did you mean 'mien-tiny'?": ("compare", "mien-tin", "mien-small"),
    "a model file keeps no predictions. Name the images: --data PATH": (
        "compare",
        "mien-tiny",
        "mien-small",
    ),
    "--seeds a: expected whole numbers": ("study", "--data", "x", "--out", "y", "--seeds", "a"),
    "Missing option '--out'": ("train", "cnn-v2", "--data", "x"),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_end_with_2_and_one_clear_message(mien, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = mien(*MISTAKES[message])
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "y").exists()


@pytest.mark.usefixtures("no_onnx_of_train")
def test_corrupt_image_is_named_and_skipped_only_on_request(mien, drawn_folder: Path, tmp_path: Path) -> None:
    import shutil

    data = Path(shutil.copytree(drawn_folder, tmp_path / "data"))
    bad = next((data / "train" / "sad").iterdir())
    bad.write_bytes(bad.read_bytes()[:60])
    arguments = ("train", "cnn-v1", "--data", data, "--out", tmp_path / "run", "--set", "epochs=1")
    refused = mien(*arguments)
    assert refused.code == 2
    assert bad.name in refused.err
    assert "--skip-unreadable" in refused.err
    done = mien(*arguments, "--skip-unreadable")
    assert done.code == 0
    assert f"left out: train/sad/{bad.name}" in done.err


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(drawn_zip: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-c", "from mien.cli.main import main; main()",
        "train", "cnn-v2", "--data", str(drawn_zip), "--out", str(tmp_path / "run"), "--set", "epochs=5000",
        "--set", "early_stopping=null",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 60
    while not checkpoint.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "--resume" in err
    assert "Traceback" not in err
    assert checkpoint.is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "more"), [("train", ()), ("sweep", ("--grid", "seed=1"))])
def test_the_command_that_is_told_next_works(verb: str, more: tuple, mien, drawn_zip: Path, tmp_path: Path) -> None:
    faces = ("--data", drawn_zip, "--labels", "disgust=-")
    done = mien(verb, "cnn-v1", *faces, "--out", tmp_path / "my runs", *more, "--set", "epochs=1")
    assert done.code == 0, done.err
    told = shlex.split(done.out.partition("mien evaluate ")[2].partition("\n")[0])
    evaluated = mien("evaluate", *told)
    assert evaluated.code == 0, evaluated.err


def test_sweep(mien, drawn_zip: Path, tmp_path: Path) -> None:
    arguments = (
        "sweep", "cnn-v1", "--data", drawn_zip, "--out", tmp_path / "sweep", "--grid", "optimizer.lr=1e-2,1e-4",
        "--set", "epochs=1",
    )  # fmt: skip
    done = mien(*arguments)
    assert done.code == 0, done.err
    assert "best by val: optimizer.lr=1e-" in done.out
    assert "no evidence" in done.out
    assert f"mien evaluate {tmp_path / 'sweep'}" in done.out
    assert Image.open(tmp_path / "sweep" / "sweep.png").width > 2.5 * style.DPI
    again = mien(*arguments, "--json")
    assert again.code == 0
    assert "2 finished before, 0 to train" in again.err
    found = json.loads(again.out)
    assert [row["status"] for row in found["rows"]] == ["finished", "finished"]
    assert f"n={found['n']}" in done.out


@pytest.mark.slow
def test_sweep_ends_with_1_and_names_what_diverged(mien, drawn_zip: Path, tmp_path: Path) -> None:
    done = mien(
        "sweep", "cnn-v1", "--data", drawn_zip, "--out", tmp_path / "sweep", "--grid", "optimizer.lr=1e-2,10",
        "--set", "epochs=2", "--set", "optimizer.name=sgd", "--set", "data.batch_size=8",
    )  # fmt: skip
    assert done.code == 1
    assert "best by val: optimizer.lr=1e-2" in done.out
    assert "diverged" in done.out
    assert "diverged: optimizer.lr=10 (1 of 2)" in done.err


@pytest.mark.slow
def test_find_lr_leaves_the_run_s_folder_free_and_says_how_to_use_what_it_found(
    mien, drawn_zip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien.training import find_lr

    monkeypatch.setattr(find_lr, "suggest", lambda rates, losses: 3.2e-4)
    arguments = ("train", "cnn-v1", "--data", drawn_zip, "--out", tmp_path / "run", "--set", "data.batch_size=8")
    found = mien(*arguments, "--find-lr")
    assert found.code == 0, found.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-find-lr.csv", "run-find-lr.png"]
    assert Image.open(tmp_path / "run-find-lr.png").width > 2.5 * style.DPI
    (line,) = [line for line in found.out.splitlines() if line.startswith("use it: mien ")]
    words = line.removeprefix("use it: mien ").split()
    assert "--find-lr" not in words
    assert mien(*words, "--set", "epochs=1").code == 0
    assert Run(tmp_path / "run").recipe.optimizer.lr == 3.2e-4


@pytest.mark.slow
def test_find_lr_without_a_suggestion_says_so(mien, drawn_zip: Path, tmp_path: Path, monkeypatch) -> None:
    from mien.training import find_lr

    monkeypatch.setattr(find_lr, "suggest", lambda rates, losses: None)
    found = mien(
        "train", "cnn-v1", "--data", drawn_zip, "--out", tmp_path / "run", "--set", "data.batch_size=8", "--find-lr"
    )
    assert found.code == 0
    assert "no suggestion" in found.out
    assert "use it" not in found.out


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("--resume is nothing for --find-lr", ("train", "cnn-v1", "--find-lr", "--resume")),
        (
            "--logger, --start are nothing for --find-lr, which tries fresh weights on one device and trains no run; "
            "leave them out",
            ("train", "cnn-v1", "--find-lr", "--start", "runs/a", "--logger", "csv"),
        ),
        ("4 batches of 32", ("train", "cnn-v1", "--find-lr")),
        ("optimizer.lrr: unknown key", ("sweep", "cnn-v1", "--grid", "optimizer.lrr=1,2")),
        ("Missing option '--grid'", ("sweep", "cnn-v1")),
        ("unknown recipe 'cnn-v3'", ("sweep", "cnn-v3", "--grid", "seed=1")),
    ],
)
def test_mistakes_in_searches(mien, message: str, arguments: tuple[str, ...], drawn_zip: Path, tmp_path: Path) -> None:
    answer = mien(*arguments, "--data", drawn_zip, "--out", tmp_path / "y")
    assert answer.code == 2
    assert message in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("no_onnx")
def test_a_study_of_which_every_training_diverges_says_so(mien, drawn_zip: Path, tmp_path: Path) -> None:
    many = ("optimizer.lr=10", "optimizer.name=sgd", "data.batch_size=2", "epochs=1")
    settings = [word for setting in many for word in ("--set", setting)]
    done = mien("study", "--recipes", "cnn-v1", "--data", drawn_zip, "--out", tmp_path / "study", *settings)
    assert done.code == 2
    assert "cnn-v1: diverged" in done.err
    assert "every training diverged" in done.err
    settings = [word.replace("optimizer", "cnn-v1:optimizer") for word in settings]
    names = ("--recipes", "cnn-v1,cnn-v2", "--data", drawn_zip, "--out", tmp_path / "study")
    done = mien("study", *names, *settings)
    assert done.code == 0, done.err
    page = (tmp_path / "study" / "report.md").read_text(encoding="utf-8")
    assert "its loss diverged" in next(line for line in page.splitlines() if line.startswith("| cnn-v1"))
