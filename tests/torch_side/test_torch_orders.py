"""Rows that were sorted are written back in their own order."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import torch_side


class WrittenBack(nn.Module):
    """By what is taken, by what is written, and by scatter."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        ordered, order = lengths.sort(descending=True)
        _, h = self.rnn(pack_padded_sequence(x[order], ordered, batch_first=True))
        last = h[-1]
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(order.size(0))
        written = torch.zeros_like(last)
        written[order] = last
        places = torch.zeros_like(order).scatter_(0, order, torch.arange(len(order)))
        return last[inverse], written, last[places]


def test_rows_are_written_back() -> None:
    torch.manual_seed(0)
    module, lengths = WrittenBack().eval(), torch.tensor([2, 5, 1, 4])
    x = torch.randn(4, 5, 3)
    graph = torch_side.read(module, (x, lengths))
    one, *others = torch_side.run(torch_side.write(graph), [x.numpy(), lengths.numpy()])
    assert all((one == other).all() for other in others)
    assert abs(one - module(x, lengths)[0].detach().numpy()).max() < 1e-6


class KnownLengths(nn.Module):
    """Lengths that are numbers of Python: no row is longer than they say."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(pack_padded_sequence(x, [5, 4, 2], batch_first=True))[1]


def test_known_lengths() -> None:
    module, x = KnownLengths().eval(), torch.randn(3, 6, 3)
    graph = torch_side.read(module, x)
    (h,) = torch_side.run(torch_side.write(graph), [x.numpy()])
    assert abs(h - module(x).detach().numpy()).max() < 1e-6
