"""Calls of ``keras.ops`` by name: what is read, function by function, and how it is called by people.

Each call gets ``x``, floats ``(N, T, 4)``; ``f``, floats ``(N, 6, 4)``; ``i``, integers ``(N, T)`` of 0 to 6;
and ``b``, booleans ``(N, T)``. The first word of a name is the function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

ops: Any = keras.ops
Call = Callable[[Any, Any, Any, Any], Any]

MATRIX = np.array([[1, -2, 0.5], [0.25, 3, -1], [2, 1, 0], [0.5, 0.5, -0.5]], "float32")
VECTOR = np.array([0.5, -1.5, 2, 0.25], "float32")
ROW = np.arange(6, dtype="float32")

OF_FLOATS = (
    *(
        "exp",
        "expm1",
        "square",
        "negative",
        "abs",
        "absolute",
        "fabs",
        "sign",
        "reciprocal",
        "sin",
        "cos",
        "tan",
    ),
    *(
        "sinh",
        "cosh",
        "arctan",
        "arcsinh",
        "erf",
        "floor",
        "ceil",
        "round",
        "trunc",
        "isfinite",
        "isnan",
        "isinf",
    ),
    *(
        "isposinf",
        "isneginf",
        "exp2",
        "deg2rad",
        "rad2deg",
        "relu",
        "relu6",
        "sigmoid",
        "silu",
        "swish",
        "selu",
    ),
    *(
        "celu",
        "elu",
        "gelu",
        "leaky_relu",
        "softplus",
        "softsign",
        "tanh",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
    ),
    *(
        "hard_tanh",
        "hard_shrink",
        "soft_shrink",
        "tanh_shrink",
        "log_sigmoid",
        "sparse_plus",
        "sparse_sigmoid",
    ),
    *(
        "squareplus",
        "logical_not",
        "copy",
        "stop_gradient",
        "conj",
        "conjugate",
        "real",
        "ravel",
        "sum",
        "mean",
    ),
    *(
        "var",
        "std",
        "max",
        "min",
        "amax",
        "amin",
        "any",
        "all",
        "argmax",
        "argmin",
        "count_nonzero",
        "logsumexp",
    ),
    *("ptp", "cumsum", "average", "sort", "argsort", "size", "ones_like", "zeros_like", "transpose", "flip"),
    *("fliplr", "flipud", "normalize", "softmax", "log_softmax", "convert_to_tensor", "array", "diff", "glu"),
    *("layer_normalization", "rms_normalization", "prod"),
)
OF_POSITIVE = ("log", "log1p", "log2", "log10", "sqrt", "rsqrt")
OF_INTEGERS = (
    *(
        "sum",
        "mean",
        "max",
        "any",
        "all",
        "var",
        "std",
        "prod",
        "square",
        "sign",
        "negative",
        "abs",
        "exp",
        "floor",
    ),
    *(
        "ceil",
        "round",
        "trunc",
        "cumsum",
        "count_nonzero",
        "argmax",
        "sort",
        "argsort",
        "isfinite",
        "tanh",
        "relu",
    ),
    *("average", "min", "copy", "stop_gradient"),
)
OF_BOOLEANS = (
    *("sum", "mean", "max", "min", "any", "all", "var", "prod", "square", "abs", "cumsum", "count_nonzero"),
    *("argmax", "sort", "argsort", "average", "floor"),
)
OF_TWO = (
    *(
        "add",
        "subtract",
        "multiply",
        "maximum",
        "minimum",
        "divide",
        "true_divide",
        "floor_divide",
        "mod",
        "fmod",
    ),
    *(
        "arctan2",
        "logaddexp",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "isclose",
    ),
    "divide_no_nan",
)
OVER_AXES = ("sum", "mean", "max", "min", "prod", "var", "std", "any", "all", "norm", "logsumexp", "ptp")
KEYS: Mapping[str, Any] = {
    "[:, -1]": np.s_[:, -1],
    "[:, 1:-1]": np.s_[:, 1:-1],
    "[:, ::2]": np.s_[:, ::2],
    "[:, ::-1]": np.s_[:, ::-1],
    "[..., 0]": np.s_[..., 0],
    "[..., None]": np.s_[..., None],
    "[:, 1:, :2]": np.s_[:, 1:, :2],
    "[:, -2:]": np.s_[:, -2:],
    "[0]": np.s_[0],
    "[..., -1, :]": np.s_[..., -1, :],
    "[:, -1:, ..., None]": np.s_[:, -1:, ..., None],
    "[:, 4:1:-1]": np.s_[:, 4:1:-1],
    "[:, :-9]": np.s_[:, :-9],
    "[:, 2:100]": np.s_[:, 2:100],
    "[:, -1, None, 2]": np.s_[:, -1, None, 2],
}


def _of(name: str) -> Any:
    return getattr(ops, name)


def _calls() -> dict[str, Call]:
    calls: dict[str, Call] = {}
    for name in OF_FLOATS:
        calls[name] = lambda x, f, i, b, name=name: _of(name)(x)
    for name in OF_POSITIVE:
        calls[name] = lambda x, f, i, b, name=name: _of(name)(ops.abs(x) + 0.1)
    for name in OF_INTEGERS:
        calls[f"{name} of integers"] = lambda x, f, i, b, name=name: _of(name)(i)
    for name in OF_BOOLEANS:
        calls[f"{name} of booleans"] = lambda x, f, i, b, name=name: _of(name)(b)
    for name in OF_TWO:
        calls[name] = lambda x, f, i, b, name=name: _of(name)(x[:, :1], f)
        calls[f"{name} float"] = lambda x, f, i, b, name=name: _of(name)(x, 2.5)
        calls[f"{name} integer"] = lambda x, f, i, b, name=name: _of(name)(x, 2)
        calls[f"{name} array"] = lambda x, f, i, b, name=name: _of(name)(x, VECTOR)
        calls[f"{name} reflected"] = lambda x, f, i, b, name=name: _of(name)(-2, x)
        calls[f"{name} of integers"] = lambda x, f, i, b, name=name: _of(name)(i - 3, i + 1)
        calls[f"{name} of integers, integer"] = lambda x, f, i, b, name=name: _of(name)(i - 3, 2)
        calls[f"{name} of integers, floats"] = lambda x, f, i, b, name=name: _of(name)(i[..., None], x)
        calls[f"{name} of integers, int64"] = lambda x, f, i, b, name=name: _of(name)(i - 3, np.array([2]))
    for name in ("add", "multiply", "less", "equal"):
        calls[f"{name} of booleans, float"] = lambda x, f, i, b, name=name: _of(name)(b, 0.5)
        calls[f"{name} of booleans, floats"] = lambda x, f, i, b, name=name: _of(name)(b[..., None], x)
        calls[f"{name} of booleans, integers"] = lambda x, f, i, b, name=name: _of(name)(b, i)
    for name in OVER_AXES:
        calls[f"{name} 1"] = lambda x, f, i, b, name=name: _of(name)(x, axis=1)
        calls[f"{name} -1 keepdims"] = lambda x, f, i, b, name=name: _of(name)(x, axis=-1, keepdims=True)
        calls[f"{name} 1 2"] = lambda x, f, i, b, name=name: _of(name)(x, axis=(1, 2))
        calls[f"{name} 0"] = lambda x, f, i, b, name=name: _of(name)(x, axis=0)
    for name in ("argmax", "argmin"):
        calls[f"{name} 1"] = lambda x, f, i, b, name=name: _of(name)(x, axis=1)
        calls[f"{name} -1 keepdims"] = lambda x, f, i, b, name=name: _of(name)(x, axis=-1, keepdims=True)
        calls[f"{name} keepdims"] = lambda x, f, i, b, name=name: _of(name)(x, keepdims=True)
    for name in ("softmax", "log_softmax"):
        for axis in (1, 0, -2, None):
            calls[f"{name} {axis}"] = lambda x, f, i, b, name=name, axis=axis: _of(name)(x, axis=axis)
    for name in ("logical_and", "logical_or", "logical_xor"):
        calls[name] = lambda x, f, i, b, name=name: _of(name)(b, i > 3)
        calls[f"{name} of floats"] = lambda x, f, i, b, name=name: _of(name)(x, b[..., None])
        calls[f"{name} of masks"] = lambda x, f, i, b, name=name: _of(name)(b, ops.not_equal(i, 0))
    for dtype in ("int32", "int64", "bool"):
        calls[f"cast {dtype}"] = lambda x, f, i, b, dtype=dtype: ops.cast(x, dtype)
        calls[f"cast of integers {dtype}"] = lambda x, f, i, b, dtype=dtype: ops.cast(i, dtype)
    for name, key in KEYS.items():
        calls[f"get_item {name}"] = lambda x, f, i, b, key=key: x[key]
    return calls | CALLS


KERNEL = np.random.default_rng(7).normal(0, 0.6, (2, 4, 3)).astype("float32")
SQUARE = np.random.default_rng(8).normal(0, 0.6, (3, 2, 4, 6)).astype("float32")


def like(kernel: np.ndarray, x: Any) -> np.ndarray:
    """In the dtype of ``x``, which Keras asks for here."""
    return kernel.astype(x.dtype)


def square(f: Any) -> Any:
    """``(N, 6, 4)`` as ``(N, 3, 2, 4)``."""
    return ops.reshape(f, (-1, 3, 2, 4))


CALLS: dict[str, Call] = {
    "conv": lambda x, f, i, b: ops.conv(x, like(KERNEL, x), padding="same"),
    "conv over two axes": lambda x, f, i, b: ops.conv(square(f), like(SQUARE, f), (2, 1), "same"),
    "max_pool with the features in front": lambda x, f, i, b: ops.max_pool(
        ops.transpose(x, (0, 2, 1)), 2, data_format="channels_first"
    ),
    "depthwise_conv": lambda x, f, i, b: ops.depthwise_conv(x, like(KERNEL, x), padding="same"),
    "depthwise_conv over two axes": lambda x, f, i, b: ops.depthwise_conv(
        square(f), like(SQUARE, f), padding="same"
    ),
    "separable_conv": lambda x, f, i, b: ops.separable_conv(f, like(KERNEL, f), like(np.ones((1, 12, 2)), f)),
    "max_pool": lambda x, f, i, b: ops.max_pool(x, 2, padding="same"),
    "max_pool over two axes": lambda x, f, i, b: ops.max_pool(square(f), (2, 1), 1),
    "average_pool": lambda x, f, i, b: ops.average_pool(x, 3, 2, padding="same"),
    "average_pool over two axes": lambda x, f, i, b: ops.average_pool(square(f), 2, padding="same"),
    "repeat of pictures": lambda x, f, i, b: ops.image.resize(square(f), (6, 2), interpolation="nearest"),
    "add of pictures": lambda x, f, i, b: ops.image.resize(square(f), (6, 6)) + 1,
    "arccos": lambda x, f, i, b: ops.arccos(ops.tanh(x)),
    "arcsin": lambda x, f, i, b: ops.arcsin(ops.tanh(x)),
    "arctanh": lambda x, f, i, b: ops.arctanh(ops.tanh(x)),
    "arccosh": lambda x, f, i, b: ops.arccosh(ops.abs(x) + 1),
    "floor_divide of a tenth": lambda x, f, i, b: ops.floor(x * 10) // 0.1,
    "less of a tenth": lambda x, f, i, b: ops.less(ops.floor(x * 10) * 0.1, 0.1),
    "add along steps": lambda x, f, i, b: f + ROW[:, None],
    "add of a bias along steps of as many": lambda x, f, i, b: x[:, :4] + VECTOR[:, None],
    "heaviside": lambda x, f, i, b: ops.heaviside(x, x[:, :1] * 0 + 0.5),
    "power": lambda x, f, i, b: x**2,
    "power of a number": lambda x, f, i, b: 2**x,
    "power of integers": lambda x, f, i, b: i**2,
    "power by a fraction": lambda x, f, i, b: ops.abs(x) ** 1.5,
    "negative operator": lambda x, f, i, b: -x,
    "logical_not operator": lambda x, f, i, b: ~b,
    "logical_and operator": lambda x, f, i, b: b & (i > 1),
    "norm": lambda x, f, i, b: ops.norm(x[:, :, 0]),
    "norm of order 1": lambda x, f, i, b: ops.norm(x, ord=1, axis=-1),
    "norm of order infinity": lambda x, f, i, b: ops.norm(x, ord=np.inf, axis=1, keepdims=True),
    "norm of matrices": lambda x, f, i, b: ops.norm(x, ord="fro", axis=(1, 2)),
    "count_nonzero 1": lambda x, f, i, b: ops.count_nonzero(i, axis=1),
    "cumsum 1": lambda x, f, i, b: ops.cumsum(x, axis=1),
    "diff 1": lambda x, f, i, b: ops.diff(x, n=2, axis=1),
    "moments": lambda x, f, i, b: ops.moments(x, axes=[1]),
    "average by weights of an axis": lambda x, f, i, b: ops.average(f, axis=1, weights=ROW + 1),
    "average by weights": lambda x, f, i, b: ops.average(x, axis=1, weights=ops.abs(x)),
    "gelu exact": lambda x, f, i, b: ops.gelu(x, approximate=False),
    "elu slope": lambda x, f, i, b: ops.elu(x, 0.25),
    "leaky_relu slope": lambda x, f, i, b: ops.leaky_relu(x, 0.25),
    "threshold": lambda x, f, i, b: ops.threshold(x, 0.3, -7.0),
    "relu settings": lambda x, f, i, b: keras.activations.relu(
        x, negative_slope=0.25, max_value=1.0, threshold=0.5
    ),
    "sigmoid of rows": lambda x, f, i, b: ops.sigmoid(ops.sum(x, axis=(1, 2))),
    "tanh of a number": lambda x, f, i, b: ops.tanh(ops.sum(x)),
    "normalize 1": lambda x, f, i, b: ops.normalize(x, axis=1, order=1),
    "layer_normalization scaled": lambda x, f, i, b: ops.layer_normalization(
        x, gamma=VECTOR, beta=VECTOR, axis=-1
    ),
    "layer_normalization 1 2": lambda x, f, i, b: ops.layer_normalization(f, axis=(1, 2), epsilon=0.25),
    "rms_normalization scaled": lambda x, f, i, b: ops.rms_normalization(x, scale=VECTOR, axis=-1),
    "batch_normalization": lambda x, f, i, b: ops.batch_normalization(
        x, VECTOR, VECTOR**2, axis=-1, offset=VECTOR, scale=VECTOR, epsilon=0.25
    ),
    "batch_normalization 1": lambda x, f, i, b: ops.batch_normalization(
        f, ROW, ROW + 1, axis=1, offset=ROW, scale=ROW, epsilon=0.25
    ),
    "get_item of integers": lambda x, f, i, b: i[:, 1:],
    "get_item": lambda x, f, i, b: ops.get_item(x, (slice(None), -1)),
    "slice": lambda x, f, i, b: ops.slice(f, [0, 1, 0], [1, 2, 2]),
    "slice to the end": lambda x, f, i, b: ops.slice(x, [0, 1, 0], [-1, -1, 2]),
    "reshape": lambda x, f, i, b: ops.reshape(x, (-1, 2)),
    "reshape of rows": lambda x, f, i, b: ops.reshape(f, (-1, 3, 2, 4)),
    "reshape to a row": lambda x, f, i, b: ops.reshape(x, (-1,)),
    "transpose axes": lambda x, f, i, b: ops.transpose(x, (1, 0, -1)),
    "swapaxes": lambda x, f, i, b: ops.swapaxes(x, 1, -1),
    "moveaxis": lambda x, f, i, b: ops.moveaxis(x, [0, 1], [2, 0]),
    "moveaxis nowhere": lambda x, f, i, b: ops.moveaxis(x, 1, 1),
    "expand_dims": lambda x, f, i, b: ops.expand_dims(x, (1, -1)),
    "squeeze": lambda x, f, i, b: ops.squeeze(x[:, :, :1], -1),
    "squeeze all": lambda x, f, i, b: ops.squeeze(x[:, :, :1]),
    "broadcast_to": lambda x, f, i, b: ops.broadcast_to(ops.sum(x), (2, 3)),
    "tile": lambda x, f, i, b: ops.tile(x, (1, 2, 1)),
    "tile in front": lambda x, f, i, b: ops.tile(x, (2, 1, 1, 1)),
    "repeat": lambda x, f, i, b: ops.repeat(x, 3, axis=1),
    "repeat all": lambda x, f, i, b: ops.repeat(x, 2),
    "flip 1 2": lambda x, f, i, b: ops.flip(x, axis=(1, 2)),
    "roll": lambda x, f, i, b: ops.roll(x, 2, axis=1),
    "roll all": lambda x, f, i, b: ops.roll(x, -3),
    "roll two": lambda x, f, i, b: ops.roll(x, (1, -1), axis=(1, 2)),
    "pad": lambda x, f, i, b: ops.pad(x, [(0, 0), (1, 2), (0, 0)], constant_values=5),
    "pad reflect": lambda x, f, i, b: ops.pad(x, ((0, 0), (1, 2), (0, 0)), mode="reflect"),
    "pad of integers": lambda x, f, i, b: ops.pad(i, ((0, 0), (1, 0)), constant_values=1),
    "concatenate": lambda x, f, i, b: ops.concatenate([x, x * 2], axis=-1),
    "concatenate 1": lambda x, f, i, b: ops.concatenate([x, f], axis=1),
    "concatenate 0": lambda x, f, i, b: ops.concatenate([f, f]),
    "concatenate of two dtypes": lambda x, f, i, b: ops.concatenate([x, i[..., None]], axis=-1),
    "append": lambda x, f, i, b: ops.append(x, i),
    "append 1": lambda x, f, i, b: ops.append(x, x, axis=-1),
    "hstack": lambda x, f, i, b: ops.hstack([x, f]),
    "vstack": lambda x, f, i, b: ops.vstack([f, f]),
    "stack": lambda x, f, i, b: ops.stack([x, x * 2], axis=1),
    "stack of integers": lambda x, f, i, b: ops.stack([i, i * 2], axis=-1),
    "split": lambda x, f, i, b: ops.split(x, 2, axis=-1),
    "split at": lambda x, f, i, b: ops.split(x, [1, 3], axis=1),
    "array_split": lambda x, f, i, b: ops.array_split(f, 4, axis=1),
    "hsplit": lambda x, f, i, b: ops.hsplit(f, 2),
    "dsplit": lambda x, f, i, b: ops.dsplit(f, [1]),
    "vsplit": lambda x, f, i, b: ops.vsplit(ops.transpose(f, (1, 0, 2)), 2),
    "unstack": lambda x, f, i, b: ops.unstack(f, axis=1),
    "tril": lambda x, f, i, b: ops.tril(f, k=-1),
    "triu": lambda x, f, i, b: ops.triu(f, k=1),
    "take": lambda x, f, i, b: ops.take(x, np.array([0, -1]), axis=1),
    "take of a list": lambda x, f, i, b: ops.take(x, [0, 2], axis=-1),
    "take one": lambda x, f, i, b: ops.take(x, -1, axis=1),
    "take by a tensor": lambda x, f, i, b: ops.take(f, i % 4, axis=-1),
    "take of all": lambda x, f, i, b: ops.take(x, np.array([0, 3])),
    "take_along_axis": lambda x, f, i, b: ops.take_along_axis(x, ops.argsort(x, axis=-1), axis=-1),
    "one_hot": lambda x, f, i, b: ops.one_hot(i - 2, 5, dtype="int32"),
    "one_hot 1": lambda x, f, i, b: ops.one_hot(i, 5, axis=1, dtype="bool"),
    "top_k": lambda x, f, i, b: ops.top_k(x, 2),
    "sort 1": lambda x, f, i, b: ops.sort(x, axis=1),
    "sort all": lambda x, f, i, b: ops.sort(x, axis=None),
    "argsort 1": lambda x, f, i, b: ops.argsort(x, axis=1),
    "where": lambda x, f, i, b: ops.where(b[..., None], x, 0.0),
    "where of integers": lambda x, f, i, b: ops.where(b, i, -1),
    "where of two dtypes": lambda x, f, i, b: ops.where(b, i, 0.5),
    "where infinite": lambda x, f, i, b: ops.where(x > 0, x, -np.inf),
    "where not zero": lambda x, f, i, b: ops.where(i, i, 2),
    "clip": lambda x, f, i, b: ops.clip(x, -0.5, 0.5),
    "clip of integers": lambda x, f, i, b: ops.clip(i, 1, 3),
    "nan_to_num": lambda x, f, i, b: ops.nan_to_num(ops.log(x), nan=1.0, posinf=2.0, neginf=3.0),
    "cast": lambda x, f, i, b: ops.cast(b, keras.config.floatx()),
    "convert_to_tensor of integers": lambda x, f, i, b: ops.convert_to_tensor(i, dtype="int64"),
    "matmul": lambda x, f, i, b: x @ MATRIX,
    "matmul by a vector": lambda x, f, i, b: ops.matmul(x, VECTOR),
    "matmul of matrices": lambda x, f, i, b: ops.matmul(x, ops.transpose(f, (0, 2, 1))),
    "matmul of integers": lambda x, f, i, b: ops.matmul(i[:, None], i[..., None]),
    "matmul of a vector": lambda x, f, i, b: ops.matmul(ROW, f),
    "dot": lambda x, f, i, b: ops.dot(x, MATRIX),
    "dot of matrices": lambda x, f, i, b: ops.dot(f, ops.transpose(f, (0, 2, 1))),
    "dot of a number": lambda x, f, i, b: ops.dot(ops.sum(x), x),
    "inner": lambda x, f, i, b: ops.inner(x, MATRIX.T),
    "vdot": lambda x, f, i, b: ops.vdot(x, x),
    "outer": lambda x, f, i, b: ops.outer(x, VECTOR),
    "outer of integers": lambda x, f, i, b: ops.outer(i, i),
    "tensordot": lambda x, f, i, b: ops.tensordot(x, MATRIX, axes=1),
    "tensordot 0": lambda x, f, i, b: ops.tensordot(x, VECTOR, axes=0),
    "tensordot of pairs": lambda x, f, i, b: ops.tensordot(f, f, axes=[[1, 2], [1, 2]]),
    "einsum": lambda x, f, i, b: ops.einsum("nti,nsi->nts", x, f),
    "einsum without an arrow": lambda x, f, i, b: ops.einsum("ati,iz", x, MATRIX),
    "einsum with dots": lambda x, f, i, b: ops.einsum("...ti,...si->...ts", x, f),
    "einsum with dots, without an arrow": lambda x, f, i, b: ops.einsum("...i,ij", x, MATRIX),
    "einsum of one": lambda x, f, i, b: ops.einsum("nti->nit", x),
    "full_like": lambda x, f, i, b: ops.full_like(x, 3.5),
    "full_like of a tensor": lambda x, f, i, b: ops.full_like(i, ops.max(i)),
    "ones_like of booleans": lambda x, f, i, b: ops.ones_like(x, dtype="bool"),
    "zeros_like of integers": lambda x, f, i, b: ops.zeros_like(i),
    "cumsum of ones": lambda x, f, i, b: ops.cumsum(ops.ones_like(i), axis=1) - 1,
    "add of a constant": lambda x, f, i, b: f[:, :, 0] + ops.arange(6, dtype=keras.config.floatx()),
    "not_equal as data": lambda x, f, i, b: ops.cast(ops.expand_dims(ops.not_equal(i, 0), -1), "int32") + 1,
    "not_equal of a vector": lambda x, f, i, b: ops.not_equal(i[:, 0], 0),
    "any as data": lambda x, f, i, b: ops.any(ops.not_equal(x, 0), axis=-1),
    "subtract of integers by operators": lambda x, f, i, b: (i * 2 + 1) // 3 - i % 2,
}
"""Called as no rule of `_calls` calls them."""

EVERY = _calls()
"""By name."""


def by_function() -> dict[str, Call]:
    """One call of each function."""
    return {
        name: call for name, call in EVERY.items() if " " not in name or name.partition(" ")[0] not in EVERY
    }
