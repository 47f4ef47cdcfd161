"""Worker of the GPU queue: one process that proves the path, or makes one training. `gpu_queue.py` starts it.

    python benchmarks/gpu_worker.py prove SETTING
    python benchmarks/gpu_worker.py train SETTING JOB

SETTING and JOB are the JSON of `Setting` and `Job` in gpu_plan.py.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from gpu_plan import Job, Setting, ends_any_time, speed_name
from torch.nn import functional

from mien import FaceSet, Recipe, Votes
from mien.data.votes import beside
from mien.errors import InterruptedRunError
from mien.files import write_whole
from mien.models.build import complete
from mien.training.graphs import recorded
from mien.training.hardware import Hardware, detect, repeatable, synchronize, training_attention
from mien.training.module import make_optimizer
from mien.training.predict import predict
from mien.training.prepare import prepare
from mien.training.run import Epoch, Run
from mien.training.targets import Sources, used
from mien.training.train import fresh_network, train

_BEGAN = time.time()
_PROVEN = ("vit-tuned", "small-v2", "tiny-v2", "base-v2")
_STEPS, _SECONDS = 3, 2.0  # of each network: to warm up, and to measure for
_SAME = 0.02  # of a loss, between trainings that are the same but for rounding in bfloat16
_WATCHED = 0.5  # seconds between two looks at the clock
_AGAIN = 4.0  # seconds for the card and for what else is not measured
_LATER = 1.1  # slower epochs than the last ones: others begin on the GPU meanwhile


def opened(setting: Setting) -> FaceSet:
    return stratified(FaceSet.open(setting.data, size=48), setting.fraction)


def stratified(faces: FaceSet, fraction: float, least: int = 4) -> FaceSet:
    """That share of every label in every split, drawn by a fixed seed; of none less than `least` faces."""
    if fraction >= 1:
        return faces
    rng = np.random.default_rng(0)
    mask = np.zeros(len(faces), dtype=bool)
    for split in np.unique(faces.splits):
        for label in range(len(faces.label_set)):
            places = np.flatnonzero((faces.splits == split) & (faces.labels == label))
            mask[rng.permutation(places)[: max(least, round(fraction * len(places)))]] = True
    return faces.keep(mask)


def prove(setting: Setting) -> None:
    """Measure each network forward and back, train an epoch of small-v2 on a tenth, and write `proof.json`.

    A network that fails has an error in place of its speed, and none of its trainings is begun.
    """
    hardware, folder = detect(setting.device), Path(setting.work)
    if hardware.device == "cuda":
        repeatable()
    faces = opened(setting)
    startup = time.time() - _BEGAN
    speeds: dict[str, float | None] = {}
    errors: dict[str, str] = {}
    for name in _PROVEN:
        for side in setting.sides if name.startswith("vit") else (48,):
            key = speed_name(name, side)
            try:
                speeds[key] = _speed(_recipe(setting, name, side), faces, hardware)
                print(f"{key}: {speeds[key]:,.0f} images/s forward and back, {hardware.precision}", flush=True)
            except Exception:  # whatever it is, the others go on
                speeds[key], errors[key] = None, traceback.format_exc()
                print(errors[key], flush=True)
    said = {
        "device": hardware.name,
        "kind": hardware.device,
        "precision": hardware.precision,
        "startup": startup,
        "graphs": False,
    }
    said |= {"speeds": speeds, "errors": errors}
    last: dict[bool, Epoch] = {}
    for graphs in (False, True) if hardware.device == "cuda" else (False,):
        key = "small-v2 with graphs" if graphs else "small-v2"
        try:
            last[graphs] = _tenth(setting, faces, folder / f"proof-{graphs}", graphs)
            print(f"{key}: two epochs of a tenth of the faces, then {last[graphs].images_per_second:,.0f} images/s, "
                  f"loss {last[graphs].train_loss:.4f}", flush=True)  # fmt: skip
        except Exception:
            errors[key] = traceback.format_exc()
            print(errors[key], flush=True)
        said["graphs"] = {False, True} <= last.keys() and agree(last[False], last[True])
        # The whole of a step, Lightning and figures too, is what an epoch of a small network takes.
        speeds["small-v2"] = last[said["graphs"]].images_per_second if False in last else None
        said["seconds"] = time.time() - _BEGAN
        # Written before graphs are tried too: where recording one ends the process, the rest still holds.
        write_whole(folder / "proof.json", json.dumps(said, indent=1))


def _tenth(setting: Setting, faces: FaceSet, out: Path, graphs: bool) -> Epoch:
    recipe, votes = Recipe.load("small-v2", ["epochs=2", "schedule.decay_epochs=1"]), Votes.open(setting.votes)
    return train(
        recipe, stratified(faces, 0.1), out, Sources(votes=votes), hardware=detect(device=setting.device, graphs=graphs)
    ).history[-1]


def agree(plain: Epoch, recorded: Epoch) -> bool:
    """Whether graphs are worth it: quicker, and the same training but for the last digits."""
    losses = ((plain.train_loss, recorded.train_loss), (plain.val_loss, recorded.val_loss))
    same = all(abs(one - other) <= _SAME * one for one, other in losses)
    return same and recorded.images_per_second > plain.images_per_second


def _recipe(setting: Setting, name: str, side: int) -> Recipe:
    sets = [f"model.backbone={setting.backbone}", f"data.preprocess.size={side}"] if name.startswith("vit") else []
    return complete(Recipe.load(name, sets))


def _speed(recipe: Recipe, faces: FaceSet, hardware: Hardware) -> float:
    """Images/s of steps with augmentation, loss and optimizer, but without Lightning and metrics."""
    torch.manual_seed(0)
    device, half = torch.device(hardware.device), hardware.precision == "bfloat16"
    network = fresh_network(recipe, faces).to(device).train()
    optimizer = make_optimizer(network, recipe)
    batch = recipe.data.batch_size if hardware.device == "cuda" else 8
    pixels = torch.from_numpy(faces.gather(np.arange(batch))).to(device)
    labels = torch.from_numpy(faces.labels[:batch]).to(device)

    def losses(shown: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits = network(shown).float()
        loss = functional.cross_entropy(logits, wanted)
        return loss, loss, logits

    def shown() -> torch.Tensor:
        return prepare(pixels, recipe.preprocess, recipe.data.augment)

    replay = recorded(losses, network, optimizer, (shown(), labels), half) if hardware.graphs else None

    def step() -> torch.Tensor:
        if replay:
            return replay(shown(), labels)[0]
        optimizer.zero_grad()
        with torch.autocast(hardware.device, torch.bfloat16, half), training_attention(hardware.device):
            loss, _, _ = losses(shown(), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(_STEPS if hardware.device == "cuda" else 1):
        loss = step()
    synchronize(hardware.device)
    if hardware.device == "cuda":  # a warning in the log for each place at which a step waits for the GPU
        torch.cuda.set_sync_debug_mode("warn")
        step()
        torch.cuda.set_sync_debug_mode("default")
        print(f"{recipe.name}: at most {torch.cuda.max_memory_allocated() / 1e9:.1f} GB of the GPU so far", flush=True)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < _SECONDS:
        loss = step()
        steps += 1
        if steps % 10 == 0 or hardware.device != "cuda":  # a CPU runs ahead of a GPU without end
            synchronize(hardware.device)
    synchronize(hardware.device)
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss of {recipe.name} is {loss.item()}")
    return batch * steps / (time.perf_counter() - began)


def make(setting: Setting, job: Job) -> None:
    """Train, and leave answers for val and test in the run folder: weights of large networks may not be carried.

    Nothing here looks at what the test answers are worth.
    """
    recipe = Recipe.load(job.training.recipe, job.overrides(setting.backbone))
    faces, votes = opened(setting), Votes.open(setting.votes)
    given, out = used(votes, recipe), Path(setting.work) / job.name
    teacher = Run(Path(setting.work) / job.training.teacher) if job.training.teacher else None
    if ends_any_time(recipe):
        run = _trained_until(job, recipe, faces, Sources(votes=given, teacher=teacher), out, setting)
    else:
        run = train(
            recipe, faces, out, Sources(votes=given), hardware=detect(device=setting.device, graphs=setting.graphs)
        )
    answers = predict(run, faces, "test", detect(setting.device))
    beside(answers, given).save(run.predictions_file("test"))


def _trained_until(job: Job, recipe: Recipe, faces: FaceSet, sources: Sources, out: Path, setting: Setting) -> Run:
    """Train at the constant rate until no more than the decay fits, then go on in a branch that ends with it.

    So the number of epochs need not be known beforehand, whoever shares the GPU.
    """
    trunk = Run(out.with_name(f"{out.name}.trunk"))
    decay = int(recipe.schedule.decay_epochs)
    done = threading.Event()
    # What comes before the first epoch comes a second time, before the branch.
    deadline = job.deadline - _AGAIN - (time.time() - _BEGAN)
    watch = threading.Thread(target=_watch, args=(deadline, decay, trunk, recipe.epochs - decay, done), daemon=True)
    watch.start()
    try:
        train(
            recipe,
            faces,
            trunk.folder,
            sources,
            hardware=detect(device=setting.device, graphs=setting.graphs),
        )
        return Run(trunk.folder.rename(out))
    except InterruptedRunError as stop:
        print(stop, flush=True)
    finally:
        done.set()
    epochs = len(trunk.history) + decay
    ended = Recipe.load(job.training.recipe, [*job.overrides("")[:-1], f"epochs={epochs}"])
    return train(
        ended,
        faces,
        out,
        replace(sources, branch=trunk),
        hardware=detect(device=setting.device, graphs=setting.graphs),
    )


def _watch(deadline: float, decay: int, trunk: Run, last: int, done: threading.Event) -> None:
    """Press Ctrl-C when the decay must begin; not when it has begun by itself."""
    while not done.wait(_WATCHED):
        rows = trunk.history if trunk.history_file.is_file() else []
        if len(rows) >= last:
            return
        if len(rows) < 2:
            continue  # an epoch is not yet known
        slowest = _LATER * max(row.seconds for row in rows[-5:])
        if time.time() + (decay + 1) * slowest > deadline:  # one more is cut off
            signal.raise_signal(signal.SIGINT)
            return


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background it would be ignored
    verb, said, *rest = sys.argv[1:]
    setting = Setting.from_json(said)
    if verb == "prove":
        prove(setting)
    else:
        make(setting, Job.from_json(rest[0]))


if __name__ == "__main__":
    main()
