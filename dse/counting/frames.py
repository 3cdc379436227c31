"""Frames: which module is running, told by global forward hooks: no module is changed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from dse.errors import TracingError


@dataclass(slots=True)
class Frame:
    """A module that is running.

    first_input : shape of its first argument
    products : how many layers of each operator it has shown
    rows : the row of each layer, by operator and memory of its weight
    """

    name: str
    module: nn.Module
    first_input: tuple[int, ...] = ()
    products: dict[str, int] | None = None
    rows: dict[tuple[str, Any], str] | None = None

    def number(self, operator: str) -> int:
        """The number of its next layer of this operator."""
        if self.products is None:
            self.products = {}
        index = self.products.get(operator, 0)
        self.products[operator] = index + 1
        return index

    def row_with(self, operator: str, weight: Any) -> str | None:
        """The row of a layer that has run here with this weight, at its address."""
        return None if self.rows is None else self.rows.get((operator, weight))

    def keep(self, operator: str, weight: Any, row: str) -> None:
        """A layer with this weight has a row: it may run here again, as in a recurrent layer."""
        if self.rows is None:
            self.rows = {}
        self.rows[operator, weight] = row


class Frames:
    """The modules that are running, innermost last.

    on_neurons : called when a module that declares its neurons begins (without tensors), and with
        its input and output when it has run
    strayed : a module of the model that ran in another thread
    raised : an exception that left a module, and the name of the first module that it left
    neurons_running : how many modules that declare their neurons are running
    """

    def __init__(
        self, model: nn.Module, on_neurons: Callable[..., None], *, finds_neurons: bool
    ) -> None:
        self._model = model
        self._names = {id(module): name for name, module in model.named_modules()}
        self._on_neurons = on_neurons
        self._finds_neurons = finds_neurons
        self._thread = threading.get_ident()
        self._declaring: dict[type, bool] = {}
        self._stack: list[Frame] = []
        self.raised: tuple[BaseException, str] | None = None
        self.strayed: str | None = None
        self.neurons_running = 0
        self.begin()

    def begin(self) -> None:
        """Before a forward pass."""
        self._stack = [Frame("", self._model)]
        self.neurons_running = 0
        self._thread = threading.get_ident()

    @property
    def innermost(self) -> Frame:
        """The module that is running."""
        return self._stack[-1]

    def refuse_strayed(self) -> None:
        """Raises TracingError, here and not over there, if a module ran in another thread."""
        if self.strayed is not None:
            raise TracingError(f"{self.strayed} runs in a thread of its own, where nobody counts")

    @contextmanager
    def listening(self, on_module: Callable[..., None] | None = None) -> Iterator[None]:
        """Follow the modules of this thread.

        on_module : called with the name, the arguments and the output of each module of the model
            that has run; without it, nothing is done for it
        """

        def tell(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            name = self._names.get(id(module))
            if on_module is not None and name is not None:
                on_module(name, module, (args, kwargs), output)

        with ExitStack() as stack:
            if on_module is not None:
                telling = register_module_forward_hook(tell, with_kwargs=True)
                stack.callback(telling.remove)
            before = register_module_forward_pre_hook(self._enter)
            stack.callback(before.remove)
            after = register_module_forward_hook(self._leave, always_call=True)
            stack.callback(after.remove)
            yield

    def _enter(self, module: nn.Module, args: Any) -> None:
        name = self._names.get(id(module))
        if threading.get_ident() != self._thread:
            if name is not None:  # else another model, of somebody else
                self.strayed = name or "the model"
            return
        if name is None:
            name = f"{self._stack[-1].name}/{type(module).__name__}"
        first = args[0] if args else None
        # a nested tensor has no shape
        shape = first.shape if isinstance(first, Tensor) and not first.is_nested else ()
        self._stack.append(Frame(name, module, shape))
        if self._declares_neurons(module):
            self.neurons_running += 1
            if self._finds_neurons:
                self._on_neurons(name, module)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        frame = self._stack.pop()
        error = sys.exc_info()[1]  # hooks that are always called are called on the way out, too
        if error is not None and (self.raised is None or self.raised[0] is not error):
            self.raised = error, frame.name
        if not self.neurons_running or not self._declares_neurons(module):
            return
        self.neurons_running -= 1
        is_plain = isinstance(output, Tensor) and args and isinstance(args[0], Tensor)
        if self._finds_neurons and is_plain:
            self._on_neurons(frame.name, module, args[0], output)

    def _declares_neurons(self, module: nn.Module) -> bool:
        kind = type(module)
        if kind not in self._declaring:
            self._declaring[kind] = hasattr(kind, "neuron_events")
        return self._declaring[kind]
