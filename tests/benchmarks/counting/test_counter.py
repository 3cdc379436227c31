"""The benchmark's handling of counters: peers leave nothing behind, and none is left out."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from benchmarks.counting import overhead
from benchmarks.counting.accuracy import accuracy_tables
from benchmarks.counting.counter import Attached, Counter, NotAvailable, Reading, attached
from benchmarks.counting.ours import ours
from benchmarks.counting.peers import peers
from benchmarks.counting.tables import Table


@contextmanager
def untidy(model, batch):
    """A counter that leaves a hook, a buffer, an attribute and a flag behind."""
    model.register_forward_hook(lambda module, args, output: output * 0)
    model.register_buffer("total_ops", torch.zeros(1))
    model.hook_data = {}
    model.train()
    yield Attached(lambda: model(batch), Reading)


def test_a_model_is_as_it_was_found():
    model, batch = nn.Linear(2, 3).eval(), torch.ones(1, 2)
    before, keys, state = model(batch), set(model.__dict__), set(model.state_dict())
    with attached(Counter("untidy", "torch", untidy), model, batch) as one:
        assert one.run().abs().sum() == 0
    assert torch.equal(model(batch), before)
    assert (set(model.__dict__), set(model.state_dict())) == (keys, state)
    assert not model.training


@contextmanager
def absent(model, batch):
    """A peer that is not here."""
    raise NotAvailable("not installed")
    yield


@contextmanager
def broken(model, batch):
    """A peer that fails while it runs."""
    yield Attached(lambda: 1 / 0, Reading)


@contextmanager
def doubled(model, batch):
    """A counter that counts every product twice, as one that takes a MAC for two operations."""
    yield Attached(lambda: model(batch), lambda: Reading(dense=2 * 7.341312e6))


COUNTERS = [
    Counter("absent", "nowhere", absent),
    Counter("broken", "nowhere", broken),
    Counter("doubled", "torch", doubled),
]


def test_accuracy_shows_errors_and_absences():
    [table] = accuracy_tables(["lstm"], COUNTERS, batch_size=1)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["absent"] == ("not installed",)
    assert rows["broken"] == ("fails: ZeroDivisionError: division by zero",)
    assert rows["doubled"][:4] == ("", "", "", "+100.0 %")


def test_overhead_shows_ratios_and_absences():
    [table] = overhead.overhead_tables(["lstm"], COUNTERS, [1], rounds=2)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["absent"] == ("not installed",)
    assert rows["broken"] == ("fails: ZeroDivisionError: division by zero",)
    # how long a pass takes on a busy machine is nobody's promise
    assert float(rows["plain"][0]) >= 0
    assert float(rows["doubled"][0]) >= 0


@pytest.mark.slow
def test_our_own_counter_is_read_as_the_truth():
    [table] = accuracy_tables(["unet"], ours(), batch_size=1)
    [_, row] = table.rows
    assert row[0] == "dse: products"
    assert set(row[1:6]) == {"0"}


def test_every_peer_has_a_name_of_its_own():
    names = [counter.name for counter in (*ours(), *peers())]
    assert len(set(names)) == len(names) >= 15


@pytest.mark.parametrize("is_markdown", [True, False])
def test_a_table_leaves_out_empty_columns_and_keeps_sentences(is_markdown):
    table = Table("title", ("name", "a", "b"))
    table.add("x", "1", "")
    table.add_sentence("y", "not\ninstalled")
    text = table.text(is_markdown=is_markdown)
    assert "title" in text
    assert " b" not in text
    assert "not installed" in text
    assert ("| x | 1 |" in text) == is_markdown
