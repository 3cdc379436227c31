"""Counts in, energy out: hardware profiles and energy models, without torch."""

from energy_models.baselines import Baseline, ann_of, baselines, is_baseline_due
from energy_models.breakeven import BreakEven, Crossing, break_even
from energy_models.counts import ModelCounts, Spread, Uncounted
from energy_models.errors import CountsError, EnergyModelError, ProfileError
from energy_models.estimate import EnergyBreakdown, LayerEnergy, estimate
from energy_models.footprint import Footprint, footprint
from energy_models.layers import (
    Geometry,
    LayerCounts,
    ModuleCounts,
    NeuronUpdates,
    OpCounts,
    OperandCounts,
    StepCounts,
)
from energy_models.many import PriceTable, draw_many, price_many
from energy_models.profile import HardwareProfile
from energy_models.shelf import list_profiles, load_profile

__all__ = [
    "Baseline",
    "BreakEven",
    "CountsError",
    "Crossing",
    "EnergyBreakdown",
    "EnergyModelError",
    "Footprint",
    "Geometry",
    "HardwareProfile",
    "LayerCounts",
    "LayerEnergy",
    "ModelCounts",
    "ModuleCounts",
    "NeuronUpdates",
    "OpCounts",
    "OperandCounts",
    "PriceTable",
    "ProfileError",
    "Spread",
    "StepCounts",
    "Uncounted",
    "ann_of",
    "baselines",
    "break_even",
    "draw_many",
    "estimate",
    "footprint",
    "is_baseline_due",
    "list_profiles",
    "load_profile",
    "price_many",
]
