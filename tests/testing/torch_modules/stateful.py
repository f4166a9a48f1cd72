# pyright: reportCallIssue=false, reportIncompatibleMethodOverride=false
"""What keeps its state on itself, branches on values, or cannot be said in a graph at all."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from testing.torch_modules.cases import V, case, floats, ids, lengths


@case(lambda N, T: (ids(T),), V, refused="state='hidden'")
class KeptHidden(nn.Module):
    """Goes on where the call before ended."""

    def __init__(self, vocab, dim=4, hidden=3):
        super().__init__()
        self.hidden_dim = hidden
        self.embed = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden)
        self.out = nn.Linear(hidden, 2)
        self.hidden = self.init_hidden()

    def init_hidden(self):
        return (torch.zeros(1, 1, self.hidden_dim), torch.zeros(1, 1, self.hidden_dim))

    def forward(self, sentence):
        embeds = self.embed(sentence)
        lstm_out, self.hidden = self.lstm(embeds.view(len(sentence), 1, -1), self.hidden)
        return F.log_softmax(self.out(lstm_out.view(len(sentence), -1)), dim=1)


@case(lambda N, T: (ids(N, T),), V)
class ResetHidden(nn.Module):
    """Keeps a state on itself, but makes it anew in each call."""

    def __init__(self, vocab, dim=4, hidden=3):
        super().__init__()
        self.hidden_dim = hidden
        self.embed = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def init_hidden(self, batch_size):
        return (
            torch.zeros(1, batch_size, self.hidden_dim),
            torch.zeros(1, batch_size, self.hidden_dim),
        )

    def forward(self, x):
        self.batch_size = x.size(0)
        self.hidden = self.init_hidden(self.batch_size)
        y, self.hidden = self.lstm(self.embed(x), self.hidden)
        self.attn = torch.softmax(y.sum(-1), dim=-1)
        return self.out(torch.bmm(self.attn.unsqueeze(1), y)[:, 0])


@case(lambda N, T: (floats(N, T, 3),), refused="running")
class RunningBuffer(nn.Module):
    """A buffer of what it saw."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.register_buffer("running", torch.zeros(4))

    def forward(self, x):
        y, _ = self.rnn(x)
        self.running.mul_(0.9).add_(0.1 * y.mean(dim=(0, 1)))
        return y - self.running


@case(lambda N, T: (floats(N, T, 3),), refused="forward")
class BranchOnValue(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        y, _ = self.rnn(x)
        if y.sum() > 0:
            return y * 2
        return y


@case(lambda N, T: (ids(N, T), lengths(N, T)), V, refused="forward")
class LengthsAsList(nn.Module):
    """Rows are cut in Python by numbers out of a tensor."""

    def __init__(self, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, 4)
        self.rnn = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x, lens):
        y, _ = self.rnn(self.embed(x))
        return torch.stack([y[i, : int(n)].mean(0) for i, n in enumerate(lens)])


@case(lambda N, T: (floats(N, T, 3),), refused="forward")
class NoiseInEval(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        y, _ = self.rnn(x + 0.1 * torch.randn_like(x))
        return y


@case(lambda N, T: (floats(N, T, 3),), refused="forward")
class NumpyInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        y, _ = self.rnn(x)
        return torch.from_numpy(y.detach().cpu().numpy().mean(axis=1))


@case(lambda N, T: (ids(N, T),), V, refused="forward")
class NonzeroSteps(nn.Module):
    """As many rows as there are words."""

    def __init__(self, vocab):
        super().__init__()
        self.embed = nn.Embedding(vocab, 4)
        self.rnn = nn.GRU(4, 3, batch_first=True)

    def forward(self, x):
        y, _ = self.rnn(self.embed(x))
        return y[x > 3]


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad


@case(lambda N, T: (floats(N, T, 3),))
class OwnFunction(nn.Module):
    """An autograd function of its own: its forward is ordinary arithmetic."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(_Doubled.apply(x))[0]
