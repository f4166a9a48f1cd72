"""How a live model is called: the tensors that its ``call`` takes, in their structure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from biport.errors import InputError
from keras_side.recording.custom import is_container


@dataclass(frozen=True)
class Leaf:
    """A tensor that a model is called with.

    Args:
        name: what the input of the graph is called.
        shape: sizes that vary are ``None``.
        dtype: of Keras.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def free(self) -> Leaf:
        """With a batch of any size and, where it has steps, any number of those."""
        rank, whole = len(self.shape), "int" in self.dtype or self.dtype == "bool"
        steps = rank > 2 or (rank == 2 and whole)
        return replace(self, shape=(*(None, None)[: 1 + steps], *self.shape[1 + steps :])[:rank])

    @property
    def of_any_batch(self) -> Leaf:
        """With a batch of any size."""
        return replace(self, shape=(None, *self.shape[1:])[: len(self.shape)])


Calling = tuple[Any, ...]
"""The positional arguments of a call: a `Leaf` each, or lists and mappings of them."""


def mapped(function: Callable[[Any], Any], items: Any) -> Any:
    """The same structure with what ``function`` gives for each leaf; mappings in the order of their keys."""
    if isinstance(items, Mapping):
        return {key: mapped(function, items[key]) for key in sorted(items)}
    if isinstance(items, list):
        return [mapped(function, one) for one in items]
    if type(items) is tuple:
        return tuple(mapped(function, one) for one in items)
    return function(items)


def flat(items: Any) -> list[Any]:
    """The leaves of a structure, in order."""
    leaves: list[Any] = []
    mapped(leaves.append, items)
    return leaves


def callings(model: Any, owner: str, example: Any = None) -> Iterator[Calling]:
    """The ways in which a model may be called, those of sizes that vary first.

    Args:
        model: live.
        owner: how errors call it.
        example: what it is called with: an array, a list or a mapping of them as its first argument, or a
            tuple of its arguments.

    Raises:
        InputError: nothing says what it is called with.
    """
    if is_container(model):
        yield (_of_container(model),)
        return
    names = argument_names(model)
    given = _of_example(names, example) if example is not None else _of_build(model, names)
    if given is None:
        once = "" if model.built else "call it once on data, or "
        raise InputError(f"{owner}: nothing says what it is called with; {once}give an example of that")
    free = mapped(lambda leaf: leaf.free, given)
    yield free
    if (fixed := mapped(lambda leaf: leaf.of_any_batch, given)) != free:
        yield fixed


def argument_names(model: Any) -> list[str]:
    """What the arguments of a model's ``call`` are called, but for those that Keras fills in."""
    parameters = inspect.signature(model.call).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in kinds and one.name not in ("training", "mask")]


def packed(model: Any, tensors: Sequence[Any]) -> tuple[Any, ...]:
    """Tensors, one for each input of the graph, as the arguments of a call of a model."""
    keras = sys.modules["keras"]
    if is_container(model):
        if isinstance(model, keras.Sequential):
            return (tensors[0],)
        return (keras.tree.pack_sequence_as(model.input, list(tensors)),)
    built = _of_build(model, argument_names(model))
    left = iter(tensors)
    if built is None or len(flat(built)) != len(tensors):
        return tuple(left)
    return mapped(lambda _: next(left), built)


def _of_container(model: Any) -> Any:
    if isinstance(model, sys.modules["keras"].Sequential):
        return _leaf(model.inputs[0])
    return mapped(_leaf, model._inputs_struct)


def _leaf(tensor: Any) -> Leaf:
    return Leaf(tensor._keras_history.operation.name, tuple(tensor.shape), tensor.dtype)


def _of_example(names: Sequence[str], example: Any) -> Calling:
    keras = sys.modules["keras"]
    arguments = example if type(example) is tuple else (example,)

    def leaf(name: str, item: Any) -> Leaf:
        array = item if hasattr(item, "dtype") and hasattr(item, "shape") else np.asarray(item)
        dtype = keras.backend.standardize_dtype(array.dtype)
        narrow = {"float64": keras.config.floatx(), "int64": "int32"} if isinstance(array, np.ndarray) else {}
        return Leaf(name, tuple(array.shape), narrow.get(dtype, dtype))

    return tuple(_named(name, one, leaf) for name, one in zip(names, arguments, strict=False))


def _of_build(model: Any, names: Sequence[str]) -> Calling | None:
    """What a model was first called with, or built for; of which dtypes, nothing says."""
    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes:
        return None
    keras = sys.modules["keras"]
    (first, *others) = shapes.values()
    if others and all(_is_shape(one) for one in shapes.values()):
        given: Any = tuple(shapes.values())
    else:
        given = (first,)
    return tuple(
        _named(name, _with_shapes(one), lambda own, shape: Leaf(own, shape.sizes, keras.config.floatx()))
        for name, one in zip(names, given, strict=False)
    )


@dataclass(frozen=True)
class _Shape:
    sizes: tuple[int | None, ...]


def _is_shape(item: Any) -> bool:
    return isinstance(item, list | tuple) and all(one is None or isinstance(one, int) for one in item)


def _with_shapes(item: Any) -> Any:
    if _is_shape(item):
        return _Shape(tuple(item))
    if isinstance(item, Mapping):
        return {key: _with_shapes(one) for key, one in item.items()}
    return [_with_shapes(one) for one in item]


def _named(name: str, items: Any, leaf: Callable[[str, Any], Leaf]) -> Any:
    """The leaves of a structure: by the name of their argument, and by key or number inside of it."""
    if isinstance(items, Mapping):
        return {key: _named(str(key), one, leaf) for key, one in sorted(items.items())}
    if isinstance(items, list) and not (items and isinstance(items[0], bool | int | float)):
        return [_named(f"{name}_{number}", one, leaf) for number, one in enumerate(items, 1)]
    return leaf(name, items)
