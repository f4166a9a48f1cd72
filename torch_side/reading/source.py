"""What of a module is read how: a written one by its statements, any other by its trace."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from biport.errors import InputError, UnsupportedError
from biport.graph import Graph, Value
from torch_side.reading.arguments import Arguments, flatten_arguments
from torch_side.reading.exported import read_exported
from torch_side.reading.guess import guess_example
from torch_side.reading.live import Live, compare
from torch_side.reading.module_reader import ModuleRead, read_arguments
from torch_side.reading.scripted import Scripted, check_same, in_python
from torch_side.reading.written import Written, in_dtype_of, read_written
from torch_side.writing.ported import Ported

FACTORS = (1, 4, 20)
"""By how much larger described sizes are tried where a module does not take smaller ones."""


def read_source(
    module: nn.Module | ExportedProgram, example: Any = None, lengths: str | Sequence[str] | None = None
) -> Graph:
    """What `torch_side.read` gives."""
    if isinstance(module, ExportedProgram):
        return read_exported("the exported program", module, module.example_inputs).graph
    if (written := _written(module, example)) is not None:
        return written.graph
    if isinstance(module, torch.jit.ScriptModule):
        module = in_python(module)
    return read_traced(module, arguments_of(module, example), lengths).graph


def read_uncompared(module: nn.Module, example: Any = None) -> Graph:
    """The same of a module that was read before and whose weights alone are others by now."""
    if (written := _written(module, example)) is not None:
        return written.graph
    return read_arguments(module, arguments_of(module, example)).graph


def _written(module: nn.Module, example: Any) -> Written | None:
    return read_written(module) if isinstance(module, Ported) and example is None else None


def arguments_of(module: nn.Module, example: Any = None) -> Arguments:
    """How a module is called: as the example says, as it says itself, or as its layers suggest.

    Raises:
        InputError: ``forward`` does not take the example, or none could be guessed.
    """
    example = default_example(module) if example is None else example
    for factor in FACTORS:
        # Windows upon windows take more steps than a few.
        arguments = flatten_arguments(module, example, factor)
        if not any(leaf.value for leaf in arguments.leaves) or Live(module, arguments).takes():
            return arguments
    return flatten_arguments(module, example)


def default_example(module: nn.Module) -> tuple[Value, ...]:
    """What a module is called with where nobody says: its ``input_values``, or what its layers suggest.

    Raises:
        InputError: it has none, and none could be guessed.
    """
    own = getattr(module, "input_values", None)
    return tuple(in_dtype_of(module, value) for value in own) if own else guess_example(module)


def argument_names(module: nn.Module) -> dict[str, bool]:
    """What ``forward`` calls its arguments, and whether each has to be given."""
    parameters = inspect.signature(module.forward).parameters.values()
    named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    return {one.name: one.default is one.empty for one in named}


def read_traced(
    module: nn.Module, arguments: Arguments, lengths: str | Sequence[str] | None = None
) -> ModuleRead:
    """Trace a module, read it, and compare it with itself."""
    if isinstance(module, Scripted):
        check_same(module, arguments)
    _check_dtypes(module)
    arguments = Live(module, arguments).enlarged()
    live = Live(module, arguments)
    first = live.first([leaf.example for leaf in arguments.leaves])
    result = read_arguments(module, arguments)
    names = [lengths] if isinstance(lengths, str) else lengths or ()
    unknown = {*names} - {leaf.name for leaf in arguments.leaves}
    if unknown:
        known = ", ".join(leaf.name for leaf in arguments.leaves)
        raise InputError(f"lengths should be among the inputs {known}; found {', '.join(sorted(unknown))}")
    return result.noted(compare(live, result.graph, first, names, traced_from=result.least))


def _check_dtypes(module: nn.Module) -> None:
    for path, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64):
            raise UnsupportedError(
                f"{type(module).__name__}: {path}", "dtype", tensor.dtype, ["float32", "float64"]
            )
