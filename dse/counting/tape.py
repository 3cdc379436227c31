"""The tape: what ran during a forward pass, call by call, so that neurons can be found in it.

It keeps addresses, shapes and numbers, never a tensor of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from dse.counting.dataflow import FoundNeurons, find_neurons
from dse.counting.elementwise import COMPARISONS, ELEMENTWISE
from dse.counting.values import Call, Region

# these share their input's memory, although their schema does not say so
_ALIASES = frozenset({"_unsafe_view", "_reshape_alias"})
# how a function is to be seen: as a view, an operator, one by elements, a comparison
_VIEW, _ANY, _ELEMENTWISE, _COMPARISON = range(4)
# what an element-wise operator may have to be told about an input: nothing, a number, a full tensor
_NO_NUMBERS, _ONE_NUMBER, _NUMBERS = range(3)

# address, number of the layout, and a single element or the non-zero ones, if they were looked at:
# tuples of numbers alone, since Python's garbage collector need not visit those again and again
_Place = tuple[int, int, Any]
_NOWHERE = (0, -1, None)


class Tape:
    """Records the operators of one forward pass.

    constants : parameters and buffers, which are no data
    doubts : sentences about what looked like neurons and could not be told apart, after `neurons`
    """

    def __init__(self, constants: Iterable[Tensor] = ()) -> None:
        self.doubts: list[str] = []
        self._calls: list[tuple[Any, ...]] = []
        self._kinds: dict[OpOverload, tuple[int, str, tuple[int | str, ...]]] = {}
        self._layouts: dict[tuple[Any, ...], int] = {}
        self._by_number: list[tuple[Any, ...]] = []
        self._numbers: list[int] = []
        self._known: set[int] = set()
        self._constants = [place for t in constants for place in self._written(t)]

    def see(
        self,
        func: OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
        module: str,
        row: str | None,
    ) -> None:
        """Record an operator that has run.

        module : path of the innermost module that runs; "" is the root
        row : the row whose output this is, if the operator is a counted product
        """
        kind, packet, mutated = self._kinds.get(func) or self._learned(func)
        if kind == _VIEW:
            self._see_view(args[0], output)
            return
        looks = kind >= _ELEMENTWISE
        read = tuple([self._read(arg, looks) for arg in args])
        options = tuple([(k, self._read(v, looks)) for k, v in kwargs.items()]) if kwargs else ()
        written = self._written(output)
        for key in mutated:
            written += self._written(kwargs.get(key) if isinstance(key, str) else args[key])
        fired = torch.count_nonzero(output) if kind == _COMPARISON else None
        self._calls.append((packet, read, options, written, module, row, fired))

    def opaque(self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Record that a unit, which is not looked into, made outputs from inputs.

        A model's own outputs may be shown in the same way, as inputs of a last unit without
        outputs: then spikes that leave the network are told from masks that nobody reads.
        """
        read = ([self._read(one, False) for one in inputs],)
        self._calls.append(("opaque", read, (), self._written(outputs), name, name, None))

    def neurons(self) -> list[FoundNeurons]:
        """Neurons in what has been seen, in order of their first comparison."""
        self._by_number = list(self._layouts)
        constants = [self._region(place) for place in self._constants]
        found, self.doubts = find_neurons(map(self._call, self._with_spikes()), constants)
        return found

    def _with_spikes(self) -> Iterator[tuple[Any, ...]]:
        """The calls with their spikes as numbers, brought from their device all at once."""
        tensors = [call[-1] for call in self._calls if call[-1] is not None]
        spikes = iter(torch.stack(tensors).tolist() if tensors else [])
        for *seen, fired in self._calls:
            yield (*seen, None if fired is None else next(spikes))

    def _call(self, seen: tuple[Any, ...]) -> Call:
        packet, read, options, written, module, row, fired = seen
        args = tuple(self._regions(arg) for arg in read)
        named = {name: self._regions(value) for name, value in options}
        places = tuple(self._region(place) for place in written)
        return Call(packet, args, named, places, module, row, fired)

    def _regions(self, arg: Any) -> Any:
        if isinstance(arg, list):
            return [self._regions(one) for one in arg]
        return self._region(arg) if isinstance(arg, tuple) else arg

    def _region(self, place: _Place) -> Region:
        if place is _NOWHERE:
            return 0, (2,), (1,), torch.float32, None  # data of which nothing is known
        address, layout, numbers = place
        return (address, *self._by_number[layout], numbers)

    def _learned(self, func: OpOverload) -> tuple[int, str, tuple[int | str, ...]]:
        """How to see a function, its name, and what it writes into besides its results."""
        packet = func._overloadpacket.__name__
        name = packet if packet.startswith("_") else packet.rstrip("_")
        mutated: tuple[int | str, ...] = ()
        if (func.is_view or name in _ALIASES) and name != "lift_fresh":
            kind = _VIEW
        elif name in COMPARISONS:
            kind = _COMPARISON
        else:
            kind = _ELEMENTWISE if name in ELEMENTWISE else _ANY
        returned = {
            a for r in func._schema.returns if r.alias_info for a in r.alias_info.before_set
        }
        for index, argument in enumerate(func._schema.arguments):
            info = argument.alias_info
            if info is not None and info.is_write and not info.before_set & returned:
                mutated += (argument.name if argument.kwarg_only else index,)
        self._kinds[func] = kind, packet, mutated
        return self._kinds[func]

    def _see_view(self, base: Any, output: Any) -> None:
        """Views of what the model has made need no look at their values."""
        try:
            if base.data_ptr() not in self._known:
                return
            for view in (output,) if isinstance(output, Tensor) else output:
                self._known.add(view.data_ptr())
        except (RuntimeError, AttributeError):
            return

    def _read(self, arg: Any, looks: bool) -> Any:
        kind = type(arg)
        if kind is float or kind is int or arg is None:
            return arg
        if isinstance(arg, Tensor):
            place = self._place(arg)
            numbers = self._numbers[place[1]] if looks and place[1] >= 0 else _NO_NUMBERS
            if numbers == _ONE_NUMBER:
                return place[0], place[1], arg.item() if arg.is_cpu else arg.detach().clone()
            if numbers == _NUMBERS and place[0] not in self._known:
                self._known.add(place[0])
                return place[0], place[1], torch.count_nonzero(arg)
            return place
        if isinstance(arg, (list, tuple)):
            return [self._read(one, looks) for one in arg]
        return arg

    def _written(self, output: Any) -> tuple[_Place, ...]:
        if isinstance(output, Tensor):
            place = self._place(output)
            if place is _NOWHERE:
                return ()
            self._known.add(place[0])
            return (place,)
        if isinstance(output, (list, tuple)):
            return tuple(place for one in output for place in self._written(one))
        return ()

    def _place(self, tensor: Tensor) -> _Place:
        """Where a tensor lies; nowhere, if it has no address, as a sparse or nested one."""
        try:
            key = tensor.shape, tensor.stride(), tensor.dtype
            address = tensor.data_ptr()
        except RuntimeError:
            return _NOWHERE
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = len(self._layouts)
            is_one = tensor.numel() == 1
            numbers = _ONE_NUMBER if is_one else _NUMBERS
            self._numbers.append(numbers if tensor.is_floating_point() else _NO_NUMBERS)
        return address, layout, None
