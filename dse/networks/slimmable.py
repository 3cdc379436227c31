"""Slimmable: networks of several widths that share one set of weights, each with its own norms.

The weights of a narrower network are the leading slices of those of the largest, its first
channels; batch-norm alone is its own, weights and statistics, since sums over fewer channels have
another distribution (Yu, Yang, Xu, Yang and Huang, ICLR 2019). Each step trains the largest, the
smallest and some widths in between, the sandwich rule of Yu and Huang, ICCV 2019, whose
distillation is left out. Steps of quantisers, learned thresholds and learned leaks have one value
for a layer of any width, and are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from dse.errors import BuildFailure

# beside the largest and the smallest: with them the four networks of a step of Yu and Huang
BETWEEN = 2


class Slimmable(nn.Module):
    """The largest network, and narrower ones that live in its weights.

    make : width -> network, with a method `training_loss` and an attribute `classes`
    widths : rising; those of one network each       between : random widths of a step

    As a classifier it is the largest network. Nothing but that and the norms of the others is
    registered: parameters, state and hooks are those of what is trained.
    Raises BuildFailure, with every mistake, for networks that do not lie within one another.
    """

    def __init__(
        self, make: Callable[[float], nn.Module], widths: Sequence[float], between: int = BETWEEN
    ) -> None:
        super().__init__()
        self._make = make
        self.widths = tuple(widths)
        self.between = between
        self.largest = make(self.widths[-1])
        with torch.random.fork_rng(devices=[]):  # to start as the largest network alone does
            nets = [make(width) for width in self.widths[:-1]]
        mistakes = list(_misfits(self.widths, [*nets, self.largest]))
        if mistakes:
            raise BuildFailure("\n".join(f"share_widths: {mistake}" for mistake in mistakes))
        self.norms = nn.ModuleList(nn.ModuleList(filter(_is_norm, net.modules())) for net in nets)
        # in a tuple they are no submodules: their weights are borrowed
        self._narrower = tuple(_Narrower(net, self.largest) for net in nets)

    @property
    def classes(self) -> int:
        """How many logits there are for an image."""
        return cast("int", self.largest.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of the largest network."""
        logits: Tensor = self.largest(images)
        return logits

    def training_loss(self, images: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """The mean of the losses of the largest, the smallest and random widths in between.

        They are drawn from the generator of the process. The largest comes first: what the first
        batch sets, it sets for all.
        """
        nets = [self.largest, *(one.lent(self.training) for one in self._drawn())]
        losses = [
            cast("Callable[..., Tensor]", net.training_loss)(images, targets, label_smoothing)
            for net in nets
        ]
        return torch.stack(losses).mean()

    def sub_network(self, width: float) -> nn.Module:
        """A network of one of the widths by itself, with copies of its weights and its norms."""
        index = self.widths.index(width)
        with torch.random.fork_rng(devices=[]):
            alone = self._make(width)
        lent = self.largest.state_dict()
        state = {name: _slice(lent[name], t.shape) for name, t in alone.state_dict().items()}
        if index < len(self._narrower):
            state.update(self._narrower[index].net.state_dict())  # nothing but norms is left there
        alone.load_state_dict(state)
        return alone.to(next(self.parameters()).device).train(self.training)

    def _drawn(self) -> Sequence[_Narrower]:
        if not self._narrower:
            return ()
        smallest, *others = self._narrower
        if len(others) > self.between:
            order = torch.randperm(len(others))[: self.between].tolist()
            others = [others[index] for index in order]
        return smallest, *others

    def extra_repr(self) -> str:
        return f"widths={self.widths}, between={self.between}"


@dataclass(frozen=True, slots=True)
class _Loan:
    """A parameter or a buffer that a module takes from the same place of the largest network."""

    borrower: nn.Module
    lender: nn.Module
    name: str
    shape: torch.Size


class _Narrower:
    """A network that has nothing of its own but its norms."""

    def __init__(self, net: nn.Module, largest: nn.Module) -> None:
        self.net = net
        self._loans: list[_Loan] = []
        for place, module in net.named_modules():
            if _is_norm(module):
                continue
            for own in (module._parameters, module._buffers):
                for name in [name for name, tensor in own.items() if tensor is not None]:
                    shape = cast("Tensor", own.pop(name)).shape
                    self._loans.append(_Loan(module, largest.get_submodule(place), name, shape))

    def lent(self, is_training: bool) -> nn.Module:
        """The network with the weights of now, through which gradients reach the largest."""
        for loan in self._loans:
            tensor = _slice(getattr(loan.lender, loan.name), loan.shape)
            # past the module's own door, where a parameter would become its own
            loan.borrower.__dict__[loan.name] = tensor
        if self.net.training != is_training:
            self.net.train(is_training)
        return self.net


def _slice(tensor: Tensor, shape: torch.Size) -> Tensor:
    """The leading part of a tensor, in memory as a layer of that size would have it."""
    if tensor.shape == shape:
        return tensor
    part = tensor[tuple(slice(size) for size in shape)]
    is_conv = part.dim() == 4
    return part.contiguous(
        memory_format=torch.channels_last if is_conv else torch.contiguous_format
    )


def _misfits(widths: Sequence[float], nets: Sequence[nn.Module]) -> Iterator[str]:
    """What does not lie within the largest network, or is no other network than the next."""
    *narrow, largest = nets
    room = {name: tensor.shape for name, tensor in largest.state_dict().items()}
    for index, net in enumerate(narrow):
        shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
        where = f"width {widths[index]} beside {widths[-1]}"
        for name in sorted(shapes.keys() ^ room.keys()):
            yield f"{where}: only one of them has {name}: must be parts of one network"
        for name in sorted(shapes.keys() & room.keys()):
            if not _fits(shapes[name], room[name]):
                yield (
                    f"{where}: {name}: {tuple(shapes[name])} is no leading part of "
                    f"{tuple(room[name])}: must be one"
                )
        following = nets[index + 1].state_dict()
        if shapes == {name: tensor.shape for name, tensor in following.items()}:
            yield f"widths {widths[index]} and {widths[index + 1]} are one network: leave one out"


def _fits(shape: torch.Size, room: torch.Size) -> bool:
    return len(shape) == len(room) and all(map(int.__le__, shape, room))


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
