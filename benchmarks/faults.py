"""Faults: every verb that writes, killed before each change of the file system, then given again.

python benchmarks/faults.py                    a few kills of each quick verb, drawn by --seed
python benchmarks/faults.py --long             every one of them, of all verbs, and as many at moments of chance
python benchmarks/faults.py --verbs ensemble   those of one verb

A child process, forked from one that has everything imported, runs the command and dies at the n-th of its changes:
before it opens a file for writing, makes, renames or removes something. Then the same command runs again. It must end
well, leave what an undisturbed one leaves, and nothing under way; what it reads must be as it was at every moment.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KILLED = 137
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_UNLIKE = ("*.html", "*.md", "*.ckpt", "*/latency.json", "*/pictures/*", "*-find-lr.*")  # hold times or paths
_TRAIN = ["train", "tiny.yaml", "--data", "faces.zip", "--device", "cpu"]
_LOOK = ["--model", "mien-tiny", "--detector", "fast", "--threads", "1"]


@dataclass(frozen=True)
class Verb:
    """A command in a folder of prepared inputs."""

    words: list[str]
    code: int = 0  # with which it ends
    quick: bool = True

    @property
    def trained(self) -> bool:
        """Whether it needs trained runs."""
        return not {"a", "trunk"}.isdisjoint(self.words)


VERBS = {
    "data stats": Verb(["data", "stats", "other.zip", "--plot", "stats.png"]),
    "data draw, folder": Verb(["data", "draw", "drawn", "--count", "70"]),
    "data draw, zip": Verb(["data", "draw", "drawn.zip", "--count", "70"]),
    "data draw, again": Verb(["data", "draw", "old", "--count", "70", "--seed", "2", "--overwrite"]),
    "recognize, pictures": Verb(
        ["recognize", "photos", *_LOOK, "--out", "t.csv", "--annotate", "marked", "--plot", "p.png"], code=1
    ),
    "recognize, Parquet": Verb(["recognize", "photos", *_LOOK, "--out", "t.parquet"], code=1),
    "recognize, video": Verb(
        ["recognize", "clip.mp4", *_LOOK, "--out", "v.csv", "--annotate", "v.mp4", "--timeline", "v.png"]
    ),
    "explain": Verb(["explain", "mien-tiny", "photos/a.jpg", "--method", "occlusion", "--out", "explained"]),
    "ensemble": Verb(["ensemble", "a", "b", "--out", "both"]),
    "calibrate": Verb(["calibrate", "a", "--risk", "0.4"]),
    "card": Verb(["card", "a"]),
    "evaluate": Verb(["evaluate", "a", "--data", "faces.zip", "--report", "--robust-faces", "0", "--device", "cpu"]),
    "train": Verb([*_TRAIN, "--out", "new", "--resume"], quick=False),
    "train, again": Verb([*_TRAIN, "--out", "a", "--overwrite", "--set", "seed=3"], quick=False),
    "train, branch": Verb([*_TRAIN, "--out", "new", "--resume", "--branch", "trunk", "--set", "epochs=3"], quick=False),
    "train, rate": Verb([*_TRAIN, "--out", "new", "--find-lr", "--set", "data.batch_size=5"], quick=False),
    "export": Verb(["export", "a", "--data", "faces.zip", "--to", "out/a.onnx"], quick=False),
    "export, int8": Verb(["export", "mien-tiny", "--int8", "--data", "faces.zip", "--to", "i.onnx"], quick=False),
    "sweep": Verb(
        ["sweep", "tiny.yaml", "--data", "faces.zip", "--out", "swept", "--grid", "seed=4,5", "--device", "cpu"],
        quick=False,
    ),
    "study": Verb(
        ["study", "--data", "faces.zip", "--out", "studied", "--recipes", "tiny.yaml", "--device", "cpu"], quick=False
    ),
}


def prepare(base: Path, *, trained: bool) -> None:
    """What the commands read: faces, pictures, a film, and short trainings where they are needed."""
    import cv2
    import numpy as np
    import yaml
    from PIL import Image

    from mien.data.draw import draw_set
    from mien.recipes.recipe import Recipe
    from mien.recognize.vendored import vendored_folder

    base.mkdir()
    draw_set(base / "faces.zip", 70, seed=1)
    draw_set(base / "other.zip", 70, seed=4)
    draw_set(base / "old", 70, seed=1)
    recipe = {"extends": "cnn-v1", "epochs": 2, "describe": "Short.", "schedule": {"name": "constant"}}
    (base / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    Recipe.load(str(base / "tiny.yaml"))
    portrait = Image.open(vendored_folder("pictures") / "astronaut.jpg").resize((256, 256))
    (base / "photos").mkdir()
    for name in ("a", "b", "c"):
        portrait.save(base / "photos" / f"{name}.jpg")
    Image.fromarray(np.full((60, 80), 99, dtype=np.uint8)).save(base / "photos" / "gray.png")
    (base / "photos" / "zz.png").write_bytes(b"no picture")
    film = cv2.VideoWriter(str(base / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 20, (256, 256))
    for _ in range(6):
        film.write(np.asarray(portrait)[..., ::-1].copy())
    film.release()
    for words in (
        ()
        if not trained
        else (
            [*_TRAIN, "--out", "a"],
            [*_TRAIN, "--out", "b", "--set", "seed=1"],
            [*_TRAIN, "--out", "trunk", "--set", "epochs=1"],
            ["evaluate", "a", "--data", "faces.zip", "--device", "cpu"],
        )
    ):
        code, said = run(words, base)
        if code:
            raise RuntimeError(f"{' '.join(words)}: {said}")


def run(words: list[str], folder: Path, kill: int = 0, after_s: float = 0.0) -> tuple[int, str]:
    """Run `mien WORDS` in `folder`; its exit code and what it said. `kill`: it dies before its n-th change.

    Without a kill the last line says how many changes there were. `after_s`: it is killed then.
    """
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            _be(words, folder, kill, said.fileno())
        if after_s:
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        code = KILLED if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else None
        return os.waitstatus_to_exitcode(status) if code is None else code, said.read().decode("utf-8", "replace")


def _be(words: list[str], folder: Path, kill: int, said: int) -> None:
    """The child: never returns."""
    code = 3
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        os.chdir(folder)
        os.environ["MIEN_CACHE"] = str(folder / "cache")
        tempfile.tempdir = str(folder / "tmp")
        Path(tempfile.tempdir).mkdir(exist_ok=True)
        sys.argv = ["mien", *words]
        changes = count_changes(f"{folder}{os.sep}", kill)
        from mien.cli.main import main

        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        if not kill:
            print(f"\n{changes()}", flush=True)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    finally:
        os._exit(code)


def count_changes(within: str, kill: int) -> Callable[[], int]:
    """Count the changes below `within` from now on, and die before number `kill`."""
    count = 0

    def look(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if not flags & _WRITING:
                return
        elif event not in _CHANGES:
            return
        path = arguments[0]
        if not isinstance(path, (str, bytes)) or os.fsdecode(path) == os.devnull:
            return
        place = os.fsdecode(path)
        if place.startswith(os.sep) and not place.startswith(within):
            return
        count += 1
        if count == kill:
            os._exit(KILLED)

    sys.addaudithook(look)
    return lambda: count


def tree(folder: Path) -> dict[str, str]:
    """What lies in `folder`: names and digests, without what differs between two undisturbed runs."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            found[name] = "" if any(fnmatch.fnmatch(name, unlike) for unlike in _UNLIKE) else _digest(path)
        elif name.split("/")[0] not in ("cache", "tmp"):
            found[name] = "folder"
    return {
        name: digest
        for name, digest in found.items()
        if not name.startswith(("cache/", "tmp/")) and ".mien-" not in name
    }


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.name == "card.json":
        content = _steady(content.decode())
    elif path.name == "history.csv":
        rows = [
            {key: value for key, value in row.items() if key not in ("seconds", "images_per_second")}
            for row in csv.DictReader(io.StringIO(content.decode()))
        ]
        content = repr(rows).encode()
    elif path.suffix == ".onnx":
        import onnx

        model = onnx.load_model_from_string(content)
        (card,) = (entry for entry in model.metadata_props if entry.key == "mien.card")
        card.value = _steady(card.value).decode()
        content = model.SerializeToString()
    return hashlib.sha256(content).hexdigest()[:16]


def _steady(card: str) -> bytes:
    told = json.loads(card)
    told["training"] |= {"minutes": 0, "commit": None}
    return json.dumps(told, sort_keys=True).encode()


def leftovers(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob(".mien-*")]


def difference(found: dict[str, str], wanted: dict[str, str]) -> str:
    lost, more = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    other = [name for name in wanted.keys() & found.keys() if found[name] != wanted[name]]
    told = (("missing", lost), ("too many", more), ("different", other))
    return "; ".join(f"{what}: {', '.join(sorted(names)[:5])}" for what, names in told if names)


@dataclass(frozen=True)
class Trials:
    """A verb, the folder that it begins in, and what an undisturbed command comes to."""

    verb: Verb
    base: Path
    work: Path
    wanted: dict[str, str]
    changes: int
    seconds: float

    @classmethod
    def of(cls, verb: Verb, base: Path, work: Path) -> Trials:
        shutil.copytree(base, work, symlinks=True)
        began = time.perf_counter()
        code, said = run(verb.words, work)
        seconds = time.perf_counter() - began
        if code != verb.code:
            raise RuntimeError(f"{' '.join(verb.words)}: ended with {code}: {said[-2000:]}")
        trials = cls(verb, base, work, tree(work), int(said.split()[-1]), seconds)
        if left := leftovers(work):
            raise RuntimeError(f"{' '.join(verb.words)}: left {left}")
        shutil.rmtree(work)
        return trials

    def problem(self, kill: int = 0, after_s: float = 0.0) -> str:
        """What is wrong after a kill and the same command again; nothing where all is well."""
        shutil.copytree(self.base, self.work, symlinks=True)
        try:
            begun = tree(self.base)
            code, said = run(self.verb.words, self.work, kill, after_s)
            if code not in (KILLED, self.verb.code):
                return f"ended with {code} in place of being killed: {said[-500:]}"
            between = tree(self.work)
            kept = [name for name, digest in begun.items() if self.wanted.get(name) == digest]  # inputs among them
            lost = [name for name in kept if between.get(name) != begun[name]]
            if lost and "--overwrite" not in self.verb.words:  # with it a run or set goes before the new one comes
                return f"lost at the kill: {lost[:5]}"
            if why := _unequal_cards(self.work):
                return why
            done = not difference(between, self.wanted)
            code, said = run(self.verb.words, self.work)
            if code != self.verb.code and not (code == 2 and done):
                return f"again it ended with {code}: {said[-700:]}"
            if "Traceback" in said:
                return f"again it ended in a traceback: {said[-700:]}"
            if why := difference(tree(self.work), self.wanted):
                return f"again it came to something else ({why})"
            left = leftovers(self.work)
            return f"left under way: {left}" if left else ""
        finally:
            shutil.rmtree(self.work, ignore_errors=True)


def _unequal_cards(folder: Path) -> str:
    """Why a run folder answers by another card than its own, at any moment."""
    from mien.cards import Card
    from mien.recognize.recognizer import Recognizer

    for run_folder in (folder / "a", folder / "new"):
        whole = all((run_folder / name).is_file() for name in ("card.json", "model.onnx"))
        if whole and Recognizer(run_folder, detector="none").card != Card.load(run_folder / "card.json"):
            return f"{run_folder.name}: its model file and its card differ"
    return ""


def import_all(*, trained: bool) -> None:
    """What takes long to import, once for all children."""
    import matplotlib.pyplot

    import mien.cli.main
    import mien.report.layout

    if not trained:
        return
    import lightning.pytorch
    import onnxscript
    import torch
    import transformers

    import mien.actions
    import mien.studies.gather
    import mien.studies.study
    import mien.training.find_lr

    torch.set_num_threads(1)
    _ = (lightning.pytorch, matplotlib.pyplot, onnxscript, transformers, mien.actions, mien.cli.main)


def chosen(trials: Trials, number: int | None, rng: random.Random) -> list[tuple[int, float]]:
    """The kills of a verb, each a change or a moment: so many changes by chance, or all and as many moments."""
    every = range(1, trials.changes + 1)
    if number is not None:
        return [(kill, 0.0) for kill in sorted(rng.sample(every, min(number, trials.changes)))]
    return [(kill, 0.0) for kill in every] + [(0, max(rng.random() * trials.seconds, 0.001)) for _ in every]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="every change of every verb, and moments of chance")
    parser.add_argument("--verbs", nargs="*", choices=sorted(VERBS), help="the quick ones if left out")
    parser.add_argument("--number", type=int, default=2, help="kills of each verb, without --long")
    parser.add_argument("--seed", type=int, default=0)
    how = parser.parse_args()
    names = how.verbs or [name for name, verb in VERBS.items() if how.long or verb.quick]
    rng = random.Random(how.seed)
    trained = any(VERBS[name].trained or not VERBS[name].quick for name in names)
    import_all(trained=trained)
    failed = kills = 0
    with tempfile.TemporaryDirectory(prefix="mien-faults-") as place:
        base = Path(place).resolve() / "base"
        prepare(base, trained=trained)
        for name in names:
            trials = Trials.of(VERBS[name], base, base.with_name("work"))
            kinds = chosen(trials, None if how.long else how.number, rng)
            problems = []
            for kill, after_s in kinds:
                if why := trials.problem(kill, after_s):
                    problems.append(f"  at change {kill}" if kill else f"  after {after_s:.3f} s")
                    problems[-1] += f" of {trials.changes}: {why}"
            kills, failed = kills + len(kinds), failed + len(problems)
            print(f"{name}: {trials.changes} changes, {len(kinds)} kills, {len(problems)} went wrong", flush=True)
            print("\n".join(problems), end="\n" * bool(problems), flush=True)
    print(f"{kills:,} kills of {len(names)} verbs: {failed} went wrong")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
