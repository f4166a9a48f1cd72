"""The names of the activations a layer may have, and `Activation`, one as a layer of its own."""

from __future__ import annotations

FUSED_ACTIVATIONS = (
    "elu",
    "hard_sigmoid",
    "leaky_relu",
    "linear",
    "relu",
    "sigmoid",
    "softplus",
    "softsign",
    "tanh",
)
"""Those that ONNX's recurrent operators compute inside of one node."""

ACTIVATIONS = tuple(
    sorted(
        (
            *FUSED_ACTIVATIONS,
            "celu",
            "exponential",
            "gelu",
            "hard_shrink",
            "hard_silu",
            "hard_tanh",
            "log_sigmoid",
            "log_softmax",
            "mish",
            "relu6",
            "selu",
            "silu",
            "soft_shrink",
            "softmax",
            "sparse_plus",
            "sparse_sigmoid",
            "squareplus",
            "tanh_shrink",
        )
    )
)
"""Keras' names. Parameters have Keras 3's default values: ``elu`` and ``celu`` alpha 1, ``leaky_relu`` slope
0.2, ``hard_sigmoid`` slope 1/6, the shrinks 0.5, ``gelu`` exact."""
