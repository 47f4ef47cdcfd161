"""Latency is measured fairly, and its file is read back or refused."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mien.errors import InputError
from mien.evaluation import latency
from mien.evaluation.latency import Latency, load_latencies, save_latencies, time_networks
from mien.preprocess import Preprocess

GRAY = Preprocess(size=8, color="gray", mean=(0.5,), std=(0.5,))
COLOR = Preprocess(size=16, color="rgb", mean=(0.5,) * 3, std=(0.5,) * 3)
KNOWN = Latency(ms_single=3.2, ms_batch=0.8, batch=32, device="2 CPU cores")


class Sleeper(nn.Module):
    """Takes a known time per call, and writes down what it was called with."""

    def __init__(self, name: str, seconds: float, calls: list[tuple[str, torch.Tensor]]) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1).double()
        self.name, self.seconds, self.calls = name, seconds, calls

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        assert not self.training
        assert self.layer.weight.dtype == torch.float32
        self.calls.append((self.name, images))
        time.sleep(self.seconds)
        return images


@pytest.fixture
def single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.0)


@pytest.mark.usefixtures("single_calls")
def test_milliseconds_are_those_of_a_face() -> None:
    calls: list[tuple[str, torch.Tensor]] = []
    networks = {name: (Sleeper(name, s, calls), GRAY) for name, s in (("fast", 0.002), ("slow", 0.02))}
    found = time_networks(networks, rounds=3, batch=4)
    assert list(found) == ["fast", "slow"]
    for name, ms in (("fast", 2.0), ("slow", 20.0)):  # a machine may be late, never early
        assert ms <= found[name].ms_single < ms + 50
        assert ms / 4 <= found[name].ms_batch < ms / 4 + 12.5
        assert found[name].batch == 4
        assert "CPU core" in found[name].device


@pytest.mark.usefixtures("single_calls")
def test_every_network_has_its_turn_in_every_round_and_each_second_one_goes_backwards() -> None:
    calls: list[tuple[str, torch.Tensor]] = []
    time_networks({name: (Sleeper(name, 0.0, calls), GRAY) for name in "ab"}, rounds=2, batch=3)
    turns = [f"{name}{len(images)}" for name, images in calls]
    assert turns[:8] == ["a1", "a1", "a3", "a3", "b1", "b1", "b3", "b3"]  # to warm up
    assert turns[8:] == ["a1", "a3", "b1", "b3", "b3", "b1", "a3", "a1"]


@pytest.mark.usefixtures("single_calls")
def test_each_network_is_shown_what_its_preprocessing_says() -> None:
    calls: list[tuple[str, torch.Tensor]] = []
    time_networks({"x": (Sleeper("x", 0.0, calls), COLOR)}, rounds=1, batch=2)
    assert {tuple(images.shape) for _, images in calls} == {(1, 3, 16, 16), (2, 3, 16, 16)}
    assert all(images.dtype == torch.float32 for _, images in calls)
    assert all(images.is_contiguous(memory_format=torch.channels_last) for _, images in calls)


def test_a_turn_has_many_short_calls_and_one_long_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.02)
    calls: list[tuple[str, torch.Tensor]] = []
    time_networks({"long": (Sleeper("long", 0.03, calls), GRAY)}, rounds=1, batch=1)
    assert len(calls) == 3  # two to warm up
    calls.clear()
    time_networks({"short": (Sleeper("short", 0.0, calls), GRAY)}, rounds=1, batch=1)
    assert len(calls) == 2 + latency.MOST_CALLS


def test_real_networks() -> None:
    found = time_networks({"x": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), GRAY)}, rounds=1)
    assert found["x"].ms_batch > 0
    assert found["x"].ms_single > 0
    assert found["x"].batch == 32


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1 round"):
        time_networks({}, rounds=0)
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        time_networks({}, device="tpu")


def test_latencies_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    assert load_latencies(path) == {}
    known = {"cnn-v2": KNOWN, "vit-v1.6.7": replace(KNOWN, ms_single=19.123456789)}
    save_latencies(path, known)
    assert load_latencies(path) == known
    assert [file.name for file in tmp_path.iterdir()] == ["latency.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        '{"x": {"ms_single": 1.0}}',
        '{"x": {"ms_single": "soon", "ms_batch": 1.0, "batch": 1, "device": "d"}}',
        '{"x": {"ms_single": -1.0, "ms_batch": 1.0, "batch": 1, "device": "d"}}',
        '{"x": {"ms_single": NaN, "ms_batch": 1.0, "batch": 1, "device": "d"}}',
    ],
)
def test_a_damaged_file_is_an_input_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "latency.json").write_text(content)
    with pytest.raises(InputError, match=r"latency\.json: not a file of latencies"):
        load_latencies(tmp_path / "latency.json")
