"""The tape: memory is followed by address, through views, buffers and addresses used again."""

import gc
import weakref

import pytest
import torch
from recorder import record
from torch import nn

from dse.counting.tape import Tape

aten = torch.ops.aten


class Written(nn.Module):
    """One layer of IF neurons with threshold 1 over a loop; `store` says how spikes are kept."""

    def __init__(self, store):
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        self.layer.weight.data = torch.eye(2)
        self.head = nn.Linear(2, 1)
        self.store = store

    def forward(self, x):
        currents = self.layer(x)
        u = torch.zeros_like(currents[0])
        kept = torch.zeros_like(currents)
        behind = torch.zeros(*currents.shape[1:], 3)
        steps = []
        for t in range(3):
            u = u + currents[t]
            if self.store == "out":
                torch.ge(u, 1.0, out=kept[t])
            elif self.store == "behind":
                behind[..., t] = u >= 1.0
                kept[t] = behind[..., t]
            else:
                kept[t].copy_((u >= 1.0).to(u.dtype))
            s = kept[t]
            steps.append(s.clone())
            u = u - s
        if self.store == "stack":
            kept = torch.stack(steps)
        elif self.store == "cat":
            kept = torch.cat([s.unsqueeze(0) for s in steps])
        return self.head(kept)


@pytest.mark.parametrize("store", ["out", "copy", "behind", "stack", "cat"])
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_writes_through_views_are_followed(store, context):
    if store == "out" and context is torch.enable_grad:
        pytest.skip("out= is refused where gradients are wanted")
    # currents 0.5 and 1.0 a step: u = .5, 1, .5 and 1, 1, 1
    x = torch.tensor([[0.5, 1.0]]).expand(3, 1, 2)
    with context():
        tape, _ = record(Written(store), x)
    [found] = tape.neurons()
    assert found.neurons == 2
    assert found.spikes == (1, 2, 1)
    assert found.events == {
        "compare": 3 * 2,
        "state_read": 2 * 2,
        "integrate": 2 * 2,
        "state_write": 2 * 2,
        "leak": 0,
        "reset": 1 + 2,
    }
    assert found.fed_by == ("layer",)
    assert tape.doubts == []


def test_an_address_that_is_used_again_is_another_value():
    class Reusing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            memory = torch.empty(2, 2)
            spikes = []
            for step in x:  # one buffer for every current, every potential and every excess
                torch.mm(step, self.layer.weight, out=memory)
                memory.sub_(1.0)
                spikes.append((memory > 0).float())
            return torch.stack(spikes)

    with torch.no_grad():
        tape, _ = record(Reusing(), torch.rand(3, 2, 2))
    [found] = tape.neurons()
    assert len(found.spikes) == 3
    assert found.events["compare"] == 3 * 4
    assert found.events["state_read"] == 0  # no step knows of the one before


def test_a_state_packed_with_another_is_found_in_its_part():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            state = torch.zeros(2, *x.shape[1:])
            total = 0
            for step in x:
                u = 0.5 * state[0] + self.layer(step)
                s = (u > 0.1).float()
                total = total + s
                state = torch.stack([u - 0.1 * s, s])
            return total

    torch.manual_seed(0)
    with torch.no_grad():
        tape, _ = record(Packed(), torch.rand(4, 3, 2))
    [found] = tape.neurons()
    assert found.events["leak"] == 3 * 6
    assert len(found.spikes) == 4


def test_no_tensor_of_the_model_is_kept_alive():
    tape = Tape()
    x = torch.rand(8)
    y = x + 1
    tape.see(aten.add.Tensor, (x, 1), {}, y, "", None)
    tape.see(aten.stack.default, ([x, y],), {}, torch.stack([x, y]), "", None)
    tape.opaque("unit", [x], [y])
    alive = weakref.ref(x), weakref.ref(y)
    del x, y
    gc.collect()
    assert alive[0]() is None
    assert alive[1]() is None


def test_tensors_without_an_address_are_no_obstacle():
    tape = Tape()
    sparse = torch.eye(2).to_sparse()
    dense = sparse.to_dense()
    tape.see(aten._to_dense.default, (sparse,), {}, dense, "", None)
    tape.see(aten.ge.Scalar, (dense, 0.5), {}, dense >= 0.5, "gate", None)
    tape.opaque("output", [dense], [])
    assert tape.neurons() == []


def test_a_unit_that_is_not_looked_into_feeds_what_follows():
    tape = Tape()
    x, y = torch.rand(2, 3), torch.rand(2, 3)
    tape.opaque("unit", [x], [y])
    compared = y > 0.5
    spikes = compared.float()
    tape.see(aten.gt.Scalar, (y, 0.5), {}, compared, "net.spike", None)
    tape.see(
        aten._to_copy.default, (compared,), {"dtype": torch.float32}, spikes, "net.spike", None
    )
    tape.opaque("output", [spikes], [])
    [found] = tape.neurons()
    assert found.name == "net.spike"
    assert found.fed_by == ("unit",)
    assert found.spikes == (int(compared.sum()),)
