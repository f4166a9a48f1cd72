"""The one interface through which a search drives a framework."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from biport import reference
from biport.dims import known
from biport.errors import InputError
from biport.graph import Value
from biport.rewrite.encoder_decoder import EncoderDecoder

Run = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""The encoder or the step: arrays in the order of its inputs to arrays in the order of its outputs."""


@dataclass(frozen=True)
class Stepper:
    """An `EncoderDecoder` in some framework.

    Args:
        encode: runs the encoder.
        advance: runs one step of the decoder.
        source: the encoder's input.
        inputs: the step's inputs: the token, what each step reads of the encoder, the states.
        size: V, the number of tokens a step chooses from.
    """

    encode: Run
    advance: Run
    source: Value
    inputs: tuple[Value, ...]
    size: int

    def start(self, source: np.ndarray) -> Reading:
        """Run the encoder over ``(N, S)`` ids, or whatever the model reads.

        Raises:
            InputError: the source does not suit the model.
        """
        encoded = self.encode([source])
        missing = self.inputs[1 + len(encoded) :]
        zeros = [np.zeros((len(source), known(value.shape[1])), value.dtype) for value in missing]
        return Reading(self, [*encoded, *zeros])

    def token(self, ids: NDArray[np.integer]) -> np.ndarray:
        """``(N,)`` ids as the decoder's input: ``(N, 1)``, or one-hot ``(N, 1, V)`` where it takes floats."""
        value = self.inputs[0]
        if not value.dtype.startswith("float"):
            return ids[:, None].astype(value.dtype)
        return np.eye(known(value.shape[2]), dtype=value.dtype)[ids[:, None]]


@dataclass
class Reading:
    """A batch in the course of decoding: what each step reads, and the states."""

    stepper: Stepper
    arrays: list[np.ndarray] = field(repr=False)

    def next(self, ids: NDArray[np.integer]) -> NDArray[np.float64]:
        """Feed ``(N,)`` tokens; the logarithms of the next ones' probabilities, ``(N, V)``.

        Raises:
            InputError: the model gives something that is no probability.
        """
        probabilities, *states = self.stepper.advance([self.stepper.token(ids), *self.arrays])
        if states:
            self.arrays[-len(states) :] = states
        rows = probabilities[:, 0].astype(np.float64)
        if not (rows >= 0).all():
            raise InputError("the decoder gives negative probabilities, or none at all (NaN)")
        with np.errstate(divide="ignore"):
            return np.log(rows)

    def keep(self, rows: NDArray[np.integer]) -> None:
        """Go on with these rows, in this order; one may be there several times."""
        self.arrays = [array[rows] for array in self.arrays]


def make_stepper(model: EncoderDecoder, encode: Run, advance: Run) -> Stepper:
    """A stepper of two graphs that a framework runs."""
    size = model.step.tensors[model.step.outputs[0]].shape[2]
    return Stepper(encode, advance, model.encoder.inputs[0], model.step.inputs, known(size))


def reference_stepper(model: EncoderDecoder, dtype: str = "float64") -> Stepper:
    """The oracle, in numpy: slow, and what the frameworks are compared with."""
    encode = functools.partial(reference.run, model.encoder, dtype=dtype)
    advance = functools.partial(reference.run, model.step, dtype=dtype)
    return make_stepper(model, encode, advance)
