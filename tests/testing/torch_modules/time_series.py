"""Forecasts, sensors and autoencoders."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from testing.torch_modules.cases import case, floats

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@case(lambda N, T: (floats(N, T, 1),), 1, 4, 2, 1)
class StockLSTM(nn.Module):
    def __init__(self, input_dim, hidden_dim, num_layers, output_dim):
        super(StockLSTM, self).__init__()
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.lstm = nn.LSTM(input_dim, hidden_dim, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_dim, output_dim)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_dim).requires_grad_()
        c0 = torch.zeros(self.num_layers, x.size(0), self.hidden_dim).requires_grad_()
        out, (hn, cn) = self.lstm(x, (h0.detach(), c0.detach()))
        out = self.fc(out[:, -1, :])
        return out


@case(lambda N, T: (floats(N, T, 3),), 3, 5, 2, 4)
class DigitRows(nn.Module):
    """Rows of an image as steps."""

    def __init__(self, input_size, hidden_size, num_layers, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(hidden_size * 2, num_classes)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers * 2, x.size(0), self.hidden_size).to(device)
        c0 = torch.zeros(self.num_layers * 2, x.size(0), self.hidden_size).to(device)
        out, _ = self.lstm(x, (h0, c0))
        out = self.fc(out[:, -1, :])
        return out


@case(lambda N, T: (floats(N, 1, 8, 6),), steps=8)
class ImageRows(nn.Module):
    """An image of one channel, squeezed to steps."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(6, 5, 1, batch_first=True)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        out, _ = self.rnn(x.squeeze(1), None)
        return self.fc(out[:, -1])


@case(lambda N, T: (floats(N, T),))
class Univariate(nn.Module):
    """Numbers without features; squeezed at the end."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(input_size=1, hidden_size=4, num_layers=1, batch_first=True)
        self.linear = nn.Linear(4, 1)

    def forward(self, x):
        x, _ = self.lstm(x.unsqueeze(-1))
        x = self.linear(x)
        return x[:, -1, :].squeeze(-1)


@case(lambda N, T: (floats(T),))
class LongSequence(nn.Module):
    """One long row, viewed as steps of a batch of one."""

    def __init__(self, input_size=1, hidden_layer_size=4, output_size=1):
        super().__init__()
        self.hidden_layer_size = hidden_layer_size
        self.lstm = nn.LSTM(input_size, hidden_layer_size)
        self.linear = nn.Linear(hidden_layer_size, output_size)

    def forward(self, input_seq):
        lstm_out, _ = self.lstm(input_seq.view(len(input_seq), 1, -1))
        predictions = self.linear(lstm_out.view(len(input_seq), -1))
        return predictions[-1]


@case(lambda N, T: (floats(N, T, 3),), 3, 4)
class LSTMAutoencoder(nn.Module):
    """The last state, repeated for every step, decoded."""

    def __init__(self, n_features, embedding_dim):
        super().__init__()
        self.enc1 = nn.LSTM(n_features, 2 * embedding_dim, batch_first=True)
        self.enc2 = nn.LSTM(2 * embedding_dim, embedding_dim, batch_first=True)
        self.dec1 = nn.LSTM(embedding_dim, embedding_dim, batch_first=True)
        self.dec2 = nn.LSTM(embedding_dim, 2 * embedding_dim, batch_first=True)
        self.output_layer = nn.Linear(2 * embedding_dim, n_features)

    def forward(self, x):
        seq_len = x.shape[1]
        x, _ = self.enc1(x)
        _, (hidden_n, _) = self.enc2(x)
        x = hidden_n.permute(1, 0, 2).repeat(1, seq_len, 1)
        x, _ = self.dec1(x)
        x, _ = self.dec2(x)
        return self.output_layer(x)


@case(lambda N, T: (floats(N, T, 3),))
class RecurrentVAE(nn.Module):
    """Means alone in eval mode."""

    def __init__(self, d=3, hidden=5, latent=2):
        super().__init__()
        self.encoder = nn.GRU(d, hidden, batch_first=True)
        self.mu = nn.Linear(hidden, latent)
        self.logvar = nn.Linear(hidden, latent)
        self.expand = nn.Linear(latent, hidden)
        self.decoder = nn.GRU(d, hidden, batch_first=True)
        self.out = nn.Linear(hidden, d)

    def reparameterize(self, mu, logvar):
        if self.training:
            std = torch.exp(0.5 * logvar)
            return mu + torch.randn_like(std) * std
        return mu

    def forward(self, x):
        _, h = self.encoder(x)
        mu, logvar = self.mu(h[-1]), self.logvar(h[-1])
        z = self.reparameterize(mu, logvar)
        shifted = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        y, _ = self.decoder(shifted, torch.tanh(self.expand(z)).unsqueeze(0))
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)
        return self.out(y), mu, logvar, kl


@case(lambda N, T: (floats(N, T + 4, 3),))
class CNNLSTM(nn.Module):
    """Sensors: convolutions with batch norm and pooling before an LSTM."""

    def __init__(self, n_features=3, filters=4, hidden=5, n_classes=4):
        super().__init__()
        self.conv1 = nn.Conv1d(n_features, filters, kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm1d(filters)
        self.conv2 = nn.Conv1d(filters, filters, kernel_size=3, stride=1, padding="same")
        self.pool = nn.MaxPool1d(2)
        self.lstm = nn.LSTM(filters, hidden, num_layers=2, batch_first=True, dropout=0.2)
        self.fc = nn.Linear(hidden, n_classes)

    def forward(self, x):
        x = x.permute(0, 2, 1)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.permute(0, 2, 1)
        x, (h, c) = self.lstm(x)
        return self.fc(x[:, -1])


@case(lambda N, T: (floats(N, 3, T + 8),))
class DeepConvLSTM(nn.Module):
    """Channels first in, no padding, states of every window."""

    def __init__(self, channels=3, classes=4):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(channels, 5, 5), nn.ReLU(inplace=True), nn.Conv1d(5, 6, 3), nn.ReLU(inplace=True)
        )
        self.lstm1 = nn.LSTM(6, 4)
        self.lstm2 = nn.LSTM(4, 4)
        self.fc = nn.Linear(4, classes)
        self.dropout = nn.Dropout()

    def forward(self, x):
        x = self.features(x)
        x = x.permute(2, 0, 1)
        x = self.dropout(x)
        x, _ = self.lstm1(x)
        x, _ = self.lstm2(x)
        x = x[-1]
        return torch.sigmoid(self.fc(x))


@case(lambda N, T: (floats(N, T, 4),))
class Seq2SeqForecast(nn.Module):
    """A horizon of a few steps, each from the one before, by cells."""

    def __init__(self, d=4, hidden=5, horizon=3):
        super().__init__()
        self.horizon = horizon
        self.encoder = nn.LSTM(d, hidden, batch_first=True)
        self.cell = nn.LSTMCell(d, hidden)
        self.out = nn.Linear(hidden, d)

    def forward(self, x):
        _, (h, c) = self.encoder(x)
        h, c = h.squeeze(0), c.squeeze(0)
        step, outputs = x[:, -1], []
        for _ in range(self.horizon):
            h, c = self.cell(step, (h, c))
            step = self.out(h) + step
            outputs.append(step.unsqueeze(1))
        return torch.cat(outputs, dim=1)


@case(lambda N, T: (floats(N, T, 4),))
class TemporalAttention(nn.Module):
    """Scaled dot products of the last step with all steps."""

    def __init__(self, d=4, hidden=6):
        super().__init__()
        self.gru = nn.GRU(d, hidden, 2, batch_first=True, dropout=0.1)
        self.q, self.k, self.v = (nn.Linear(hidden, hidden) for _ in range(3))
        self.head = nn.Sequential(nn.Linear(hidden * 2, 6), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 1))

    def forward(self, x):
        out, _ = self.gru(x)
        last = out[:, -1:]
        w = self.q(last) @ self.k(out).transpose(-2, -1) / math.sqrt(out.size(-1))
        ctx = (w.softmax(dim=-1) @ self.v(out)).squeeze(1)
        return self.head(torch.cat((ctx, last.squeeze(1)), dim=-1)).squeeze()


@case(lambda N, T: (floats(N, T, 3), floats(N, 2)))
class StaticCovariates(nn.Module):
    """What does not change is repeated beside each step."""

    def __init__(self, d=3, static=2, hidden=4):
        super().__init__()
        self.static = nn.Linear(static, hidden)
        self.lstm = nn.LSTM(d + hidden, hidden, batch_first=True)
        self.mean = nn.Linear(hidden, 1)
        self.scale = nn.Linear(hidden, 1)

    def forward(self, x, s):
        level = x.abs().mean(dim=1, keepdim=True) + 1e-6
        s = F.elu(self.static(s))[:, None, :].repeat(1, x.shape[1], 1)
        h, _ = self.lstm(torch.cat([x / level, s], dim=2))
        mu = self.mean(h) * level[..., :1]
        sigma = F.softplus(self.scale(h)) + 1e-6
        return mu.squeeze(-1), sigma.squeeze(-1)


@case(lambda N, T: (floats(N, T, 3),))
class InstanceNormalised(nn.Module):
    """Each row is standardised over time, and the forecast brought back."""

    def __init__(self, d=3, hidden=4):
        super().__init__()
        self.rnn = nn.GRU(d, hidden, batch_first=True)
        self.out = nn.Linear(hidden, d)

    def forward(self, x):
        mean = x.mean(1, keepdim=True).detach()
        x = x - mean
        std = torch.sqrt(torch.var(x, dim=1, keepdim=True, unbiased=False) + 1e-5)
        x /= std
        y, _ = self.rnn(x)
        return self.out(y[:, -1:, :]) * std + mean


@case(lambda N, T: (floats(N, T + 2, 2),))
class TemporalBlocks(nn.Module):
    """Causal dilated convolutions, chopped, before a GRU."""

    def __init__(self, d=2, ch=4):
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.utils.weight_norm(nn.Conv1d(d if i == 0 else ch, ch, 2, padding=2**i, dilation=2**i))
                for i in range(2)
            ]
        )
        self.gru = nn.GRU(ch, 3, batch_first=True)
        self.fc = nn.Linear(3, 1)

    def forward(self, x):
        y = x.transpose(1, 2)
        for i, conv in enumerate(self.convs):
            y = torch.relu(conv(y)[:, :, : -(2**i)].contiguous())
        y, _ = self.gru(y.transpose(1, 2))
        return self.fc(y[:, -1])


@case(lambda N, T: (floats(N, 6, 2),), steps=6)
class FlattenedSteps(nn.Module):
    """All steps of a window of a fixed length go to one dense layer."""

    def __init__(self, window=6, d=2, hidden=3):
        super().__init__()
        self.lstm = nn.LSTM(d, hidden, batch_first=True)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(window * hidden, 2)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(self.flatten(out))
