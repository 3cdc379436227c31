"""The peers: one small function each, from a model and a batch to the peer's own numbers.

All see the same model, batch and mode. A peer that is not here is listed with the reason. What had
to be changed for a peer to import is part of its name in the tables.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.counting.counter import Attached, Counter, NotAvailable, Reading


def peers() -> tuple[Counter, ...]:
    """Every peer, whether it is installed or not."""
    jelly, whole = "spikingjelly", partial(Counter, is_whole_call=True)
    return (
        Counter("empty dispatch mode", "torch", _empty_mode, is_timed_only=True),
        Counter("FlopCounterMode", "torch", _torch_counter),
        whole("fvcore", "fvcore", _fvcore),
        whole("ptflops (modules)", "ptflops", partial(_ptflops, backend="pytorch")),
        whole("ptflops (dispatcher)", "ptflops", partial(_ptflops, backend="aten")),
        whole("thop", _thop_distribution(), _thop),
        whole("torchinfo", "torchinfo", _torchinfo),
        Counter(
            "SpikingJelly: SynOp", jelly, partial(_spikingjelly, macs=False), is_timed_only=True
        ),
        Counter("SpikingJelly: SynOp, MAC", jelly, partial(_spikingjelly, macs=True)),
        Counter("SpikingJelly: energy report", jelly, _spikingjelly_energy, is_timed_only=True),
        Counter("NeuroBench", "neurobench", _neurobench),
        Counter("sinabs", "sinabs", _sinabs),
        whole("syops (names aliased)", "syops", _syops),
    )


def version(distribution: str) -> str | None:
    """The installed version of a peer; None if it is not here."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def hide_broken_torchvision() -> bool:
    """Hide a torchvision that was built for another PyTorch; whether there is one.

    It raises what peers that can do without it do not expect.
    """
    if "torchvision" not in sys.modules:
        try:
            importlib.import_module("torchvision")
        except ImportError:
            return False
        except Exception:
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            sys.modules["torchvision"] = None  # type: ignore[assignment]
    return sys.modules["torchvision"] is None


def _load(distribution: str, module: str) -> Any:
    """Import a peer. Raises NotAvailable with the reason."""
    if version(distribution) is None:
        raise NotAvailable("not installed")
    hide_broken_torchvision()
    try:
        return importlib.import_module(module)
    except Exception as error:  # a peer may fail in any way, and that is the finding
        reason = str(error).splitlines()[0] if str(error) else ""
        raise NotAvailable(f"does not import: {type(error).__name__}: {reason}") from error


class _Empty(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


@contextmanager
def _empty_mode(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    """Every operator passes through Python once: what any dispatch counter pays."""
    with _Empty():
        yield Attached(lambda: model(batch), Reading)


@contextmanager
def _torch_counter(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    with FlopCounterMode(display=False) as mode:

        def read() -> Reading:
            scale = 1 / (2 * len(batch))  # it counts a multiply-accumulate as two
            by_scope = {name: sum(c.values()) for name, c in mode.get_flop_counts().items()}
            return Reading(
                dense=scale * mode.get_total_flops(), by_module=_by_path(by_scope, scale)
            )

        yield Attached(lambda: model(batch), read)


@contextmanager
def _fvcore(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    library = _load("fvcore", "fvcore.nn")

    def run() -> Any:
        analysis = library.FlopCountAnalysis(model, batch)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.total()
        return analysis

    def read() -> Reading:
        analysis = run()
        by_module = {name: n / len(batch) for name, n in analysis.by_module().items()}
        unseen = tuple(analysis.unsupported_ops())
        return Reading(dense=analysis.total() / len(batch), by_module=by_module, unseen=unseen)

    yield Attached(run, read)


@contextmanager
def _ptflops(model: nn.Module, batch: Tensor, *, backend: str) -> Iterator[Attached]:
    library = _load("ptflops", "ptflops")

    # by keyword it takes the batch for one sample, so that its modules and functions add up alike
    keyword = "input" if isinstance(model, nn.Sequential) else "x"

    def run() -> Any:
        total = library.get_model_complexity_info(
            model,
            tuple(batch.shape[1:]),
            input_constructor=lambda _: {keyword: batch},
            as_strings=False,
            print_per_layer_stat=False,
            backend=backend,
        )[0]
        if total is None:
            raise RuntimeError("an error was swallowed, and there is no number")
        return total

    yield Attached(run, lambda: Reading(dense=run() / len(batch)))


def _thop_distribution() -> str:
    """Two distributions install the same name; the one that is maintained is looked for first."""
    return "thop" if version("thop") and not version("ultralytics-thop") else "ultralytics-thop"


@contextmanager
def _thop(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    library = _load(_thop_distribution(), "thop")

    def run() -> Any:
        return library.profile(model, inputs=(batch,), verbose=False)[0]

    yield Attached(run, lambda: Reading(dense=run() / len(batch)))


@contextmanager
def _torchinfo(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    library = _load("torchinfo", "torchinfo")

    def run() -> Any:
        return library.summary(model, input_data=batch, verbose=0).total_mult_adds

    yield Attached(run, lambda: Reading(dense=run() / len(batch)))


@contextmanager
def _spikingjelly(model: nn.Module, batch: Tensor, *, macs: bool) -> Iterator[Attached]:
    """Batch-norm is ignored by its own option, since the truth holds the products of layers."""
    library = _load("spikingjelly", "spikingjelly.activation_based.op_counter")
    norms: list[type[nn.Module]] = [nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm]
    ac = library.SynOpCounter(extra_ignore_modules=norms)
    mac = library.MACCounter(extra_ignore_modules=norms)
    with library.DispatchCounterMode([ac, mac] if macs else [ac]):

        def read() -> Reading:
            scopes: dict[str, float] = {}
            for counter in (ac, mac):
                for scope, by_operator in counter.get_counts().items():
                    scopes[scope] = scopes.get(scope, 0) + sum(by_operator.values())
            acs, multiplies = ac.get_total() / len(batch), mac.get_total() / len(batch)
            by_module = _by_path(scopes, 1 / len(batch))
            return Reading(multiplies, acs, acs + multiplies, by_module=by_module)

        yield Attached(lambda: model(batch), read)


@contextmanager
def _spikingjelly_energy(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    library = _load("spikingjelly", "spikingjelly.activation_based.op_counter")
    profiler = library.SimpleEnergyProfiler()
    profiler.bind_model(model)
    with profiler:

        def run() -> None:
            model(batch)
            profiler.get_report()

        yield Attached(run, Reading)


@contextmanager
def _neurobench(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    """The loop of its Benchmark class: run, metric on the kept inputs, hooks reset."""
    models = _load("neurobench", "neurobench.models.torch_model")
    workload = _load("neurobench", "neurobench.metrics.workload.synaptic_operations")
    wrapped = models.TorchModel(model)
    metric = workload.SynapticOperations()
    wrapped.register_hooks()

    def run() -> None:
        metric(wrapped, wrapped(batch), (batch, None))
        wrapped.reset_hooks()

    def read() -> Reading:
        found = metric.compute()
        mac, ac = found["Effective_MACs"], found["Effective_ACs"]
        return Reading(mac, ac, effective=mac + ac, dense=found["Dense"])

    try:
        yield Attached(run, read)
    finally:
        wrapped.cleanup_hooks()


@contextmanager
def _sinabs(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    """Its hooks give the mean over the leading dimension: times T where time is folded into it."""
    hooks = _load("sinabs", "sinabs.hooks")
    steps = getattr(model, "time_steps", 1)
    layers: dict[str, nn.Module] = {}
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                is_linear = isinstance(module, nn.Linear)
                hook = hooks.linear_layer_synops_hook if is_linear else hooks.conv_layer_synops_hook
                stack.callback(module.register_forward_hook(hook).remove)
                layers[name] = module

        def read() -> Reading:
            data = {name: getattr(layer, "hook_data", {}) for name, layer in layers.items()}
            by_module = {
                name: steps * float(found["layer_synops_per_timestep"])
                for name, found in data.items()
                if found
            }
            return Reading(effective=sum(by_module.values()), by_module=by_module)

        yield Attached(lambda: model(batch), read)


@contextmanager
def _syops(model: nn.Module, batch: Tensor) -> Iterator[Attached]:
    """It imports class names that SpikingJelly has dropped: they are given back as aliases."""
    neurons = _load("spikingjelly", "spikingjelly.activation_based.neuron")
    for name in ("IFNode", "LIFNode", "ParametricLIFNode"):
        if not hasattr(neurons, f"MultiStep{name}"):
            setattr(neurons, f"MultiStep{name}", getattr(neurons, name))
    library = _load("syops", "syops")

    def run() -> Any:
        return library.get_model_complexity_info(
            model,
            tuple(batch.shape[1:]),
            dataloader=[(batch, None)],
            as_strings=False,
            print_per_layer_stat=False,
        )[0]

    def read() -> Reading:
        dense, ac, mac, _ = (float(number) for number in run())
        return Reading(mac, ac, effective=ac + mac, dense=dense)

    yield Attached(run, read)


def _by_path(by_scope: Mapping[str, float], scale: float) -> dict[str, float]:
    """From `Class.path` to `path`, as module trackers of the dispatcher spell it."""
    return {
        scope.partition(".")[2]: scale * total
        for scope, total in by_scope.items()
        if scope != "Global"
    }
