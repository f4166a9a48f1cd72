"""Agents with memory, and other networks over histories."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical

from testing.torch_modules.cases import V, case, floats, ids


@case(lambda N, T: (floats(N, T, 4), (floats(1, N, 5), floats(1, N, 5))))
class DRQN(nn.Module):
    def __init__(self, obs=4, hidden=5, actions=3):
        super().__init__()
        self.fc1 = nn.Linear(obs, 6)
        self.lstm = nn.LSTM(6, hidden, batch_first=True)
        self.fc2 = nn.Linear(hidden, actions)

    def forward(self, x, hidden):
        x = F.relu(self.fc1(x))
        x, new_hidden = self.lstm(x, hidden)
        return self.fc2(x), new_hidden[0], new_hidden[1]


@case(lambda N, T: (floats(N, T, 4), floats(1, N, 5)))
class DuelingGRU(nn.Module):
    def __init__(self, obs=4, hidden=5, actions=3):
        super().__init__()
        self.gru = nn.GRU(obs, hidden, batch_first=True)
        self.adv = nn.Linear(hidden, actions)
        self.val = nn.Linear(hidden, 1)

    def forward(self, x, h):
        x, h = self.gru(x, h)
        adv, val = self.adv(x), self.val(x)
        q = val + adv - adv.mean(-1, keepdim=True)
        return q, q.max(-1)[1], h


@case(lambda N, T: (floats(N, 4), floats(N, 5), floats(N, 1)))
class MaskedPolicy(nn.Module):
    """The state is reset by a mask between episodes."""

    def __init__(self, obs=4, hidden=5, actions=3):
        super().__init__()
        self.base = nn.Sequential(nn.Linear(obs, 6), nn.Tanh())
        self.gru = nn.GRU(6, hidden)
        self.actor = nn.Linear(hidden, actions)
        self.critic_linear = nn.Linear(hidden, 1)

    def forward(self, inputs, rnn_hxs, masks):
        x = self.base(inputs)
        x, hxs = self.gru(x.unsqueeze(0), (rnn_hxs * masks).unsqueeze(0))
        x, hxs = x.squeeze(0), hxs.squeeze(0)
        return self.critic_linear(x), F.softmax(self.actor(x), -1), hxs


@case(lambda N, T: (floats(N, T, 3), floats(N, T, 2)))
class CentralCritic(nn.Module):
    """Observations and actions of a history, two critics, the smaller value."""

    def __init__(self, obs=3, act=2, hidden=4):
        super().__init__()
        self.q1 = nn.LSTM(obs + act, hidden, batch_first=True)
        self.q2 = nn.LSTM(obs + act, hidden, batch_first=True)
        self.head1 = nn.Linear(hidden, 1)
        self.head2 = nn.Linear(hidden, 1)

    def forward(self, obs, act):
        x = torch.cat([obs, act], dim=-1)
        a = self.head1(self.q1(x)[0][:, -1])
        b = self.head2(self.q2(x)[0][:, -1])
        return torch.min(a, b), torch.maximum(a, b)


@case(lambda N, T: (floats(N, T, 4),))
class GaussianPolicy(nn.Module):
    def __init__(self, obs=4, hidden=5, act=2):
        super().__init__()
        self.rnn = nn.GRU(obs, hidden, batch_first=True)
        self.mean = nn.Linear(hidden, act)
        self.log_std = nn.Parameter(torch.full((act,), -0.5))

    def forward(self, x):
        h, _ = self.rnn(x)
        mean = 2.0 * torch.tanh(self.mean(h))
        std = self.log_std.clamp(-20, 2).exp().expand_as(mean)
        return mean, std


@case(lambda N, T: (floats(N, T, 4), floats(N, T, 4)))
class MixtureDensity(nn.Module):
    """A world model: weights, means and deviations of a mixture for each step."""

    def __init__(self, z=4, hidden=5, n=3):
        super().__init__()
        self.z, self.n = z, n
        self.lstm = nn.LSTM(2 * z, hidden, batch_first=True)
        self.pi = nn.Linear(hidden, z * n)
        self.mu = nn.Linear(hidden, z * n)
        self.sigma = nn.Linear(hidden, z * n)

    def forward(self, x, a):
        y, _ = self.lstm(torch.cat((x, a), -1))
        rollout = y.size(1)
        pi = F.softmax(self.pi(y).view(-1, rollout, self.n, self.z), dim=2)
        mu = self.mu(y).view(-1, rollout, self.n, self.z)
        sigma = torch.exp(self.sigma(y)).view(-1, rollout, self.n, self.z)
        return pi, mu, sigma


@case(lambda N, T: (ids(N, T), ids(N, T, vocab=5)), V, 5)
class NeuralFactors(nn.Module):
    """Users' histories against candidates by a product over embeddings."""

    def __init__(self, n_items, n_cats, dim=4):
        super().__init__()
        self.item = nn.Embedding(n_items, dim)
        self.cat = nn.Embedding(n_cats, dim)
        self.gru = nn.GRU(2 * dim, 2 * dim, batch_first=True)
        self.att = nn.Sequential(nn.Linear(8 * dim, 5), nn.PReLU(), nn.Linear(5, 1))

    def forward(self, items, cats):
        x = torch.cat([self.item(items), self.cat(cats)], 2)
        h, _ = self.gru(x)
        target = x[:, -1:].expand(-1, h.size(1), -1)
        a = self.att(torch.cat([target, h, target - h, target * h], dim=2))
        a = a.masked_fill((items == 0).unsqueeze(2), -1e9)
        return (F.softmax(a, 1) * h).sum(1)


@case(lambda N, T: (floats(N, T, 4),), refused="forward")
class SampledAction(nn.Module):
    """Draws at every call."""

    def __init__(self, obs=4, hidden=5, act=3):
        super().__init__()
        self.rnn = nn.GRU(obs, hidden, batch_first=True)
        self.out = nn.Linear(hidden, act)

    def forward(self, x):
        h, _ = self.rnn(x)
        return Categorical(logits=self.out(h[:, -1])).sample()
