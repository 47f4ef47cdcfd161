"""Device and precision are found out, not assumed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mien.errors import InputError
from mien.training.hardware import detect


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({}, "float32"),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, "bfloat16"),
        ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, "float32"),  # slower there
        ({"amx_bf16": True, "cpu_name": "Intel Xeon"}, "bfloat16"),
    ],
)
def test_cpu_precision_follows_its_instructions(monkeypatch, features: dict[str, object], expected: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert detect("cpu").precision == expected


def test_cuda_is_taken_where_present_and_bfloat16_where_native(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert (detect().device, detect().precision) == ("cuda", "float32")


def test_what_is_asked_for_is_given() -> None:
    assert detect("cpu", "float32").precision == "float32"


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_absent_device_is_an_error_that_says_what_to_use(monkeypatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"device '{device}' is not available here.*--device cpu"):
        detect(device)


def test_unknown_names_are_errors() -> None:
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        detect("gpu")
    with pytest.raises(InputError, match="unknown precision 'fp16'"):
        detect("cpu", "fp16")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_kept_memory_needs_no_fresh_pages() -> None:
    """In a process of its own: what it sets stays set."""
    code = (
        "import resource, torch\n"
        "from mien.training.hardware import keep_memory\n"
        "keep_memory()\n"
        "faults = []\n"
        "for _ in range(20):\n"
        "    torch.ones(20_000_000)\n"
        "    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)\n"
        "print(faults[-1] - faults[9])"  # the first few find their place
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # of the 195,000 pages of ten such blocks
