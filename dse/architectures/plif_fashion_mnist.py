"""The network that Fang et al., ICCV 2021, use for MNIST and Fashion-MNIST, as a topology.

Conv 128, pool, conv 128, pool, dropout, 2048 features, dropout, 100 outputs, of which ten
neighbours vote for each class. Only the topology is theirs: here a family says what a neuron is,
and hidden fully connected layers have a batch-norm as all hidden layers of this house, which theirs
have not. The 100 outputs are spikes there; here they are where the readout spikes as well, and else
its currents vote.
"""

from __future__ import annotations

from dse.architectures.draft import Draft
from dse.architectures.positions import Place, scaled

STAGES = (128, 128)
FEATURES = 2048
DROPOUT = 0.5
VOTE = 10


def positions(input_shape: tuple[int, ...], classes: int, width: float, depth: int) -> list[Place]:
    """Channels and features times width; `depth` convolutions a stage (0 = 1).

    Raises BuildFailure for sizes that cannot be.
    """
    draft = Draft("plif-fashion-mnist", input_shape, classes, width, depth)
    for channels in STAGES:
        draft.convs(scaled(channels, width), depth or 1)
    draft.linear(scaled(FEATURES, width), dropout=DROPOUT)
    return draft.readout(vote=VOTE, dropout=DROPOUT)
