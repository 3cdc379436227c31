"""Contestants: who converts a trained network, and by which rule."""

from __future__ import annotations

import copy
import importlib.util
import logging
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from io import StringIO

from torch import Tensor, nn

from benchmarks.conversion import ours, peers
from benchmarks.conversion.rules import Rule
from benchmarks.conversion.sources import Source
from benchmarks.training.contestants import NotAvailable, refusals

DSE = "dse"

# model, calibration images, rule, T -> a module of images (B, C, H, W) to logits (T, B, classes)
Convert = Callable[[nn.Sequential, Tensor, Rule, int], nn.Module]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One line of the tables.

    convert : None where the library converts nothing
    distribution : the package that must be installed
    counter : of its own library, by its name in `benchmarks.counting`; None: not counted apart
    has_channels : whether thresholds can be of each channel, and potentials start at half
    is_dse : of this project
    """

    name: str
    convert: Convert | None
    distribution: str
    counter: str | None = None
    has_channels: bool = True
    is_dse: bool = False


def contestants() -> list[Contestant]:
    """Every library, whether it is installed or not, and dse last."""
    jelly = partial(Contestant, distribution="spikingjelly")
    sinabs = partial(Contestant, distribution="sinabs", counter="sinabs", has_channels=False)
    normalised = peers.sinabs_normalised
    return [
        jelly("SpikingJelly", partial(peers.spikingjelly, is_folded=True)),
        jelly(
            "SpikingJelly, step by step",
            partial(peers.spikingjelly, is_folded=False),
            counter="SpikingJelly: SynOp, MAC",
        ),
        sinabs("sinabs", peers.sinabs),
        sinabs("sinabs, normalised here", partial(normalised, is_single=False)),
        sinabs("sinabs, normalised here, one spike", partial(normalised, is_single=True)),
        Contestant("snnTorch", None, "snntorch"),
        Contestant("Norse", None, "norse"),
        Contestant(DSE, ours.converted, "dse", "dse: products", is_dse=True),
    ]


def converted(contestant: Contestant, source: Source, rule: Rule, time_steps: int) -> nn.Module:
    """Its spiking network, in evaluation mode. Raises NotAvailable, with a sentence."""
    return conversion(contestant, source, rule, time_steps)()


def conversion(
    contestant: Contestant, source: Source, rule: Rule, time_steps: int
) -> Callable[[], nn.Module]:
    """A call that converts anew each time. It, and this, raise NotAvailable with a sentence."""
    if importlib.util.find_spec(contestant.distribution) is None:
        raise NotAvailable("not installed")
    convert = contestant.convert
    if convert is None:
        raise NotAvailable("converts no trained network")
    if rule.is_by_channel and not contestant.has_channels:
        raise NotAvailable("has one threshold for all channels, and potentials start at 0")
    logging.getLogger("torch").setLevel(logging.ERROR)  # a peer asks for Triton, and needs none

    def call() -> nn.Module:
        model = copy.deepcopy(source.model)  # some change what they are given
        with refusals(is_ours=contestant.is_dse), redirect_stderr(StringIO()):
            return convert(model, source.calibration, rule, time_steps).eval()

    return call
