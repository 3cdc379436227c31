"""Cross-check: our dense counts beside fvcore's, an independent witness that traces with jit."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from dse.counting.snapshot import counting_mode
from dse.errors import TracingError
from energy_models.counts import ModelCounts

# fvcore's names for what our rules count; its batch-norm, pooling and the like stay outside
_MULTIPLYING = ("conv", "linear", "addmm", "matmul", "mm", "bmm", "baddbmm", "einsum", "mv", "dot")


@dataclass(frozen=True, slots=True)
class Check:
    """Dense products per sample, ours and the witness's, and what the witness could not count."""

    samples: int
    ours: float
    fvcore: float
    ours_by_layer: dict[str, float]
    fvcore_by_layer: dict[str, float]
    not_seen_by_fvcore: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """The two totals are the same integer over the batch."""
        return round(self.ours * self.samples) == round(self.fvcore * self.samples)


def check(model: nn.Module, batch: Tensor | tuple[Any, ...], counts: ModelCounts) -> Check:
    """Count the same batch with fvcore (fvcore.nn.FlopCountAnalysis, one "flop" being one MAC).

    counts : ours, of this very batch
    """
    with _quiet():
        # fvcore imports slowly and warns on import; only a check needs it
        from fvcore.nn import FlopCountAnalysis

        inputs = batch if isinstance(batch, tuple) else (batch,)
        with counting_mode(model):
            analysis = FlopCountAnalysis(model, inputs)
            analysis.unsupported_ops_warnings(False)
            analysis.uncalled_modules_warnings(False)
            try:
                by_module = analysis.by_module_and_operator()
            except Exception as error:  # jit tracing raises whatever the model makes it raise
                raise TracingError(f"fvcore cannot trace this model: {error}") from error
            unseen = analysis.unsupported_ops()
    whole = by_module[""]
    fvcore_total = sum(whole.get(name, 0) for name in _MULTIPLYING) / counts.samples
    leaves = {name for name, module in model.named_modules() if not list(module.children())}
    by_layer = {
        name: sum(row.get(operator, 0) for operator in _MULTIPLYING) / counts.samples
        for name, row in by_module.items()
        if name in leaves
    }
    return Check(
        samples=counts.samples,
        ours=counts.ops.dense,
        fvcore=fvcore_total,
        ours_by_layer={layer.name: layer.ops.dense for layer in counts.layers},
        fvcore_by_layer={name: total for name, total in by_layer.items() if total},
        not_seen_by_fvcore=tuple(sorted(unseen)),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """fvcore and torch.jit report on the tracing itself, which is of no use to the reader."""
    loggers = [logging.getLogger(name) for name in ("fvcore", "fvcore.nn.jit_analysis")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
