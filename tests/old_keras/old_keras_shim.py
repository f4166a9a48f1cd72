"""What standalone Keras (before 2.4) needs to run on TensorFlow 2.12 and Python 3.11.

Only names that moved are put back: nothing of Keras' layers, masks or files is touched. ``install`` has to
run before Keras is imported. Keras 2.9 to 2.11 need ``inspections`` only.
"""

from __future__ import annotations

import collections
import collections.abc
import inspect
import os
import sys
import types
from typing import Any, NamedTuple

import numpy as np


class ArgSpec(NamedTuple):
    """What ``inspect.getargspec`` gave until Python 3.10."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple | None


def getargspec(function: Any) -> ArgSpec:
    """``inspect.getargspec`` for functions that may have keyword-only arguments."""
    return ArgSpec(*inspect.getfullargspec(function)[:4])


def inspections() -> None:
    """What Python 3.11 dropped; all that Keras 2.4 to 2.11 need."""
    inspect.ArgSpec, inspect.getargspec = ArgSpec, getargspec  # type: ignore[attr-defined]


class Text(str):
    """What h5py 3 reads from an attribute of text; h5py 2 gave bytes, that Keras decodes."""

    def decode(self, *_: Any) -> str:
        """The text itself."""
        return str(self)


def attributes() -> None:
    """Let h5py 3 write and read attributes as h5py 2 did.

    A list of bytes became an array of fixed length; text was read as bytes, that Keras decodes.
    """
    from h5py import AttributeManager

    read, write = AttributeManager.__getitem__, AttributeManager.__setitem__

    def getitem(self: Any, name: Any) -> Any:
        value = read(self, name)
        return Text(value) if isinstance(value, str) else value

    def setitem(self: Any, name: Any, value: Any) -> None:
        write(self, name, np.asarray(value) if isinstance(value, list) else value)

    AttributeManager.__getitem__ = getitem
    AttributeManager.__setitem__ = setitem


def contrib(tf: Any) -> dict[str, types.ModuleType]:
    """``tensorflow.contrib`` as far as the CuDNN layers ask for it: shapes, as nothing runs without a GPU."""

    def op(states: int) -> type:
        class Op:
            def __init__(self, num_layers: int, num_units: int, input_size: int, input_mode: str) -> None:
                self.units = num_units

            def __call__(self, inputs: Any, input_h: Any, **_: Any) -> tuple:
                outputs = tf.zeros(tf.concat([tf.shape(inputs)[:2], [self.units]], 0))
                outputs.set_shape((None, None, self.units))
                return (outputs, *[input_h] * states)

        return Op

    names = ["contrib", "contrib.cudnn_rnn", "contrib.cudnn_rnn.python", "contrib.cudnn_rnn.python.ops"]
    names += ["contrib.tensorboard", "contrib.tensorboard.plugins"]
    modules = {f"tensorflow.{name}": types.ModuleType(f"tensorflow.{name}") for name in names}
    last = types.ModuleType("tensorflow.contrib.cudnn_rnn.python.ops.cudnn_rnn_ops")
    last.CudnnLSTM, last.CudnnGRU = op(2), op(1)  # type: ignore[attr-defined]
    modules["tensorflow.contrib.cudnn_rnn.python.ops"].cudnn_rnn_ops = last  # type: ignore[attr-defined]
    modules["tensorflow.contrib.tensorboard.plugins"].projector = None  # type: ignore[attr-defined]
    return modules | {last.__name__: last}


def install() -> None:
    """Put back the names that Keras 1 and 2 import."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    inspections()
    for name in ("Iterable", "Mapping", "Callable", "Sequence", "MutableMapping", "OrderedDict"):
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    for name, kind in {"bool": bool, "int": int, "float": float, "object": object}.items():
        if name not in np.__dict__:
            setattr(np, name, kind)
    attributes()

    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    tf.disable_eager_execution()
    tf.__version__ = "1.15.0"
    tf.mul, tf.concat_v2 = tf.multiply, tf.concat
    from tensorflow.python.framework import ops

    ops._TensorLike = (tf.Tensor, tf.Variable, tf.SparseTensor, tf.IndexedSlices)
    ops.is_dense_tensor_like = lambda value: isinstance(value, tf.Tensor | tf.Variable)
    for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
        del sys.modules[name]  # the Keras that TensorFlow imports itself
    sys.modules |= {"tensorflow": tf, **contrib(tf)}
