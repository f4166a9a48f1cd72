"""Speech and sound: convolutions, stacks and pooled statistics."""

from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from testing.torch_modules.cases import case, floats, lengths


class SequenceWise(nn.Module):
    """Runs a module over time and batch as one."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        t, n = x.size(0), x.size(1)
        x = x.view(t * n, -1)
        x = self.module(x)
        x = x.view(t, n, -1)
        return x


class BatchRNN(nn.Module):
    def __init__(self, input_size, hidden_size, batch_norm=True):
        super().__init__()
        self.batch_norm = SequenceWise(nn.BatchNorm1d(input_size)) if batch_norm else None
        self.rnn = nn.GRU(input_size, hidden_size, bidirectional=True, bias=True)

    def forward(self, x, output_lengths):
        if self.batch_norm is not None:
            x = self.batch_norm(x)
        x = pack_padded_sequence(x, output_lengths.cpu())
        x, h = self.rnn(x)
        x, _ = pad_packed_sequence(x)
        x = x.view(x.size(0), x.size(1), 2, -1).sum(2).view(x.size(0), x.size(1), -1)
        return x


@case(lambda N, T: (floats(N, 4, 2 * T), 2 * lengths(N, T)))
class DeepSpeechStack(nn.Module):
    def __init__(self, freq=4, hidden=3, labels=5):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(freq, 6, kernel_size=4, stride=2, padding=1),
            nn.BatchNorm1d(6),
            nn.Hardtanh(0, 20, inplace=True),
        )
        rnns = [("0", BatchRNN(6, hidden, batch_norm=False)), ("1", BatchRNN(hidden, hidden))]
        self.rnns = nn.Sequential(OrderedDict(rnns))
        fully_connected = nn.Sequential(nn.BatchNorm1d(hidden), nn.Linear(hidden, labels, bias=False))
        self.fc = nn.Sequential(SequenceWise(fully_connected))

    def get_seq_lens(self, input_length):
        return torch.div(input_length + 2 - 4, 2, rounding_mode="trunc") + 1

    def forward(self, x, lengths):
        output_lengths = self.get_seq_lens(lengths)
        x = self.conv(x)
        x = x.transpose(1, 2).transpose(0, 1).contiguous()
        for rnn in self.rnns:
            x = rnn(x, output_lengths)
        x = self.fc(x)
        x = x.transpose(0, 1)
        return F.softmax(x, dim=-1), output_lengths


@case(lambda N, T: (floats(N, T, 5),))
class SpeakerEncoder(nn.Module):
    """The state of the last layer, projected and of length one."""

    def __init__(self, n_mels=5, hidden=6, emb=4):
        super().__init__()
        self.lstm = nn.LSTM(n_mels, hidden, num_layers=3, batch_first=True)
        self.linear = nn.Linear(hidden, emb)
        self.relu = torch.nn.ReLU()

    def forward(self, utterances, hidden_init=None):
        out, (hidden, cell) = self.lstm(utterances, hidden_init)
        embeds_raw = self.relu(self.linear(hidden[-1]))
        embeds = embeds_raw / (torch.norm(embeds_raw, dim=1, keepdim=True) + 1e-5)
        return embeds


@case(lambda N, T: (floats(N, T, 5),))
class NormalizedFrames(nn.Module):
    """Rows of length one by F.normalize, then a mean over frames."""

    def __init__(self, d=5, hidden=4):
        super().__init__()
        self.lstm = nn.LSTM(d, hidden, batch_first=True)
        self.proj = nn.Linear(hidden, 3)

    def forward(self, x):
        y, _ = self.lstm(x)
        y = self.proj(y[:, y.size(1) - 1])
        return F.normalize(y, p=2, dim=1)


@case(lambda N, T: (floats(N, T, 5),))
class StatisticsPooling(nn.Module):
    """Means and deviations over time."""

    def __init__(self, d=5, hidden=4):
        super().__init__()
        self.lstm = nn.LSTM(d, hidden, batch_first=True, bidirectional=True)
        self.segment = nn.Linear(4 * hidden, 6)
        self.bn = nn.BatchNorm1d(6)
        self.out = nn.Linear(6, 3)

    def forward(self, x):
        h, _ = self.lstm(x)
        mean = torch.mean(h, dim=1)
        std = torch.std(h, dim=1)
        stat_pooling = torch.cat((mean, std), 1)
        x = F.relu(self.bn(self.segment(stat_pooling)))
        return self.out(x), x


@case(lambda N, T: (floats(N, 2 * T, 4),))
class PyramidEncoder(nn.Module):
    """Two steps become one between the layers."""

    def __init__(self, d=4, hidden=3):
        super().__init__()
        self.blstm = nn.LSTM(2 * d, hidden, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * hidden, 3)

    def forward(self, x):
        n, t, d = x.shape
        x = x.contiguous().view(n, t // 2, d * 2)
        x, _ = self.blstm(x)
        return self.out(x)


@case(lambda N, T: (floats(N, T, 6),))
class Postnet(nn.Module):
    """Convolutions refine what the recurrent layer gave."""

    def __init__(self, n_mels=6):
        super().__init__()
        self.rnn = nn.LSTM(n_mels, n_mels, batch_first=True)
        self.convolutions = nn.ModuleList()
        for i in range(2):
            self.convolutions.append(
                nn.Sequential(
                    nn.Conv1d(n_mels if i == 0 else 5, 5 if i == 0 else n_mels, kernel_size=5, padding=2),
                    nn.BatchNorm1d(5 if i == 0 else n_mels),
                )
            )

    def forward(self, x):
        mel, _ = self.rnn(x)
        y = mel.transpose(1, 2)
        for i in range(len(self.convolutions) - 1):
            y = F.dropout(torch.tanh(self.convolutions[i](y)), 0.5, self.training)
        y = self.convolutions[-1](y)
        return mel, mel + y.transpose(1, 2)


class BatchNormConv(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, activation=None):
        super().__init__()
        self.conv1d = nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm1d(out_channels)
        self.activation = activation

    def forward(self, x):
        x = self.conv1d(x)
        if self.activation is not None:
            x = self.activation(x)
        return self.bn(x)


@case(lambda N, T: (floats(N, T, 4),))
class CBHG(nn.Module):
    """A bank of convolutions, a pool, projections, highways, a GRU."""

    def __init__(self, in_dim=4, K=3):
        super().__init__()
        self.bank = nn.ModuleList(
            [BatchNormConv(in_dim, in_dim, k, activation=nn.ReLU()) for k in range(1, K + 1)]
        )
        self.max_pool1d = nn.MaxPool1d(kernel_size=2, stride=1, padding=1)
        self.proj1 = BatchNormConv(K * in_dim, 5, 3, nn.ReLU())
        self.proj2 = BatchNormConv(5, in_dim, 3)
        self.H = nn.Linear(in_dim, in_dim)
        self.T = nn.Linear(in_dim, in_dim)
        self.gru = nn.GRU(in_dim, 3, 1, batch_first=True, bidirectional=True)

    def forward(self, inputs):
        x = inputs.transpose(1, 2)
        T = x.size(-1)
        x = torch.cat([conv(x)[:, :, :T] for conv in self.bank], dim=1)
        x = self.max_pool1d(x)[:, :, :T]
        x = self.proj2(self.proj1(x))
        x = x.transpose(1, 2)
        x += inputs
        gate = torch.sigmoid(self.T(x))
        x = F.relu(self.H(x)) * gate + x * (1.0 - gate)
        outputs, _ = self.gru(x)
        return outputs


@case(lambda N, T: (floats(N, T, 5), floats(N, 3), floats(N, 3)))
class RecurrentEnhancer(nn.Module):
    """A mask for a spectrum, from it; states of two cells given."""

    def __init__(self, bins=5, hidden=3):
        super().__init__()
        self.gru1 = nn.GRU(bins, hidden, batch_first=True)
        self.gru2 = nn.GRU(hidden, hidden, batch_first=True)
        self.mask = nn.Linear(hidden, bins)

    def forward(self, spec, h1, h2):
        mag = torch.log1p(spec**2)
        y, h1 = self.gru1(mag, h1.unsqueeze(0))
        y, h2 = self.gru2(y, h2[None])
        mask = torch.clamp(self.mask(y), 0.0, 1.0)
        return spec * mask, h1[0], h2[0]


@case(lambda N, T: (floats(N, 1, T, 6),))
class ConvRecurrent2d(nn.Module):
    """A 2-D convolution over time and frequency, folded into features."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, kernel_size=3, padding=1)
        self.rnn = nn.GRU(18, 4, batch_first=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = x.permute(0, 2, 1, 3).flatten(2)
        x, _ = self.rnn(x)
        return self.fc(x)
