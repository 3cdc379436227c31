"""Single operators in three contexts: totals by class equal the witness, and all of it is covered.

The cases stand in `tests/witnesses/`: `single_operators.py` and `fused_operators.py`.
"""

import fused_operators
import pytest
import torch
from contexts import CONTEXTS, InContext
from definitions import expected, found
from single_operators import CASES

from dse.counting.count import count

# what torch warns of when it runs such a model (of a compiled one: that hooks are global)
OF_HOOKS = pytest.mark.filterwarnings("ignore:Using `torch.compile.module.` when there are")
MARKS = {
    "traced": pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    "compiled": OF_HOOKS,
    "compiled_and_run_before": OF_HOOKS,
    "conv2d_padding_same": pytest.mark.filterwarnings("ignore:Using padding='same'"),
}


def test_all_cases_are_here():
    assert len(CASES) >= 29
    assert CASES["lstm"] is fused_operators.lstm


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in CASES])
def test_totals_equal_the_witness(name: str, context: str):
    torch.manual_seed(0)
    one = CASES[name]()
    wanted = expected(one.layers)
    assert sum(value for key, value in wanted.items() if key.startswith("dense")) == one.dense
    counts = count(InContext(one.model, context), one.inputs)
    assert counts.uncounted == {}
    assert counts.coverage == 1.0
    assert found(counts) == wanted
