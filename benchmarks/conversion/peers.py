"""Peers: the same trained network converted by each library, as its documentation does it.

Each gives a module of images (B, C, H, W) to what every step adds to the logits (T, B, classes).
States are reset in each call.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from benchmarks.conversion.rules import Rule
from benchmarks.training.peers import Runs


def spikingjelly(
    model: nn.Sequential, images: Tensor, rule: Rule, time_steps: int, *, is_folded: bool
) -> nn.Module:
    """`Converter` with its `RateCodingRecipe`; all calibration images are one batch.

    It takes a moving average over batches, which would be another threshold.
    is_folded : step mode m, time in the batch; else a loop over time, as in its tutorial
    """
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based.ann2snn import Converter, RateCodingRecipe

    recipe = RateCodingRecipe(
        dataloader=[images],
        mode="Max" if rule.percentile == 100.0 else f"{rule.percentile}%",
        channel_wise=rule.is_by_channel,
        half_threshold=rule.is_by_channel,
    )
    network = Converter(recipe).convert(model).eval()
    functional.set_step_mode(network, "m" if is_folded else "s")

    def run(batch: Tensor) -> Tensor:
        functional.reset_net(network)
        if is_folded:
            logits: Tensor = network(batch.expand(time_steps, *batch.shape))
            return logits
        return torch.stack([network(batch) for _ in range(time_steps)])

    return Runs([network], run)


def sinabs(model: nn.Sequential, images: Tensor, rule: Rule, time_steps: int) -> nn.Module:
    """`normalize_weights` and `from_model` as they come, after batch-norm was folded by PyTorch.

    Several spikes a step, and a potential of at least -1, are its defaults.
    """
    from sinabs.from_torch import from_model
    from sinabs.utils import normalize_weights

    chain = folded(model)
    names = [name for name, one in chain.named_children() if isinstance(one, nn.ReLU)]
    before = [str(int(name) - 1) for name in names]
    normalize_weights(chain, images, names, before, percentile=rule.percentile)
    network = from_model(chain, num_timesteps=time_steps).spiking_model
    return _sinabs_runs(network, time_steps)


def sinabs_normalised(
    model: nn.Sequential, images: Tensor, rule: Rule, time_steps: int, *, is_single: bool
) -> nn.Module:
    """Weights normalised by `normalised` in place of its own function.

    is_single : at most one spike a step and no lowest potential, as all others have it
    """
    from sinabs.activation import SingleSpike
    from sinabs.from_torch import from_model

    chain = normalised(folded(model), images, rule.percentile)
    options: dict[str, Any] = {"spike_fn": SingleSpike, "min_v_mem": None} if is_single else {}
    network = from_model(chain, num_timesteps=time_steps, **options).spiking_model
    return _sinabs_runs(network, time_steps)


def _sinabs_runs(network: nn.Module, time_steps: int) -> nn.Module:
    from sinabs import reset_states

    def run(batch: Tensor) -> Tensor:
        reset_states(network)
        logits: Tensor = network(batch.repeat_interleave(time_steps, 0))
        return logits.unflatten(0, (-1, time_steps)).transpose(0, 1)

    return Runs([network], run)


def folded(model: nn.Sequential) -> nn.Sequential:
    """A copy of a chain whose batch-norms are folded into the synapses before them."""
    layers: list[nn.Module] = []
    for layer in copy.deepcopy(model):
        before = layers[-1] if layers else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            layers[-1] = fuse_conv_bn_eval(before, layer)
        elif isinstance(layer, nn.BatchNorm1d) and isinstance(before, nn.Linear):
            layers[-1] = fuse_linear_bn_eval(before, layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)


def normalised(chain: nn.Sequential, images: Tensor, percentile: float) -> nn.Sequential:
    """Weights whose activations are at most 1 up to a percentile; the readout has its logits.

    W <- W lambda_before / lambda, b <- b / lambda: Rueckauer et al., Frontiers in Neuroscience
    2017, eq. 6.
    """
    made = copy.deepcopy(chain)
    before, synapse, values = 1.0, None, images
    with torch.no_grad():
        for layer, ours in zip(chain, made, strict=True):
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                largest = float(np.percentile(values.numpy(), percentile))
                _scale(synapse, before, largest)
                before, synapse = largest, None
            elif isinstance(ours, nn.Conv2d | nn.Linear):
                synapse = ours
        _scale(synapse, before, 1.0)
    return made


def _scale(synapse: Any, before: float, largest: float) -> None:
    synapse.weight *= before / largest
    synapse.bias /= largest
