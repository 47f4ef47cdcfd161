"""Session: onnxruntime, opened the same way for classifiers and detectors."""

from __future__ import annotations

import os
from typing import Any

from mien.errors import InputError


def cores() -> int:
    """Cores that this process may use, which a container or taskset may have cut down."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_session(content: bytes, source: str, *, threads: int | None = None) -> Any:
    """A session on the CPU. `threads`: cores that one call may use; None leaves it to the runtime.

    Raises `InputError`, which names `source`, for bytes that are no ONNX model.
    """
    # Without it, onnxruntime reports to mobile.events.data.microsoft.com (seen in 1.32); it is read when that loads.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; they are raised as well
    options.intra_op_num_threads = threads or 0
    # Waiting threads sleep: on cores that do other work too, those that spin take away half of the speed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each way to fail
        raise InputError(f"{source}: cannot be opened as an ONNX model ({error})") from error
