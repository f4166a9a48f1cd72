"""Feature maps in front of recurrence: readers of lines, speech, sound events, video, and what they are made of."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from testing.torch_modules.cases import case, floats, lengths


class BidirectionalLSTM(nn.Module):
    def __init__(self, nIn, nHidden, nOut):
        super(BidirectionalLSTM, self).__init__()
        self.rnn = nn.LSTM(nIn, nHidden, bidirectional=True)
        self.embedding = nn.Linear(nHidden * 2, nOut)

    def forward(self, input):
        recurrent, _ = self.rnn(input)
        T, b, h = recurrent.size()
        t_rec = recurrent.view(T * b, h)
        output = self.embedding(t_rec)
        output = output.view(T, b, -1)
        return output


@case(lambda N, T: (floats(N, 1, 16, 4 * T),))
class CRNN(nn.Module):
    """Lines of text: feature maps of one row are a sequence."""

    def __init__(self, imgH=16, nc=1, nclass=7, nh=5, leakyRelu=False):
        super(CRNN, self).__init__()
        ks = [3, 3, 3, 3, 3, 3, 2]
        ps = [1, 1, 1, 1, 1, 1, 0]
        ss = [1, 1, 1, 1, 1, 1, 1]
        nm = [3, 4, 5, 5, 6, 6, 6]
        cnn = nn.Sequential()

        def convRelu(i, batchNormalization=False):
            nIn = nc if i == 0 else nm[i - 1]
            nOut = nm[i]
            cnn.add_module("conv{0}".format(i), nn.Conv2d(nIn, nOut, ks[i], ss[i], ps[i]))
            if batchNormalization:
                cnn.add_module("batchnorm{0}".format(i), nn.BatchNorm2d(nOut))
            if leakyRelu:
                cnn.add_module("relu{0}".format(i), nn.LeakyReLU(0.2, inplace=True))
            else:
                cnn.add_module("relu{0}".format(i), nn.ReLU(True))

        convRelu(0)
        cnn.add_module("pooling{0}".format(0), nn.MaxPool2d(2, 2))
        convRelu(1)
        convRelu(2, True)
        cnn.add_module("pooling{0}".format(1), nn.MaxPool2d((2, 2), (2, 1), (0, 1)))
        convRelu(4 - 1)
        convRelu(4, True)
        cnn.add_module("pooling{0}".format(2), nn.MaxPool2d((2, 2), (2, 1), (0, 1)))
        convRelu(5)
        convRelu(6, True)
        self.cnn = cnn
        self.rnn = nn.Sequential(BidirectionalLSTM(6, nh, nh), BidirectionalLSTM(nh, nh, nclass))

    def forward(self, input):
        conv = self.cnn(input)
        b, c, h, w = conv.size()
        assert h == 1, "the height of conv must be 1"
        conv = conv.squeeze(2)
        conv = conv.permute(2, 0, 1)
        output = self.rnn(conv)
        return output


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


class MaskConv(nn.Module):
    """What lies behind the end of a row is zero after each layer."""

    def __init__(self, seq_module):
        super(MaskConv, self).__init__()
        self.seq_module = seq_module

    def forward(self, x, lengths):
        for module in self.seq_module:
            x = module(x)
            mask = torch.arange(x.size(3), device=x.device)[None, :] >= lengths[:, None]
            x = x.masked_fill(mask[:, None, None, :], 0)
        return x, lengths


@case(lambda N, T: (floats(N, 1, 12, 2 * T + 4), 2 * lengths(N, T) + 4))
class DeepSpeech(nn.Module):
    """Spectrograms, frequencies by steps, with the lengths of the rows."""

    def __init__(self, hidden=4, labels=5):
        super().__init__()
        self.conv = MaskConv(
            nn.Sequential(
                nn.Conv2d(1, 3, kernel_size=(5, 3), stride=(2, 2), padding=(2, 1)),
                nn.BatchNorm2d(3),
                nn.Hardtanh(0, 20, inplace=True),
                nn.Conv2d(3, 2, kernel_size=(3, 3), stride=(2, 1), padding=(1, 1)),
                nn.BatchNorm2d(2),
                nn.Hardtanh(0, 20, inplace=True),
            )
        )
        self.rnn = nn.LSTM(6, hidden, bidirectional=True)
        self.norm = nn.BatchNorm1d(hidden)
        self.fc = nn.Linear(hidden, labels, bias=False)

    def forward(self, x, lengths):
        output_lengths = (lengths + 2 - 3) // 2 + 1
        x, _ = self.conv(x, output_lengths)
        sizes = x.size()
        x = x.view(sizes[0], sizes[1] * sizes[2], sizes[3])
        x = x.transpose(1, 2).transpose(0, 1).contiguous()
        x = nn.utils.rnn.pack_padded_sequence(x, output_lengths.cpu(), enforce_sorted=False)
        x, _ = self.rnn(x)
        x, _ = nn.utils.rnn.pad_packed_sequence(x)
        x = x.view(x.size(0), x.size(1), 2, -1).sum(2).view(x.size(0), x.size(1), -1)
        t, n = x.size(0), x.size(1)
        x = self.norm(x.view(t * n, -1)).view(t, n, -1)
        return self.fc(x).transpose(0, 1), output_lengths


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


class ConvLSTMCell(nn.Module):
    def __init__(self, input_dim, hidden_dim, kernel_size, bias=True):
        super(ConvLSTMCell, self).__init__()
        self.hidden_dim = hidden_dim
        padding = kernel_size[0] // 2, kernel_size[1] // 2
        self.conv = nn.Conv2d(input_dim + hidden_dim, 4 * hidden_dim, kernel_size, padding=padding, bias=bias)

    def forward(self, input_tensor, cur_state):
        h_cur, c_cur = cur_state
        combined = torch.cat([input_tensor, h_cur], dim=1)
        combined_conv = self.conv(combined)
        cc_i, cc_f, cc_o, cc_g = torch.split(combined_conv, self.hidden_dim, dim=1)
        i = torch.sigmoid(cc_i)
        f = torch.sigmoid(cc_f)
        o = torch.sigmoid(cc_o)
        g = torch.tanh(cc_g)
        c_next = f * c_cur + i * g
        h_next = o * torch.tanh(c_next)
        return h_next, c_next

    def init_hidden(self, batch_size, image_size):
        height, width = image_size
        return (
            torch.zeros(batch_size, self.hidden_dim, height, width, device=self.conv.weight.device),
            torch.zeros(batch_size, self.hidden_dim, height, width, device=self.conv.weight.device),
        )


@case(lambda N, T: (floats(N, 3, 2, 6, 5),), steps=3)
class ConvLSTMLoop(nn.Module):
    """A cell that is called once for each frame of a clip of fixed length."""

    def __init__(self):
        super().__init__()
        self.cell = ConvLSTMCell(2, 3, (3, 3))
        self.head = nn.Conv2d(3, 1, 1)

    def forward(self, input_tensor):
        b, _, _, h, w = input_tensor.size()
        hidden, cell = self.cell.init_hidden(b, (h, w))
        output_inner = []
        for t in range(input_tensor.size(1)):
            hidden, cell = self.cell(input_tensor[:, t, :, :, :], [hidden, cell])
            output_inner.append(hidden)
        layer_output = torch.stack(output_inner, dim=1)
        return torch.sigmoid(self.head(hidden)), layer_output


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
