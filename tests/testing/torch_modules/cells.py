# pyright: reportCallIssue=false, reportOperatorIssue=false
"""Cells, loops over time and recurrences written by hand."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn import Parameter

from testing.torch_modules.cases import V, case, floats, ids


@case(lambda N, T: (floats(N, T, 3),), steps=5)
class LSTMCellLoop(nn.Module):
    def __init__(self, d=3, hidden=4):
        super().__init__()
        self.hidden = hidden
        self.lstm1 = nn.LSTMCell(d, hidden)
        self.lstm2 = nn.LSTMCell(hidden, hidden)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, input):
        outputs = []
        h_t = torch.zeros(input.size(0), self.hidden, dtype=input.dtype)
        c_t = torch.zeros(input.size(0), self.hidden, dtype=input.dtype)
        h_t2 = torch.zeros_like(h_t)
        c_t2 = torch.zeros_like(c_t)
        for i in range(input.size(1)):
            h_t, c_t = self.lstm1(input[:, i], (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        return torch.stack(outputs, 1).squeeze(2)


@case(lambda N, T: (floats(T, N, 3), floats(N, 4)), steps=4)
class GRUCellLoop(nn.Module):
    def __init__(self, d=3, hidden=4):
        super().__init__()
        self.cell = nn.GRUCell(d, hidden)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x, h):
        hs = []
        for x_t in x.unbind(0):
            h = self.cell(x_t, h)
            hs.append(self.norm(h))
        return torch.stack(hs, dim=0), h


@case(lambda N, T: (ids(N), (floats(N, 4), floats(N, 4))), V)
class OneStep(nn.Module):
    """A step of a generator; the state comes and goes as a tuple."""

    def __init__(self, vocab, dim=5, hidden=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.cell = nn.LSTMCell(dim, hidden)
        self.out = nn.Linear(hidden, vocab)

    def forward(self, token, state):
        h, c = self.cell(self.embed(token), state)
        return self.out(h), (h, c)


class LayerNormLSTMCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.weight_ih = Parameter(torch.randn(4 * hidden_size, input_size))
        self.weight_hh = Parameter(torch.randn(4 * hidden_size, hidden_size))
        self.layernorm_i = nn.LayerNorm(4 * hidden_size)
        self.layernorm_h = nn.LayerNorm(4 * hidden_size)
        self.layernorm_c = nn.LayerNorm(hidden_size)

    def forward(self, input, state):
        hx, cx = state
        igates = self.layernorm_i(torch.mm(input, self.weight_ih.t()))
        hgates = self.layernorm_h(torch.mm(hx, self.weight_hh.t()))
        gates = igates + hgates
        ingate, forgetgate, cellgate, outgate = gates.chunk(4, 1)
        ingate = torch.sigmoid(ingate)
        forgetgate = torch.sigmoid(forgetgate)
        cellgate = torch.tanh(cellgate)
        outgate = torch.sigmoid(outgate)
        cy = self.layernorm_c((forgetgate * cx) + (ingate * cellgate))
        hy = outgate * torch.tanh(cy)
        return hy, (hy, cy)


@case(lambda N, T: (floats(N, T, 3),), steps=4)
class LayerNormLSTM(nn.Module):
    def __init__(self, d=3, hidden=4):
        super().__init__()
        self.cell = LayerNormLSTMCell(d, hidden)
        self.hidden = hidden

    def forward(self, x):
        state = (x.new_zeros(x.size(0), self.hidden), x.new_zeros(x.size(0), self.hidden))
        inputs = x.unbind(1)
        outputs = []
        for i in range(len(inputs)):
            out, state = self.cell(inputs[i], state)
            outputs += [out]
        return torch.stack(outputs, 1), state


@case(lambda N, T: (floats(N, T, 3),), steps=5)
class HandWrittenLSTM(nn.Module):
    """Gates from two products, sliced by hand."""

    def __init__(self, input_sz=3, hidden_sz=4):
        super().__init__()
        self.hidden_size = hidden_sz
        self.W = nn.Parameter(torch.Tensor(input_sz, hidden_sz * 4))
        self.U = nn.Parameter(torch.Tensor(hidden_sz, hidden_sz * 4))
        self.bias = nn.Parameter(torch.Tensor(hidden_sz * 4))
        self.init_weights()

    def init_weights(self):
        stdv = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            weight.data.uniform_(-stdv, stdv)

    def forward(self, x, init_states=None):
        bs, seq_sz, _ = x.size()
        hidden_seq = []
        if init_states is None:
            h_t, c_t = (
                torch.zeros(bs, self.hidden_size).to(x.device),
                torch.zeros(bs, self.hidden_size).to(x.device),
            )
        else:
            h_t, c_t = init_states
        HS = self.hidden_size
        for t in range(seq_sz):
            x_t = x[:, t, :]
            gates = x_t @ self.W + h_t @ self.U + self.bias
            i_t, f_t, g_t, o_t = (
                torch.sigmoid(gates[:, :HS]),
                torch.sigmoid(gates[:, HS : HS * 2]),
                torch.tanh(gates[:, HS * 2 : HS * 3]),
                torch.sigmoid(gates[:, HS * 3 :]),
            )
            c_t = f_t * c_t + i_t * g_t
            h_t = o_t * torch.tanh(c_t)
            hidden_seq.append(h_t.unsqueeze(0))
        hidden_seq = torch.cat(hidden_seq, dim=0)
        hidden_seq = hidden_seq.transpose(0, 1).contiguous()
        return hidden_seq, (h_t, c_t)


@case(lambda N, T: (floats(N, 3), floats(N, 4)))
class NameRNN(nn.Module):
    """One step: input and hidden side by side into two dense layers."""

    def __init__(self, input_size=3, hidden_size=4, output_size=5):
        super().__init__()
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(input_size + hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, input, hidden):
        combined = torch.cat((input, hidden), 1)
        hidden = self.i2h(combined)
        output = self.softmax(self.i2o(combined))
        return output, hidden


class QRNNLayer(nn.Module):
    def __init__(self, d, hidden):
        super().__init__()
        self.hidden = hidden
        self.linear = nn.Linear(2 * d, 3 * hidden)

    def forward(self, X):
        seq_len, batch, _ = X.size()
        before = torch.cat([X[:1] * 0, X[:-1]], 0)
        source = torch.cat([X, before], 2)
        Z, F_, O = self.linear(source).chunk(3, dim=2)
        Z, F_, O = torch.tanh(Z), torch.sigmoid(F_), torch.sigmoid(O)
        c, result = X.new_zeros(batch, self.hidden), []
        for z, f in zip(Z.split(1, dim=0), F_.split(1, dim=0)):
            c = (f * z + (1 - f) * c).squeeze(0)
            result.append(c)
        C = torch.stack(result)
        return O * C, C[-1:]


@case(lambda N, T: (floats(T, N, 3),), steps=4)
class QRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([QRNNLayer(3, 4), QRNNLayer(4, 2)])

    def forward(self, x):
        states = []
        for layer in self.layers:
            x, h = layer(x)
            states.append(h)
        return x, states


@case(lambda N, T: (floats(N, T, 3), floats(N, T, 3), floats(N, T, 1)), steps=4)
class GRUD(nn.Module):
    """Missing values decay; masks and gaps are inputs."""

    def __init__(self, d=3, hidden=4):
        super().__init__()
        self.cell = nn.GRUCell(2 * d, hidden)
        self.decay_x = nn.Linear(1, d)
        self.decay_h = nn.Linear(1, hidden)
        self.register_buffer("x_mean", torch.randn(d))
        self.out = nn.Linear(hidden, 1)
        self.hidden = hidden

    def forward(self, x, m, delta):
        m = (m > 0).float()
        h = torch.zeros(x.size(0), self.hidden)
        last = self.x_mean.expand(x.size(0), -1)
        for t in range(x.size(1)):
            gx = torch.exp(-torch.max(torch.zeros(1), self.decay_x(delta[:, t])))
            gh = torch.exp(-F.relu(self.decay_h(delta[:, t])))
            last = torch.where(m[:, t] > 0, x[:, t], last)
            xt = m[:, t] * x[:, t] + (1 - m[:, t]) * (gx * last + (1 - gx) * self.x_mean)
            h = self.cell(torch.cat([xt, m[:, t]], 1), gh * h)
        return torch.sigmoid(self.out(h)).squeeze(1)


@case(lambda N, T: (floats(N, 3, T, 4),), steps=3)
class ConvLSTMLike(nn.Module):
    """Gates of a convolution over features, a step at a time."""

    def __init__(self, channels=3, hidden=2):
        super().__init__()
        self.hidden = hidden
        self.conv = nn.Conv1d(channels + hidden, 4 * hidden, kernel_size=3, padding=1)

    def forward(self, x):
        b, _, T, width = x.size()
        h = torch.zeros(b, self.hidden, width, device=x.device)
        c = torch.zeros(b, self.hidden, width, device=x.device)
        output = torch.zeros(b, self.hidden, T, width, device=x.device)
        for t in range(T):
            gates = self.conv(torch.cat([x[:, :, t], h], dim=1))
            i, f, o, g = torch.split(gates, self.hidden, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            output[:, :, t] = h
        return output


@case(lambda N, T: (floats(N, T, 4),))
class ManualBidirectional(nn.Module):
    """Two one way layers, the second over a flipped input."""

    def __init__(self, d=4, hidden=3):
        super().__init__()
        self.fw = nn.GRU(d, hidden, batch_first=True)
        self.bw = nn.GRU(d, hidden, batch_first=True)

    def forward(self, x):
        a, _ = self.fw(x)
        b, _ = self.bw(torch.flip(x, [1]))
        b = torch.flip(b, [1])
        return torch.cat((a, b), dim=-1)


@case(lambda N, T: (floats(N, T, 4),))
class NoBiasStack(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 5, num_layers=3, nonlinearity="relu", bias=False, batch_first=True, dropout=0.2)

    def forward(self, x):
        y, h = self.rnn(x)
        return y.sum(dim=(1, 2)), h.transpose(0, 1).reshape(x.shape[0], -1)


@case(lambda N, T: (floats(T, N, 4), floats(4, N, 3), floats(4, N, 3)))
class AllStates(nn.Module):
    """States in as two tensors, out stacked."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3, num_layers=2, bidirectional=True)

    def forward(self, x, h0, c0):
        y, (h, c) = self.lstm(x, (h0, c0))
        return y, torch.stack((h, c))


@case(lambda N, T: (floats(N, T, 4),))
class LearnedInitialState(nn.Module):
    def __init__(self, d=4, hidden=3):
        super().__init__()
        self.h0 = nn.Parameter(torch.randn(1, 1, hidden))
        self.c0 = nn.Parameter(torch.randn(1, 1, hidden))
        self.lstm = nn.LSTM(d, hidden, batch_first=True)

    def forward(self, x):
        n = x.size(0)
        state = (self.h0.repeat(1, n, 1), self.c0.expand(-1, n, -1).contiguous())
        return self.lstm(x, state)


@case(lambda N, T: (floats(T, N, 4),))
class WeightNormed(nn.Module):
    """Weight norm of a dense layer, both ways of writing it."""

    def __init__(self):
        super().__init__()
        self.inp = nn.utils.weight_norm(nn.Linear(4, 5))
        self.rnn = nn.GRU(5, 3)
        self.out = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))

    def forward(self, x):
        return self.out(self.rnn(torch.tanh(self.inp(x)))[0])
