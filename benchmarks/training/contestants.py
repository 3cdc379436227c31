"""Contestants: who takes part in the tables, on one network and number of steps."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from torch import nn

from benchmarks.training import ours, peers, plain
from benchmarks.training.steps import PLAIN, TUNED, Contestant, Habits, Ready, Route, ready
from benchmarks.training.works import Work, batch, load_parameters

FLOOR = "floor: the layers alone"
RELU = "ReLU network, N samples"
DSE = "dse"
ANN, S2NN, BNN = "dse ann", "dse s2nn", "dse bnn"
REFERENCE = "plain loop"


class NotAvailable(RuntimeError):
    """A contestant that cannot take part: its text says why."""


def contestants(
    work: Work, time_steps: int, *, route: Route, is_tuned: bool, bfloat16: bool
) -> list[Contestant]:
    """Those of training and inference; the floor is apart.

    route : of the matrix products of the ReLU network and dse
    is_tuned : whether peers get the fused optimiser and oneDNN as well
    """
    theirs = TUNED if is_tuned else PLAIN
    ordinary = Habits(is_fused=True, channels_last=True, route=route)
    jelly = partial(peers.spikingjelly, work, time_steps)
    norse = partial(peers.norse, work, time_steps)
    return [
        Contestant(REFERENCE, partial(plain.Loop, work, time_steps), theirs),
        Contestant("SpikingJelly", partial(jelly, is_first_once=False), theirs, "spikingjelly"),
        Contestant(
            "SpikingJelly, first layer once",
            partial(jelly, is_first_once=True),
            theirs,
            "spikingjelly",
        ),
        Contestant("snnTorch", partial(peers.snntorch, work, time_steps), theirs, "snntorch"),
        Contestant(
            "Norse, Lift",
            partial(norse, is_folded=False),
            theirs,
            "norse",
            has_same_surrogate=False,
        ),
        Contestant(
            "Norse, time folded",
            partial(norse, is_folded=True),
            theirs,
            "norse",
            has_same_surrogate=False,
        ),
        Contestant("sinabs", partial(peers.sinabs, work, time_steps), theirs, "sinabs"),
        Contestant(RELU, partial(plain.relu_network, work), ordinary, is_spiking=False),
        Contestant(
            DSE,
            partial(ours.snn, work, time_steps),
            replace(ordinary, bfloat16=bfloat16),
            "dse",
            is_dse=True,
        ),
    ]


def families(work: Work, *, route: Route) -> list[Contestant]:
    """One step, no time: the ordinary network, plain and ours, and those of one bit."""
    habits = Habits(is_fused=True, channels_last=True, route=route)
    return [
        Contestant(RELU, partial(plain.relu_network, work), habits, is_spiking=False),
        Contestant(ANN, partial(ours.ann, work), habits, "dse", is_dse=True, is_spiking=False),
        Contestant(S2NN, partial(ours.s2nn, work), habits, "dse", is_dse=True, is_spiking=False),
        Contestant(
            BNN,
            partial(ours.bnn, work),
            habits,
            "dse",
            is_dse=True,
            is_spiking=False,
            after_step=ours.after_step,
        ),
    ]


def built(contestant: Contestant, work: Work) -> nn.Module:
    """Its model with the parameters of the benchmark. Raises NotAvailable, with a sentence."""
    package = contestant.distribution
    if package is not None and importlib.util.find_spec(package) is None:
        raise NotAvailable("not installed")
    logging.getLogger("torch").setLevel(logging.ERROR)  # a peer asks for Triton, and needs none
    with refusals(is_ours=contestant.is_dse):
        model = contestant.build()
        load_parameters(model, work)
    return model


def prepare(contestant: Contestant, work: Work) -> Ready:
    """Its steps, each tried once. Raises NotAvailable, with a sentence."""
    model = built(contestant, work)
    with refusals(is_ours=contestant.is_dse):
        steps = ready(contestant, model, *batch(work))
        steps.train()
        steps.infer()
    return steps


@contextmanager
def refusals(*, is_ours: bool = False) -> Iterator[None]:
    """Whatever a library raises is a result, and is shown: raise NotAvailable for it.

    is_ours : of this project, whose errors are bugs and go through
    """
    try:
        yield
    except Exception as error:
        if is_ours:
            raise
        raise NotAvailable(f"fails: {type(error).__name__}: {error}") from error
