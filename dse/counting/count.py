"""count: run a model on real data, and return what it did, per layer and per sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from dse.counting.ledger import Ledger
from dse.counting.snapshot import counting_mode
from dse.counting.tracer import Tracer
from dse.errors import TracingError
from energy_models.counts import ModelCounts

Batch = Tensor | tuple[Any, ...]


def count(
    model: nn.Module,
    batch_or_loader: Batch | Iterable[Any],
    *,
    time_steps: int | None = None,
    batch_dim: int = 0,
    max_samples: int | None = None,
) -> ModelCounts:
    """Count the operations of a model on data, in evaluation mode and without gradients.

    batch_or_loader : one tensor; a tuple (the positional arguments of the model); or an iterable of
        batches, each a tensor, or a sequence whose first entry is the input (labels are not looked
        at). A data loader is the usual case.
    time_steps : T of a spiking network; default: the model's attribute `time_steps`, else 1. A
        leading dimension that is a multiple of T x samples has time folded in, step slowest.
    batch_dim : dimension of the samples, 0 unless the data are (T, B, ...)
    max_samples : stop after so many samples; a last batch is cut to fit

    The model is left as it was: flags, buffers, neuron state, random numbers.
    Raises NotFiniteError if a value is NaN, TracingError if the model raises or there is no data.
    """
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise TracingError(
            "the model is on the meta device, so no values flow through it; give it real weights"
        )
    steps, source = _time_steps(model, time_steps)
    ledger = Ledger()
    if steps > 1:
        ledger.assume(f"{steps} time steps, {source}")
    tracer = Tracer(model, ledger, steps)
    samples = 0
    with counting_mode(model):
        for inputs in _batches(batch_or_loader):
            if max_samples is not None and samples >= max_samples:
                break
            size = _batch_size(inputs, batch_dim)
            if max_samples is not None and samples + size > max_samples:
                size = max_samples - samples
                inputs = tuple(_first_samples(x, batch_dim, inputs[0], size) for x in inputs)
            if size == 0:
                continue
            try:
                with tracer.forward_pass(size):
                    model(*inputs)
            except TracingError:
                raise
            except Exception as error:
                if error is tracer.fault:
                    raise
                where = tracer.where or "the model"
                raise TracingError(
                    f"{where} raised {type(error).__name__} for an input of shape "
                    f"{tuple(inputs[0].shape)}: {error}"
                ) from error
            samples += size
    if samples == 0:
        raise TracingError("there is not one sample to count on; give a batch that is not empty")
    return ledger.document(samples, steps)


def _batch_size(inputs: tuple[Any, ...], batch_dim: int) -> int:
    first = inputs[0] if inputs else None
    if not isinstance(first, Tensor) or first.dim() <= batch_dim:
        found = f"shape {tuple(first.shape)}" if isinstance(first, Tensor) else type(first).__name__
        raise TracingError(
            f"the first input is {found}; it must be a tensor with samples in dimension {batch_dim}"
        )
    return first.shape[batch_dim]


def _first_samples(x: Any, batch_dim: int, first: Tensor, size: int) -> Any:
    """Cut what goes by samples, as the first input does; leave what is shared by all of them."""
    if not isinstance(x, Tensor) or x.dim() <= batch_dim:
        return x
    is_by_sample = x.shape[batch_dim] == first.shape[batch_dim]
    return x.narrow(batch_dim, 0, size) if is_by_sample else x


def _time_steps(model: nn.Module, declared: int | None) -> tuple[int, str]:
    if declared is not None:
        if declared < 1:
            raise TracingError(f"time_steps is {declared}; it must be at least 1")
        return declared, "declared by the caller"
    found = getattr(model, "time_steps", 1)
    return (found, "declared by the model") if isinstance(found, int) and found > 0 else (1, "")


def _batches(batch_or_loader: Batch | Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    if isinstance(batch_or_loader, Tensor):
        yield (batch_or_loader,)
    elif isinstance(batch_or_loader, tuple):
        yield batch_or_loader
    else:
        for batch in batch_or_loader:
            if isinstance(batch, list | tuple) and batch:
                batch = batch[0]
            if not isinstance(batch, Tensor):
                raise TracingError(
                    f"a batch of the loader is {type(batch).__name__}; it must be a tensor, or a "
                    "list or tuple whose first entry is one"
                )
            yield (batch,)
