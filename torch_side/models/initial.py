"""How Keras initialises weights, for models whose twins are Keras'."""

from __future__ import annotations

import math

from torch import nn

from torch_side.layers import AdditiveAttention


def initialise(model: nn.Module) -> None:
    """Initialise all weights of a model anew, as Keras does, by `torch`'s global generator.

    Embeddings are uniform in ±0.05, input weights, dense layers and convolutions Glorot uniform, recurrent
    weights orthogonal, biases zero but for an LSTM's forget gate of one, the scale of an additive attention
    Glorot uniform. What other layers of `torch_side.layers` have, they begin with as Keras does.
    """
    for part in model.modules():
        match part:
            case nn.Embedding():
                nn.init.uniform_(part.weight, -0.05, 0.05)
            case nn.Linear() | nn.Conv2d():
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            case nn.RNNBase():
                _recurrent(part)
            case AdditiveAttention() if part.scale is not None:
                # To Keras a vector has as many inputs as outputs.
                bound = math.sqrt(3 / len(part.scale))
                nn.init.uniform_(part.scale, -bound, bound)
            case _:
                pass


def _recurrent(layer: nn.RNNBase) -> None:
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
        if isinstance(layer, nn.LSTM) and name.startswith("bias_ih"):
            # torch stacks the gates i f g o.
            nn.init.ones_(parameter.detach().chunk(4)[1])
