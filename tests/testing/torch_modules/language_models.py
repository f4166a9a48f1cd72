"""Language models and recommenders: states in and out, tied weights, time first."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable

from testing.torch_modules.cases import V, case, floats, ids


@case(lambda N, T: (ids(T, N), (floats(2, N, 6), floats(2, N, 6))), "LSTM", V, 6, 6, 2, 0.5, True)
@case(lambda N, T: (ids(T, N), floats(2, N, 6)), "GRU", V, 6, 6, 2, 0.5, False, name="gru")
@case(lambda N, T: (ids(T, N), floats(1, N, 6)), "RNN_TANH", V, 5, 6, 1, name="rnn")
class RNNModel(nn.Module):
    """Embedding, layers, projection back to words."""

    def __init__(self, rnn_type, ntoken, ninp, nhid, nlayers, dropout=0.5, tie_weights=False):
        super(RNNModel, self).__init__()
        self.ntoken = ntoken
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        if rnn_type in ["LSTM", "GRU"]:
            self.rnn = getattr(nn, rnn_type)(ninp, nhid, nlayers, dropout=dropout)
        else:
            nonlinearity = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}[rnn_type]
            self.rnn = nn.RNN(ninp, nhid, nlayers, nonlinearity=nonlinearity, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        if tie_weights:
            if nhid != ninp:
                raise ValueError("tied weights need nhid == ninp")
            self.decoder.weight = self.encoder.weight
        self.init_weights()
        self.rnn_type = rnn_type
        self.nhid = nhid
        self.nlayers = nlayers

    def init_weights(self):
        initrange = 0.8
        nn.init.uniform_(self.encoder.weight, -initrange, initrange)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, input, hidden):
        emb = self.drop(self.encoder(input))
        output, hidden = self.rnn(emb, hidden)
        output = self.drop(output)
        decoded = self.decoder(output)
        decoded = decoded.view(-1, self.ntoken)
        return F.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        return weight.new_zeros(self.nlayers, bsz, self.nhid)


@case(lambda N, T: (ids(N, T), (floats(1, N, 4), floats(1, N, 4))), V)
class CharRNN(nn.Module):
    """Hidden state in and out, rows of all steps."""

    def __init__(self, n_chars, n_hidden=4, n_layers=1):
        super().__init__()
        self.n_hidden = n_hidden
        self.n_chars = n_chars
        self.lstm = nn.LSTM(n_chars, n_hidden, n_layers, batch_first=True)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(n_hidden, n_chars)

    def forward(self, x, hidden):
        x = F.one_hot(x, self.n_chars).to(torch.float32)
        r_output, hidden = self.lstm(x, hidden)
        out = self.dropout(r_output)
        out = out.contiguous().view(-1, self.n_hidden)
        out = self.fc(out)
        return out, hidden


@case(lambda N, T: (ids(N, T),), V)
@case(lambda N, T: {"x": ids(N, T), "hidden": (floats(2, N, 4), floats(2, N, 4))}, V, name="with_state")
class OptionalState(nn.Module):
    """Zeros where no state is given, from a method of its own."""

    def __init__(self, vocab, hidden_size=4, num_layers=2):
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.embedding = nn.Embedding(vocab, 5)
        self.lstm = nn.LSTM(5, hidden_size, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_size, vocab)

    def init_hidden(self, batch_size):
        weight = next(self.parameters()).data
        return (
            weight.new(self.num_layers, batch_size, self.hidden_size).zero_(),
            weight.new(self.num_layers, batch_size, self.hidden_size).zero_(),
        )

    def forward(self, x, hidden=None):
        if hidden is None:
            hidden = self.init_hidden(x.size(0))
        hidden = tuple([each.data for each in hidden])
        out, hidden = self.lstm(self.embedding(x), hidden)
        return self.fc(out[:, -1]), hidden


@case(lambda N, T: (ids(N, T),), V)
class VariableState(nn.Module):
    """Old style: Variables around zeros."""

    def __init__(self, vocab, nhid=4):
        super(VariableState, self).__init__()
        self.nhid = nhid
        self.nlayers = 1
        self.embed = nn.Embedding(vocab, 5)
        self.rnn = nn.GRU(5, nhid, self.nlayers, batch_first=True)
        self.out = nn.Linear(nhid, 3)

    def init_hidden(self, batch_size):
        return Variable(torch.zeros(self.nlayers, batch_size, self.nhid))

    def forward(self, x):
        h0 = self.init_hidden(x.size(0))
        output, hn = self.rnn(self.embed(x), h0)
        rearranged = hn.view(hn.size(1), hn.size(2))
        return F.softmax(self.out(rearranged), 1)


@case(lambda N, T: (ids(N, T), floats(1, N, 5)), V)
class GRU4Rec(nn.Module):
    """Next item of a session, scored against all items."""

    def __init__(self, n_items, hidden=5, dim=4):
        super().__init__()
        self.item_embedding = nn.Embedding(n_items, dim, padding_idx=0)
        self.emb_dropout = nn.Dropout(0.25)
        self.gru = nn.GRU(dim, hidden, bias=False, batch_first=True)
        self.dense = nn.Linear(hidden, dim)

    def forward(self, item_seq, hidden):
        emb = self.emb_dropout(self.item_embedding(item_seq))
        out, hidden = self.gru(emb, hidden)
        seq_output = self.dense(out)[:, -1]
        scores = torch.matmul(seq_output, self.item_embedding.weight.transpose(0, 1))
        return scores, hidden


@case(lambda N, T: (ids(N, T), ids(N, T, vocab=2)), V // 2)
class DeepKnowledgeTracing(nn.Module):
    """Answers right and wrong as ids; a chance of the next one by its question."""

    def __init__(self, n_questions, dim=4, hidden=5):
        super().__init__()
        self.n = n_questions
        self.emb = nn.Embedding(2 * n_questions, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.out = nn.Linear(hidden, n_questions)

    def forward(self, q, r):
        q = q % self.n
        x = q + self.n * r
        h, _ = self.lstm(self.emb(x))
        y = torch.sigmoid(self.out(h))
        y_next = (y[:, :-1] * F.one_hot(q[:, 1:], self.n)).sum(-1)
        return y, y_next


@case(lambda N, T: (ids(N, T),), V)
class TiedProjected(nn.Module):
    """An LSTM with a projection, tied through a transposed table."""

    def __init__(self, vocab, dim=4):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.rnn = nn.LSTM(dim, 6, num_layers=2, proj_size=dim, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(vocab))

    def forward(self, x):
        h, _ = self.rnn(self.emb(x))
        return F.linear(h, self.emb.weight, self.bias)


@case(lambda N, T: (ids(T, N),), V)
class AWDStyle(nn.Module):
    """One layer after the other, each with its own hidden size, all outputs returned."""

    def __init__(self, ntoken, ninp=5, nhid=7, nlayers=3):
        super().__init__()
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnns = [
            nn.LSTM(ninp if l == 0 else nhid, nhid if l != nlayers - 1 else ninp) for l in range(nlayers)
        ]
        self.rnns = nn.ModuleList(self.rnns)
        self.decoder = nn.Linear(ninp, ntoken)
        self.decoder.weight = self.encoder.weight
        self.nlayers, self.ninp, self.nhid = nlayers, ninp, nhid

    def init_hidden(self, bsz):
        weight = next(self.parameters())
        sizes = [self.nhid if l != self.nlayers - 1 else self.ninp for l in range(self.nlayers)]
        return [(weight.new_zeros(1, bsz, size), weight.new_zeros(1, bsz, size)) for size in sizes]

    def forward(self, input, return_h=True):
        hidden = self.init_hidden(input.size(1))
        raw_output = self.encoder(input)
        new_hidden, raw_outputs = [], []
        for l, rnn in enumerate(self.rnns):
            raw_output, new_h = rnn(raw_output, hidden[l])
            new_hidden.append(new_h)
            raw_outputs.append(raw_output)
        result = raw_output.view(raw_output.size(0) * raw_output.size(1), raw_output.size(2))
        result = self.decoder(result).view(input.size(0), input.size(1), -1)
        if return_h:
            return result, new_hidden, raw_outputs
        return result, new_hidden


@case(lambda N, T: (ids(N, T),), V, steps=6)
class SessionPositions(nn.Module):
    """Learned positions of a session of a fixed length, added."""

    def __init__(self, n_items, max_len=6, dim=4):
        super().__init__()
        self.items = nn.Embedding(n_items, dim)
        self.positions = nn.Embedding(max_len, dim)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.norm = nn.LayerNorm(dim, eps=1e-8)

    def forward(self, x):
        batch, steps = x.shape
        pos = torch.arange(steps, dtype=torch.long, device=x.device).unsqueeze(0).expand_as(x)
        h = self.items(x) * (self.items.embedding_dim**0.5) + self.positions(pos)
        h, _ = self.gru(self.norm(h))
        return h @ self.items.weight.t()


@case(lambda N, T: (ids(N, T), (ids(N), ids(N, 4))), V)
class SampledScores(nn.Module):
    """Scores of one positive and several negative items."""

    def __init__(self, n_items, dim=4):
        super().__init__()
        self.items = nn.Embedding(n_items, dim, padding_idx=0)
        self.gru = nn.GRU(dim, dim, batch_first=True)

    def forward(self, seq, targets):
        pos, neg = targets
        _, h = self.gru(self.items(seq))
        user = h.squeeze(0)
        p = (user * self.items(pos)).sum(-1)
        n = torch.bmm(self.items(neg), user.unsqueeze(-1)).squeeze(-1)
        return -F.logsigmoid(p.unsqueeze(1) - n).mean(1), p, n
