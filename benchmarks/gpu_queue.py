"""Queue: trainings on one GPU, several side by side as processes, in order of worth, within a budget of seconds.

    python benchmarks/gpu_queue.py --budget 470 --data fer2013.zip --votes ferplus.csv --backbone dinov2-small --out out

Needs mien's sources alone (PYTHONPATH=src; of the bundled files `weights` and `starts`, with which some trainings
begin), and what a training imports. A first half minute proves the path and
measures; then the most wanted trainings that fit are begun (gpu_plan.py has their order), each as a process of its own:
one that fails ends alone, and while one starts or saves another has the GPU. A few seconds before the budget is over
all that still runs is killed. What comes back, in `--out`: `gpu_done.json`, to be kept as benchmarks/gpu_done.json so
that the next call goes on from there; `summary.txt`; and parts that `gpu_pack.py join` turns into run folders, the list
of what they are, logs and tracebacks. With `--work DIR` run folders stay there, and a second call on the same machine
finds a teacher that the first one trained. Rehearse on a CPU: --device cpu --fraction 0.01 --side 56 --budget 300.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import gpu_pack
import gpu_plan
import numpy as np
from gpu_plan import Clock, Done, Job, Setting
from safetensors.numpy import load_file, save_file

from mien.files import write_whole
from mien.training.run import Run

DONE = Path(__file__).with_name("gpu_done.json")
_PART, _ROOM = 15_900_000, 62_000_000  # bytes: of one part, and of all
_PROOF = 100.0  # seconds after which the proof has failed
_SLACK = 3.0  # seconds before that, at which a training should have ended
_PACKING = 12.0  # seconds before the end of the budget at which everything is stopped
_RUN_FILES = ("card.json", "recipe.yaml", "history.csv", "backbone.json", "seen.npz", "predictions/*.npz")
_WORK = 8 * 2**30  # bytes that run folders, checkpoints and the cache may take
_STATES = ("finished", "short", "unfinished", "failed")  # in which order weights are packed
_SMALL = 8_000_000  # bytes: weights up to here are packed as they are


class Queue:
    """The processes that run now, and what has become of the others."""

    def __init__(self, setting: Setting, began: float, budget: float, together: int) -> None:
        self.setting, self.work = setting, Path(setting.work)
        self.stop = began + budget - _PACKING
        self.together = together
        self.rows: list[Done] = []
        self._running: dict[Job, tuple[subprocess.Popen[bytes], float]] = {}

    def prove(self, earlier: Path | None) -> Clock | None:
        """What the proof measured; None, with its traceback on the screen, where it failed as a whole.

        `earlier`: what it measured on such a machine before, to be taken in its place.
        """
        if earlier:
            shutil.copy(earlier, self.work / "proof.json")
            return self._clock()
        process = self._start("proof", ["prove", self.setting.to_json()])
        try:
            process.wait(timeout=min(_PROOF, max(self.stop - time.time(), 1)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        print((self.work / "logs" / "proof.log").read_text(encoding="utf-8", errors="replace"), flush=True)
        return self._clock() if (self.work / "proof.json").is_file() else None

    def _clock(self) -> Clock:
        proof = json.loads((self.work / "proof.json").read_text(encoding="utf-8"))
        print(f"proof: {proof['device']}, {proof['precision']}, {proof['seconds']:.0f} s", flush=True)
        self.setting = replace(self.setting, graphs=proof["graphs"])
        # Recorded steps keep a GPU busy: four side by side took 3.1 to 3.8 times as long as alone (one H200).
        share = 1 if proof["kind"] == "cuda" and not proof["graphs"] else self.together
        return Clock(proof["speeds"], proof["startup"], share, self.setting.fraction)

    def run(self, clock: Clock, done: set[str]) -> None:
        """Until nothing that is wanted fits any more, or the time is over."""
        wanted = gpu_plan.order(self.setting.sides)
        earlier = {training.name for training in wanted if whole(folder_of(self.work, training.name))}
        taken = done | earlier
        while time.time() < self.stop:
            self._look_after()
            while len(self._running) < self.together:
                here = earlier | {row.name for row in self.rows if row.state == "finished"}
                job = clock.next_job(wanted, taken, time.time(), self.stop - _SLACK, here)
                if job is None:
                    break
                taken.add(job.training.name)
                print(f"{job.name}: begun, at most {job.epochs} epochs at {job.side} px", flush=True)
                process = self._start(job.name, ["train", self.setting.to_json(), job.to_json()])
                self._running[job] = (process, time.time())
            if not self._running:
                break
            time.sleep(0.2)
        for process, _ in self._running.values():
            process.kill()
            process.wait()
        self._look_after()

    def _start(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        threads = max((os.cpu_count() or 1) // (2 * self.together), 1)
        own = {"MIEN_CACHE": str(self.work / "cache"), "HF_HUB_OFFLINE": "1"}
        environment = {"OMP_NUM_THREADS": str(threads), **os.environ, **own}
        log = self.work / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(Path(__file__).with_name("gpu_worker.py")), *arguments]
        with log.open("wb") as file:
            return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)

    def _look_after(self) -> None:
        """Note what has ended."""
        for job, (process, began) in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[job]
            row = outcome(job, self.work, process.returncode, time.time() - began)
            self.rows.append(row)
            print(line_of(row), flush=True)


def outcome(job: Job, work: Path, code: int, seconds: float) -> Done:
    """What a training that has ended left behind. One that was killed may have finished before."""
    run = folder_of(work, job.name)
    history = run.history if run.history_file.is_file() else []
    finished = whole(run)
    state = "unfinished" if history else "failed"
    if finished:  # early stopping may end a training sooner than planned, and it is finished then
        state = "finished" if run.recipe.epochs >= job.training.least else "short"
    best = max((row.val_accuracy for row in history), default=None)
    if finished:
        val = run.predictions("val")
        best = round(float((val.probabilities.argmax(axis=1) == val.labels).mean()), 4)
    log = (work / "logs" / f"{job.name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    note = "" if finished else f"code {code}: {log[-1] if log else 'nothing was said'}"
    speed = float(np.median([row.images_per_second for row in history])) if history else None
    counts = (job.side, len(history), job.epochs)
    return Done(job.name, job.training.recipe, state, *counts, round(seconds, 1), best, speed, note)


def whole(run: Run) -> bool:
    return run.finished and run.predictions_file("test").is_file()


def line_of(row: Done) -> str:
    figures = f"val {row.val_accuracy}, {row.images_per_second} images/s, {row.seconds:.0f} s"
    return (
        f"{row.state:10} {row.name:24} {row.epochs:3} of {row.planned:3} epochs, {row.side} px, {figures}. {row.note}"
    )


def folder_of(work: Path, name: str) -> Run:
    """Of a training: its own folder, or that of its trunk where it did not come to its end."""
    own = Run(work / name)
    return own if own.history_file.is_file() else Run(work / f"{name}.trunk")


def pack(rows: list[Done], work: Path, out: Path) -> list[Done]:
    """Everything small of every training, and weights in order of worth while there is room. The rows, with notes."""
    members = {f"logs/{path.name}": path for path in sorted((work / "logs").glob("*.log"))}
    members |= {"proof.json": work / "proof.json"} if (work / "proof.json").is_file() else {}
    for row in rows:
        run = folder_of(work, row.name)
        for pattern in _RUN_FILES:
            members.update({f"{row.name}/{path.relative_to(run.folder)}": path for path in run.folder.glob(pattern)})
    room = _ROOM - sum(path.stat().st_size for path in members.values())
    worth = {training.name: place for place, training in enumerate(gpu_plan.order())}
    noted: list[Done] = []
    for row in sorted(rows, key=lambda row: (_STATES.index(row.state), worth[row.name.rpartition("@")[0] or row.name])):
        run = folder_of(work, row.name)
        weights = run.weights_file if run.weights_file.is_file() else run.best_weights
        how, path = carried(weights, work / "packed" / row.name, room) if weights.is_file() else ("none", None)
        if path is not None:
            room -= path.stat().st_size
            members[f"{row.name}/{path.name}"] = path
        noted.append(replace(row, note=f"weights: {how}. {row.note}".strip()))
    gpu_plan.write_done(work / "what.json", noted)
    gpu_pack.make(out, {"what.json": work / "what.json", **members}, _PART)
    return noted


def carried(weights: Path, folder: Path, room: int) -> tuple[str, Path | None]:
    """How weights are carried, and the file: as they are, as float16, in 8 bits, or not at all."""
    size = weights.stat().st_size
    folder.mkdir(parents=True, exist_ok=True)
    if size <= min(_SMALL, room):
        return "float32", Path(shutil.copy(weights, folder / "model.safetensors"))
    if size / 2 < room:
        save_file(gpu_pack.halved(load_file(weights)), folder / "model.safetensors", {"format": "pt"})
        return "rounded to float16", folder / "model.safetensors"
    if size / 4 * 1.02 < room:
        path = folder / f"model{gpu_pack.EIGHT}"
        save_file(gpu_pack.rounded(load_file(weights)), path)
        return "rounded to 8 bits", path
    return "left out, no room", None


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, required=True, help="seconds for everything, packing included")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--votes", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--commit", default="", help="of these sources, for the cards: a copy of them has no git")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--together", type=int, default=2, help="trainings side by side")
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the faces of every label and split")
    parser.add_argument("--side", type=int, help="of the ViTs' input in pixels, for a rehearsal")
    parser.add_argument(
        "--proof", type=Path, help="proof.json of an earlier call on such a machine, in place of a new one"
    )
    parser.add_argument("--work", type=Path, help="a folder in which the runs stay; in memory and gone otherwise")
    parser.add_argument("--done", type=Path, default=DONE, help="list of what need not be trained again")
    return parser.parse_args()


def in_memory() -> Path | None:
    """Where files lie in memory, if there is room: checkpoints are large, written each epoch and not carried home."""
    place = Path("/dev/shm")
    return place if place.is_dir() and shutil.disk_usage(place).free > _WORK else None


def main() -> None:
    began, given = time.time(), parsed()
    kept = nullcontext(given.work) if given.work else tempfile.TemporaryDirectory(prefix="gpu-queue-", dir=in_memory())
    with kept as folder:
        work = str(Path(folder).resolve())
        places = (str(path.resolve()) for path in (given.data, given.votes, given.backbone))
        sides = (given.side,) if given.side else (224, 112)
        setting = Setting(*places, given.device, given.fraction, work, sides)
        queue, before = Queue(setting, began, given.budget, given.together), gpu_plan.read_done(given.done)
        clock = queue.prove(given.proof)
        os.environ["MIEN_COMMIT"] = given.commit
        if clock is not None:
            queue.run(clock, gpu_plan.finished(before))
        rows = pack(queue.rows, Path(work), given.out)
        gpu_plan.write_done(given.out / DONE.name, [*before, *rows])
        summary = "\n".join([*map(line_of, rows), f"{time.time() - began:.0f} of {given.budget:.0f} s"])
        write_whole(given.out / "summary.txt", summary + "\n")
        print(summary)
        if clock is None:
            sys.exit("the proof failed: see above")


if __name__ == "__main__":
    main()
