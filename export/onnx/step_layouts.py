"""The step forms of one graph."""

from __future__ import annotations

from export.onnx.builder import Builder
from export.onnx.dynamic_sizes import DynamicSizes
from export.onnx.lazy_value import LazyValue
from export.onnx.row_groups import GroupedLayout
from export.onnx.step_layout import RIGHT_PADDED, StepLayout


class StepLayouts:
    """The layouts of one graph: one for each mask and size of groups, and one for each unmasked size."""

    def __init__(self, builder: Builder, contract: str | None = None) -> None:
        self._builder = builder
        self._moved = contract != RIGHT_PADDED
        self._sizes: dict[tuple[int, int], DynamicSizes] = {}
        self._layouts: dict[tuple[int, int, int | None], StepLayout] = {}

    def sizes(self, value: LazyValue, name: str, steps: int) -> DynamicSizes:
        """N and T of ``value``, T' at least ``steps``, shared by all values of the same root."""
        key = (id(value.root), steps)
        if key not in self._sizes:
            self._sizes[key] = DynamicSizes(self._builder.scope(f"{name}/sizes"), value.root, steps)
        return self._sizes[key]

    def layout(
        self, value: LazyValue, mask: LazyValue | None, name: str, group: int | None = None
    ) -> StepLayout:
        """The layout in which a recurrent layer called ``name`` computes ``value`` under ``mask``.

        Args:
            group: how many rows of like lengths are computed together, where that is worth while; ``None``
                for all of them always.
        """
        source = value if mask is None else mask
        key = (id(source.root), id(mask), group)
        if key not in self._layouts:
            scope = self._builder.scope(f"{name}/steps")
            sizes = self.sizes(source, name, 1 if mask is None else 2)
            if mask is None or group is None:
                layout = StepLayout(scope, sizes, mask, self._moved)
            else:
                layout = GroupedLayout(scope, sizes, mask, self._moved, group)
            self._layouts[key] = layout
        return self._layouts[key]
