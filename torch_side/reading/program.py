"""A module as `torch.export` traces it: aten operators, sizes that vary, arrays by their paths."""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram, export

from biport.errors import BiportError, UnsupportedError
from torch_side.inference import device_of
from torch_side.reading.decompositions import decompositions
from torch_side.reading.fixed_sizes import axes_of_one_number, axes_to_fix
from torch_side.reading.layer_session import LayerSession
from torch_side.reading.opaque import whole
from torch_side.reading.snapshot import Snapshot

MOST_TRACES = 2
"""After the first one: each may show sizes that are numbers, given those that were found before."""
PREFIX = "module."
"""Where the user's module is within what is exported."""


@dataclass(frozen=True)
class Program:
    """What was traced.

    Args:
        name: the class of the module, for errors.
        graph: functional; aten operators and those of `torch_side.reading.opaque`.
        arrays: the tensor of each placeholder that is a parameter, a buffer or a constant.
        paths: the path in the module of each of these.
        trainable: the paths of parameters that have a gradient.
        inputs: the placeholders that are the model's inputs, in order.
        session: the layers that were read whole.
        least: the smallest size that torch traced for, by its symbol.
    """

    name: str
    graph: fx.Graph
    arrays: Mapping[str, Tensor]
    paths: Mapping[str, str]
    trainable: frozenset[str]
    inputs: Sequence[str]
    session: LayerSession | None = None
    least: Mapping[str, int] = field(default_factory=dict)
    graph_module: fx.GraphModule | None = field(default=None, compare=False)


def trace_program(
    module: nn.Module,
    wrapper: nn.Module,
    inputs: Sequence[Tensor],
    fixed: Sequence[Collection[int]],
    takes: Callable[[Sequence[Tensor]], bool],
) -> Program:
    """Trace a module, whose inputs may vary in size; the module is left as it is.

    Args:
        module: the user's, in eval mode.
        wrapper: has it as ``module``, takes tensors by position and gives a list of them.
        inputs: an example of each.
        fixed: of each the axes whose size does not vary.
        takes: whether the module can be called with inputs.

    Raises:
        UnsupportedError: torch.export cannot trace it; the line at fault is named.
    """
    session, snapshot = LayerSession(module), Snapshot(module)
    inputs = [x.to(device_of(module)) for x in inputs]
    dynamic = [
        {axis: Dim.STATIC if axis in axes else Dim.AUTO for axis in range(x.dim())}
        for x, axes in zip(inputs, fixed, strict=True)
    ]
    try:
        with quiet(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            with whole(session):
                exported = _exported(wrapper, inputs, dynamic, session)
            for _ in range(MOST_TRACES):
                if not (sizes := axes_to_fix(exported) or _not_taken(exported, inputs, takes)):
                    break
                dynamic = _with_fixed(dynamic, sizes)
                session.calls.clear()
                with whole(session):
                    exported = export(wrapper, tuple(inputs), dynamic_shapes=(tuple(dynamic),), strict=False)
            with whole(session):
                exported = exported.run_decompositions(decompositions())
    except BiportError:
        raise
    except Exception as error:
        # A user's forward can fail in any way once it meets torch.export's stand-ins for tensors.
        raise _untraceable(module, error) from error
    finally:
        snapshot.restore()
    return as_program(type(module).__name__, exported, session)


def _exported(
    wrapper: nn.Module, inputs: Sequence[Tensor], dynamic: Sequence[dict], session: LayerSession
) -> ExportedProgram:
    """Trace with sizes that vary; where torch cannot solve for some, with the last axes as they are."""
    try:
        return export(wrapper, tuple(inputs), dynamic_shapes=(tuple(dynamic),), strict=False)
    except NotImplementedError:
        ranks = [x.dim() if x.is_floating_point() else 0 for x in inputs]
        for axes in ((-1,), (-2,), range(-max(ranks), 0)):
            session.calls.clear()
            fixed = [[rank + axis for axis in axes if rank + axis >= 2] for rank in ranks]
            with contextlib.suppress(NotImplementedError):
                shapes = tuple(_with_fixed(dynamic, fixed))
                return export(wrapper, tuple(inputs), dynamic_shapes=(shapes,), strict=False)
        raise


def _not_taken(
    exported: ExportedProgram, inputs: Sequence[Tensor], takes: Callable[[Sequence[Tensor]], bool]
) -> list[list[int]]:
    """The axes of a size that the trace takes for one alone, and the module takes no other of."""
    for axes in axes_of_one_number(exported):
        pairs = zip(inputs, axes, strict=True)
        if not takes([x.repeat([1 + (axis in own) for axis in range(x.dim())]) for x, own in pairs]):
            return axes
    return []


def _with_fixed(dynamic: Sequence[dict], fixed: Sequence[Collection[int]]) -> list[dict]:
    return [axes | dict.fromkeys(others, Dim.STATIC) for axes, others in zip(dynamic, fixed, strict=True)]


def as_program(name: str, exported: ExportedProgram, session: LayerSession | None = None) -> Program:
    """An exported program as it is read."""
    signature = exported.graph_signature
    paths = dict(signature.inputs_to_parameters) | dict(signature.inputs_to_buffers)
    constants = dict(signature.inputs_to_lifted_tensor_constants)
    tensors: dict[str, Any] = {key: exported.state_dict.get(path) for key, path in paths.items()}
    tensors |= {key: exported.constants[path] for key, path in constants.items()}
    tensors |= {key: exported.constants[path] for key, path in paths.items() if tensors[key] is None}
    trainable = {
        path.removeprefix(PREFIX)
        for key, path in signature.inputs_to_parameters.items()
        if tensors[key].requires_grad
    }
    named = {key: path.removeprefix(PREFIX) for key, path in (paths | constants).items()}
    inputs = [entry for entry in signature.user_inputs if isinstance(entry, str)]
    # What a size read from a tensor may be has no end.
    least = {
        str(symbol): int(limits.lower)
        for symbol, limits in exported.range_constraints.items()
        if limits.lower.is_Integer
    }
    return Program(
        name,
        exported.graph,
        tensors,
        named,
        frozenset(trainable),
        inputs,
        session,
        least,
        exported.graph_module,
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What torch logs and prints of a trace that fails is said by the error."""
    loggers = [logging.getLogger(name) for name in ("torch.fx", "torch._export", "torch.export")]
    loggers += [logging.getLogger(name) for name in ("torch.fx.experimental.symbolic_shapes",)]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        printed = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(printed), redirect_stderr(printed):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


TORCH = str(Path(torch.__file__).parent)
OWN = str(Path(__file__).parent.parent)


def line_of(frames: traceback.StackSummary) -> str | None:
    """The line of the user's code, the innermost, among the frames of a stack."""
    for frame in reversed(frames):
        outside = not frame.filename.startswith((TORCH, OWN, "<"))
        if outside and frame.line and "/torch/" not in frame.filename:
            return f"{Path(frame.filename).name}:{frame.lineno}: {frame.line.strip()}"
    return None


def _untraceable(module: nn.Module, error: Exception) -> UnsupportedError:
    line = line_of(traceback.extract_tb(error.__traceback__))
    owner = type(module).__name__
    where = "forward" if line is None else f"forward ({line})"
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    reason = f"{type(error).__name__}: {' '.join(first.split())[:200]}"
    supported = (
        "what torch.export can trace: no branches on values, no sizes made of values; or a class that "
        "torch_side.reads_class says the ops of (docs/extend.md)"
    )
    return UnsupportedError(owner, where, reason, supported)
