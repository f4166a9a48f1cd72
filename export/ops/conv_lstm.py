"""Convolutional LSTMs as an ONNX ``Scan`` with a ``Conv`` of the state; see `export.recurrent.direction`."""

from __future__ import annotations

from biport.ops import ConvolutionalLSTM
from biport.ops.conv_lstm import CONV_LSTMS
from export.onnx.lazy_value import LazyValue
from export.onnx.site import Site
from export.recurrent.direction import one_direction
from export.registry import writes


@writes(*CONV_LSTMS.values())
def write_conv_lstm(op: ConvolutionalLSTM, site: Site) -> tuple[LazyValue, ...]:
    """``(N, T, *S, I)`` and initial states, if given, to ``(N, T, *S', H)`` or the last step, and the states.

    The convolution of x is written before the loop, for all steps at once.
    """
    return one_direction(op, site)
