"""The source of ``model.py``, run beside the module that it was written of."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import torch_side
from biport.graph import Graph
from torch_side.writing.source import model_source


def loaded(graph: Graph, **options: Any) -> tuple[Any, nn.Module, str]:
    """The written module, that of its source with the same weights, and the source."""
    live = torch_side.write(graph)
    source = model_source(graph, live, **options)
    namespace: dict[str, Any] = {"__name__": "model", "__file__": "model.py"}
    exec(compile(source, "model.py", "exec"), namespace)
    model = namespace["Model"]()
    shapes = [(name, tensor.shape, tensor.dtype) for name, tensor in live.state_dict().items()]
    assert [(name, tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()] == shapes
    model.load_state_dict(live.state_dict())
    trained = {name: one.requires_grad for name, one in live.named_parameters()}
    assert {name: one.requires_grad for name, one in model.named_parameters()} == trained
    return live, model.eval(), source


def check_same(graph: Graph, arrays: list[np.ndarray]) -> str:
    """Both give the same bits."""
    live, model, source = loaded(graph)
    tensors = [torch.tensor(array) for array in arrays]
    with torch.no_grad():
        wanted, given = live(*tensors), model(*tensors)
    wanted, given = (result if isinstance(result, tuple) else (result,) for result in (wanted, given))
    for one, two in zip(wanted, given, strict=True):
        assert one.dtype == two.dtype
        assert torch.equal(one.nan_to_num(7), two.nan_to_num(7))
    return source
