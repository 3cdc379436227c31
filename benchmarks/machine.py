"""The machine of a measurement, in words."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """The processor, where the system tells it; by family and model too, where names are cut."""
    table = Path("/proc/cpuinfo")
    if not table.exists():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in table.read_text().splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    name = facts.get("model name", platform.machine())
    if "cpu family" not in facts:
        return name
    return f"{name} (family {facts['cpu family']}, model {facts.get('model', 'unknown')})"
