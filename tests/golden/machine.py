"""Which machine this is, as far as the last bit of a matrix product goes."""

from pathlib import Path

import torch

FIELDS = ("vendor_id", "cpu family", "model", "model name")


def machine() -> dict[str, str]:
    """The processor, the instructions that torch uses on it, and torch's version."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    found = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    processor = {name: found.get(name, "") for name in FIELDS}
    return processor | {"capability": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}
