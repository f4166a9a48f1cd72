"""Classifiers of sentences."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from testing.torch_modules.cases import V, case, floats, ids, lengths


@case(lambda N, T: (ids(N, T),), V, 6, 5, 2)
class SentimentLSTM(nn.Module):
    def __init__(self, vocab_size, embedding_dim, hidden_dim, output_dim):
        super(SentimentLSTM, self).__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, num_layers=2, batch_first=True, dropout=0.3)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(hidden_dim, output_dim)

    def forward(self, x):
        embeds = self.embedding(x)
        lstm_out, (hn, cn) = self.lstm(embeds)
        out = self.dropout(hn[-1])
        return self.fc(out)


@case(lambda N, T: (ids(T, N), lengths(N, T)), V, 6, 5, 1, 2, True, 0.5, 1)
@case(lambda N, T: (ids(T, N), lengths(N, T)), V, 6, 5, 3, 1, False, 0.5, 1, name="one_way")
class PackedSentiment(nn.Module):
    def __init__(
        self, vocab_size, embedding_dim, hidden_dim, output_dim, n_layers, bidirectional, dropout, pad_idx
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=pad_idx)
        self.rnn = nn.LSTM(
            embedding_dim, hidden_dim, num_layers=n_layers, bidirectional=bidirectional, dropout=dropout
        )
        self.fc = nn.Linear(hidden_dim * 2 if bidirectional else hidden_dim, output_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text, text_lengths):
        # text = [sent len, batch size]
        embedded = self.dropout(self.embedding(text))
        packed_embedded = nn.utils.rnn.pack_padded_sequence(embedded, text_lengths.to("cpu"))
        packed_output, (hidden, cell) = self.rnn(packed_embedded)
        output, output_lengths = nn.utils.rnn.pad_packed_sequence(packed_output)
        if self.rnn.bidirectional:
            hidden = self.dropout(torch.cat((hidden[-2, :, :], hidden[-1, :, :]), dim=1))
        else:
            hidden = self.dropout(hidden[-1, :, :])
        return self.fc(hidden)


@case(lambda N, T: (ids(N, T), lengths(N, T, ordered=False)), V)
class UnsortedPacked(nn.Module):
    def __init__(self, vocab, emb=5, hid=4, classes=3):
        super().__init__()
        self.emb = nn.Embedding(vocab, emb, padding_idx=0)
        self.gru = nn.GRU(emb, hid, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(2 * hid, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, classes))

    def forward(self, input_ids, lens):
        packed = pack_padded_sequence(self.emb(input_ids), lens.cpu(), batch_first=True, enforce_sorted=False)
        _, h = self.gru(packed)
        h = h.view(1, 2, -1, h.size(-1))[-1]
        h = torch.cat([h[0], h[1]], dim=-1)
        return self.head(h)


@case(lambda N, T: (ids(N, T),), V)
class LastStepBiLSTM(nn.Module):
    def __init__(self, n_words, emb_dim=6, hidden=4, n_out=2):
        super().__init__()
        self.hidden_dim = hidden
        self.encoder = nn.Embedding(n_words, emb_dim)
        self.lstm = nn.LSTM(emb_dim, hidden, bidirectional=True, batch_first=True)
        self.linear1 = nn.Linear(2 * hidden, 5)
        self.linear2 = nn.Linear(5, n_out)

    def forward(self, x):
        x = self.encoder(x)
        x, _ = self.lstm(x)
        forward_out = x[:, -1, : self.hidden_dim]
        backward_out = x[:, 0, self.hidden_dim :]
        both = torch.cat((forward_out, backward_out), 1)
        both = F.relu(self.linear1(both))
        return F.log_softmax(self.linear2(both), dim=1)


@case(lambda N, T: (ids(N, T),), V)
class MeanMaxPool(nn.Module):
    """Concatenates the average and the maximum over time."""

    def __init__(self, max_features, embed_size=6, hidden=4):
        super().__init__()
        self.embedding = nn.Embedding(max_features, embed_size)
        self.embedding.weight.requires_grad = False
        self.lstm = nn.LSTM(embed_size, hidden, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(hidden * 2, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(hidden * 4, 8)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.1)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        h_embedding = self.embedding(x)
        h_embedding = torch.squeeze(torch.unsqueeze(h_embedding, 0))
        h_lstm, _ = self.lstm(h_embedding)
        h_gru, _ = self.gru(h_lstm)
        avg_pool = torch.mean(h_gru, 1)
        max_pool, _ = torch.max(h_gru, 1)
        conc = torch.cat((avg_pool, max_pool), 1)
        conc = self.relu(self.linear(conc))
        conc = self.dropout(conc)
        return self.out(conc)


@case(lambda N, T: (ids(N, T),), V)
class AdaptivePooled(nn.Module):
    def __init__(self, vocab, hidden=5):
        super().__init__()
        self.embed = nn.Embedding(vocab, 4)
        self.rnn = nn.LSTM(4, hidden, 1, batch_first=True)
        self.fc = nn.Linear(2 * hidden, 3)

    def forward(self, x):
        out, _ = self.rnn(self.embed(x))
        feats = out.permute(0, 2, 1)
        a = F.adaptive_avg_pool1d(feats, 1).view(x.size(0), -1)
        b = F.adaptive_max_pool1d(feats, 1).squeeze(2)
        return torch.sigmoid(self.fc(torch.cat([a, b], 1)))


@case(lambda N, T: (ids(N, T, padded=True),), V)
class MaskedMean(nn.Module):
    def __init__(self, vocab, dim=5, hidden=6, labels=4):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.classifier = nn.Linear(hidden, labels)

    def forward(self, ids):
        mask = (ids != 0).float().unsqueeze(-1)
        h, _ = self.lstm(self.emb(ids))
        summed = (h * mask).sum(dim=1)
        counts = mask.sum(dim=1).clamp(min=1e-9)
        return self.classifier(summed / counts)


class Attention(nn.Module):
    def __init__(self, hidden_dim):
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(hidden_dim, 7), nn.ReLU(True), nn.Linear(7, 1))

    def forward(self, encoder_outputs):
        energy = self.projection(encoder_outputs)
        weights = F.softmax(energy.squeeze(-1), dim=1)
        outputs = (encoder_outputs * weights.unsqueeze(-1)).sum(dim=1)
        return outputs, weights


@case(lambda N, T: (ids(N, T),), V)
class AttentionClassifier(nn.Module):
    def __init__(self, vocab, d=5, h=4):
        super().__init__()
        self.embedding = nn.Embedding(vocab, d)
        self.lstm = nn.LSTM(d, h, bidirectional=True, batch_first=True)
        self.attention = Attention(h)
        self.fc = nn.Linear(h, 2)

    def forward(self, x):
        outputs, _ = self.lstm(self.embedding(x))
        # sum the two directions
        outputs = outputs[:, :, : self.lstm.hidden_size] + outputs[:, :, self.lstm.hidden_size :]
        embedding, attn = self.attention(outputs)
        return self.fc(embedding.view(embedding.size(0), -1)), attn


@case(lambda N, T: (ids(T, N),), V)
class FinalStateAttention(nn.Module):
    """Attends from the final state over all steps, written with bmm."""

    def __init__(self, vocab_size, hidden_size=4, embedding_length=6, output_size=2):
        super(FinalStateAttention, self).__init__()
        self.hidden_size = hidden_size
        self.word_embeddings = nn.Embedding(vocab_size, embedding_length)
        self.lstm = nn.LSTM(embedding_length, hidden_size)
        self.label = nn.Linear(hidden_size, output_size)

    def attention_net(self, lstm_output, final_state):
        hidden = final_state.squeeze(0)
        attn_weights = torch.bmm(lstm_output, hidden.unsqueeze(2)).squeeze(2)
        soft_attn_weights = F.softmax(attn_weights, 1)
        return torch.bmm(lstm_output.transpose(1, 2), soft_attn_weights.unsqueeze(2)).squeeze(2)

    def forward(self, input_sentences, batch_size=None):
        input = self.word_embeddings(input_sentences)
        h_0 = torch.zeros(1, input.size(1), self.hidden_size)
        c_0 = torch.zeros(1, input.size(1), self.hidden_size)
        output, (final_hidden_state, final_cell_state) = self.lstm(input, (h_0, c_0))
        output = output.permute(1, 0, 2)
        attn_output = self.attention_net(output, final_hidden_state)
        return self.label(attn_output)


@case(lambda N, T: (ids(N, T),), V)
class SelfAttentive(nn.Module):
    """Several hops of attention over a BiLSTM, flattened."""

    def __init__(self, vocab, emb=5, hid=3, da=4, r=2, classes=3):
        super().__init__()
        self.r = r
        self.emb = nn.Embedding(vocab, emb)
        self.bilstm = nn.LSTM(emb, hid, batch_first=True, bidirectional=True)
        self.W_s1 = nn.Linear(2 * hid, da, bias=False)
        self.W_s2 = nn.Linear(da, r, bias=False)
        self.fc = nn.Linear(r * 2 * hid, 6)
        self.label = nn.Linear(6, classes)

    def attention(self, H):
        A = self.W_s2(torch.tanh(self.W_s1(H)))
        A = A.permute(0, 2, 1)
        return F.softmax(A, dim=2)

    def forward(self, x):
        H, (h_n, c_n) = self.bilstm(self.emb(x))
        A = self.attention(H)
        M = torch.bmm(A, H)
        out = self.fc(M.view(-1, M.size()[1] * M.size()[2]))
        penalty = torch.matmul(A, A.transpose(1, 2)) - torch.eye(self.r)
        return self.label(out), penalty


@case(lambda N, T: (ids(N, T),), V)
@case(lambda N, T: (ids(N, T),), V, name="any_length", pool="max")
class TextCNN(nn.Module):
    def __init__(self, vocab, dim=6, n_filters=4, sizes=(2, 3, 4), pool="length"):
        super().__init__()
        self.pool = pool
        self.embedding = nn.Embedding(vocab, dim)
        self.convs = nn.ModuleList([nn.Conv1d(dim, n_filters, kernel_size=k) for k in sizes])
        self.fc = nn.Linear(len(sizes) * n_filters, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, text):
        embedded = self.embedding(text).permute(0, 2, 1)
        conved = [F.relu(conv(embedded)) for conv in self.convs]
        if self.pool == "max":
            pooled = [c.max(dim=2)[0] for c in conved]
        else:
            pooled = [F.max_pool1d(c, c.shape[2]).squeeze(2) for c in conved]
        return self.fc(self.dropout(torch.cat(pooled, dim=1)))


@case(lambda N, T: (ids(N, T),), V)
class RCNN(nn.Module):
    """Left and right contexts beside the word, a maximum over all."""

    def __init__(self, vocab, dim=5, hidden=4, classes=3):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.W2 = nn.Linear(2 * hidden + dim, 6)
        self.fc = nn.Linear(6, classes)

    def forward(self, x):
        input = self.embed(x)
        output, _ = self.lstm(input)
        final = torch.cat((output, input), 2)
        y = torch.tanh(self.W2(final))
        y = y.permute(0, 2, 1)
        y = F.max_pool1d(y, y.size()[2])
        y = y.squeeze(2)
        return self.fc(y)


@case(lambda N, T: (ids(N, T), lengths(N, T)), V)
class GatherLast(nn.Module):
    """Takes the last valid step of each row."""

    def __init__(self, vocab, dim=5, hidden=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.rnn = nn.GRU(dim, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def forward(self, x, x_len):
        out, _ = self.rnn(self.embed(x))
        idx = (x_len - 1).view(-1, 1).expand(x_len.size(0), out.size(2)).unsqueeze(1)
        last = out.gather(1, idx).squeeze(1)
        return F.softmax(self.out(last), dim=-1)


@case(lambda N, T: (ids(N, T), lengths(N, T)), V)
class IndexLast(nn.Module):
    def __init__(self, vocab, dim=5, hidden=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.rnn = nn.LSTM(dim, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def forward(self, x, x_len):
        out, _ = self.rnn(self.embed(x))
        last = out[torch.arange(out.shape[0]), x_len - 1]
        return self.out(last)


@case(lambda N, T: (ids(N, T), lengths(N, T, ordered=False)), V)
class SortAndBack(nn.Module):
    """Sorts by length, packs, pads back and restores the order."""

    def __init__(self, vocab, dim=5, hidden=4):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.rnn = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, 3)

    def forward(self, tokens, seq_lengths):
        seq_lengths, perm_idx = seq_lengths.sort(0, descending=True)
        tokens = tokens[perm_idx]
        packed = pack_padded_sequence(self.embed(tokens), seq_lengths.cpu().numpy(), batch_first=True)
        packed_out, (ht, ct) = self.rnn(packed)
        out, _ = pad_packed_sequence(packed_out, batch_first=True)
        _, unperm_idx = perm_idx.sort(0)
        out = out[unperm_idx]
        return self.out(out)


@case(lambda N, T: (ids(N, T),), V)
class FlatStates(nn.Module):
    """All final states of all layers, permuted and flattened."""

    def __init__(self, vocab, dim=5, hidden=3, layers=2):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden, layers, bidirectional=True)
        self.fc = nn.Linear(2 * layers * hidden, 2)

    def forward(self, sentences):
        x = self.emb(sentences).permute(1, 0, 2)
        hidden = (
            torch.zeros(4, x.shape[1], 3).to(x.device),
            torch.zeros(4, x.shape[1], 3).to(x.device),
        )
        output, hidden = self.lstm(x, hidden)
        h_n = hidden[0].permute(1, 0, 2)
        h_n = h_n.contiguous().view(h_n.shape[0], -1)
        return self.fc(h_n)


@case(lambda N, T: (ids(N, T), ids(N, T + 1), lengths(N, T, False), lengths(N, T + 1, False)), V)
class Entailment(nn.Module):
    """Premise and hypothesis through one encoder; |u - v| and u * v beside them."""

    def __init__(self, vocab, dim=5, hidden=3, classes=3):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim, padding_idx=0)
        self.encoder = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.mlp = nn.Sequential(
            nn.BatchNorm1d(8 * hidden), nn.Linear(8 * hidden, 6), nn.Tanh(), nn.Linear(6, classes)
        )

    def encode(self, s, s_len):
        p = pack_padded_sequence(self.embedding(s), s_len.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = self.encoder(p)
        out, _ = pad_packed_sequence(out, batch_first=True, padding_value=-1e4)
        return out.max(dim=1).values

    def forward(self, premise, hypothesis, p_len, h_len):
        u, v = self.encode(premise, p_len), self.encode(hypothesis, h_len)
        features = torch.cat((u, v, torch.abs(u - v), u * v), 1)
        return self.mlp(features)


@case(lambda N, T: (ids(N, T), ids(N, T + 2)), V)
@case(lambda N, T: (ids(N, T), ids(N, T + 2)), V, distance="cosine", name="cosine")
@case(lambda N, T: (ids(N, T), ids(N, T + 2)), V, distance="pairwise", name="pairwise")
class SiameseLSTM(nn.Module):
    def __init__(self, vocab, dim=5, hidden=4, distance="manhattan"):
        super().__init__()
        self.distance = distance
        self.embedding = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)

    def forward_once(self, x):
        _, (h, _) = self.lstm(self.embedding(x))
        return h.squeeze(0)

    def forward(self, s1, s2):
        a, b = self.forward_once(s1), self.forward_once(s2)
        if self.distance == "cosine":
            return F.cosine_similarity(a, b, dim=1)
        if self.distance == "pairwise":
            return F.pairwise_distance(a, b)
        return torch.exp(-torch.sum(torch.abs(a - b), dim=1))


@case(lambda N, T: (ids(N, 3, T),), V)
class HierarchicalAttention(nn.Module):
    """Words of sentences, sentences of a document; attention over each."""

    def __init__(self, vocab, dim=5, word_hidden=3, sent_hidden=4, classes=3):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.word_gru = nn.GRU(dim, word_hidden, bidirectional=True, batch_first=True)
        self.word_attn = nn.Linear(2 * word_hidden, 5)
        self.word_ctx = nn.Linear(5, 1, bias=False)
        self.sent_gru = nn.GRU(2 * word_hidden, sent_hidden, bidirectional=True, batch_first=True)
        self.sent_attn = nn.Linear(2 * sent_hidden, 5)
        self.sent_ctx = nn.Parameter(torch.randn(5))
        self.fc = nn.Linear(2 * sent_hidden, classes)

    def forward(self, docs):
        batch, sents, words = docs.size()
        x = self.embed(docs.view(batch * sents, words))
        h, _ = self.word_gru(x)
        u = torch.tanh(self.word_attn(h))
        a = torch.softmax(self.word_ctx(u), dim=1)
        s = (a * h).sum(1).view(batch, sents, -1)
        h, _ = self.sent_gru(s)
        u = torch.tanh(self.sent_attn(h))
        a = torch.softmax(torch.matmul(u, self.sent_ctx), dim=1)
        doc = torch.bmm(a.unsqueeze(1), h).squeeze(1)
        return self.fc(doc)


@case(lambda N, T: (ids(N, T), ids(N, T)), V, V)
class EmbeddingBagMix(nn.Module):
    def __init__(self, vocab, tags, dim=4, hidden=3):
        super().__init__()
        self.bag = nn.EmbeddingBag(tags, dim, mode="mean")
        self.emb = nn.Embedding(vocab, dim)
        self.rnn = nn.GRU(dim, hidden, batch_first=True)
        self.fc = nn.Linear(dim + hidden, 2)

    def forward(self, text, tags):
        _, h = self.rnn(self.emb(text))
        return self.fc(torch.cat([self.bag(tags), h[-1]], dim=1))


@case(lambda N, T: (ids(N, T), floats(N, 4), ids(N, vocab=6)), V, 6)
class WideAndDeepText(nn.Module):
    """Text, numeric columns and one categorical column."""

    def __init__(self, vocab, n_cat, num_features=4):
        super().__init__()
        self.emb = nn.Embedding(vocab, 5)
        self.cat_emb = nn.Embedding(n_cat, 2)
        self.lstm = nn.LSTM(5, 4, batch_first=True)
        self.bn = nn.BatchNorm1d(num_features)
        self.layers = nn.Sequential(
            nn.Linear(4 + 2 + num_features, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1), nn.Flatten(0)
        )

    def forward(self, text, numeric, category):
        _, (h, _) = self.lstm(self.emb(text))
        x = torch.cat([h[-1], self.cat_emb(category), self.bn(numeric)], dim=1)
        return self.layers(x)


@case(lambda N, T: (ids(N, T),), V)
class MultiHeadOutputs(nn.Module):
    """One encoder, several heads, a dict out."""

    def __init__(self, vocab):
        super().__init__()
        self.emb = nn.Embedding(vocab, 5)
        self.rnn = nn.GRU(5, 4, batch_first=True)
        self.heads = nn.ModuleDict({"intent": nn.Linear(4, 3), "emotion": nn.Linear(4, 2)})

    def forward(self, x):
        out, h = self.rnn(self.emb(x))
        pooled = out.mean(dim=1)
        result = {name: head(pooled) for name, head in self.heads.items()}
        result["state"] = h
        return result


@case(lambda N, T: (ids(N, T),), V)
class OneHotGRU(nn.Module):
    """Characters as one hot rows, a name classifier."""

    def __init__(self, n_letters, hidden=5, n_categories=4):
        super().__init__()
        self.n_letters = n_letters
        self.gru = nn.GRU(n_letters, hidden, batch_first=True)
        self.h2o = nn.Linear(hidden, n_categories)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, line):
        one_hot = F.one_hot(line, num_classes=self.n_letters).float()
        _, hidden = self.gru(one_hot)
        output = self.h2o(hidden[0])
        return self.softmax(output)


@case(lambda N, T: (ids(N, T),), V)
class TopKPool(nn.Module):
    """Means of the k largest activations over time."""

    def __init__(self, vocab, k=3):
        super().__init__()
        self.k = k
        self.emb = nn.Embedding(vocab, 4)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.fc = nn.Linear(5, 2)

    def forward(self, x):
        out, _ = self.lstm(self.emb(x))
        top, _ = out.topk(self.k, dim=1)
        return self.fc(top.mean(dim=1))
