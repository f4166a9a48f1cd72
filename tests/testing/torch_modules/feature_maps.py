"""Feature maps in front of recurrence: readers of lines, speech, sound events, video, and what they are made of."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from testing.torch_modules.cases import case, floats, lengths


class Projected(nn.Module):
    """A layer both ways, and a linear one over the steps of all rows as one batch."""

    def __init__(self, features, hidden, out):
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, bidirectional=True)
        self.linear = nn.Linear(2 * hidden, out)

    def forward(self, steps):
        both, _ = self.lstm(steps)
        T, N, width = both.shape
        return self.linear(both.reshape(T * N, width)).view(T, N, -1)


STAGES = (
    # channels, kernel, padding, normalised, what is pooled behind it
    (3, 3, 1, False, ((2, 2), (2, 2), 0)),
    (4, 3, 1, False, None),
    (5, 3, 1, True, ((2, 2), (2, 1), (0, 1))),
    (5, 3, 1, False, None),
    (6, 3, 1, True, ((2, 2), (2, 1), (0, 1))),
    (6, 3, 1, False, None),
    (6, 2, 0, True, None),
)


@case(lambda N, T: (floats(N, 1, 16, 4 * T),))
class CRNN(nn.Module):
    """Lines of text: maps are pooled until one row is left, whose columns are a sequence."""

    def __init__(self, colours=1, classes=7, hidden=5):
        super().__init__()
        maps, before = [], colours
        for channels, kernel, padding, normalised, pool in STAGES:
            maps.append(nn.Conv2d(before, channels, kernel, padding=padding))
            maps += [nn.BatchNorm2d(channels)] if normalised else []
            maps.append(nn.ReLU(inplace=True))
            maps += [] if pool is None else [nn.MaxPool2d(*pool)]
            before = channels
        self.maps = nn.Sequential(*maps)
        self.reading = nn.Sequential(Projected(before, hidden, hidden), Projected(hidden, hidden, classes))

    def forward(self, picture):
        maps = self.maps(picture)
        assert maps.shape[2] == 1
        return self.reading(maps.squeeze(2).permute(2, 0, 1))


@case(lambda N, T: (floats(N, 3, 12, 3 * T),))
class CaptchaReader(nn.Module):
    """An adaptive pool leaves one row, whatever the height is."""

    def __init__(self, classes=6):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, (3, 5), padding="same"), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d((2, 1)),
            nn.Conv2d(4, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5), nn.SiLU(), nn.Dropout2d(0.2),
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d((1, None))
        self.gru = nn.GRU(5, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(8, classes)

    def forward(self, images):
        x = self.features(images)
        x = self.pool(x).squeeze(2).permute(0, 2, 1)
        x, _ = self.gru(x)
        return F.log_softmax(self.head(x), dim=2)


@case(lambda N, T: (floats(N, 1, 2 * T + 3, 8),))
class ColumnsAsFeatures(nn.Module):
    """Rows are steps, and channels and columns together the features of each."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 3, 3, stride=(1, 2), padding=1)
        self.pool = nn.MaxPool2d(2)
        self.linear = nn.Linear(6, 5)
        self.lstm = nn.LSTM(5, 4, batch_first=True, bidirectional=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        bs = x.size(0)
        x = F.relu(self.conv1(x))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.permute(0, 2, 1, 3)
        x = x.contiguous().view(bs, x.size(1), -1)
        x = F.relu(self.linear(x))
        x, _ = self.lstm(x)
        return self.out(x).permute(1, 0, 2)


class ZeroBehind(nn.Module):
    """Layers, after each of which what lies behind the end of a row is zero."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x, ends):
        for layer in self.layers:
            x = layer(x)
            behind = torch.arange(x.size(-1), device=x.device) >= ends.unsqueeze(1)
            x = x.masked_fill(behind.view(x.size(0), 1, 1, -1), 0)
        return x


@case(lambda N, T: (floats(N, 1, 12, 2 * T + 4), 2 * lengths(N, T) + 4))
class DeepSpeech(nn.Module):
    """Spectrograms, frequencies by steps, with the lengths of the rows."""

    def __init__(self, hidden=4, labels=5):
        super().__init__()
        self.maps = ZeroBehind(
            nn.Conv2d(1, 3, kernel_size=(5, 3), stride=(2, 2), padding=(2, 1)),
            nn.BatchNorm2d(3),
            nn.Hardtanh(0, 20, inplace=True),
            nn.Conv2d(3, 2, kernel_size=(3, 3), stride=(2, 1), padding=(1, 1)),
            nn.BatchNorm2d(2),
            nn.Hardtanh(0, 20, inplace=True),
        )
        self.rnn = nn.LSTM(6, hidden, bidirectional=True)
        self.norm = nn.BatchNorm1d(hidden)
        self.fc = nn.Linear(hidden, labels, bias=False)

    def forward(self, x, lengths):
        ends = (lengths + 2 - 3) // 2 + 1
        maps = self.maps(x, ends)
        N, C, F_, T = maps.shape
        steps = maps.view(N, C * F_, T).permute(2, 0, 1).contiguous()
        packed = nn.utils.rnn.pack_padded_sequence(steps, ends.cpu(), enforce_sorted=False)
        both, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0])
        summed = both.view(both.size(0), N, 2, -1).sum(dim=2)
        flat = self.norm(summed.view(-1, summed.size(2)))
        x = flat.view_as(summed)
        return self.fc(x).transpose(0, 1), ends


@case(lambda N, T: (floats(N, 2, T + 6, 12),))
class SoundEvents(nn.Module):
    """Frames by mel bands of two microphones; pools along the bands alone."""

    def __init__(self, filters=4, classes=3):
        super().__init__()
        self.blocks = nn.ModuleList()
        for number, width in enumerate((3, 2)):
            block = nn.Sequential(
                nn.Conv2d(2 if number == 0 else filters, filters, 3, padding=1),
                nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d((1, width)), nn.Dropout(0.3),
            )  # fmt: skip
            self.blocks.append(block)
        self.gru = nn.GRU(2 * filters, 5, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(10, classes)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        x = x.transpose(1, 2).contiguous().view(x.shape[0], x.shape[2], -1)
        x, _ = self.gru(x)
        x = torch.tanh(x[:, :, x.shape[-1] // 2 :]) * x[:, :, : x.shape[-1] // 2].sigmoid() + 0 * x.mean()
        x = torch.cat([x, x], -1)
        return torch.sigmoid(self.fc(x)), torch.sigmoid(self.fc(x)).max(1)[0]


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Backbone(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(width, width), BasicBlock(width, width))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 2 * width))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2 * width, 4)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.fc(x)


@case(lambda N, T: (floats(N, T, 3, 16, 20),))
class LRCN(nn.Module):
    """Every frame of a video is a row of the convolutions."""

    def __init__(self, classes=3):
        super().__init__()
        self.cnn = Backbone()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.fc = nn.Linear(5, classes)

    def forward(self, x):
        b, t, c, h, w = x.shape
        features = self.cnn(x.view(b * t, c, h, w)).view(b, t, -1)
        out, _ = self.lstm(features)
        return self.fc(out[:, -1])


@case(lambda N, T: (floats(N, 4, 3, 9, 9),), name="", steps=4)
class FrameLoop(nn.Module):
    """The frames of a clip one by one."""

    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True), nn.Flatten(),
            nn.Linear(64, 5),
        )  # fmt: skip
        self.rnn = nn.GRU(5, 4)

    def forward(self, clip):
        frames = []
        for t in range(clip.size(1)):
            frames.append(self.cnn(clip[:, t, :, :, :]))
        out, h = self.rnn(torch.stack(frames, dim=0))
        return h[-1]


@case(lambda N, T: (floats(N, 1, 4, 8 * T),))
class EEGNet(nn.Module):
    """Electrodes by samples: along time, across all electrodes, and each feature by itself."""

    def __init__(self, channels=4, classes=2):
        super().__init__()
        self.temporal = nn.Sequential(nn.Conv2d(1, 4, (1, 9), padding=(0, 4), bias=False), nn.BatchNorm2d(4))
        self.spatial = nn.Sequential(
            nn.Conv2d(4, 8, (channels, 1), groups=4, bias=False), nn.BatchNorm2d(8), nn.ELU(),
            nn.AvgPool2d((1, 4)), nn.Dropout(0.25),
        )  # fmt: skip
        self.separable = nn.Sequential(
            nn.Conv2d(8, 8, (1, 4), padding=(0, 2), groups=8, bias=False), nn.Conv2d(8, 6, 1, bias=False),
            nn.BatchNorm2d(6), nn.ELU(), nn.AvgPool2d((1, 2)),
        )  # fmt: skip
        self.lstm = nn.LSTM(6, 3, batch_first=True)
        self.fc = nn.Linear(3, classes)

    def forward(self, x):
        x = self.separable(self.spatial(self.temporal(x)))
        x = x[:, :, 0, :].permute(0, 2, 1)
        _, (h, _) = self.lstm(x)
        return self.fc(h.squeeze(0))


class FrameCell(nn.Module):
    """One convolution of frame and state for the four gates."""

    def __init__(self, channels, hidden):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, 3, padding=1)

    def forward(self, frame, h, c):
        i, f, o, g = self.gates(torch.cat((frame, h), 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


@case(lambda N, T: (floats(N, 3, 2, 6, 5),), steps=3)
class ConvLSTMLoop(nn.Module):
    """Cells of which each is called once for each frame of a clip of fixed length."""

    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([FrameCell(2, 3), FrameCell(3, 4)])
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, clip):
        frames = clip.unbind(1)
        for cell in self.cells:
            h = c = clip.new_zeros(clip.size(0), cell.hidden, *clip.shape[3:])
            outputs = []
            for frame in frames:
                h, c = cell(frame, h, c)
                outputs.append(h)
            frames = outputs
        return torch.sigmoid(self.head(frames[-1])), torch.stack(frames, dim=1)


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.GroupNorm(2, out_channels), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x):
        return self.double_conv(x)


@case(lambda N, T: (floats(N, 1, 8, 4 * T),))
class UNet(nn.Module):
    """Down by pools, up by a transposed convolution and by interpolation, side by side with what came before."""

    def __init__(self):
        super().__init__()
        self.inc, self.down1, self.down2 = DoubleConv(1, 2), DoubleConv(2, 4), DoubleConv(4, 4)
        self.up1, self.up2 = (
            nn.ConvTranspose2d(4, 4, 2, stride=2),
            nn.Upsample(scale_factor=2, mode="bilinear"),
        )
        self.conv1, self.conv2 = DoubleConv(8, 4), DoubleConv(6, 2)
        self.outc = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(F.max_pool2d(x1, 2))
        x3 = self.down2(F.max_pool2d(x2, 2))
        x = self.conv1(torch.cat([x2, self.up1(x3)], dim=1))
        x = self.conv2(torch.cat([x1, self.up2(x)], dim=1))
        return F.softmax(self.outc(x), dim=1)


class Separable(nn.Module):
    def __init__(self, cin, cout, k, dilation=1):
        super().__init__()
        pad = (k - 1) * dilation // 2
        self.depthwise = nn.Conv1d(cin, cin, k, padding=pad, dilation=dilation, groups=cin, bias=False)
        self.pointwise = nn.Conv1d(cin, cout, 1, bias=False)
        self.bn = nn.BatchNorm1d(cout, eps=1e-3)

    def forward(self, x):
        return self.bn(self.pointwise(self.depthwise(x)))


@case(lambda N, T: (floats(N, 4, T + 4), lengths(N, T) + 4))
class QuartzNet(nn.Module):
    """Separable blocks with a way around them and squeeze and excitation, and rows of their lengths."""

    def __init__(self, mels=4, width=6, classes=5):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(mels, width, 3, stride=2, padding=1), nn.ReLU())
        self.block = nn.ModuleList([Separable(width, width, 5), Separable(width, width, 5, dilation=2)])
        self.skip = nn.Sequential(nn.Conv1d(width, width, 1, bias=False), nn.BatchNorm1d(width))
        self.squeeze = nn.Sequential(nn.Linear(width, 3), nn.ReLU(), nn.Linear(3, width), nn.Sigmoid())
        self.head = nn.Conv1d(width, classes, 1)

    def forward(self, audio, lengths):
        x = self.stem(audio)
        lens = (lengths + 1) // 2
        mask = torch.arange(x.size(-1), device=x.device).expand(len(lens), -1) < lens.unsqueeze(1)
        residual = self.skip(x)
        for number, conv in enumerate(self.block):
            x = conv(x * mask.unsqueeze(1))
            if number + 1 < len(self.block):
                x = F.relu(x)
        x = x * self.squeeze(x.mean(dim=-1)).unsqueeze(-1)
        x = F.relu(x + residual)
        return F.log_softmax(self.head(x).transpose(1, 2), dim=-1)


@case(lambda N, T: (floats(N, 3, 8, 2 * T),))
class MobileLines(nn.Module):
    """An inverted bottleneck whose features are weighed, and layer scale."""

    def __init__(self, classes=4):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))
        self.stem = nn.Conv2d(3, 4, 3, stride=(2, 1), padding=1)
        self.expand, self.norm = nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, padding_mode="replicate")
        self.se1, self.se2 = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.project, self.layer_norm = nn.Conv2d(8, 4, 1), nn.LayerNorm(4)
        self.gamma = nn.Parameter(0.1 * torch.ones(4, 1, 1))
        self.prelu = nn.PReLU(4)
        self.gru = nn.GRU(16, 3)
        self.fc = nn.Linear(3, classes)

    def forward(self, x):
        x = (x - self.mean) / self.std
        x = self.stem(x)
        y = self.norm(self.expand(x))
        y = y * torch.sigmoid(y)
        y = F.hardswish(self.depthwise(y))
        s = F.adaptive_avg_pool2d(y, 1)
        y = y * F.hardsigmoid(self.se2(F.relu(self.se1(s))))
        y = self.layer_norm(self.project(y).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.prelu(x + self.gamma * y)
        x = x.flatten(1, 2).permute(2, 0, 1)
        out, _ = self.gru(x)
        return self.fc(out).log_softmax(2)


@case(lambda N, T: (floats(N, 2, 6, 10, 11),))
class VideoVolumes(nn.Module):
    """Convolutions over frames, rows and columns, flattened for a layer."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(2, 3, 3, padding=1), nn.BatchNorm3d(3)
        self.pool1 = nn.MaxPool3d((1, 2, 2), stride=(1, 2, 2))
        self.conv2 = nn.Conv3d(3, 4, (3, 3, 3), stride=(1, 2, 2), padding=(1, 0, 1))
        self.norm = nn.InstanceNorm3d(4, affine=True)
        self.pool2 = nn.AdaptiveMaxPool3d((2, 1, 2))
        self.fc1, self.fc2 = nn.Linear(16, 5), nn.Linear(5, 2)

    def forward(self, x):
        x = self.pool1(F.leaky_relu(self.bn1(self.conv1(x)), 0.1))
        x = self.pool2(F.relu(self.norm(self.conv2(x))))
        x = x.view(-1, 16)
        return self.fc2(torch.relu(self.fc1(x)))


@case(lambda N, T: (floats(N, 1, 5, T + 8),))
class TextSpotter(nn.Module):
    """Feature maps of several heights are read row by row, and pools count what is padded."""

    def __init__(self):
        super().__init__()
        self.pad = nn.ZeroPad2d((2, 1, 0, 1))
        self.conv = nn.Conv2d(1, 4, (2, 4))
        self.avg = nn.AvgPool2d(3, stride=(2, 1), padding=1)
        self.rnn = nn.RNN(12, 4, batch_first=True)
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        x = torch.relu(self.conv(self.pad(x)))
        x = self.avg(x)
        B, C, H, W = x.shape
        x = x.permute(3, 0, 1, 2).reshape(W, B, C * H).transpose(0, 1)
        y, _ = self.rnn(x)
        return self.norm(y).mean(1)
