"""count: run a model on real data, and return what it did, per layer and per sample."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from dse.counting.ledger import Ledger
from dse.counting.passes import ForwardPass
from dse.counting.snapshot import counting_mode
from dse.counting.tracer import Tracer
from dse.errors import TracingError
from energy_models.counts import ModelCounts

Batch = Tensor | tuple[Any, ...]
Reading = Literal["tensor", "element"]


class Counter:
    """Counts forward passes of one model; what it has learnt of weights and shapes is kept.

        with Counter(model) as counter:
            for batch in batches:
                output = counter(batch)
        counts = counter.counts()

    Inside, the model is in evaluation mode without gradients; afterwards it is as it was.

    time_steps : T of a spiking network; default: the model's attribute `time_steps`, else what
        repeated calls, or neurons that step along the leading dimension, tell
    batch_dim : dimension of the samples, 0 unless the data are (T, B, ...)
    neuron_updates : also count what neurons do, recognised by the flow of data
    reading : `tensor`: every value of a real tensor is real; `element`: one that is an integer up
        to 8 counts as so many spikes
    conventions : also gather all that `energy_models.conventions.compare` asks for: what single
        calls held, sums of magnitudes, the modules that ran; takes further looks at every tensor
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        time_steps: int | None = None,
        batch_dim: int = 0,
        neuron_updates: bool = True,
        reading: Reading = "tensor",
        conventions: bool = False,
    ) -> None:
        if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
            raise TracingError(
                "the model is on the meta device, so no values flow through it; give it real "
                "weights"
            )
        if reading not in ("tensor", "element"):
            raise TracingError(f'reading is "{reading}"; it must be "tensor" or "element"')
        self._model = model = _as_written(model)
        self._batch_dim = batch_dim
        self._reading = reading
        self._ledger = Ledger(looks_for_neurons=neuron_updates, looks_closer=conventions)
        self._tracer = Tracer(
            model, self._ledger, finds_neurons=neuron_updates, by_element=reading == "element"
        )
        self._time_steps, self._source = _declared_time_steps(model, time_steps)
        self._stack = ExitStack()

    @property
    def samples(self) -> int:
        """Samples that were counted so far."""
        return sum(self._ledger.batches)

    def __enter__(self) -> Counter:
        self._stack.enter_context(counting_mode(self._model))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def __call__(self, *inputs: Any) -> Any:
        """Run the model on the positional arguments of one batch; returns its output."""
        size = batch_size(inputs, self._batch_dim)
        if size == 0:
            raise TracingError("the batch is empty; give at least one sample")
        try:
            with self._tracer.forward_pass(size, self._time_steps) as seen:
                output = self._model(*inputs)
                self._tracer.see_output(output)
        except TracingError:
            raise
        except Exception as error:
            if error is self._tracer.fault:
                raise
            where = self._tracer.raised_in(error) or "the model"
            raise TracingError(
                f"{where} raised {type(error).__name__}{_line_of(error)} for an input of shape "
                f"{tuple(inputs[0].shape)}: {error}"
            ) from error
        self._book(seen, size, inputs[0])
        return output

    def counts(self) -> ModelCounts:
        """What was counted, per sample.

        Raises TracingError if there was no sample.
        """
        if self.samples == 0:
            raise TracingError(
                "there is not one sample to count on; give a batch that is not empty"
            )
        return self._ledger.document(self._time_steps or 1, self._source, self._reading)

    def _book(self, seen: ForwardPass, size: int, first: Tensor) -> None:
        found = self._tracer.found_neurons()
        if self._time_steps is None:
            self._time_steps, self._source = _seen_time_steps(seen, found)
        if not self._ledger.batches:
            _doubt_batch_dim(self._ledger, self._model, first, self._time_steps, self._batch_dim)
        seen.book(self._ledger, self._time_steps, found)
        self._ledger.batches.append(size)


def count(
    model: nn.Module,
    batch_or_loader: Batch | Iterable[Any],
    *,
    time_steps: int | None = None,
    batch_dim: int = 0,
    max_samples: int | None = None,
    neuron_updates: bool = True,
    reading: Reading = "tensor",
    conventions: bool = False,
    progress: bool | None = None,
) -> ModelCounts:
    """Count the operations of a model on data, in evaluation mode and without gradients.

    batch_or_loader : one tensor; a tuple (the positional arguments of the model); or an iterable of
        batches, each a tensor, or a sequence whose first entry is the input (labels are not looked
        at). A data loader is the usual case.
    time_steps, batch_dim, neuron_updates, reading, conventions : see `Counter`. A leading dimension
        that is a multiple of T x samples has time folded in, step slowest.
    max_samples : stop after so many samples; a last batch is cut to fit
    progress : a bar on standard error; default: if that is a terminal and there are many batches

    The model is left as it was: flags, buffers, neuron state, random numbers.
    Raises NotFiniteError if a value is NaN, TracingError if the model raises or there is no data.
    """
    if max_samples is not None and max_samples < 1:
        raise TracingError(f"max_samples is {max_samples}; it must be at least 1")
    counter = Counter(
        model,
        time_steps=time_steps,
        batch_dim=batch_dim,
        neuron_updates=neuron_updates,
        reading=reading,
        conventions=conventions,
    )
    with counter, _bar(batch_or_loader, max_samples, progress) as bar:
        for inputs in _batches(batch_or_loader):
            if max_samples is not None and counter.samples >= max_samples:
                break
            size = batch_size(inputs, batch_dim)
            if max_samples is not None and counter.samples + size > max_samples:
                size = max_samples - counter.samples
                inputs = tuple(_first_samples(x, batch_dim, inputs[0], size) for x in inputs)
            if size:
                counter(*inputs)
                bar.update(size)
    return counter.counts()


def batch_size(inputs: tuple[Any, ...], batch_dim: int) -> int:
    """Samples of a batch.

    Raises TracingError if its first entry is no tensor of samples.
    """
    first = inputs[0] if inputs else None
    if not isinstance(first, Tensor) or first.dim() <= batch_dim:
        found = f"shape {tuple(first.shape)}" if isinstance(first, Tensor) else type(first).__name__
        raise TracingError(
            f"the first input is {found}; it must be a tensor with samples in dimension {batch_dim}"
        )
    return first.shape[batch_dim]


def _as_written(model: nn.Module) -> nn.Module:
    """The module that was compiled, if one was."""
    original = getattr(model, "_orig_mod", None)
    if type(model).__name__ == "OptimizedModule" and isinstance(original, nn.Module):
        return original
    return model


def _line_of(error: BaseException) -> str:
    """The last line of the user's own code that an exception went through."""
    ours = (Path(torch.__file__).parent, Path(__file__).parent)
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if not any(path.is_relative_to(folder) for folder in ours):
            place = f" ({path.name}:{line})"
    return place


def _doubt_batch_dim(ledger: Ledger, model: nn.Module, first: Tensor, steps: int, dim: int) -> None:
    """Samples that may lie in another dimension: time first is the habit of half the field."""
    is_seq_first = any(getattr(module, "batch_first", True) is False for module in model.modules())
    if dim == 0 and first.dim() > 2 and is_seq_first:
        ledger.warn(
            "the model holds layers with batch_first=False: if the samples lie in dimension 1 of "
            "the input, give batch_dim=1 (--batch-dim 1); dimension 0 was taken"
        )
    elif dim == 0 and first.dim() > 2 and steps > 1 and first.shape[0] == steps:
        ledger.warn(
            f"dimension 0 of the input has {steps} entries, as many as there are time steps: if it "
            "is time, give batch_dim=1 (--batch-dim 1); it was taken as samples"
        )


def _bar(data: Any, max_samples: int | None, progress: bool | None) -> Any:
    is_loader = not isinstance(data, Tensor | tuple)
    wanted = progress if progress is not None else is_loader and sys.stderr.isatty()
    dataset: Any = getattr(data, "dataset", None)
    total = len(dataset) if hasattr(dataset, "__len__") else None
    if max_samples is not None:
        total = max_samples if total is None else min(total, max_samples)
    return tqdm(total=total, unit="sample", desc="counting", disable=not wanted, leave=False)


def _first_samples(x: Any, batch_dim: int, first: Tensor, size: int) -> Any:
    """Cut what goes by samples, as the first input does; leave what is shared by all of them."""
    if not isinstance(x, Tensor) or x.dim() <= batch_dim:
        return x
    is_by_sample = x.shape[batch_dim] == first.shape[batch_dim]
    return x.narrow(batch_dim, 0, size) if is_by_sample else x


def _declared_time_steps(model: nn.Module, declared: int | None) -> tuple[int | None, str]:
    if declared is not None:
        if declared < 1:
            raise TracingError(f"time_steps is {declared}; it must be at least 1")
        return declared, "declared by the caller"
    found = getattr(model, "time_steps", None)
    return (found, "declared by the model") if type(found) is int and found > 0 else (None, "")


def _seen_time_steps(seen: ForwardPass, found: Any) -> tuple[int, str]:
    """T as the first pass shows it: neurons that carry a state over so many steps."""
    steps = max([len(group.spikes) for group in found] + seen.declared_steps(), default=1)
    if steps == 1:
        return 1, ""
    has_repeated_calls = steps in seen.calls().values()
    return steps, "repeated calls" if has_repeated_calls else "the leading dimension"


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
