"""Every op, with settings and ranks that matter to what it does along which axis, and inputs for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from biport import ops
from testing import scans
from testing.graphs import bidirectional, cell, conv_lstm, dense, lstm
from testing.graphs import normal as normal_numbers

N, T, A, I, H = 2, 5, 4, 3, 6
"""Rows, steps, an axis in between, features, and the width of what a layer makes of them."""
ONE = ((N, T, I),)
SHAPES = {2: ((N, T),), 3: ONE, 4: ((N, T, A, I),)}


@dataclasses.dataclass(frozen=True)
class Example:
    """One op and what it is given."""

    label: str
    op: ops.Op
    inputs: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray | None, ...]

    @property
    def tensors(self) -> list[ops.Tensor]:
        """The shapes of the inputs."""
        return [ops.Tensor(array.shape, array.dtype.name) for array in self.inputs]


def examples() -> Iterator[Example]:
    """All of them; an op that takes masks comes without any and with one for each input it takes one for."""
    rng = np.random.default_rng(6)
    for number, (op, shapes, kind) in enumerate(_settings(rng)):
        op = op.astype("float64")
        kinds = kind.split()
        inputs = tuple(_array(rng, shape, kinds[min(n, len(kinds) - 1)]) for n, shape in enumerate(shapes))
        label = f"{number}-{op.kind}-{'-'.join('x'.join(map(str, shape)) for shape in shapes)}"
        none: tuple[np.ndarray | None, ...] = (None,) * len(inputs)
        yield Example(label, op, inputs, none)
        some = tuple(
            rng.random(x.shape[:2]) < 0.7
            if position in op.masked
            and x.dtype != bool
            and (len(x.shape) == 2 or not isinstance(op, ops.Softmax))
            else None
            for position, x in enumerate(inputs)
        )
        if any(mask is not None for mask in some):
            yield Example(f"{label}-masked", op, inputs, some)


def _array(rng: np.random.Generator, shape: Sequence[int], kind: str) -> np.ndarray:
    match kind:
        case "ids":
            return rng.integers(0, 3, shape).astype("int32")
        case "whole":
            return rng.integers(0, 3, shape).astype("float64")
        case "mask":
            return rng.random(shape) < 0.6
        case "looked_at":
            # Every query, also a causal one, looks at some step.
            return (rng.random(shape) < 0.6) | (np.arange(shape[-1]) == 0)
        case "sparse":
            # Every step is all 2 but for one number, and so easily becomes all 2.
            one = np.arange(shape[-1]) == rng.integers(0, shape[-1], shape)[..., :1]
            return np.where(one, rng.normal(size=shape), 2.0)
    return rng.normal(size=shape)


Setting = tuple[ops.Op, Sequence[tuple[int, ...]], str]
"""An op, the shapes of its inputs, and what is in them: one word for all, or one for each."""


def _settings(rng: np.random.Generator) -> Iterator[Setting]:
    for rank, shapes in SHAPES.items():
        yield from ((op, shapes, "floats") for op in _of_any_rank(rng, rank))
        yield ops.OnesLike(), shapes, "floats"
        yield ops.Masking(), shapes, "floats"
        yield ops.Masking(mask_value=2.0), shapes, "sparse"
        for size in (1, (T, A, I)[0 if rank == 2 else 2]):
            one = (*shapes[0][:-1], size)
            for kind in (ops.Add, ops.Average, ops.Maximum, ops.Minimum, ops.Multiply):
                yield kind(), (shapes[0], one, shapes[0]), "floats"
            yield ops.Subtract(), (one, shapes[0]), "floats"
        yield ops.Add(), (shapes[0], (N, 1, *shapes[0][2:])), "floats"
        for axis in range(rank):
            yield ops.Concatenate(axis=axis), (shapes[0], shapes[0]), "floats"
    for rank in (2, 3):
        for shape in ((), (SHAPES[rank][0][-1],)):
            weight = ops.LearnedAverage(weight=normal(rng, *shape))
            yield weight, SHAPES[rank] * 2, "floats"
    yield ops.Embedding(num_embeddings=3, embedding_dim=H, weight=normal(rng, 3, H)), ((N, T),), "ids"
    yield ops.Embedding(num_embeddings=3, embedding_dim=H, weight=normal(rng, 3, H)), ((N,),), "ids"
    yield ops.ToIds(), ((N, T),), "whole"
    for mode in ("one_hot", "multi_hot", "count"):
        yield ops.CategoryEncoding(num_tokens=3, output_mode=mode), ((N, T),), "ids"
    yield ops.CategoryEncoding(num_tokens=3, output_mode="one_hot"), ((N, T, I),), "ids"
    yield ops.IntegerLookup(vocabulary=(2, 7), num_oov_indices=2, mask_token=0), ((N, T),), "ids"
    for shape in ((N, T), (N, T, I)):
        yield ops.Discretization(boundaries=(-0.5, 0.0, 0.7)), (shape,), "floats"
    yield ops.NotEqual(), ((N, T),), "ids"
    yield ops.Identity(), ((N, T),), "ids"
    yield ops.FeaturesNotEqual(value=2.0), ONE, "sparse"
    for steps in (T, 1):
        yield ops.LogicalAnd(), ((N, T), (N, steps)), "mask"
        yield ops.LogicalOr(), ((N, T), (N, steps)), "mask"
    yield from ((op, ONE, "floats") for op in _over_time(rng))
    for sequences in (False, True):
        yield scans.ind_rnn(rng, return_sequences=sequences), ((N, T, scans.I),), "floats"
        seen = scans.attention_cell(rng, return_sequences=sequences, return_state=not sequences)
        yield seen, ((N, T, scans.I), (N, A, 4)), "floats"
    yield ops.RepeatVector(n=T), ((N, I),), "floats"
    yield ops.Reshape(target_shape=(A, I, T)), ((N, T, A, I),), "floats"
    yield ops.Permute(dims=(2, 1)), ONE, "floats"
    yield ops.Permute(dims=(3, 2, 1)), ((N, T, A, I),), "floats"
    for shape in SHAPES[4] + ONE:
        yield ops.Flatten(), (shape,), "floats"
    for op in _attentions(rng):
        yield op, ((N, T, I), (N, T, I)), "floats"
        limited = dataclasses.replace(op, has_attention_mask=True)  # type: ignore[type-var]
        yield limited, ((N, T, I), (N, T, I), (N, 1, T)), "floats floats looked_at"
    yield ops.Dot(axes=(2, 2)), ((N, T, I), (N, T, I)), "floats"
    yield ops.Dot(axes=(1, 1), normalize=True), ((N, T, I), (N, T, I)), "floats"
    yield from _reductions()
    yield from _lookups()
    yield from _elementwise()
    yield from _products()
    for op in _of_any_rank(rng, 2, I):
        yield ops.TimeDistributed(layer=op), ONE, "floats"
    for op in (*_of_any_rank(rng, 3, A, I), lstm(rng, I, H), ops.GlobalMaxPooling1D(), ops.Flatten()):
        yield ops.TimeDistributed(layer=op), SHAPES[4], "floats"
    for dimensions in (1, 2, 3):
        shape = (N, *(T, A, A)[:dimensions], I)
        yield from ((op, (shape,), "floats") for op in _over_axes(rng, dimensions))
        sequence = ((N, T, *(A, 3, 2)[:dimensions], I),)
        for sequences in (False, True):
            flags: Any = {"return_sequences": sequences, "return_state": not sequences}
            yield conv_lstm(rng, dimensions, I, H, (2,) * dimensions, **flags), sequence, "floats"
    image = scans.convolving_cell(rng, return_sequences=True, return_state=True)
    yield image, ((N, T, *scans.IMAGE),), "floats"
    for rank, shapes in SHAPES.items():
        yield from ((op, shapes, "floats") for op in _shaping(rank, shapes[0]))
        yield ops.Stack(axis=1), shapes * 2, "floats"
        yield ops.Stack(axis=rank), shapes * 2, "floats"
    yield from ((op, ((I,),), "floats") for op in (ops.ExpandDims(axes=(0,)), ops.Repeat(repeats=2, axis=0)))
    yield from ((op, (shape,), "floats") for op, shape in SQUEEZED)
    yield from ((op, (), "floats") for op in _sources(rng))


def _elementwise() -> Iterator[Setting]:
    """Of one input, and of several that broadcast, each of another rank or size."""
    for shapes in SHAPES.values():
        yield ops.Elementwise(function="exp"), shapes, "floats"
        yield ops.Clip(min=-0.5, max=1), shapes, "floats"
        yield ops.Cast(output_dtype="int32"), shapes, "floats"
        yield ops.Elementwise(function="multiply"), shapes * 2, "floats"
        for axis in range(len(shapes[0])):
            one = tuple(1 if axis == other else size for other, size in enumerate(shapes[0]))
            yield ops.Elementwise(function="subtract"), (one, shapes[0]), "floats"
    for shape in ((), (1,), (I,), (T, I), (T, 1), (1, I), (1, T, I)):
        yield ops.Elementwise(function="add"), (*ONE, shape), "floats"
    yield ops.Elementwise(function="less"), ((N, T), (T,)), "floats"
    yield ops.Elementwise(function="equal"), ((I,), (I,)), "ids"
    yield ops.Where(), ((N, T, I), (N, T, 1), (N, 1, I)), "mask floats floats"
    yield ops.Where(), ((N, T), (), (N, T)), "mask ids ids"


def _products() -> Iterator[Setting]:
    """Of what may be a matrix, or a vector, for all rows and steps."""
    for other in ((I, H), (I,), (N, I, H), (1, I, H)):
        yield ops.MatMul(), ((N, T, I), other), "floats"
    yield ops.MatMul(), ((N, I), (I, H)), "floats"
    yield ops.MatMul(), ((N, T, A, I), (I, H)), "floats"
    yield ops.MatMul(), ((A, T), (N, T, I)), "floats"
    yield ops.MatMul(), ((T,), (N, T, I)), "floats"
    of_steps = "nti,ih->nth", "nti,nti->nti", "nti,nti->nt", "nti,ni->nt", "nti,i->nti", "nti->nit"
    for equation in (*of_steps, "nti,nsi->nts", "nts,nsi->nti", "nti->n", "nti,ih->nht"):
        shapes = [tuple(EINSUM[axis] for axis in term) for term in ops.Einsum(equation=equation).terms]
        yield ops.Einsum(equation=equation), shapes, "floats"


EINSUM = {"n": N, "t": T, "s": T, "i": I, "h": H}
"""The sizes of the axes of an equation."""


def _sources(rng: np.random.Generator) -> Iterator[ops.Op]:
    """Of nothing."""
    yield ops.Constant(value=normal(rng, T, I))
    yield ops.Constant(value=np.array([[1, -2], [2**40, 0]]))
    yield ops.Constant(value=np.array([True, False]))
    yield ops.Parameter(value=normal(rng, I))
    yield from (ops.Arange(stop=T), ops.Arange(start=T, stop=-3, step=-2, output_dtype="float64"))
    yield ops.Full(shape=(N, T, I), value=0.5)
    yield ops.SizeOf(size=T)


SQUEEZED = ((ops.Squeeze(axes=(1,)), (N, 1, I)), (ops.Squeeze(axes=(-1,)), (N, T, 1)))
"""Operations on sizes of 1."""


def _shaping(rank: int, shape: Sequence[int]) -> Iterator[ops.Op]:
    """Of values of a shape, ``(N, T, ...)``; on each axis by itself, and on several."""
    yield ops.ReshapeTo(shape=(N * T, *shape[2:]))
    yield from (ops.PermuteDims(axes=tuple(range(rank))), ops.PermuteDims(axes=tuple(range(rank))[::-1]))
    yield ops.BroadcastTo(shape=tuple(shape))
    yield ops.BroadcastTo(shape=(3, *shape))
    yield from (ops.Tile(repetitions=(3,) + (1,) * (rank - 1)), ops.Slice(items=()))
    yield ops.Slice(items=((None, None, 1), -1))
    yield ops.Slice(items=(None, (1, None, 1)))
    for axis in range(rank):
        yield ops.ExpandDims(axes=(axis,))
        yield ops.Repeat(repeats=2, axis=axis)
        yield ops.Flip(axes=(axis,))
        yield ops.Roll(shift=1, axis=axis)
        pairs = [(0, 0)] * rank
        pairs[axis] = (1, 0)
        yield ops.Pad(widths=tuple(pairs))
        yield ops.Split(sizes=(1, -1), axis=axis)
        yield ops.Slice(items=((None, None, 1),) * axis + ((None, None, -1),))
        yield ops.Slice(items=((None, None, 1),) * axis + ((1, None, 1),))
        yield ops.Unstack(count=shape[axis], axis=axis)
    yield ops.ExpandDims(axes=(-1,))


def _reductions() -> Iterator[Setting]:
    """Of ``(N, T, I)`` and ``(N, T, A, I)``."""
    for axes in ((1,), (2,), (0,), (1, 2), (-1, 0)):
        for function in ("sum", "prod", "max", "mean", "std", "logsumexp"):
            yield ops.Reduction(function=function, axes=axes, keepdims=axes != (1,)), ONE, "floats"
        yield ops.Reduction(function="any", axes=axes, keepdims=True), ONE, "mask"
    for axes in ((2,), (3,), (1, 3)):
        yield ops.Reduction(function="norm", axes=axes), SHAPES[4], "floats"
    yield ops.Reduction(function="sum", axes=()), ONE, "ids"
    for axis in (0, 1, 2):
        yield ops.ArgReduction(function="argmin", axis=axis), ONE, "ids"
        yield ops.CumulativeSum(axis=axis), ONE, "floats"
        yield ops.LogSoftmax(axis=axis), ONE, "floats"
        yield ops.Softmax(axis=(axis, 0) if axis else 0), ONE, "floats"
        yield ops.TopK(k=2, axis=axis), ONE, "floats"
        yield ops.Sort(axis=axis, descending=True), ONE, "floats"
        yield ops.ArgSort(axis=axis), ONE, "ids"
    yield ops.TimeDistributed(layer=ops.Softmax(axis=0)), ONE, "floats"


def _lookups() -> Iterator[Setting]:
    """By integers."""
    yield ops.Take(axis=0), ((T, I), (N, T)), "floats ids"
    yield ops.Take(axis=2), ((N, T, I), (N, T)), "floats ids"
    for axis in (0, 1, 2):
        if axis:
            yield ops.TakeAlongAxis(axis=axis), ((N, T, I), (N, T, I)), "floats ids"
    yield ops.TakeAlongAxis(axis=2), ((N, T, I), (N, T, 1)), "mask ids"
    yield ops.StepAt(), ((N, T, I), (N,)), "floats ids"
    yield ops.OneHot(num_classes=A), ((N, T),), "ids"


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random numbers, of no dimension too."""
    return np.asarray(normal_numbers(rng, *shape))


def _of_any_rank(rng: np.random.Generator, rank: int, *sizes: int) -> Iterator[ops.Op]:
    """Of values of some rank, ``(N, T, ...)``, or ``(N, *sizes)``."""
    sizes = sizes or SHAPES[rank][0][1:]
    yield from (ops.Activation(function=name) for name in ("linear", "tanh", "softmax", "log_softmax"))
    yield from (ops.ReLU(negative_slope=0.1), ops.LeakyReLU(negative_slope=0.3), ops.ELU())
    yield from (ops.Dropout(rate=0.5), ops.GaussianNoise(stddev=0.5), ops.GaussianDropout(rate=0.5))
    yield from (ops.AlphaDropout(rate=0.5), ops.Identity(), ops.ActivityRegularization(l1=0.5))
    yield dense(rng, sizes[-1], H, "relu")
    yield dense(rng, sizes[-1], sizes[-1], "softmax")
    for axis in range(1, rank):
        shape = [size if axis == position else 1 for position, size in enumerate(sizes, start=1)]
        yield ops.PReLU(alpha=normal(rng, *shape))
        size = sizes[axis - 1]
        numbers: Any = {name: normal(rng, size) for name in ("weight", "bias", "mean")}
        yield ops.BatchNormalization(size=size, axis=axis, variance=0.1 + normal(rng, size) ** 2, **numbers)
        yield ops.LayerNormalization(axes=(axis,), weight=normal(rng, size), bias=normal(rng, size))
        yield ops.GroupNormalization(groups=1, axis=axis, weight=normal(rng, size), bias=normal(rng, size))
        yield ops.Normalization(axes=(axis,), mean=normal(rng, size), variance=0.1 + normal(rng, size) ** 2)
        yield ops.Softmax(axis=axis - rank)
    yield ops.PReLU(alpha=normal(rng, *sizes))
    yield ops.PReLU(alpha=normal(rng, *[1] * (rank - 1)))
    every = tuple(range(1, rank))
    yield ops.LayerNormalization(axes=every[-2:], weight=normal(rng, *sizes[-2:]), bias=None)
    yield ops.LayerNormalization(axes=every, weight=None, bias=None)
    yield from (ops.UnitNormalization(axes=(axis,)) for axis in every)
    yield ops.UnitNormalization(axes=every)
    if rank > 2:
        yield ops.GroupNormalization(groups=sizes[-1], weight=None, bias=normal(rng, sizes[-1]))
        yield ops.GroupNormalization(groups=sizes[-1], weight=None, bias=None)
    yield ops.Normalization(
        axes=(), invert=True, mean=normal(rng), variance=np.asarray(0.1 + normal(rng) ** 2)
    )
    yield ops.Normalization(
        axes=every, mean=normal(rng, sizes[-1]), variance=0.1 + normal(rng, sizes[-1]) ** 2
    )
    yield ops.RMSNormalization(weight=normal(rng, *sizes[-2:]))
    yield ops.RMSNormalization(weight=normal(rng, sizes[-1]))
    yield ops.Rescaling(scale=0.5, offset=2.0)
    yield ops.Rescaling(scale=tuple(range(1, sizes[-1] + 1)))
    yield ops.Softmax(axis=every[-2:])


def _over_time(rng: np.random.Generator) -> Iterator[ops.Op]:
    """Of ``(N, T, I)``."""
    yield ops.Flip()
    for kind in (ops.LSTM, ops.GRU, ops.RNN):
        for sequences in (False, True):
            yield cell(rng, kind, I, H, return_sequences=sequences, return_state=not sequences)
    yield ops.StackedRNN(cells=(lstm(rng, I, A), lstm(rng, A, H)), return_sequences=True)
    for merge in ("concat", "sum", None):
        yield bidirectional(rng, I, H, merge, return_sequences=True)


def _over_axes(rng: np.random.Generator, dimensions: int) -> Iterator[ops.Op]:
    """Of ``(N, *T, I)``, with as many axes in between."""

    def kind(name: str) -> Any:
        return getattr(ops, f"{name}{dimensions}D")

    yield kind("SpatialDropout")(rate=0.5)
    for keepdims in (False, True):
        yield kind("GlobalAveragePooling")(keepdims=keepdims)
        yield kind("GlobalMaxPooling")(keepdims=keepdims)
    beyond = ((1, 0),) * dimensions
    for padding in ("valid", "same", beyond):
        yield kind("MaxPooling")(pool_size=2, strides=1, padding=padding)
        yield kind("AveragePooling")(pool_size=2, strides=1, padding=padding)
    yield kind("ZeroPadding")(padding=((1, 2),) * dimensions)
    yield kind("Cropping")(cropping=((2, 1),) * dimensions)
    yield kind("UpSampling")(size=2)
    causal = [("causal", 1)] if dimensions == 1 else []
    kernel = (2,) * dimensions
    for padding, groups in (("valid", 1), ("same", 3), (beyond, 1), *causal):
        weight = normal(rng, H, I // groups, *kernel)
        sizes = {"input_size": I, "output_size": H, "kernel_size": 2, "padding": padding, "groups": groups}
        yield kind("Conv")(**sizes, weight=weight, bias=normal(rng, H))
    steps = {"strides": 2, "dilation": 1, "cropping": ((1, -1),) * dimensions}
    sizes = {"input_size": I, "output_size": H, "kernel_size": 2, **steps}
    yield getattr(ops, f"Conv{dimensions}DTranspose")(
        **sizes, weight=normal(rng, I, H, *kernel), bias=normal(rng, H)
    )
    if dimensions == 2:
        yield ops.UpSampling2D(size=(2, 3), interpolation="bilinear")
    if dimensions < 3:
        sizes = {"input_size": I, "output_size": H, "kernel_size": 2, "groups": I}
        alone = kind("Conv")(**sizes, weight=normal(rng, H, 1, *kernel), bias=None)
        ones = {"input_size": H, "output_size": I, "kernel_size": 1}
        weight = normal(rng, I, H, *[1] * dimensions)
        together = kind("Conv")(**ones, weight=weight, bias=normal(rng, I), activation="tanh")
        yield kind("SeparableConv")(depthwise=alone, pointwise=together)


def _attentions(rng: np.random.Generator) -> Iterator[ops.Op]:
    """Of ``(N, T, I)`` and ``(N, T, I)``."""
    for causal in (False, True):
        yield ops.Attention(scale=normal(rng), score_weight=None, causal=causal)
        yield ops.AdditiveAttention(scale=normal(rng, I), causal=causal, return_scores=True)
    yield ops.Attention(scale=None, score_weight=normal(rng), score_mode="concat")
    heads, keys, values = 2, 4, 5
    weights = {"query_weight": normal(rng, heads * keys, I), "key_weight": normal(rng, heads * keys, I)}
    weights |= {
        "value_weight": normal(rng, heads * values, I),
        "output_weight": normal(rng, H, heads * values),
    }
    sizes = {"num_heads": heads, "key_size": keys, "value_size": values}
    biases = dict.fromkeys(("query_bias", "key_bias", "value_bias", "output_bias"))
    yield ops.MultiHeadAttention(**sizes, **weights, **biases)


EXAMPLES = list(examples())


def of_each_kind(examples: Sequence[Example], check: Callable[[Example], None]) -> Callable[[str], None]:
    """A test of all examples of one op: as tests of their own they take longer to set up than to run."""
    by_kind: dict[str, list[Example]] = {}
    for example in examples:
        by_kind.setdefault(example.op.kind, []).append(example)

    @pytest.mark.parametrize("kind", by_kind)
    def test(kind: str) -> None:
        for example in by_kind[kind]:
            try:
                check(example)
            except Exception as error:
                error.add_note(example.label)
                raise

    test.__doc__ = check.__doc__
    return test
