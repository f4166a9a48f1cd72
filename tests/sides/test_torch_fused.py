"""Packed sequences of torch, in ONNX: one fused node a layer, at any lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import export
import torch_side


class Packed(nn.Module):
    """Two layers over one packed sequence, the second in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.LSTM(4, 3, batch_first=True)
        self.two = nn.LSTM(3, 2, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, (h, _) = self.two(self.one(rows)[0])
        return pad_packed_sequence(y, batch_first=True)[0], torch.cat((h[0], h[1]), 1)


def test_one_fused_node_a_layer(tmp_path: Path) -> None:
    torch.manual_seed(2)
    module = Packed().eval()
    graph = torch_side.read(module, (torch.randn(3, 6, 4), torch.tensor([4, 6, 1])))

    export.write(graph, tmp_path / "model.onnx", lowering="fused")

    written = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert written.count("LSTM") == 2
    assert "Loop" not in written
    session = export.Session(tmp_path / "model.onnx")
    for lengths in ([3], [2, 5, 5, 1]):
        given = torch.randn(len(lengths), max(lengths), 4), torch.tensor(lengths)
        with torch.no_grad():
            wanted = module(*given)
        for one, two in zip(wanted, session.run([x.numpy() for x in given]), strict=True):
            np.testing.assert_allclose(two, one.numpy(), rtol=1e-5, atol=1e-6)
