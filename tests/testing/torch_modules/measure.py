"""What becomes of a module: read, written for each form, and run beside the module at three sizes in float32."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

import export
import keras_side
import torch_side
from biport.errors import BiportError
from biport.graph import Graph
from testing.torch_modules.cases import EXAMPLE, OTHERS, Case
from torch_side.reading.source import arguments_of

ALLOWED = 5e-5
"""Between numbers of float32, in terms of the largest of an output."""
FORMS = ("torch", "onnx", "keras")
SIZES = (EXAMPLE, *OTHERS)

Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Outcome:
    """What became of a module in a form: ``exact``, ``refused``, ``wrong``, ``fixed`` or ``untyped``.

    ``fixed`` is a size that cannot vary though the module lets it, ``untyped`` an error that is none of biport's.
    """

    kind: str
    detail: str = ""


def read(case: Case) -> tuple[nn.Module, Graph | Outcome]:
    """The graph of a case, or why there is none."""
    module = case.build()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    attributes = _attributes(module)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch_side.read(module, case.call(EXAMPLE))
    except BiportError as error:
        outcome = Outcome("refused", str(error))
    except Exception as error:  # counted, which is what this is for
        outcome = Outcome("untyped", f"{type(error).__name__}: {error}")
    else:
        fixed = _fixed(case, graph)
        outcome = Outcome("fixed", fixed) if fixed else graph
    after = module.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert _attributes(module) == attributes
    return module, outcome


def _attributes(module: nn.Module) -> dict[str, dict[str, int]]:
    return {
        path: {name: id(value) for name, value in vars(part).items() if not name.startswith("_")}
        for path, part in module.named_modules()
    }


def _fixed(case: Case, graph: Graph) -> str:
    """Which sizes the module lets vary and the graph does not."""
    shapes = [[tuple(x.shape) for x in tensors(case, sizes)] for sizes in SIZES]
    return "; ".join(
        f"axis {axis} of {value.name}"
        for value, *calls in zip(graph.inputs, *shapes, strict=True)
        for axis, (dim, *sizes) in enumerate(zip(value.shape, *calls, strict=True))
        if isinstance(dim, int) and len(set(sizes)) > 1
    )


def tensors(case: Case, sizes: tuple[int, int]) -> list[Tensor]:
    """The tensors of a call, in the order of the graph's inputs."""
    return [leaf.example for leaf in arguments_of(case.build(), case.call(sizes)).leaves]


def call_live(module: nn.Module, arguments: Any) -> list[np.ndarray]:
    """What the module itself gives, its tensors in order."""
    args, kwargs = ((), arguments) if isinstance(arguments, Mapping) else (arguments, {})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = module(*args, **kwargs)
    leaves = pytree.tree_leaves(outputs, is_leaf=lambda part: isinstance(part, PackedSequence))
    return [leaf.detach().numpy() for leaf in leaves if isinstance(leaf, Tensor)]


def write(form: str, graph: Graph, folder: Path) -> Run:
    """A graph in a form, ready to be run."""
    if form == "torch":
        written = torch_side.write(graph)
        return lambda arrays: torch_side.run(written, arrays)
    if form == "onnx":
        export.write(graph, folder / "model.onnx", vectors=False)
        return export.Session(folder / "model.onnx").run
    model = keras_side.write(graph)
    return lambda arrays: keras_side.run(model, arrays, graph)


def compare(case: Case, run: Run, sizes: Iterable[tuple[int, int]] = SIZES) -> Outcome:
    """Run a form beside the module."""
    module, largest = case.build(), 0.0
    for size in sizes:
        arguments = case.call(size)
        wanted = call_live(module, arguments)
        given = [x.numpy() for x in tensors(case, size)]
        try:
            actual = run(given)
        except BiportError as error:
            return Outcome("refused", f"at {size}: {error}")
        except Exception as error:
            return Outcome("untyped", f"at {size}: {type(error).__name__}: {error}")
        difference = difference_of(actual, wanted)
        if isinstance(difference, str) or not difference <= ALLOWED:
            return Outcome("wrong", f"at {size}: {difference}")
        largest = max(largest, difference)
    return Outcome("exact", f"{largest:.1e}")


def difference_of(actual: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float | str:
    """The largest, in terms of the largest number of its output; words where there is no number."""
    if len(actual) != len(wanted):
        return f"{len(actual)} outputs, not {len(wanted)}"
    largest = 0.0
    for x, y in zip(map(np.asarray, actual), wanted, strict=True):
        if x.shape != y.shape:
            return f"shape {x.shape}, not {y.shape}"
        if (x.dtype.kind == "f") != (y.dtype.kind == "f"):
            return f"dtype {x.dtype}, not {y.dtype}"
        if not np.array_equal(np.isnan(x), np.isnan(y)) or not np.array_equal(np.isinf(x), np.isinf(y)):
            return "NaN or infinity elsewhere"
        finite = np.isfinite(y)
        if finite.any():
            off = np.abs(x[finite].astype("float64") - y[finite].astype("float64")).max()
            largest = max(largest, float(off / max(1.0, float(np.abs(y[finite]).max()))))
    return largest


def measure(case: Case, graph: Graph) -> dict[str, Outcome]:
    """What becomes of a case in each form, of the graph that was read; Keras takes longest, and has two sizes."""
    outcomes = {}
    for form in FORMS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                run = write(form, graph, Path(folder))
            except BiportError as error:
                outcomes[form] = Outcome("refused", str(error))
            except Exception as error:
                outcomes[form] = Outcome("untyped", f"{type(error).__name__}: {error}")
            else:
                outcomes[form] = compare(case, run, SIZES[:2] if form == "keras" else SIZES)
    return outcomes
