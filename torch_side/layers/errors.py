"""What a layer raises.

`torch_side.run` and `torch_side.train` give these on as biport's own errors, in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable


class LayerInputError(ValueError):
    """Inputs, masks or states that a layer cannot take."""


class LayerSettingError(ValueError):
    """A setting that a layer does not have, or cannot train with.

    Args:
        owner: the layer, or when it is refused.
        setting: the setting at fault.
        value: what it is.
        supported: what it could be instead.
    """

    def __init__(
        self, owner: str, setting: str, value: object, supported: Iterable[str]
    ) -> None:
        self.owner, self.setting, self.value, self.supported = (
            owner,
            setting,
            value,
            list(supported),
        )
        named = ", ".join(self.supported)
        super().__init__(
            f"{owner}: {setting}={value!r} is not supported; supported: {named}."
        )
