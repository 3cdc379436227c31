"""A reader of NIR files that knows nothing of ours: h5py, and the equations of NIR, node by node.

Neurons as Euler's method steps them, with spikes above the threshold and without any metadata.
Slow, one sample and step at a time.
"""

from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F


def content(path: Path) -> tuple[str, dict[str, dict], list[tuple[str, str]]]:
    """Version, nodes (type and fields) and edges of a file."""
    with h5py.File(path) as file:
        graph = file["node"]
        assert graph["type"].asstr()[()] == "NIRGraph"
        nodes = {
            name: {key: value[()] for key, value in node.items() if key != "metadata"}
            for name, node in graph["nodes"].items()
        }
        edges = [(a.decode(), b.decode()) for a, b in graph["edges"][()]]
        return file["version"].asstr()[()], nodes, edges


def simulate(
    path: Path, frames: np.ndarray, step_s: float, starts: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """What every node gives, (T, ...), for the inputs (T, ...) of one sample.

    starts : potentials before the first step, of neurons that somebody told to start elsewhere
    """
    version, nodes, edges = content(path)
    is_subtracting = tuple(map(int, version.split("."))) <= (1, 0, 4)
    found: dict[str, list[np.ndarray]] = {name: [] for name in nodes}
    potentials = dict(starts or {})
    for frame in frames:
        waiting, values = set(nodes), {}
        while waiting:
            for name in sorted(waiting):
                sources = [a for a, b in edges if b == name]
                if all(source in values for source in sources):
                    given = sum(values[source] for source in sources) if sources else frame
                    node = nodes[name]
                    if node["type"] in (b"IF", b"LIF"):
                        before = potentials.get(name, np.zeros_like(given))
                        values[name], potentials[name] = _neuron(
                            node, given, before, step_s, is_subtracting
                        )
                    else:
                        values[name] = _computed(node, given)
                    waiting.discard(name)
        for name, value in values.items():
            found[name].append(value)
    return {name: np.stack(values) for name, values in found.items()}


def _neuron(
    node: dict, current: np.ndarray, potential: np.ndarray, step_s: float, is_subtracting: bool
) -> tuple[np.ndarray, np.ndarray]:
    if node["type"] == b"IF":
        change = node["r"] * current
    else:
        change = (node["v_leak"] - potential + node["r"] * current) / node["tau"]
    potential = potential + step_s * change
    spikes = (potential > node["v_threshold"]).astype(current.dtype)
    if "v_reset" not in node and is_subtracting:
        return spikes, potential - spikes * node["v_threshold"]
    return spikes, np.where(spikes > 0, node.get("v_reset", 0.0), potential)


def _computed(node: dict, values: np.ndarray) -> np.ndarray:
    kind = node["type"].decode()
    if kind in ("Input", "Output"):
        assert tuple(node["shape"]) == values.shape
        return values
    if kind == "Threshold":
        return (values > node["threshold"]).astype(values.dtype)
    if kind == "Scale":
        return values * node["scale"]
    if kind == "Affine":
        return node["weight"].astype(values.dtype) @ values + node["bias"]
    if kind == "Linear":
        return node["weight"].astype(values.dtype) @ values
    if kind == "Flatten":
        assert (tuple(node["input_type"]), node["start_dim"], node["end_dim"]) == (
            values.shape,
            0,
            -1,
        )
        return values.reshape(-1)
    batch = torch.from_numpy(values)[None]
    if kind == "Conv2d":
        assert tuple(node["input_shape"]) == values.shape[1:]
        return F.conv2d(
            batch,
            torch.from_numpy(node["weight"]).to(batch.dtype),
            torch.from_numpy(node["bias"]).to(batch.dtype),
            tuple(node["stride"].tolist()),
            tuple(node["padding"].tolist()),
            tuple(node["dilation"].tolist()),
            int(node["groups"]),
        )[0].numpy()
    assert kind in ("SumPool2d", "AvgPool2d"), kind
    kernel = tuple(node["kernel_size"].tolist())
    means = F.avg_pool2d(batch, kernel, tuple(node["stride"].tolist()))[0].numpy()
    return means * (kernel[0] * kernel[1]) if kind == "SumPool2d" else means
