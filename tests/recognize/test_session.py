"""What is particular to one system has another way on the others; what computes the networks, and what is missing."""

from __future__ import annotations

import os
import pickle

import onnxruntime
import pytest

from mien import InputError, Recognizer
from mien.recognize.session import PROVIDERS, available_providers, cores, open_session
from mien.recognize.vendored import read_vendored


def test_cores_where_the_system_knows_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def built_with(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if onnxruntime had been built with these."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [PROVIDERS[name].name for name in names])


def test_the_names_of_providers_are_those_of_onnxruntime() -> None:
    assert {provider.name for provider in PROVIDERS.values()} <= set(onnxruntime.get_all_providers())
    assert "cpu" in available_providers()


def test_a_provider_that_is_missing_is_told_with_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    built_with(monkeypatch, "cpu", "openvino")
    with pytest.raises(InputError) as refused:
        Recognizer("mien-tiny", provider="cuda")
    told = str(refused.value)
    assert "has cpu, openvino." in told
    assert "pip install onnxruntime-gpu" in told
    built_with(monkeypatch, "cpu")
    with pytest.raises(InputError, match="needs macOS, and the package onnxruntime: pip install --upgrade onnxruntime"):
        Recognizer("mien-tiny", provider="coreml")


def test_an_unknown_provider_is_told_with_the_near_name() -> None:
    with pytest.raises(InputError, match="Did you mean 'openvino'"):
        Recognizer("mien-tiny", provider="openvin")


def test_a_provider_that_does_not_start_is_an_error_and_no_silent_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime leaves it out, and computes on the CPU."""
    built_with(monkeypatch, "cpu", "cuda")
    whole = onnxruntime.InferenceSession
    asked: list[list[str]] = []

    def without_libraries(content: bytes, options: object, providers: list[str], **more: object) -> object:
        asked.append(providers)
        return whole(content, options, providers=["CPUExecutionProvider"], **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", without_libraries)
    with pytest.raises(InputError, match="cannot start it here; it needs an NVIDIA GPU"):
        open_session(read_vendored("weights", "mien-tiny.onnx"), "mien-tiny", provider="cuda")
    assert asked == [["CUDAExecutionProvider", "CPUExecutionProvider"]]


def test_a_pickled_recognizer_keeps_its_provider() -> None:
    recognizer = Recognizer("mien-tiny", provider="cpu")
    assert recognizer.__getstate__()["provider"] == "cpu"
    assert pickle.loads(pickle.dumps(recognizer)).provider == "cpu"  # noqa: S301
