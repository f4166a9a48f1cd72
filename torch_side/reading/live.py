"""The live module, run beside the graph that was read from it: a difference raises."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from biport import reference
from biport.analysis.lengths import needed_lengths, needed_steps
from biport.compare.cases import row_lengths_of
from biport.compare.difference import largest_difference
from biport.dims import Dim
from biport.errors import BiportError, InputError, UnsupportedError
from biport.graph import Graph
from biport.inputs import batch_axis, row_lengths, safe_bounds, size_at, time_axis
from biport.ops import INTEGERS
from torch_side.inference import device_of, evaluating, full_precision, in_float64, is_table
from torch_side.layers.errors import LayerInputError
from torch_side.reading.arguments import Arguments
from torch_side.reading.flat import Flat, OutputsSeen
from torch_side.reading.program import PREFIX, quiet
from torch_side.reading.snapshot import Snapshot

ALLOWED = 1e-6
"""Of the largest number of an output: the scalars of a graph are float32, a wrong meaning is far above."""
MAX_TRIED = 64
"""Ways to make sizes of 1 larger that are tried."""
ALLOWED_FLOAT32 = 1e-3
"""Where a module does not run in float64."""


class Live:
    """A module that is run without being changed.

    Args:
        module: the user's.
        arguments: how it is called.
    """

    def __init__(self, module: nn.Module, arguments: Arguments) -> None:
        self.module = module
        self.arguments = arguments
        self.wide = True
        self._flat = Flat(module, arguments)
        self._name = type(module).__name__

    @property
    def seen(self) -> OutputsSeen:
        """What the last call gave."""
        return self._flat.seen

    def first(self, examples: Sequence[Tensor]) -> list[np.ndarray]:
        """The outputs of the examples.

        Raises:
            InputError: the module does not take them.
            UnsupportedError: it computes something else when it is called again.
        """
        snapshot = Snapshot(self.module)
        try:
            state = self._state()
            one = self._run(state, examples)
            own = self._tensors()
            buffers = [name for name in own if not _equal(own[name], state[name])]
            changed = sorted({*snapshot.changed(), *(name.removeprefix(PREFIX) for name in buffers)})
            again = self._run(state, examples)
        finally:
            snapshot.restore()
        if not all(map(_same, one, again)) or len(one) != len(again):
            raise self._carries(changed)
        return one

    def enlarged(self) -> Arguments:
        """The arguments with sizes of 1 made larger where the module takes that: torch fixes what is 1."""
        leaves = self.arguments.leaves
        ones = [
            (number, axis)
            for number, leaf in enumerate(leaves)
            for axis, size in enumerate(leaf.example.shape[:2])
            if size == 1 and leaf.value is None
        ]
        subsets = (
            subset for count in range(len(ones), 0, -1) for subset in itertools.combinations(ones, count)
        )
        for subset in itertools.islice(subsets, MAX_TRIED):
            examples = [leaf.example for leaf in leaves]
            for number, axis in subset:
                examples[number] = examples[number].repeat_interleave(2, axis)
            with contextlib.suppress(BiportError):
                self.run(examples)
                larger = [
                    dataclasses.replace(leaf, example=x) for leaf, x in zip(leaves, examples, strict=True)
                ]
                return dataclasses.replace(self.arguments, leaves=larger)
        return self.arguments

    def takes(self) -> bool:
        """Whether the module runs with the examples."""
        try:
            self.run([leaf.example for leaf in self.arguments.leaves])
        except BiportError:
            return False
        return True

    def run(self, tensors: Sequence[Tensor]) -> list[np.ndarray]:
        """The outputs of other inputs."""
        snapshot = Snapshot(self.module)
        try:
            return self._run(self._state(), tensors)
        finally:
            snapshot.restore()

    def _state(self) -> dict[str, Tensor]:
        """Copies of parameters and buffers, since ``forward`` may write into them; of tables once it may."""
        return {name: self._copied(tensor) for name, tensor in self._tensors().items()}

    def _tensors(self) -> dict[str, Tensor]:
        named = {**dict(self._flat.named_parameters()), **dict(self._flat.named_buffers())}
        return {name: tensor.detach() for name, tensor in named.items()}

    def _copied(self, tensor: Tensor) -> Tensor:
        if self.wide and is_table(tensor):
            return tensor
        wide = self._widened(tensor)
        return tensor.clone() if wide is tensor else wide

    def _widened(self, tensor: Tensor) -> Tensor:
        return tensor.double() if self.wide and tensor.is_floating_point() else tensor

    def _run(self, state: dict[str, Tensor], tensors: Sequence[Tensor]) -> list[np.ndarray]:
        try:
            return self._call(state, tensors)
        except BiportError:
            raise
        except Exception as error:
            if not self.wide:
                raise self._not_taken(error) from error
        # What names float32 in so many ways that it cannot be float64.
        self.wide = False
        for name, tensor in state.items():
            if tensor.is_floating_point():
                state[name] = tensor.clone() if is_table(tensor) else tensor.float()
        try:
            return self._call(state, tensors)
        except (BiportError, LayerInputError) as error:
            raise InputError(f"{self._name} does not take its inputs: {error}") from error
        except Exception as error:
            raise self._not_taken(error) from error

    def _not_taken(self, error: Exception) -> InputError:
        reason = " ".join(str(error).split())[:300]
        return InputError(f"{self._name} does not take its inputs: {type(error).__name__}: {reason}")

    def _call(self, state: dict[str, Tensor], tensors: Sequence[Tensor]) -> list[np.ndarray]:
        device = device_of(self.module)
        given = tuple(self._widened(x.clone()).to(device) for x in tensors)
        precision = in_float64(state) if self.wide else contextlib.nullcontext()
        random = torch.random.fork_rng(devices=[])
        with evaluating(self._flat), full_precision(device), torch.no_grad(), precision, random:
            outputs = torch.func.functional_call(self._flat, state, given)
        return [output.detach().cpu().numpy() for output in outputs]

    def _carries(self, changed: Sequence[str]) -> UnsupportedError:
        if not changed:
            supported = "a module that computes the same again, in eval mode"
            return UnsupportedError(self._name, "forward", "other numbers at every call", supported)
        supported = "an argument of forward, and an output, in place of state that the module keeps on itself"
        return UnsupportedError(self._name, "state", ", ".join(changed), supported)


def _same(one: np.ndarray, two: np.ndarray) -> bool:
    return one.shape == two.shape and np.array_equal(one, two, equal_nan=one.dtype.kind == "f")


def compare(
    live: Live,
    graph: Graph,
    first: Sequence[np.ndarray],
    lengths: Collection[str] = (),
    most: Mapping[str, int] = MappingProxyType({}),
    traced_from: Mapping[str, int] = MappingProxyType({}),
) -> list[str]:
    """Hold a graph against the live module, at the example and at other sizes; notes of what could not be.

    Args:
        live: the module.
        graph: what was read from it.
        first: what the module gives of the examples.
        lengths: inputs that are lengths of rows, beside those that the graph compares with steps.
        most: the largest that a size may be, by its letter.
        traced_from: the smallest that a size was traced for: below it a module may do something else.

    Raises:
        UnsupportedError: an output differs.
    """
    wide, maker = reference.InDtype(graph), _Maker(live, graph, lengths)
    if not maker.described:
        examples = [leaf.example.cpu().numpy() for leaf in live.arguments.leaves]
        _check(live, wide, examples, first, maker.sizes)
    needed = [*needed_steps(graph).values(), *needed_lengths(graph).values()]
    least = max([2, *(one.size for one in needed)])
    others = [_others(maker.sizes, least, step, most) for step in (1, 2)] if maker.sizes else []
    notes = []
    for sizes in [maker.sizes, *others] if maker.described else others:
        try:
            arrays, wanted = maker.run(sizes)
        except InputError as error:
            notes.append(f"not compared at {_listed(sizes)}: {error}")
            continue
        _check(live, wide, arrays, wanted, sizes)
    return [*notes, *_small(live, wide, maker, traced_from)]


def _small(live: Live, wide: reference.InDtype, maker: _Maker, traced_from: Mapping[str, int]) -> list[str]:
    """Where the module computes something else of sizes that are smaller than it was traced for."""
    below = {name: max(traced_from.get(name, 2) - 1, 1) for name in maker.sizes}
    notes = []
    for sizes in [below] if set(below.values()) <= {1} else [below, dict.fromkeys(below, 1)]:
        try:
            arrays, wanted = maker.run(sizes)
            _check(live, wide, arrays, wanted, sizes)
        except InputError:
            continue
        except UnsupportedError as error:
            notes.append(f"below what it was traced for the module computes something else: {error.setting}")
    return notes


class _Maker:
    """Inputs of other sizes that the module takes."""

    def __init__(self, live: Live, graph: Graph, lengths: Collection[str]) -> None:
        leaves = live.arguments.leaves
        self.live = live
        self.graph = graph
        self.examples = [leaf.example for leaf in leaves]
        self.described = any(leaf.value is not None for leaf in leaves)
        self.sizes = {
            str(dim): size
            for value, x in zip(graph.inputs, self.examples, strict=True)
            for dim, size in zip(value.shape, x.shape, strict=True)
            if not isinstance(dim, int)
        }
        self.lengths = self._given(lengths) | row_lengths(graph)

    def run(self, sizes: Mapping[str, int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Inputs of these sizes, and what the module gives; rows by falling lengths where it wants that.

        Raises:
            InputError: it takes none.
        """
        for falling in (False, True) if self.lengths else (True,):
            arrays = other_inputs(
                self.graph, self.examples, sizes, np.random.default_rng(len(sizes)), self.lengths, falling
            )
            try:
                with quiet():
                    return arrays, self.live.run([torch.as_tensor(array) for array in arrays])
            except InputError:
                if falling:
                    raise
        raise AssertionError

    def _given(self, names: Collection[str]) -> dict[str, Dim]:
        """Inputs that are lengths because the user says so, or their names do."""
        steps = next((_steps(value.shape) for value in self.graph.inputs if len(value.shape) > 1), None)
        return {
            value.name: steps
            for value in self.graph.inputs
            if steps is not None
            and len(value.shape) == 1
            and value.dtype in INTEGERS
            and (value.name in names or "len" in value.name.lower())
        }


def _steps(shape: Sequence[Dim]) -> Dim:
    """How many steps there are: the size of the axis of time, or behind channels of the last that varies."""
    axis, rows = time_axis(shape), batch_axis(shape)
    usual = shape[1 if axis is None else axis]
    varying = [dim for where, dim in enumerate(shape) if where != rows and not isinstance(dim, int)]
    return varying[-1] if isinstance(usual, int) and varying else usual


def _others(sizes: Mapping[str, int], least: int, step: int, most: Mapping[str, int]) -> dict[str, int]:
    """Other sizes, no two the same where they were not, unless one may not be so large.

    First come odd ones and even ones, then multiples, for modules that halve what they are given.
    """
    distinct = {size: max(size, least) + 2 * step + 3 * i for i, size in enumerate(sorted({*sizes.values()}))}
    if step > 1:
        distinct = {size: size * -(-max(step * size, least) // size) for size in distinct}
    return {name: min(distinct[size], most.get(name, distinct[size])) for name, size in sizes.items()}


def other_inputs(
    graph: Graph,
    examples: Sequence[Tensor],
    sizes: Mapping[str, int],
    rng: np.random.Generator,
    lengths: Mapping[str, Dim],
    falling: bool = True,
) -> list[np.ndarray]:
    """Inputs like the examples, of other sizes: numbers as large, ids of the same tables, lengths up to T."""
    bounds = safe_bounds(graph)
    arrays = []
    for value, example in zip(graph.inputs, examples, strict=True):
        shape = [size_at(dim, sizes) for dim in value.shape]
        given = example.detach().cpu().numpy()
        if value.name in lengths:
            array = row_lengths_of(shape, size_at(lengths[value.name], sizes), rng)
            array = array if falling else array[::-1].copy()
        elif value.dtype in INTEGERS and value.name in bounds and given.size and (given == 1).all():
            array = rng.integers(0, bounds[value.name], shape)
        elif given.dtype.kind == "f":
            usual = given.size > 1 and bool(np.isfinite(given).all())
            scale, mean = (float(given.std()), float(given.mean())) if usual else (1.0, 0.0)
            array = rng.normal(size=shape) * (scale or 1.0) + mean
        else:
            rows = [np.arange(size) % max(old, 1) for size, old in zip(shape, given.shape, strict=True)]
            array = given[np.ix_(*rows)]
        arrays.append(np.asarray(array).astype(given.dtype))
    return arrays


def _check(
    live: Live,
    wide: reference.InDtype,
    arrays: Sequence[np.ndarray],
    wanted: Sequence[np.ndarray],
    sizes: Mapping[str, int],
) -> None:
    allowed = ALLOWED if live.wide else ALLOWED_FLOAT32
    owner = type(live.module).__name__
    values = wide.trace(arrays)
    for name, two in zip(wide.outputs, wanted, strict=True):
        one = values[name]
        difference = largest_difference(one, two)
        if difference is None or difference > allowed:
            shown = "another shape" if one.shape != two.shape else f"off by {difference}"
            supported = "a module whose trace computes what it computes"
            raise UnsupportedError(owner, f"output {name} at {_listed(sizes)}", shown, supported)


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items()) or "the example"


ROWS = 2**16
"""Of a table that are compared together."""


def _equal(before: Tensor, now: Tensor) -> bool:
    """Whether a tensor is what it was, before it was copied in another dtype."""
    if before.shape != now.shape:
        return False
    parts = zip(before.split(ROWS), now.split(ROWS), strict=True) if before.dim() else [(before, now)]
    return all(torch.equal(one.to(two), two) for one, two in parts)
