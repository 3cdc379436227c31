"""Files of strangers: read if they are known, and otherwise refused by name, never a crash."""

import importlib
import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from dse.errors import AskedWrongly, InterchangeFailure
from dse.interchange import hdf5, nirfile
from dse.interchange.graph import Draft, Graph, Input, Linear, Output, Spiking
from dse.interchange.running import Running


def graph() -> Graph:
    draft = Draft()
    one = torch.tensor(1.0, dtype=torch.float64)
    draft.add("input", Input((2,)))
    draft.add("synapse", Linear(torch.ones(3, 2), torch.zeros(3)), ["input"])
    draft.add("neuron", Spiking(one, one / 2, one, one * 0, is_soft=False), ["synapse"])
    draft.add("output", Output(), ["neuron"])
    return draft.done(3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    nirfile.write(graph(), tmp_path / "net.nir")
    return tmp_path / "net.nir"


def changed(path: Path, change: Callable[[h5py.File], object]) -> str:
    """What is said of a file after a change; empty if it can be read."""
    with h5py.File(path, "r+") as file:
        change(file)
    try:
        nirfile.read(path)
    except InterchangeFailure as refused:
        text = str(refused)
        assert text.startswith(f"{path}: ")
        return text.removeprefix(f"{path}: ")
    return ""


def put(where: str, value: object) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        if where in file:
            del file[where]
        file[where] = value

    return change


NEURON = "node/nodes/neuron"


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        (put(f"{NEURON}/type", "CubaLIF"), "neuron: type CubaLIF: must be one of Input, Output"),
        (put(f"{NEURON}/v_foo", 1.0), "neuron: field v_foo of LIF: must be one of tau"),
        (put(f"{NEURON}/tau", np.full(3, 1.0)), "neuron: leak in its metadata contradicts"),
        (
            put(f"{NEURON}/tau", np.full(4, 2e-4)),
            "tau (4,), v_leak (3,), v_reset (3,), v_threshold (3,): must have one",
        ),
        (put(f"{NEURON}/v_leak", np.ones(3)), "neuron: v_leak: must be 0"),
        (put(f"{NEURON}/v_reset", np.ones(3)), "neuron: v_reset: must be 0"),
        (put(f"{NEURON}/v_threshold", np.full(3, np.nan)), "neuron: threshold is not finite"),
        (put(f"{NEURON}/v_threshold", np.zeros(0)), "neuron: v_threshold: must be numbers"),
        (put(f"{NEURON}/v_threshold", np.full(3, -1.0)), "neuron: threshold: must be above 0"),
        (put(f"{NEURON}/v_threshold", "one"), "neuron: v_threshold: must be numbers"),
        (put(f"{NEURON}/metadata/dse.reset", "none"), "neuron: reset 'none': must be soft or hard"),
        (put(f"{NEURON}/metadata/dse.leak", 0.9), "neuron: leak in its metadata contradicts"),
        (put("node/nodes/synapse/weight", np.ones((3, 5))), "synapse: weights (3, 5) on (2,)"),
        (put("node/nodes/synapse/weight", np.ones(3)), "synapse: weights (3,): must have 2"),
        (put("node/nodes/input/shape", np.array([2.5])), "input: shape: must be (N,)"),
        (put("node/nodes/input/shape", np.array([0])), "input: shape: must be a whole number"),
        (put("node/nodes/synapse", 3.0), "synapse: must be a group of values"),
        (put("node/type", "Affine"), "graph: type Affine: must be NIRGraph"),
        (put("node/edges", [("input", "nobody")]), "graph: an edge at 'nobody'"),
        (put("node/edges", [1, 2]), "graph: edges: must be pairs of names"),
        (put("node/edges", [("input", "output")] * 2), "output: two edges from input"),
        (put("node/edges", [("input", "output")]), "neuron: nothing comes in"),
        (
            put("node/edges", [("input", "synapse"), ("synapse", "neuron"), ("neuron", "synapse")]),
            "recurrent: must go from input to output",
        ),
        (put("node/metadata/dse.time_steps", 0), "graph: time_steps: must be a whole number"),
        (put("node/metadata/dse.time_steps", 1 << 40), "graph: time_steps: must be a whole number"),
        (put("node/metadata/dse.time_steps", "two"), "graph: time_steps: must be a whole number"),
        (put("node/metadata/dse.step_s", -1.0), "graph: step_s"),
        (
            put("node/metadata/dse.coding", "rank"),
            "graph: coding 'rank': must be direct or poisson",
        ),
        (put("node/nodes/more", h5py.SoftLink("/node")), "/node/nodes/more: a link to elsewhere"),
        (
            put("node/nodes/more", h5py.ExternalLink("/etc/passwd", "/")),
            "/node/nodes/more: a link to elsewhere",
        ),
        (lambda file: file["node/nodes"].__setitem__("loop", file["node"]), "too deep"),
        (lambda file: file["node"].__delitem__("edges"), "graph: edges: must be pairs of names"),
        (lambda file: file.__delitem__("node"), "graph: must be a group of values"),
        (put("node/nodes/synapse/weight", h5py.Empty("f4")), "no values"),
        (
            lambda file: file["node/nodes"].create_dataset(
                "huge", (1 << 20, 1 << 20), "f4", chunks=(1, 1 << 20), compression="gzip"
            ),
            "/node/nodes/huge: too much",
        ),
        (
            lambda file: file["node/nodes"].create_dataset(
                "chunk", (1,), "f4", chunks=(1 << 29,), maxshape=(None,)
            ),
            "/node/nodes/chunk: too much",
        ),
        (
            lambda file: file["node/nodes"].create_dataset("refs", (2,), h5py.ref_dtype),
            "/node/nodes/refs: object: must be numbers or texts",
        ),
        (put("node/nodes/synapse/type", "A" * 5000), "a text of 5000: must be shorter"),
        (put(f"{NEURON}/type", b"LIF\xff"), "damaged (UnicodeDecodeError: "),
        (put(f"{NEURON}/type", np.bytes_(b"A" * 5000)), "texts of 5000 bytes: must be shorter"),
        (
            put("node/nodes/input/shape", np.array([1 << 30])),
            "input: (1073741824,): must be at most",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_name(
    path: Path, change: Callable[[h5py.File], object], mistake: str
) -> None:
    assert mistake in changed(path, change)


def test_values_in_another_file_are_refused(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 64)
    with h5py.File(path, "r+") as file:
        group = file["node/nodes/synapse"]
        del group["weight"]
        group.create_dataset("weight", (3, 2), "f4", external=[(str(secret), 0, 24)])
    with pytest.raises(InterchangeFailure, match="values in another file"):
        nirfile.read(path)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/synapse/weight"]
        layout = h5py.VirtualLayout((3, 2), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "x", (3, 2))
        file["node/nodes/synapse"].create_virtual_dataset("weight", layout)
    with pytest.raises(InterchangeFailure, match="values in another file"):
        nirfile.read(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\x89HDF\r\n\x1a\n", b"PK\x03\x04" * 100])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.nir").write_bytes(content)
    with pytest.raises(InterchangeFailure, match="must be an HDF5 file"):
        nirfile.read(tmp_path / "x.nir")
    with pytest.raises(InterchangeFailure, match="no such file"):
        nirfile.read(tmp_path / "y.nir")
    with pytest.raises(InterchangeFailure, match="no such file"):
        nirfile.read(tmp_path)


def test_a_damaged_file_is_refused_or_still_the_same(path: Path) -> None:
    good, draw = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(10):
        broken = bytearray(good)
        if draw.random() < 0.3:
            del broken[draw.randrange(len(broken)) :]
        for _ in range(draw.randrange(1, 6)):
            if broken:
                broken[draw.randrange(len(broken))] = draw.randrange(256)
        path.write_bytes(broken)
        try:
            nirfile.read(path)
        except InterchangeFailure:
            refused += 1
    assert refused > 2


def test_a_reader_that_does_not_end_or_dies_is_a_refusal(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(hdf5.Refused, match=r"no end in 0\.001 s"):
        hdf5.read(path, longest_s=0.001)
    (tmp_path / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(hdf5, "__file__", str(tmp_path / "dies.py"))
    with pytest.raises(InterchangeFailure, match=r"its reader ended with -11"):
        nirfile.read(path)


def test_modules_that_lie_around_are_not_loaded(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("h5py", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of a stranger')\n")
    monkeypatch.chdir(tmp_path)
    assert nirfile.read(Path("net.nir")).time_steps == 3


def test_a_file_without_our_words_is_read_as_its_fields_say(path: Path) -> None:
    def without_metadata(file: h5py.File) -> None:
        del file[f"{NEURON}/metadata"]
        del file["node/metadata"]

    assert "does not say how many time steps: must be given" in changed(path, without_metadata)
    with pytest.raises(InterchangeFailure, match="how long a step is: must be given"):
        nirfile.read(path, time_steps=3)
    images = torch.tensor([[0.4, 0.2]])
    read = nirfile.read(path, time_steps=3, step_s=1e-4)
    # currents of 0.6, leak 1/2: u = 0.6, 0.9, 1.05 (a spike)
    assert Running(read).logits_by_step(images)[:, 0, 0].tolist() == [0, 0, 1]
    # of steps half as long: leak 3/4, gain 1/2: u = 0.3, 0.525, 0.69
    slower = nirfile.read(path, time_steps=3, step_s=5e-5)
    assert Running(slower).logits_by_step(images)[:, 0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("version", "has_reset", "spikes"),
    [
        # currents of 1.5, no leak: 1.5 -> 0.5, 2.0 -> 1.0, 2.5; and 1.5 -> 0, each time
        ("1.0.4", False, [1.5, 2.0, 2.5]),
        ("0.2", False, [1.5, 2.0, 2.5]),
        ("1.0.4", True, [1.5, 1.5, 1.5]),
        ("1.0.7", False, [1.5, 1.5, 1.5]),
        ("", False, [1.5, 1.5, 1.5]),
    ],
)
def test_the_version_says_what_a_spike_leaves_behind(
    path: Path, version: str, has_reset: bool, spikes: list[float]
) -> None:
    def change(file: h5py.File) -> None:
        put("version", version)(file)
        neuron = file[NEURON]
        for name in ("metadata", "tau", "v_leak", *(() if has_reset else ("v_reset",))):
            del neuron[name]
        put(f"{NEURON}/type", "IF")(file)
        put(f"{NEURON}/r", np.full(3, 1e4))(file)

    assert changed(path, change) == ""
    read = nirfile.read(path)
    [neurons] = [node.operation for node in read.of_kind(Spiking)]
    assert neurons.is_soft == (spikes[1] == 2.0)


def test_without_its_package_a_file_says_how_to_get_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(AskedWrongly, match=r"pip install '.\[nir\]'"):
        nirfile.read(path)
    with pytest.raises(AskedWrongly, match="h5py is missing"):
        nirfile.write(graph(), path)


def test_a_file_is_whole_or_not_there(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    blocked = tmp_path / "folder"
    blocked.mkdir()
    with pytest.raises(OSError):
        nirfile.write(graph(), blocked)
    nirfile.write(graph(), path)
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["folder", "net.nir"]
