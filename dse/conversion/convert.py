"""Convert: make a spiking network of a trained ANN by a method, training it where that does."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from dse.conversion import noisy, rate_norm, tuning
from dse.conversion.converted import Converted, ConvertedLayer
from dse.conversion.graph import Graph, trace
from dse.conversion.lessons import Lessons, refuse_missing
from dse.conversion.lines import line_of
from dse.conversion.methods import Method, adjusted, refuse_unknown
from dse.conversion.walk import Walk
from dse.errors import ConversionFailure
from dse.training.evaluation import undisturbed

__all__ = ["Converted", "ConvertedLayer", "Lessons", "adjusted", "convert"]

# of the run that finds the thresholds of SPIKE-NORM
SPIKE_NORM_STEPS = 100
SPIKE_NORM_IMAGES = 64


@torch.no_grad()
def convert(
    model: nn.Module,
    images: Tensor,
    method: Method,
    time_steps: int,
    *,
    lessons: Lessons | None = None,
) -> Converted:
    """A spiking network of T steps with the weights of an ANN, which itself stays as it is.

    images : (N, C, H, W) to calibrate with, of the training data
    lessons : for methods that train the ANN or the spiking network on
    Raises ConversionFailure for a model, a method or a number of steps that does not go, or a
    method that trains without lessons; DivergedFailure for a training that cannot go on.
    """
    with undisturbed(images.device):  # layers that are made draw weights, which are not kept
        return _converted(model, images, method, time_steps, lessons)


def _converted(
    model: nn.Module, images: Tensor, method: Method, time_steps: int, lessons: Lessons | None
) -> Converted:
    refuse_unknown(method)
    refuse_missing(method, lessons)
    if time_steps < 1:
        raise ConversionFailure(f"time_steps {time_steps}: must be at least 1")
    if len(images) < 1:
        raise ConversionFailure("calibration: must have one image at least")
    graph = trace(model)
    refuse_other_function(model, images)
    if method.noisy_epochs > 0:
        assert lessons is not None
        graph = noisy.trained_on(
            graph, images, time_steps, method.noisy_epochs, method.percentile, lessons
        )
    found = Walk(graph, method, time_steps, images, _learned(graph, method, images)).converted()
    if method.threshold == "spike-norm":
        images_run = min(len(images), SPIKE_NORM_IMAGES)
        told = f"thresholds from a run of {SPIKE_NORM_STEPS} steps on at most {images_run} images"
        found = replace(found, notes=(*found.notes, told))
    if method.tuning != "none" and method.tuning_epochs > 0:
        assert lessons is not None
        told = tuning.tune(found.network, method.tuning, method.tuning_epochs, lessons)
        found = replace(found, notes=(*found.notes, told))
    return found


def _learned(graph: Graph, method: Method, images: Tensor) -> dict[str, Tensor]:
    """Thresholds by name of the activation, for rules that need the whole network first.

    SPIKE-NORM runs the spiking network for long, whatever T it is read at later: of few steps,
    which may not even reach the last layer, the largest current would be too small.
    """
    if method.threshold == "rate-norm":
        return rate_norm.thresholds(graph, images)
    if method.threshold == "spike-norm":
        plain = replace(
            method, threshold_scale=1.0, gain=1.0, initial="zero", shifts=False, calibration="none"
        )
        walk = Walk(graph, plain, SPIKE_NORM_STEPS, images[:SPIKE_NORM_IMAGES], None)
        found = walk.converted().layers
        return {layer.name: images.new_tensor(layer.threshold_low) for layer in found}
    return {}


def refuse_other_function(model: nn.Module, images: Tensor) -> None:
    """Raise ConversionFailure unless the nodes of a model give its logits.

    In float64: in float32 activations that are quantised jump at what batch-norm folded rounds.
    """
    dtypes = {one.dtype for one in model.parameters() if one.is_floating_point()}
    if dtypes - {images.dtype}:
        raise ConversionFailure(
            f"{type(model).__name__}: images of {images.dtype}: must be of the dtype of its "
            f"weights, {', '.join(sorted(map(str, dtypes)))}"
        )
    few = images[:32].double()
    exact = copy.deepcopy(model).double().eval()
    try:
        wanted = exact(few)
    except Exception as error:  # whatever the model's own code does with these images
        what = (str(error) or repr(error)).splitlines()[0]
        raise ConversionFailure(
            f"{type(model).__name__}: cannot run on images of shape {tuple(few.shape[1:])}: "
            f"{what}{line_of(error)}"
        ) from error
    if not bool(wanted.isfinite().all()):
        raise ConversionFailure(f"{type(model).__name__}: its logits are NaN or infinite")
    scale = float(wanted.abs().max()) + 1e-12
    hidden = f"{type(model).__name__}: its layers were found, and "
    seen = "something between them cannot be seen, as a view that moves values between samples"
    try:
        found = trace(exact).run(few)
    except RuntimeError as error:
        raise ConversionFailure(f"{hidden}do not fit one another: {error}; {seen}") from error
    if found.shape != wanted.shape or float((found - wanted).abs().max()) > 1e-6 * scale:
        raise ConversionFailure(f"{hidden}give other logits than the model: {seen}")
