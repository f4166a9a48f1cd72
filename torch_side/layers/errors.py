"""What a layer raises.

`torch_side.run` and `torch_side.train` give these on as biport's own errors, in the same words.
"""

from __future__ import annotations


class LayerInputError(ValueError):
    """Inputs, masks or states that a layer cannot take."""
