"""Session: onnxruntime, opened the same way for classifiers and detectors."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from mien.errors import InputError, first_line

_BOUND = 2**29  # bytes that sessions with `bounded` may hold together; mien-small holds 2**21 for one face


def cores() -> int:
    """Cores that this process may use, which a container or taskset may have cut down."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_session(content: bytes, source: str, *, threads: int | None = None, bounded: bool = False) -> Any:
    """A session on the CPU. `threads`: cores that one call may use; None leaves it to the runtime.

    `bounded`: with little memory, for a first question to a network of unknown origin: a file of 1 KB can ask for
    gigabytes. Raises `InputError`, which names `source`, for bytes that are no ONNX model.
    """
    # Without it, onnxruntime reports to mobile.events.data.microsoft.com (seen in 1.32); it is read when that loads.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is fatal; errors are raised
    options.intra_op_num_threads = threads or 0
    # Waiting threads sleep: on cores that do other work too, those that spin take away half of the speed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if bounded:
        _bounded_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would try the same again, and print so
        )
    except Exception as error:  # onnxruntime has a class of its own for each way to fail
        raise InputError(f"{source}: cannot be opened as an ONNX model ({first_line(error)})") from error


@cache
def _bounded_memory() -> None:
    """Register, once for this process, the memory that `bounded` sessions share: the runtime refuses what is more."""
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    settings = {"max_mem": _BOUND, "arena_extend_strategy": 1}  # 1: take what is asked for, not a power of two
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(settings))
