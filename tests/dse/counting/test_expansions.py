"""The table of expansions: every operator in it exists, and takes what its expansion takes."""

import inspect

import pytest
import torch
from fused import watch
from torch import nn

from dse.counting.expansions import BITS, EXPANSIONS, UNPACKED_WEIGHTS
from dse.counting.rules import RULES

CONTEXTS = [torch.enable_grad, torch.no_grad, torch.inference_mode]
# overloads that are refused by name: 8-bit attention, and recurrent layers of old files
REFUSED = {"quantized", "input_legacy", "data_legacy"}


def calls():
    """(operator, overload) for every operator in the table, but for those that write results."""
    return [
        pytest.param(packet, getattr(packet, name), id=f"{packet}.{name}")
        for packet in EXPANSIONS
        for name in packet.overloads()
        if "out" not in name and name not in REFUSED
    ]


def test_the_table_is_large_and_apart_from_the_rules():
    assert len(EXPANSIONS) > 80
    assert not EXPANSIONS.keys() & RULES.keys()
    assert BITS.keys() <= EXPANSIONS.keys()
    assert not UNPACKED_WEIGHTS & EXPANSIONS.keys()


@pytest.mark.parametrize(("packet", "overload"), calls())
def test_an_expansion_takes_the_arguments_of_its_operator(packet, overload):
    expansion = EXPANSIONS[packet]
    if not inspect.isfunction(expansion):
        assert expansion in (torch.dot, torch.ops.aten.convolution)
        return
    arguments = overload._schema.arguments
    signature = inspect.signature(expansion)
    named = {argument.name: None for argument in arguments if argument.kwarg_only}
    required = [a for a in arguments if not a.kwarg_only and not a.has_default_value()]
    positional = [a for a in arguments if not a.kwarg_only]
    # what the dispatcher hands over: trailing defaults may be missing
    signature.bind(*required)
    signature.bind(*positional, **named)


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_network_of_many_fused_layers(context):
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.EmbeddingBag(5, 6, mode="sum")
            self.lstm = nn.LSTM(6, 6, batch_first=True)
            self.encoder = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
            self.both = nn.Bilinear(6, 6, 4)

        def forward(self, tokens, factors):
            x = self.table(tokens.flatten(0, 1), None, factors.flatten(0, 1))
            x = self.encoder(self.lstm(x.unflatten(0, tokens.shape[:2]))[0])
            return torch.cdist(self.both(x, x), x[..., :4])

    torch.manual_seed(0)
    model = Many().eval()
    tokens, factors = torch.randint(0, 5, (2, 3, 4)), torch.randn(2, 3, 4)
    seen = watch(model, tokens, factors, context=context, rtol=1e-4, atol=1e-4)
    parts = (
        2 * 3 * 4 * 6,  # every token's row by its factor
        2 * 3 * 24 * (6 + 6),  # four gates
        6 * (6 * 18 + 6 * 6 + 2 * 6 * 8) + 2 * (2 * 3 * 3 * 6),  # projections, and attention
        6 * (6 * 24 + 4 * 6),  # x1 W, and its products with x2
        2 * 3 * 3 * 4,  # squared differences
    )
    assert seen.dense == sum(parts)
