"""Layers that Keras lacks, registered with it so that models with them are saved and loaded.

Importing this imports keras; `keras_side.require` does it when a model is written or a file is loaded.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import keras

import keras_side.ops
from biport.dims import Arithmetic, computed, letter
from biport.ops import Op, Tensor, op_class
from biport.registry import discover
from keras_side.records import WrittenOperation
from keras_side.registered import PACKAGE, decoded
from keras_side.registry import WRITERS

discover(keras_side.ops)


@keras.saving.register_keras_serializable(PACKAGE)
class LearnedAverage(keras.layers.Layer):
    """``w a + (1 - w) b`` of two inputs of one shape, ``(N, T, H)`` or ``(N, H)``, with ``w = σ(weight)``.

    Where both inputs have masks, a step is valid where either says so, as in Keras' own merges.

    Args:
        per_unit: whether each of the H units has a share of its own.
        options: of every layer, such as ``name`` and ``dtype``.
    """

    def __init__(self, per_unit: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.per_unit = per_unit
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the weight, of zeros: at first both inputs count alike."""
        shape = (input_shape[0][-1],) if self.per_unit else ()
        self.weight = self.add_weight(name="weight", shape=shape, initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """A list of two tensors to one."""
        one, two = inputs
        share: Any = keras.ops.sigmoid(self.weight)
        return share * one + (1 - share) * two

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """``(N, T)``, or ``None`` where an input has no mask."""
        if previous_mask is None or any(mask is None for mask in previous_mask):
            return None
        return reduce(keras.ops.logical_or, previous_mask)

    def get_config(self) -> dict[str, Any]:
        """The settings."""
        return {**super().get_config(), "per_unit": self.per_unit}


@keras.saving.register_keras_serializable(PACKAGE)
class Parameter(keras.layers.Layer):
    """A weight that belongs to no layer, whatever it is called on.

    Args:
        shape: of the weight.
        options: of every layer; ``trainable`` among them.
    """

    def __init__(self, shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.shape = tuple(shape)
        self.supports_masking = True
        self.value = self.add_weight(name="value", shape=self.shape, initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """The weight."""
        return keras.ops.convert_to_tensor(self.value)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Its shape and dtype."""
        return keras.KerasTensor(self.shape, self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: a weight has no steps."""

    def get_config(self) -> dict[str, Any]:
        """The settings."""
        return {**super().get_config(), "shape": list(self.shape)}


@keras.saving.register_keras_serializable(PACKAGE)
class BodyCell(keras.layers.Layer):
    """A cell, for ``keras.layers.RNN``, whose step is a functional model, its body.

    Args:
        body: takes x ``(N, I)``, the states ``(N, size)`` and the constants; gives the output ``(N, O)`` and
            the new states. Within a `Recurrence` all may have further sizes behind N.
        state_count: how many states there are.
        options: of every layer.
    """

    def __init__(self, body: Any, state_count: int, **options: Any) -> None:
        super().__init__(**options)
        self.body, self.state_count, self.constants = body, state_count, ()
        self.state_shapes = [tuple(x.shape[1:]) for x in body.inputs[1 : 1 + state_count]]
        self.output_shape = tuple(body.outputs[0].shape[1:])
        self.state_size = tuple(shape[-1] for shape in self.state_shapes)
        self.output_size = self.output_shape[-1]
        self.supports_masking = True

    def call(self, inputs: Any, states: Any, training: Any = None) -> Any:
        """One step: the output, and the new states in a list."""
        # Copies: the masks that hang on tensors are none of the body's.
        given = [keras.ops.copy(x) for x in (inputs, *states, *self.constants)]
        output, *new = self.body(given, training=training)
        return output, new

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """Zeros."""
        return [keras.ops.zeros((batch_size, *shape), self.compute_dtype) for shape in self.state_shapes]

    def get_config(self) -> dict[str, Any]:
        """The settings."""
        own = {"body": keras.saving.serialize_keras_object(self.body), "state_count": self.state_count}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: Any) -> Any:
        """The cell of these settings."""
        return cls(**{**config, "body": keras.saving.deserialize_keras_object(config["body"])})


@keras.saving.register_keras_serializable(PACKAGE)
class Recurrence(keras.layers.RNN):
    """``keras.layers.RNN`` around a `BodyCell` that is given constants too, or images.

    Keras' own hands no constants on, and knows of steps and states of one size behind N alone.
    """

    def build(
        self, sequences_shape: Any, initial_state_shape: Any = None, constants_shape: Any = None
    ) -> None:
        """Nothing is made: the body is there."""
        super().build(sequences_shape, initial_state_shape)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: Any = False,
        constants: Any = (),
    ) -> Any:
        """What an RNN gives, of its cell with these constants."""
        self.cell.constants = tuple(constants)
        try:
            return super().call(sequences, initial_state, mask, training)
        finally:
            self.cell.constants = ()

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None, constants_shape: Any = None
    ) -> Any:
        """Of the output, and of the states where they are given."""
        batch, steps = sequences_shape[:2]
        lead = (batch, steps) if self.return_sequences else (batch,)
        output = (*lead, *self.cell.output_shape)
        states = [(batch, *shape) for shape in self.cell.state_shapes]
        return (output, *states) if self.return_state else output


@keras.saving.register_keras_serializable(PACKAGE)
class TensorOperation(keras.layers.Layer):
    """An op of `biport.ops` that needs sizes which vary, or that has no inputs.

    Called with the inputs of the op, and behind them with tensors that have the sizes; one at least, which
    makes it a part of a functional model.

    Args:
        kind: of the op.
        settings: of the op, as JSON has them.
        arrays: of the op, encoded, see `keras_side.registered.encoded`.
        takes: how many of the tensors it is called with are inputs of the op.
        letters: for each letter of its sizes: of which tensor it is the size, and along which axis.
        options: of every layer.
    """

    def __init__(
        self,
        kind: str,
        settings: Mapping[str, Any],
        arrays: Mapping[str, Any],
        takes: int,
        letters: Mapping[str, Sequence[int]],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.kind, self.settings, self.arrays = kind, dict(settings), dict(arrays)
        self.takes, self.letters = takes, {name: tuple(at) for name, at in letters.items()}
        self.supports_masking = True
        self.op: Op = op_class(kind).build(settings, {path: decoded(data) for path, data in arrays.items()})

    def call(self, inputs: Any) -> Any:
        """The output of the op, or a list of them."""
        tensors = keras.tree.flatten(inputs)
        written = WRITERS.lookup(type(self.op), self.name)(self.op)
        assert isinstance(written, WrittenOperation)
        shapes: list[Any] = [keras.ops.shape(x) for x in tensors]
        sizes = {name: shapes[at][axis] for name, (at, axis) in self.letters.items()}
        dims = {"dims": [computed(dim, sizes, SIZES) for dim in written.dims]} if written.dims else {}
        return written.apply(keras, *tensors[: self.takes], **dims)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Shapes and dtypes, as the op itself infers them."""
        given = [_tensor(x, at) for at, x in enumerate(keras.tree.flatten(inputs))]
        sizes = {name: given[at].shape[axis] for name, (at, axis) in self.letters.items()}
        outputs = [
            keras.KerasTensor([dim if isinstance(dim, int) else None for dim in output.shape], output.dtype)
            for output in self.op.at(sizes).infer(given[: self.takes])
        ]
        return outputs if len(outputs) > 1 else outputs[0]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: operations hand no masks on."""

    def get_config(self) -> dict[str, Any]:
        """The settings."""
        own = {"kind": self.kind, "settings": self.settings, "arrays": self.arrays, "takes": self.takes}
        letters = {name: list(at) for name, at in self.letters.items()}
        return {**super().get_config(), **own, "letters": letters}


def _tensor(x: Any, position: int) -> Tensor:
    """A Keras tensor as the op sees it; sizes that vary have letters, those of the batch the same one."""
    letters = ["N", *(f"D{position}_{axis}" for axis in range(1, len(x.shape)))]
    shape = [letter(own) if dim is None else dim for own, dim in zip(letters, x.shape, strict=False)]
    return Tensor(shape, keras.backend.standardize_dtype(x.dtype))


def _extreme(known: Callable[..., int], function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Of two sizes, numbers or scalar tensors."""

    def choose(one: Any, two: Any) -> Any:
        both = isinstance(one, int) and isinstance(two, int)
        return known(one, two) if both else function(one, two)

    return choose


SIZES: Arithmetic[Any] = Arithmetic(
    int,
    operator.add,
    operator.mul,
    operator.floordiv,
    _extreme(max, keras.ops.maximum),
    _extreme(min, keras.ops.minimum),
)
"""With numbers, and with the scalar tensors that TensorFlow has for sizes that vary."""
