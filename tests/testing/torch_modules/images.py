"""Feature maps in front of recurrence: readers of text lines, speech, sound events, films, brain waves."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from testing.torch_modules.cases import case, floats


@case(lambda N, T: (floats(N, 1, 16, 4 * T),))
class SceneTextReader(nn.Module):
    """Whatever is left of the height is averaged away by an adaptive pool."""

    def __init__(self, num_class=6):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, 1, 1),
            nn.ReLU(True),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(4, 5, 3, 1, 1, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(True),
            nn.MaxPool2d((2, 1), (2, 1)),
            nn.Conv2d(5, 6, 2, 1, 0),
            nn.ReLU(True),
        )
        self.columns = nn.AdaptiveAvgPool2d((None, 1))
        self.rnn = nn.LSTM(6, 5, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(10, 5)
        self.head = nn.Linear(5, num_class)

    def forward(self, image):
        visual = self.features(image)
        visual = self.columns(visual.permute(0, 3, 1, 2))
        visual = visual.squeeze(3)
        recurrent, _ = self.rnn(visual)
        return self.head(self.linear(recurrent).contiguous())


@case(lambda N, T: (floats(N, 3, 20, 8 * T),))
class CaptchaColumns(nn.Module):
    """Columns by permute and view, projected before the GRU."""

    def __init__(self, num_chars=6):
        super().__init__()
        self.conv_1 = nn.Conv2d(3, 4, kernel_size=(3, 6), padding=(1, 1))
        self.pool_1 = nn.MaxPool2d(kernel_size=(2, 2))
        self.conv_2 = nn.Conv2d(4, 5, kernel_size=(3, 6), padding=(1, 1))
        self.pool_2 = nn.MaxPool2d(kernel_size=(2, 2))
        self.linear_1 = nn.Linear(25, 6)
        self.drop_1 = nn.Dropout(0.2)
        self.lstm = nn.GRU(6, 4, bidirectional=True, num_layers=2, dropout=0.25, batch_first=True)
        self.output = nn.Linear(8, num_chars + 1)

    def forward(self, images):
        bs, _, _, _ = images.size()
        x = F.relu(self.conv_1(images))
        x = self.pool_1(x)
        x = F.relu(self.conv_2(x))
        x = self.pool_2(x)
        x = x.permute(0, 3, 1, 2)
        x = x.view(bs, x.size(1), -1)
        x = F.relu(self.linear_1(x))
        x = self.drop_1(x)
        x, _ = self.lstm(x)
        x = self.output(x)
        x = x.permute(1, 0, 2)
        return F.log_softmax(x, 2)


class ConvBlock(nn.Module):
    def __init__(self, in_channels, out_channels):
        super(ConvBlock, self).__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, (3, 3), (1, 1), (1, 1), bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, (3, 3), (1, 1), (1, 1), bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, input, pool_size=(2, 2), pool_type="avg"):
        x = F.relu_(self.bn1(self.conv1(input)))
        x = F.relu_(self.bn2(self.conv2(x)))
        if pool_type == "max":
            return F.max_pool2d(x, kernel_size=pool_size)
        if pool_type == "avg":
            return F.avg_pool2d(x, kernel_size=pool_size)
        return F.avg_pool2d(x, kernel_size=pool_size) + F.max_pool2d(x, kernel_size=pool_size)


@case(lambda N, T: (floats(N, 4 * T, 9),))
class TaggedSounds(nn.Module):
    """Mel bins normalised as channels, frequencies averaged away, clip and frame answers."""

    def __init__(self, mel_bins=9, classes_num=3):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(mel_bins)
        self.conv_block1 = ConvBlock(1, 3)
        self.conv_block2 = ConvBlock(3, 4)
        self.conv_block3 = ConvBlock(4, 5)
        self.gru = nn.GRU(5, 4, num_layers=1, bias=True, batch_first=True, bidirectional=True)
        self.fc_audioset = nn.Linear(8, classes_num, bias=True)

    def forward(self, input):
        x = input[:, None]
        x = x.transpose(1, 3)
        x = self.bn0(x)
        x = x.transpose(1, 3)
        x = self.conv_block1(x, pool_size=(2, 2), pool_type="avg+max")
        x = F.dropout(x, p=0.2, training=self.training)
        x = self.conv_block2(x, pool_size=(2, 2), pool_type="avg")
        x = self.conv_block3(x, pool_size=(1, 1), pool_type="max")
        x = torch.mean(x, dim=3)
        x = x.transpose(1, 2)
        (x, _) = self.gru(x)
        framewise = torch.sigmoid(self.fc_audioset(x))
        clipwise, _ = torch.max(framewise, dim=1)
        return framewise, clipwise


class GLU2d(nn.Module):
    def __init__(self, in_dim):
        super().__init__()
        self.sigmoid = nn.Sigmoid()
        self.linear = nn.Linear(in_dim, in_dim)

    def forward(self, x):
        lin = self.linear(x.permute(0, 2, 3, 1))
        lin = lin.permute(0, 3, 1, 2)
        return lin * self.sigmoid(x)


@case(lambda N, T: (floats(N, 1, 2 * T, 8),))
class WeakSoundEvents(nn.Module):
    """Gated linear units over channels, attention over frames."""

    def __init__(self):
        super().__init__()
        cnn = nn.Sequential()
        for i, (n_in, n_out, pool) in enumerate([(1, 3, (2, 2)), (3, 4, (1, 4))]):
            cnn.add_module(f"conv{i}", nn.Conv2d(n_in, n_out, 3, 1, 1))
            cnn.add_module(f"batchnorm{i}", nn.BatchNorm2d(n_out, eps=0.001, momentum=0.99))
            cnn.add_module(f"glu{i}", GLU2d(n_out))
            cnn.add_module(f"pooling{i}", nn.AvgPool2d(pool))
        self.cnn = cnn
        self.rnn = nn.GRU(4, 3, bidirectional=True, batch_first=True, num_layers=2)
        self.dense = nn.Linear(6, 4)
        self.dense_softmax = nn.Linear(6, 4)

    def forward(self, x):
        x = self.cnn(x)
        bs, chan, frames, freq = x.size()
        if freq != 1:
            x = x.permute(0, 2, 1, 3).contiguous().view(bs, frames, chan * freq)
        else:
            x = x.squeeze(-1)
            x = x.permute(0, 2, 1)
        x, _ = self.rnn(x)
        strong = torch.sigmoid(self.dense(x))
        sof = torch.softmax(self.dense_softmax(x), dim=-1)
        sof = torch.clamp(sof, min=1e-7, max=1)
        weak = (strong * sof).sum(1) / sof.sum(1)
        return strong.transpose(1, 2), weak


@case(lambda N, T: (floats(N, T, 3, 14, 12),))
class FilmClassifier(nn.Module):
    """Frames as a larger batch, a residual stack for each, the last step's answer."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.block1 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.block_bn = nn.BatchNorm2d(6)
        self.downsample = nn.Sequential(nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.lstm = nn.LSTM(6, 5, 2, batch_first=True)
        self.fc = nn.Linear(5, num_classes)

    def forward(self, x):
        b, t, c, h, w = x.shape
        y = x.view(b * t, c, h, w)
        y = self.maxpool(F.relu(self.bn1(self.conv1(y))))
        y = F.relu(self.block_bn(self.block1(y)) + self.downsample(y))
        y = torch.flatten(self.avgpool(y), 1)
        out, (h_n, c_n) = self.lstm(y.view(b, t, -1))
        return self.fc(out[:, -1, :])


@case(lambda N, T: (floats(N, 5, 3, 8, 8),))
class FramesInALoop(nn.Module):
    """A convolutional stack called on each frame in a loop, stacked again."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.lstm = nn.LSTM(input_size=36, hidden_size=4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x_3d):
        hidden = None
        cnn_embed_seq = []
        for t in range(x_3d.size(1)):
            cnn_embed_seq.append(self.features(x_3d[:, t, :, :, :]))
        out, hidden = self.lstm(torch.stack(cnn_embed_seq, dim=0), hidden)
        return self.fc(out[-1, :, :])


@case(lambda N, T: (floats(N, 1, 4, 16 * T),))
class BrainWaves(nn.Module):
    """Kernels over time, then grouped over electrodes, then separable; averages of time are the steps."""

    def __init__(self, electrodes=4, classes=3):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 3, (1, 8), padding=(0, 4), bias=False), nn.BatchNorm2d(3))
        self.depth = nn.Sequential(
            nn.Conv2d(3, 6, (electrodes, 1), groups=3, bias=False),
            nn.BatchNorm2d(6),
            nn.ELU(),
            nn.AvgPool2d((1, 4)),
            nn.Dropout(0.25),
        )
        self.separable = nn.Sequential(
            nn.Conv2d(6, 6, (1, 4), padding="same", groups=6, bias=False),
            nn.Conv2d(6, 5, 1, bias=False),
            nn.BatchNorm2d(5),
            nn.ELU(),
            nn.AvgPool2d((1, 2), ceil_mode=True),
            nn.Dropout2d(0.25),
        )
        self.lstm = nn.LSTM(5, 4, batch_first=True)
        self.out = nn.Linear(4, classes)

    def forward(self, x):
        x = self.separable(self.depth(self.first(x)))
        _, (h, _) = self.lstm(x.squeeze(2).transpose(1, 2))
        return self.out(h.squeeze(0))


@case(lambda N, T: (floats(N, 1, 12, 6 * T),))
class MusicTagger(nn.Module):
    """Padded by hand, a norm of frequencies in front, blocks of elu and pools, GRUs over what is left."""

    def __init__(self):
        super().__init__()
        self.bn_freq = nn.BatchNorm2d(12)
        self.convs = nn.ModuleList([nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(4)])
        self.pools = nn.ModuleList([nn.MaxPool2d((2, 2)), nn.MaxPool2d((3, 3), stride=(6, 2))])
        self.gru1 = nn.GRU(4, 5, batch_first=True)
        self.gru2 = nn.GRU(5, 3, batch_first=True)
        self.dense = nn.Linear(3, 4)

    def forward(self, x):
        x = F.pad(x, (2, 1, 0, 0))
        x = self.bn_freq(x.transpose(1, 2)).transpose(1, 2)
        for conv, norm, pool in zip(self.convs, self.norms, self.pools):
            x = F.dropout(pool(F.elu(norm(conv(x)))), 0.1, self.training)
        x = x.permute(0, 3, 1, 2)
        x = torch.reshape(x, (-1, x.size(1), 4))
        x, _ = self.gru1(x)
        x, _ = self.gru2(x)
        return torch.sigmoid(self.dense(x[:, -1, :]))


class InvertedResidual(nn.Module):
    def __init__(self, inp, oup, stride, expand):
        super().__init__()
        hidden = inp * expand
        self.use_res_connect = stride == 1 and inp == oup
        self.conv = nn.Sequential(
            nn.Conv2d(inp, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, oup, 1, bias=False),
            nn.BatchNorm2d(oup),
        )

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


@case(lambda N, T: (floats(N, 3, 16, 2 * T),))
class MobileReader(nn.Module):
    """Inverted residuals with weights for channels; what is left of the height goes into the features."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.Hardswish())
        self.blocks = nn.Sequential(InvertedResidual(4, 4, 1, 2), InvertedResidual(4, 6, (2, 1), 2))
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.excite = nn.Sequential(nn.Conv2d(6, 3, 1), nn.SiLU(), nn.Conv2d(3, 6, 1), nn.Hardsigmoid())
        self.rnn = nn.GRU(24, 4, bidirectional=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        x = x * self.excite(self.squeeze(x))
        x = x.flatten(1, 2).permute(2, 0, 1)
        x, _ = self.rnn(x)
        return self.fc(x)


@case(lambda N, T: (floats(N, 2, 12, 4 * T),), steps=7)
class SeparatedVoice(nn.Module):
    """Down, an LSTM over frames, and up again, joined at each size, a mask for what went in."""

    def __init__(self):
        super().__init__()
        self.down1 = nn.Conv2d(2, 3, 5, stride=2, padding=2)
        self.down2 = nn.Conv2d(3, 4, 4, stride=2, padding=1)
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.lstm = nn.LSTM(12, 6, batch_first=True, bidirectional=True)
        self.up1 = nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(6, 2, 5, stride=2, padding=2, output_padding=1)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, mix):
        a = F.leaky_relu(self.down1(mix), 0.2)
        b = F.leaky_relu(self.norm(self.down2(a)), 0.2)
        n, c, f, t = b.shape
        y, _ = self.lstm(b.permute(0, 3, 1, 2).reshape(n, t, c * f))
        y = y.reshape(n, t, c, f).permute(0, 2, 3, 1)
        y = torch.cat([F.relu(self.up1(y)), a], dim=1)
        y = self.up2(y)
        y = torch.cat([y, F.interpolate(mix[:, :, ::2, ::2], scale_factor=2, mode="nearest")], dim=1)
        return torch.sigmoid(self.out(y)) * mix


@case(lambda N, T: (floats(N, 1, 8 * T),))
class RawSound(nn.Module):
    """Samples strided and dilated in one dimension, made again by transposed convolutions."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 4, 5, stride=2, padding=2),
            nn.GroupNorm(2, 4),
            nn.PReLU(4),
            nn.Conv1d(4, 4, 3, padding=2, dilation=2, groups=4),
            nn.Conv1d(4, 6, 1),
            nn.ReLU(),
            nn.AvgPool1d(3, stride=2, padding=1),
        )
        self.rnn = nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        self.decoder = nn.Sequential(
            nn.ConvTranspose1d(8, 4, 4, stride=2, padding=1),
            nn.Tanh(),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(4, 1, 3, padding=1),
        )

    def forward(self, x):
        z = self.encoder(x)
        y, _ = self.rnn(z.transpose(1, 2))
        return self.decoder(y.transpose(1, 2))


@case(lambda N, T: (floats(N, 1, T + 2, 9, 8),))
class Volumes(nn.Module):
    """Convolutions over time and frame; lips are read from what is left of each step."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv3d(1, 3, (3, 5, 5), (1, 2, 2), (1, 2, 2))
        self.bn = nn.BatchNorm3d(3)
        self.pool1 = nn.MaxPool3d((1, 2, 2), (1, 2, 2))
        self.conv2 = nn.Conv3d(3, 4, 3, 1, (1, 1, 1))
        self.dropout3d = nn.Dropout3d(0.5)
        self.gru1 = nn.GRU(16, 4, 1, bidirectional=True)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool1(self.dropout3d(F.relu(self.bn(self.conv1(x)))))
        x = F.relu(self.conv2(x))
        x = x.permute(2, 0, 1, 3, 4).contiguous()
        x = x.view(x.size(0), x.size(1), -1)
        self.gru1.flatten_parameters()
        x, _ = self.gru1(x)
        x = self.fc(x)
        return x.permute(1, 0, 2).contiguous()


@case(lambda N, T: (floats(N, 3, 12, 12), torch.randint(1, 20, (N, T))))
class Caption(nn.Module):
    """The image is the first step of the sentence."""

    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2),
            nn.Dropout2d(0.1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.AdaptiveMaxPool2d(1),
        )
        self.linear = nn.Linear(4, 5)
        self.bn = nn.BatchNorm1d(5, momentum=0.01)
        self.embed = nn.Embedding(20, 5)
        self.lstm = nn.LSTM(5, 6, batch_first=True)
        self.out = nn.Linear(6, 20)

    def forward(self, images, captions):
        features = self.cnn(images)
        features = self.bn(self.linear(features.reshape(features.size(0), -1)))
        embeddings = torch.cat((features.unsqueeze(1), self.embed(captions)), 1)
        hiddens, _ = self.lstm(embeddings)
        return self.out(hiddens)
