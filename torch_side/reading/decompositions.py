"""What no function reads is taken apart, by torch's own rules, into what some do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tag
from torch.export import default_decompositions

from torch_side.registry import ATEN, aten_key


def decompositions() -> dict[Any, Callable]:
    """The rules for operators that `ATEN` has no function for, those of random numbers aside."""
    return {operator: rule for operator, rule in _rules().items() if aten_key(operator) not in ATEN}


@functools.cache
def _rules() -> dict[Any, Callable]:
    rules = default_decompositions().items()
    return {operator: rule for operator, rule in rules if Tag.nondeterministic_seeded not in operator.tags}  # type: ignore[attr-defined]
