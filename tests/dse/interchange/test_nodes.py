"""What the nodes of NIR are told, by pencil, and what is said of the rest."""

from pathlib import Path

import numpy as np
import pytest
import torch
from nir_reader import content, simulate

from dse.errors import InterchangeFailure
from dse.interchange import nirfile
from dse.interchange.graph import (
    Convolution,
    Draft,
    Flatten,
    Graph,
    Input,
    Linear,
    Operation,
    Output,
    Pool,
    Scale,
    Spiking,
    Step,
)
from dse.interchange.nodes import STEP_S, differences, next_below, to_tree
from dse.interchange.running import Running


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def neurons(
    threshold: float = 1.0,
    leak: float = 1.0,
    gain: float = 1.0,
    initial: float = 0.0,
    *,
    is_soft: bool = True,
) -> Spiking:
    return Spiking(number(threshold), number(leak), number(gain), number(initial), is_soft)


def chain(*operations: Operation, shape: tuple[int, ...] = (1,), time_steps: int = 4) -> Graph:
    draft = Draft()
    last = draft.add("input", Input(shape))
    for index, operation in enumerate(operations):
        last = draft.add(f"node_{index}", operation, [last])
    draft.add("output", Output(), [last])
    return draft.done(time_steps)


def written(operation: Operation, shape: tuple[int, ...] = (1,)) -> dict:
    return to_tree(chain(operation, shape=shape))["node"]["nodes"]["node_0"]


def test_a_leaky_neuron_by_pencil() -> None:
    # leak = 1 - dt / tau = 0.75: tau = 4 dt; gain = r dt / tau = 0.5: r = 0.5 * 4 = 2
    node = written(neurons(leak=0.75, gain=0.5, is_soft=False), shape=(3,))
    assert node["type"] == "LIF"
    assert node["tau"].tolist() == pytest.approx([4e-4] * 3)
    assert node["r"].tolist() == [2.0] * 3
    assert node["v_leak"].tolist() == node["v_reset"].tolist() == [0.0] * 3
    assert node["v_threshold"].dtype == np.float32


def test_a_neuron_without_a_leak_by_pencil() -> None:
    # v[t] = v[t-1] + dt r I: r = 1 / dt
    node = written(neurons(threshold=2.0))
    assert node["type"] == "IF"
    assert node["r"].tolist() == pytest.approx([1 / STEP_S])
    assert "v_reset" not in node


def test_a_reset_decides_the_version_that_a_file_names() -> None:
    assert to_tree(chain(neurons(is_soft=True)))["version"] == "1.0.4"
    assert to_tree(chain(neurons(is_soft=False)))["version"] == "1.0.8"


def test_a_threshold_that_is_reached_exactly_spikes_at_a_reader_that_asks_for_more(
    tmp_path: Path,
) -> None:
    # currents of 0.5: u = 0.5, 1.0 (a spike, back to 0), 0.5, 1.0
    graph = chain(neurons(threshold=1.0), Step(number(1.0)))
    nirfile.write(graph, tmp_path / "net.nir")
    _, nodes, _ = content(tmp_path / "net.nir")
    below = nodes["node_0"]["v_threshold"][0]
    assert below < 1.0 and np.nextafter(below, np.float32(2)) == 1.0
    seen = simulate(tmp_path / "net.nir", np.full((4, 1), 0.5, np.float32), STEP_S)
    assert seen["output"].flatten().tolist() == [0, 1, 0, 1]
    read = Running(nirfile.read(tmp_path / "net.nir"))
    assert read.logits_by_step(torch.full((1, 1), 0.5)).flatten().tolist() == [0, 1, 0, 1]


def test_every_number_comes_back(tmp_path: Path) -> None:
    start = torch.rand(2, 4, 4, dtype=torch.float64)
    graph = chain(
        Convolution(torch.rand(2, 1, 3, 3), torch.rand(2), (1, 1), (2, 2), (2, 2)),
        Spiking(number(0.3), number(0.9), number(0.1), start, is_soft=True),
        Scale(torch.rand(2, 1, 1)),
        Pool("average", (2, 2), (1, 1)),
        Flatten(),
        Linear(torch.rand(5, 18)),
        Step(torch.rand(5)),
        Linear(torch.rand(3, 5), torch.rand(3)),
        shape=(1, 4, 4),
    )
    nirfile.write(graph, tmp_path / "net.nir")
    read = nirfile.read(tmp_path / "net.nir")
    assert [(n.name, n.sources, n.shape) for n in read.nodes] == [
        (n.name, n.sources, n.shape) for n in graph.nodes
    ]
    images = torch.rand(6, 1, 4, 4)
    for name, values in Running(graph).values(images).items():
        assert torch.equal(values, Running(read).values(images)[name]), name
    assert (read.time_steps, read.coding) == (4, "direct")
    # what is written again is the same file
    again = to_tree(read)
    assert np.array_equal(
        again["node"]["nodes"]["node_1"]["v_threshold"],
        to_tree(graph)["node"]["nodes"]["node_1"]["v_threshold"],
    )


@pytest.mark.parametrize("threshold", [1.0, 0.1, 3.7, 1e-3])
def test_the_number_below_a_threshold_leads_back_to_it(threshold: float) -> None:
    single = torch.tensor(threshold, dtype=torch.float32)
    below = next_below(single, (1,))
    assert below[0] < single and torch.nextafter(torch.tensor(below[0]), single) == single


def texts(graph: Graph) -> str:
    return "\n".join(str(one) for one in differences(graph))


def test_nothing_is_said_of_one_step_without_neurons_that_have_a_state() -> None:
    assert differences(chain(Step(number(1.0)), time_steps=1)) == []


def test_what_another_reader_would_do_is_said_by_node() -> None:
    soft = chain(neurons(is_soft=True, initial=0.5), neurons(is_soft=False))
    by_text = {one.text: one.nodes for one in differences(soft)}
    [reset] = [names for text, names in by_text.items() if "soft reset" in text]
    [start] = [names for text, names in by_text.items() if "do not start at 0" in text]
    [clock] = [names for text, names in by_text.items() if "Euler" in text]
    assert reset == start == ("node_0",) and clock == ("node_0", "node_1")
    assert "soft reset" not in texts(chain(neurons(is_soft=False)))
    # of one step a reset is never seen, and a potential that it starts with is
    one = texts(chain(neurons(is_soft=True, initial=0.5), time_steps=1))
    assert "reset" not in one and "do not start at 0" in one


def test_many_nodes_of_one_difference_are_not_all_printed() -> None:
    [clock] = [one for one in differences(chain(*[neurons()] * 5)) if "Euler" in one.text]
    assert str(clock).startswith("node_0, node_1, node_2 and 2 more: ")


def test_several_edges_are_said() -> None:
    draft = Draft()
    draft.add("input", Input((2,)))
    for name in ("left", "right"):
        draft.add(name, Step(number(0.5)), ["input"])
    draft.add("output", Output(), ["left", "right"])
    assert "output: adds up" in texts(draft.done(1))


@pytest.mark.parametrize(
    ("operation", "shape", "mistake"),
    [
        (Convolution(torch.ones(2, 1, 3, 3), groups=2), (2, 4, 4), "node_0: a convolution in 2"),
        (Convolution(torch.ones(2, 2, 3, 1)), (2, 4, 4), "node_0: a kernel of 3 x 1"),
        (
            Spiking(number(1.0), torch.tensor([0.5, 1.0]), number(1.0), number(0.0), is_soft=False),
            (2,),
            "node_0: neurons with a leak beside",
        ),
    ],
)
def test_what_readers_take_for_something_else_is_refused(
    operation: Operation, shape: tuple[int, ...], mistake: str
) -> None:
    with pytest.raises(InterchangeFailure) as refused:
        to_tree(chain(operation, shape=shape))
    assert mistake in str(refused.value)


@pytest.mark.parametrize(
    ("operation", "mistake"),
    [
        (Linear(torch.ones(2, 3)), "weights (2, 3) on (4,): must be (N, 4)"),
        (Linear(torch.full((2, 4), torch.nan)), "weight is not finite"),
        (Linear(torch.ones(2, 4), torch.ones(3)), "bias (3,): must be (2,)"),
        (neurons(threshold=0.0), "threshold: must be above 0"),
        (neurons(leak=1.5), "leak: must be between 0 and 1"),
        (Step(torch.ones(3)), "threshold (3,) on (4,): must be like the values"),
        (Pool("sum", (2, 2), (2, 2)), "gets (4,): must be (C, H, W)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(operation: Operation, mistake: str) -> None:
    with pytest.raises(InterchangeFailure) as refused:
        chain(operation, shape=(4,))
    assert str(refused.value).startswith("node_0: ") and mistake in str(refused.value)


@pytest.mark.parametrize(
    ("operation", "mistake"),
    [
        (Convolution(torch.ones(2, 3, 3, 3)), "weights of 3 channels on (2, 4, 4)"),
        (Convolution(torch.ones(2, 2, 5, 5)), "windows (5, 5) every (1, 1) on (4, 4)"),
        (Convolution(torch.ones(3, 1, 3, 3), groups=2), "in 2 groups"),
        (Pool("sum", (5, 5), (1, 1)), "windows (5, 5)"),
    ],
)
def test_maps_that_do_not_fit_are_refused(operation: Operation, mistake: str) -> None:
    with pytest.raises(InterchangeFailure) as refused:
        chain(operation, shape=(2, 4, 4))
    assert mistake in str(refused.value)


def test_a_graph_goes_from_one_input_to_one_output() -> None:
    draft = Draft()
    draft.add("input", Input((2,)))
    with pytest.raises(InterchangeFailure, match="0 nodes of output: must be one"):
        draft.done(1)
    draft.add("output", Output(), ["input"])
    with pytest.raises(InterchangeFailure, match="time_steps 0"):
        draft.done(0)
    with pytest.raises(InterchangeFailure, match="two nodes of this name"):
        draft.add("input", Input((2,)))
    draft.add("aside", Flatten(), ["input"])
    with pytest.raises(InterchangeFailure, match="aside: nobody gets"):
        draft.done(1)
