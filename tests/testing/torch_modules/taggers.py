"""Taggers: something for each step."""

from collections import namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import rnn as rnn_utils
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from testing.torch_modules.cases import V, case, floats, ids, lengths, valid

TagOutput = namedtuple("TagOutput", ["logits", "loss", "states"])


@case(lambda N, T: (ids(T),), V, 5, 4, 3)
class PosTagger(nn.Module):
    """One sentence without a batch, as tutorials have it."""

    def __init__(self, vocab_size, embedding_dim, hidden_dim, tagset_size):
        super(PosTagger, self).__init__()
        self.hidden_dim = hidden_dim
        self.word_embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim)
        self.hidden2tag = nn.Linear(hidden_dim, tagset_size)

    def forward(self, sentence):
        embeds = self.word_embeddings(sentence)
        lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
        tag_space = self.hidden2tag(lstm_out.view(len(sentence), -1))
        return F.log_softmax(tag_space, dim=1)


@case(lambda N, T: (ids(N, T), lengths(N, T)), V)
class NerLSTM(nn.Module):
    def __init__(self, vocab, dim=5, hidden=4, tags=6):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(hidden * 2, tags)

    def forward(self, s, lens):
        s = self.embedding(s)
        packed = pack_padded_sequence(s, lens.cpu(), batch_first=True)
        out, _ = self.lstm(packed)
        out, _ = pad_packed_sequence(out, batch_first=True, total_length=s.size(1))
        # every token is a row
        out = out.contiguous().view(-1, out.shape[2])
        out = self.fc(out)
        return F.log_softmax(out, dim=1)


@case(lambda N, T: (ids(N, T), valid(N, T)), V)
class EmissionScores(nn.Module):
    """What a CRF is given."""

    def __init__(self, vocab, dim=5, hidden_dim=8, num_tags=5):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, hidden_dim // 2, num_layers=1, bidirectional=True, batch_first=True)
        self.hidden2tag = nn.Linear(hidden_dim, num_tags)
        self.transitions = nn.Parameter(torch.randn(num_tags, num_tags))

    def forward(self, sentences, mask):
        embeds = self.embedding(sentences)
        lstm_out, _ = self.lstm(embeds)
        emissions = self.hidden2tag(lstm_out)
        return emissions * mask.unsqueeze(-1).float(), self.transitions


@case(lambda N, T: (ids(N, T), ids(N, T, 6)), V, 20)
class CharCNNTagger(nn.Module):
    """A CNN over the characters of each word, a BiLSTM over words."""

    def __init__(self, word_vocab, char_vocab, word_dim=4, char_dim=3, filters=5, hidden=4, tags=3):
        super().__init__()
        self.word_emb = nn.Embedding(word_vocab, word_dim)
        self.char_emb = nn.Embedding(char_vocab, char_dim)
        self.conv = nn.Conv1d(char_dim, filters, kernel_size=3, padding=1)
        self.dropout = nn.Dropout(0.25)
        self.lstm = nn.LSTM(word_dim + filters, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden, tags)

    def forward(self, words, chars):
        bsz, seq_len, word_len = chars.shape
        c = self.dropout(self.char_emb(chars))
        c = c.view(bsz * seq_len, word_len, -1).transpose(1, 2)
        c = self.conv(c)
        c = torch.max(c, dim=2)[0].view(bsz, seq_len, -1)
        x = torch.cat([self.word_emb(words), c], dim=2)
        out, _ = self.lstm(x)
        return self.linear(self.dropout(out))


@case(lambda N, T: (ids(N, T), ids(N * T, 5), lengths(N * T, 5, False)), V, 20)
class CharLSTMTagger(nn.Module):
    def __init__(self, word_vocab, char_vocab, hidden=4):
        super().__init__()
        self.word_emb = nn.Embedding(word_vocab, 4)
        self.char_emb = nn.Embedding(char_vocab, 3)
        self.char_lstm = nn.LSTM(3, 2, bidirectional=True, batch_first=True)
        self.lstm = nn.LSTM(8, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 3)

    def forward(self, words, chars, char_len):
        N, T = words.shape
        c = pack_padded_sequence(self.char_emb(chars), char_len.cpu(), batch_first=True, enforce_sorted=False)
        _, (h, _) = self.char_lstm(c)
        c = h.transpose(0, 1).reshape(N, T, -1)
        y, _ = self.lstm(torch.cat([self.word_emb(words), c], -1))
        return self.out(y)


@case(lambda N, T: (ids(N, T),), V)
class NamedTupleTagger(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.emb = nn.Embedding(vocab, 4)
        self.rnn = nn.RNN(4, 5, nonlinearity="relu", batch_first=True)
        self.proj = nn.Linear(5, 3)

    def forward(self, tokens, labels=None):
        out, h = self.rnn(self.emb(tokens))
        logits = self.proj(out)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.view(-1, 3), labels.view(-1))
        return TagOutput(logits, loss, h)


@case(
    lambda N, T: {"word_ids": ids(N, T), "pos_ids": ids(N, T, vocab=7), "attention_mask": valid(N, T).long()},
    V,
    7,
)
class IntentSlots(nn.Module):
    """Slots for each word and an intent for the sentence; all arguments named."""

    def __init__(self, vocab, n_pos, hidden=4):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab, 4)
        self.pos_embeddings = nn.Embedding(n_pos, 2)
        self.encoder = nn.LSTM(6, hidden, batch_first=True, bidirectional=True)
        self.slot = nn.Linear(4 * hidden, 5)
        self.intent = nn.Linear(2 * hidden, 3)

    def forward(self, word_ids, pos_ids, attention_mask=None):
        x = torch.cat([self.word_embeddings(word_ids), self.pos_embeddings(pos_ids)], -1)
        out, _ = self.encoder(x)
        if attention_mask is not None:
            m = attention_mask.unsqueeze(-1).type_as(out)
            pooled = (out * m).sum(1) / m.sum(1)
        else:
            pooled = out.mean(1)
        expanded = pooled.unsqueeze(1).expand(-1, out.size(1), -1)
        return {"slots": self.slot(torch.cat((out, expanded), -1)), "intent": self.intent(pooled)}


@case(lambda N, T: (ids(N, T), lengths(N, T, False)), V)
class TotalLength(nn.Module):
    """Pads back to the length that came in."""

    def __init__(self, vocab):
        super().__init__()
        self.emb = nn.Embedding(vocab, 4)
        self.rnn = nn.GRU(4, 3, num_layers=2, bidirectional=True, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.out = nn.Linear(6, 4)

    def forward(self, x, lengths):
        total = x.shape[1]
        p = rnn_utils.pack_padded_sequence(self.emb(x), lengths, batch_first=True, enforce_sorted=False)
        y, h = self.rnn(p)
        y, _ = rnn_utils.pad_packed_sequence(y, batch_first=True, total_length=total)
        return self.out(self.norm(y)), h


@case(lambda N, T: (ids(N, T),), V)
class ElmoMix(nn.Module):
    """Layers of forward and backward models, mixed by learned weights."""

    def __init__(self, vocab, dim=4, layers=2):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.forward_lms = nn.ModuleList([nn.LSTM(dim, dim, batch_first=True) for _ in range(layers)])
        self.backward_lms = nn.ModuleList([nn.LSTM(dim, dim, batch_first=True) for _ in range(layers)])
        self.gamma = nn.Parameter(torch.ones(1))
        self.scalars = nn.Parameter(torch.zeros(layers + 1))

    def forward(self, tokens):
        x = self.embed(tokens)
        reps = [torch.cat([x, x], dim=-1)]
        fwd, bwd = x, torch.flip(x, dims=[1])
        for f, b in zip(self.forward_lms, self.backward_lms):
            fwd = f(fwd)[0] + fwd
            bwd = b(bwd)[0] + bwd
            reps.append(torch.cat([fwd, bwd.flip([1])], dim=-1))
        w = F.softmax(self.scalars, dim=0)
        mixed = sum(w[i] * r for i, r in enumerate(reps))
        return self.gamma * mixed


@case(lambda N, T: (ids(N, T),), V)
class StackedResidual(nn.Module):
    def __init__(self, vocab, dim=6, layers=3):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.rnns = nn.ModuleList([nn.LSTM(dim, dim, batch_first=True) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(layers)])
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(dim, 3)

    def forward(self, x):
        x = self.emb(x)
        for rnn, norm in zip(self.rnns, self.norms):
            residual = x
            x, _ = rnn(norm(x))
            x = self.drop(x)
            x += residual
        return self.out(x)


class Highway(nn.Module):
    def __init__(self, size, num_layers, f):
        super(Highway, self).__init__()
        self.num_layers = num_layers
        self.nonlinear = nn.ModuleList([nn.Linear(size, size) for _ in range(num_layers)])
        self.linear = nn.ModuleList([nn.Linear(size, size) for _ in range(num_layers)])
        self.gate = nn.ModuleList([nn.Linear(size, size) for _ in range(num_layers)])
        self.f = f

    def forward(self, x):
        for layer in range(self.num_layers):
            gate = torch.sigmoid(self.gate[layer](x))
            nonlinear = self.f(self.nonlinear[layer](x))
            linear = self.linear[layer](x)
            x = gate * nonlinear + (1 - gate) * linear
        return x


@case(lambda N, T: (ids(N, T),), V)
class HighwayTagger(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.emb = nn.Embedding(vocab, 5)
        self.highway = Highway(5, 2, F.relu)
        self.rnn = nn.GRU(5, 4, bidirectional=True, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.rnn(self.highway(self.emb(x)))[0])


@case(lambda N, T: (floats(N, T, 6),))
class TransformerThenLSTM(nn.Module):
    def __init__(self, d=6, heads=2):
        super().__init__()
        layer = nn.TransformerEncoderLayer(d_model=d, nhead=heads, dim_feedforward=8, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.lstm = nn.LSTM(d, 4, batch_first=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        x = self.encoder(x)
        x, _ = self.lstm(x)
        return self.fc(x)


@case(lambda N, T: (ids(N, T), ~valid(N, T)), V)
class MaskedAttentionTagger(nn.Module):
    """Attention of nn over a BiLSTM with a padding mask, weights out."""

    def __init__(self, vocab, dim=4):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, 3, batch_first=True, bidirectional=True)
        self.attn = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.out = nn.Linear(6, 3)

    def forward(self, x, pad_mask):
        h, _ = self.lstm(self.emb(x))
        a, w = self.attn(h, h, h, key_padding_mask=pad_mask, need_weights=True)
        return self.out(self.norm(h + a)), w


@case(lambda N, T: (floats(N, T, 5),))
class HalvesOfDirections(nn.Module):
    def __init__(self, d=5, h=3):
        super().__init__()
        self.lstm = nn.LSTM(d, h, bidirectional=True, batch_first=True)
        self.gate = nn.Linear(2 * h, 2 * h)
        self.out = nn.Linear(h, 2)

    def forward(self, x):
        y, _ = self.lstm(x)
        fwd, bwd = torch.chunk(y, 2, dim=2)
        g = F.glu(self.gate(y), dim=-1)
        return self.out(fwd * bwd + g), y.view(y.size(0), y.size(1), 2, -1)[:, :, 1]


@case(lambda N, T: (ids(N, T),), V)
class BiaffineScorer(nn.Module):
    """Scores of arcs between all pairs of words."""

    def __init__(self, vocab, dim=5, hidden=4, arc=3):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.dep = nn.Linear(2 * hidden, arc)
        self.head = nn.Linear(2 * hidden, arc)
        self.weight = nn.Parameter(torch.randn(arc + 1, arc))

    def forward(self, words):
        h, _ = self.lstm(self.emb(words))
        dep = F.leaky_relu(self.dep(h), negative_slope=0.1)
        head = F.leaky_relu(self.head(h), negative_slope=0.1)
        dep = torch.cat((dep, torch.ones_like(dep[..., :1])), -1)
        return dep @ self.weight @ head.transpose(-1, -2)


@case(lambda N, T: (ids(N, T),), V)
class SpanScorer(nn.Module):
    """First and last states of neighbouring spans by slices."""

    def __init__(self, vocab):
        super().__init__()
        self.emb = nn.Embedding(vocab, 4)
        self.rnn = nn.GRU(4, 3, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(6, 5), nn.ELU(), nn.Linear(5, 1))

    def forward(self, x):
        h, _ = self.rnn(self.emb(x))
        spans = torch.cat([h[:, :-1], h[:, 1:] - h[:, :-1]], dim=-1)
        return self.ff(spans).squeeze(-1)
