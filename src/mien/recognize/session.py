"""Session: onnxruntime, opened the same way for classifiers and detectors, on the processor that is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from mien.errors import InputError, first_line, unknown_name

CPU = "cpu"


@dataclass(frozen=True)
class Provider:
    """One of onnxruntime's execution providers: its name there, and the package that brings it."""

    name: str
    package: str
    needs: str  # for a person: what it computes on


PROVIDERS = {
    CPU: Provider("CPUExecutionProvider", "onnxruntime", "any processor"),
    "cuda": Provider("CUDAExecutionProvider", "onnxruntime-gpu", "an NVIDIA GPU with CUDA and cuDNN"),
    "coreml": Provider("CoreMLExecutionProvider", "onnxruntime", "macOS"),
    "openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-openvino", "an Intel processor or GPU"),
    "directml": Provider("DmlExecutionProvider", "onnxruntime-directml", "Windows with DirectX 12"),
}
_BOUND = 2**29  # bytes that sessions with `bounded` may hold together; mien-small holds 2**21 for one face


def cores() -> int:
    """Cores that this process may use, which a container or taskset may have cut down."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_providers() -> list[str]:
    """Names of `PROVIDERS` that the installed onnxruntime was built with, whether or not their hardware is there."""
    built = set(_onnxruntime().get_available_providers())
    return [name for name, provider in PROVIDERS.items() if provider.name in built]


def check_provider(name: str) -> None:
    """Raise `InputError` for a provider that is unknown, or that the installed onnxruntime lacks."""
    if name not in PROVIDERS:
        raise unknown_name("provider", name, PROVIDERS)
    has = available_providers()
    if name in has:
        return
    wanted, plain = PROVIDERS[name], PROVIDERS[CPU].package
    how = (
        f"pip uninstall {plain}, then pip install {wanted.package} (one of the two at a time)"
        if wanted.package != plain
        else f"pip install --upgrade {plain}"
    )
    raise InputError(
        f"provider {name}: this onnxruntime ({_onnxruntime().__version__}) has {', '.join(has)}. "
        f"{name} needs {wanted.needs}, and the package {wanted.package}: {how}"
    )


def open_session(
    content: bytes, source: str, *, threads: int | None = None, provider: str = CPU, bounded: bool = False
) -> Any:
    """A session on `provider`, one of `PROVIDERS`. `threads`: cores that one call may use; None: the runtime's choice.

    What the provider cannot compute of a network, the CPU does. `bounded`: on the CPU and with little memory, for a
    first question to a network of unknown origin: a file of 1 KB can ask for gigabytes.
    Raises `InputError` for a provider that is not there, and, naming `source`, for bytes that are no ONNX model.
    """
    onnxruntime = _onnxruntime()
    if provider != CPU:
        check_provider(provider)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is fatal; errors are raised
    options.intra_op_num_threads = threads or 0
    # Waiting threads sleep: on cores that do other work too, those that spin take away half of the speed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if bounded:
        _bounded_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
    wanted = [PROVIDERS[name].name for name in dict.fromkeys((CPU,) if bounded else (provider, CPU))]
    try:
        session = onnxruntime.InferenceSession(
            content,
            options,
            providers=wanted,
            enable_fallback=0,  # it would try the same again, and print so
        )
    except Exception as error:  # onnxruntime has a class of its own for each way to fail
        on = "" if len(wanted) == 1 else f" on {provider}"
        raise InputError(f"{source}: cannot be opened as an ONNX model{on} ({first_line(error)})") from error
    # A provider whose libraries or hardware are missing is left out by the runtime with no more than a log line.
    if wanted[0] not in session.get_providers():
        raise InputError(
            f"provider {provider}: onnxruntime has it but cannot start it here; it needs {PROVIDERS[provider].needs}. "
            f"Install what is missing, or take --provider {CPU}"
        )
    return session


def _onnxruntime() -> Any:
    # Without it, onnxruntime reports to mobile.events.data.microsoft.com (seen in 1.32); it is read when that loads.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


@cache
def _bounded_memory() -> None:
    """Register, once for this process, the memory that `bounded` sessions share: the runtime refuses what is more."""
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    settings = {"max_mem": _BOUND, "arena_extend_strategy": 1}  # 1: take what is asked for, not a power of two
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(settings))
