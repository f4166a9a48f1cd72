"""Encoders, decoders and attention between them."""

import math
import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from testing.torch_modules.cases import V, case, floats, ids, lengths, valid


@case(lambda N, T: (ids(T, N),), V, 5, 4, 2, 0.5)
class Encoder(nn.Module):
    def __init__(self, input_dim, emb_dim, hid_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.LSTM(emb_dim, hid_dim, n_layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, src):
        embedded = self.dropout(self.embedding(src))
        outputs, (hidden, cell) = self.rnn(embedded)
        return hidden, cell


@case(lambda N, T: (ids(N), floats(2, N, 4), floats(2, N, 4)), V, 5, 4, 2, 0.5)
class Decoder(nn.Module):
    """One step, states in and out."""

    def __init__(self, output_dim, emb_dim, hid_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(output_dim, emb_dim)
        self.rnn = nn.LSTM(emb_dim, hid_dim, n_layers, dropout=dropout)
        self.fc_out = nn.Linear(hid_dim, output_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input, hidden, cell):
        input = input.unsqueeze(0)
        embedded = self.dropout(self.embedding(input))
        output, (hidden, cell) = self.rnn(embedded, (hidden, cell))
        prediction = self.fc_out(output.squeeze(0))
        return prediction, hidden, cell


@case(lambda N, T: (ids(T, N), lengths(N, T)), V)
class PackedBiEncoder(nn.Module):
    """The final states of both directions make the first state of a decoder."""

    def __init__(self, vocab, emb=5, enc=4, dec=3):
        super().__init__()
        self.embedding = nn.Embedding(vocab, emb)
        self.rnn = nn.GRU(emb, enc, bidirectional=True)
        self.fc = nn.Linear(enc * 2, dec)

    def forward(self, src, src_len):
        embedded = self.embedding(src)
        packed = pack_padded_sequence(embedded, src_len.to("cpu"))
        packed_outputs, hidden = self.rnn(packed)
        outputs, _ = pad_packed_sequence(packed_outputs)
        hidden = torch.tanh(self.fc(torch.cat((hidden[-2, :, :], hidden[-1, :, :]), dim=1)))
        return outputs, hidden


class AdditiveAttention(nn.Module):
    def __init__(self, enc_dim, dec_dim):
        super().__init__()
        self.attn = nn.Linear(enc_dim + dec_dim, dec_dim)
        self.v = nn.Linear(dec_dim, 1, bias=False)

    def forward(self, hidden, encoder_outputs, mask):
        src_len = encoder_outputs.shape[0]
        hidden = hidden.unsqueeze(1).repeat(1, src_len, 1)
        encoder_outputs = encoder_outputs.permute(1, 0, 2)
        energy = torch.tanh(self.attn(torch.cat((hidden, encoder_outputs), dim=2)))
        attention = self.v(energy).squeeze(2)
        attention = attention.masked_fill(mask == 0, -1e10)
        return F.softmax(attention, dim=1)


@case(lambda N, T: (ids(N), floats(N, 3), floats(T, N, 4), valid(N, T).long()), V)
class BahdanauDecoder(nn.Module):
    def __init__(self, output_dim, emb_dim=5, enc_dim=4, dec_dim=3):
        super().__init__()
        self.attention = AdditiveAttention(enc_dim, dec_dim)
        self.embedding = nn.Embedding(output_dim, emb_dim)
        self.rnn = nn.GRU(enc_dim + emb_dim, dec_dim)
        self.fc_out = nn.Linear(enc_dim + dec_dim + emb_dim, output_dim)
        self.dropout = nn.Dropout(0.5)

    def forward(self, input, hidden, encoder_outputs, mask):
        input = input.unsqueeze(0)
        embedded = self.dropout(self.embedding(input))
        a = self.attention(hidden, encoder_outputs, mask)
        a = a.unsqueeze(1)
        encoder_outputs = encoder_outputs.permute(1, 0, 2)
        weighted = torch.bmm(a, encoder_outputs)
        weighted = weighted.permute(1, 0, 2)
        rnn_input = torch.cat((embedded, weighted), dim=2)
        output, hidden = self.rnn(rnn_input, hidden.unsqueeze(0))
        embedded = embedded.squeeze(0)
        output = output.squeeze(0)
        weighted = weighted.squeeze(0)
        prediction = self.fc_out(torch.cat((output, weighted, embedded), dim=1))
        return prediction, hidden.squeeze(0), a.squeeze(1)


class Attn(nn.Module):
    def __init__(self, method, hidden_size):
        super(Attn, self).__init__()
        self.method = method
        if method == "general":
            self.attn = nn.Linear(hidden_size, hidden_size)
        elif method == "concat":
            self.attn = nn.Linear(hidden_size * 2, hidden_size)
            self.v = nn.Parameter(torch.rand(hidden_size))

    def score(self, hidden, encoder_output):
        if self.method == "dot":
            return torch.sum(hidden * encoder_output, dim=2)
        if self.method == "general":
            return torch.sum(hidden * self.attn(encoder_output), dim=2)
        both = torch.cat((hidden.expand(encoder_output.size(0), -1, -1), encoder_output), 2)
        return torch.sum(self.v * self.attn(both).tanh(), dim=2)

    def forward(self, hidden, encoder_outputs):
        attn_energies = self.score(hidden, encoder_outputs).t()
        return F.softmax(attn_energies, dim=1).unsqueeze(1)


def luong_inputs(N, T):
    return ids(1, N), floats(1, N, 4), floats(T, N, 4)


@case(luong_inputs, "dot", V, name="dot")
@case(luong_inputs, "general", V, name="general")
@case(luong_inputs, "concat", V, name="concat")
class LuongDecoder(nn.Module):
    def __init__(self, attn_model, output_size, hidden_size=4, dropout=0.1):
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.embedding_dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(hidden_size, hidden_size)
        self.concat = nn.Linear(hidden_size * 2, hidden_size)
        self.out = nn.Linear(hidden_size, output_size)
        self.attn = Attn(attn_model, hidden_size)

    def forward(self, input_step, last_hidden, encoder_outputs):
        embedded = self.embedding_dropout(self.embedding(input_step))
        rnn_output, hidden = self.gru(embedded, last_hidden)
        attn_weights = self.attn(rnn_output, encoder_outputs)
        context = attn_weights.bmm(encoder_outputs.transpose(0, 1))
        rnn_output = rnn_output.squeeze(0)
        context = context.squeeze(1)
        concat_output = torch.tanh(self.concat(torch.cat((rnn_output, context), 1)))
        output = F.softmax(self.out(concat_output), dim=1)
        return output, hidden


@case(lambda N, T: (ids(N, T), ids(N, T + 2)), V)
class TeacherForced(nn.Module):
    """The decoder sees the whole target at once."""

    def __init__(self, vocab, dim=5, hidden=4):
        super().__init__()
        self.src_embed = nn.Embedding(vocab, dim)
        self.tgt_embed = nn.Embedding(vocab, dim)
        self.encoder = nn.LSTM(dim, hidden, num_layers=2, batch_first=True)
        self.decoder = nn.LSTM(dim, hidden, num_layers=2, batch_first=True)
        self.generator = nn.Linear(hidden, vocab)

    def forward(self, src, tgt):
        _, state = self.encoder(self.src_embed(src))
        out, _ = self.decoder(self.tgt_embed(tgt), state)
        return self.generator(out)


@case(lambda N, T: (ids(N, T, padded=True), ids(N, T)), V)
class GlobalAttention(nn.Module):
    """All steps of the decoder attend at once; padding of the source is hidden by minus infinity."""

    def __init__(self, vocab, dim=5, hidden=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim, padding_idx=0)
        self.encoder = nn.GRU(dim, hidden, batch_first=True)
        self.decoder = nn.GRU(dim, hidden, batch_first=True)
        self.linear_in = nn.Linear(hidden, hidden, bias=False)
        self.linear_out = nn.Linear(2 * hidden, hidden, bias=False)
        self.scale = math.sqrt(hidden)

    def forward(self, src, tgt):
        memory, h = self.encoder(self.embed(src))
        query, _ = self.decoder(self.embed(tgt), h)
        scores = torch.matmul(self.linear_in(query), memory.transpose(1, 2)) / self.scale
        scores.masked_fill_(src.eq(0).unsqueeze(1), -float("inf"))
        align = torch.softmax(scores, -1)
        context = torch.einsum("bts,bsh->bth", align, memory)
        return torch.tanh(self.linear_out(torch.cat([context, query], 2))), align


@case(lambda N, T: (ids(N, T), ids(N, T)), V, steps=4)
class AttentionLoop(nn.Module):
    """Teacher forced, a step at a time in Python."""

    def __init__(self, vocab, dim=4, hidden=3):
        super().__init__()
        self.hidden = hidden
        self.embed = nn.Embedding(vocab, dim)
        self.encoder = nn.LSTM(dim, hidden, batch_first=True)
        self.cell = nn.LSTMCell(dim + hidden, hidden)
        self.out = nn.Linear(hidden * 2, vocab)

    def forward(self, src, trg):
        memory, (h, c) = self.encoder(self.embed(src))
        h, c = h[0], c[0]
        outputs = torch.zeros(trg.size(0), trg.size(1), self.out.out_features)
        context = memory.new_zeros(trg.size(0), self.hidden)
        for t in range(trg.size(1)):
            h, c = self.cell(torch.cat([self.embed(trg[:, t]), context], dim=1), (h, c))
            weights = F.softmax(torch.bmm(memory, h.unsqueeze(-1)), dim=1)
            context = (weights * memory).sum(1)
            outputs[:, t] = self.out(torch.cat([h, context], 1))
        return outputs


@case(lambda N, T: (floats(N, T, 3),))
class PointerNetwork(nn.Module):
    """Points from each step of the decoder into the input."""

    def __init__(self, d=3, hidden=4):
        super().__init__()
        self.encoder = nn.LSTM(d, hidden, batch_first=True)
        self.decoder = nn.LSTM(d, hidden, batch_first=True)
        self.W1 = nn.Linear(hidden, hidden, bias=False)
        self.W2 = nn.Linear(hidden, hidden, bias=False)
        self.vt = nn.Linear(hidden, 1, bias=False)

    def forward(self, x):
        enc, state = self.encoder(x)
        dec, _ = self.decoder(x, state)
        u = self.vt(torch.tanh(self.W1(enc).unsqueeze(1) + self.W2(dec).unsqueeze(2))).squeeze(-1)
        return F.log_softmax(u, dim=-1)


@case(lambda N, T: (ids(N, T), ids(N, T + 1), ids(N, 3)), V)
class MemoryNetwork(nn.Module):
    """Attention of a question over a story, several hops."""

    def __init__(self, vocab, dim=4, hops=2):
        super().__init__()
        self.hops = hops
        self.embed = nn.Embedding(vocab, dim, padding_idx=0)
        self.story_gru = nn.GRU(dim, dim, batch_first=True)
        self.question_gru = nn.GRU(dim, dim, batch_first=True)
        self.answer = nn.Linear(2 * dim, vocab)

    def forward(self, story, question, choices):
        m, _ = self.story_gru(self.embed(story))
        _, q = self.question_gru(self.embed(question))
        u = q[-1]
        for _ in range(self.hops):
            p = torch.softmax(torch.sum(m * u.unsqueeze(1).expand_as(m), 2), -1)
            o = torch.sum(m * p.unsqueeze(-1).expand_as(m), 1)
            u = u + o
        c = self.embed(choices).mean(1)
        return self.answer(torch.cat((u, c), -1))


@case(lambda N, T: (ids(N, T), lengths(N, T, False), ids(N, T), lengths(N, T, False)), V)
class DualEncoder(nn.Module):
    """Context and response of a dialogue, scored by a bilinear form."""

    def __init__(self, vocab, dim=4, hidden=3):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.M = nn.Parameter(torch.randn(hidden, hidden))
        self.bilinear = nn.Bilinear(hidden, hidden, 2)

    def encode(self, x, n):
        packed = pack_padded_sequence(self.embed(x), n.cpu(), batch_first=True, enforce_sorted=False)
        return self.lstm(packed)[1][0].squeeze(0)

    def forward(self, context: Tensor, context_len: Tensor, response: Tensor, response_len: Tensor):
        c, r = self.encode(context, context_len), self.encode(response, response_len)
        score = torch.sum(torch.mm(c, self.M) * r, dim=1)
        return torch.sigmoid(score), self.bilinear(c, r)


@case(lambda N, T: (floats(N, 5, 4, 6), ids(N, T)), V)
class CaptionDecoder(nn.Module):
    """Features of an image as the first word, then the caption."""

    def __init__(self, vocab, embed_size=6, hidden_size=5):
        super().__init__()
        self.embed = nn.Embedding(vocab, embed_size)
        self.lstm = nn.LSTM(embed_size, hidden_size, batch_first=True)
        self.linear = nn.Linear(hidden_size, vocab)

    def forward(self, features, captions):
        features = features.flatten(1, 2).mean(1)
        embeddings = self.embed(captions[:, :-1])
        embeddings = torch.cat((features.unsqueeze(1), embeddings), 1)
        hiddens, _ = self.lstm(embeddings)
        return self.linear(hiddens)


@case(lambda N, T: (ids(T, N), ids(T, N)), V, refused="forward")
class GreedySeq2Seq(nn.Module):
    """Its own prediction is the next word."""

    def __init__(self, vocab, dim=4, hidden=3):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.encoder = nn.GRU(dim, hidden)
        self.decoder = nn.GRU(dim, hidden)
        self.out = nn.Linear(hidden, vocab)

    def forward(self, src, trg, teacher_forcing_ratio=0.5):
        _, hidden = self.encoder(self.embedding(src))
        input, outputs = trg[0], []
        for t in range(1, trg.shape[0]):
            output, hidden = self.decoder(self.embedding(input).unsqueeze(0), hidden)
            output = self.out(output.squeeze(0))
            outputs.append(output)
            teacher_force = random.random() < teacher_forcing_ratio
            input = trg[t] if teacher_force else output.argmax(1)
        return torch.stack(outputs)


@case(lambda N, T: (ids(N, T),), V, refused="forward")
class StopAtEnd(nn.Module):
    """Goes on until the end sign comes."""

    def __init__(self, vocab):
        super().__init__()
        self.embedding = nn.Embedding(vocab, 4)
        self.encoder = nn.GRU(4, 4, batch_first=True)
        self.cell = nn.GRUCell(4, 4)
        self.out = nn.Linear(4, vocab)

    def forward(self, src):
        _, h = self.encoder(self.embedding(src))
        h, words = h[0], []
        token = src[:, 0]
        for _ in range(5):
            h = self.cell(self.embedding(token), h)
            token = self.out(h).argmax(-1)
            if (token == 2).all():
                break
            words.append(token)
        return torch.stack(words, 1)
