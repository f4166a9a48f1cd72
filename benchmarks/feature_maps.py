"""Feature maps in front of recurrence: ONNX against tf2onnx and Keras, written torch against torch by hand.

python benchmarks/feature_maps.py                 readers of captchas and of lines, a film classifier
python benchmarks/feature_maps.py --models captcha --batches 1,32 --threads 2
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import tensorflow
import torch  # before tensorflow
from keras import Input, Model, Sequential, layers
from torch import Tensor, nn

import export
import keras_side
import torch_side
from biport.app.measure import machine, take_turns
from biport.tables import markdown_table

Contestant: TypeAlias = Callable[[np.ndarray], object]
NAMES = ("ONNX", "tf2onnx", "written", "by hand", "keras")


def captcha() -> Any:
    """200 by 50 grey pixels, two convolutions, two BiLSTMs over 50 columns."""
    image = Input((200, 50, 1), name="image")
    x = layers.Conv2D(32, 3, activation="relu", padding="same")(image)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, activation="relu", padding="same")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Dense(64, activation="relu")(layers.Reshape((50, 768))(x))
    x = layers.Bidirectional(layers.LSTM(128, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(64, return_sequences=True))(x)
    return Model(image, layers.Dense(20, activation="softmax")(x))


class Captcha(nn.Module):
    """The same as a person writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.dense = nn.Linear(768, 64)
        self.lstm1 = nn.LSTM(64, 128, batch_first=True, bidirectional=True)
        self.lstm2 = nn.LSTM(256, 64, batch_first=True, bidirectional=True)
        self.out = nn.Linear(128, 20)

    def forward(self, image: Tensor) -> Tensor:
        x = self.cnn(image.permute(0, 3, 1, 2))
        x = x.permute(0, 2, 3, 1).flatten(2)
        x, _ = self.lstm1(torch.relu(self.dense(x)))
        x, _ = self.lstm2(x)
        return self.out(x).softmax(-1)


def lines() -> Any:
    """Lines of text, 32 high and of any width: norms behind convolutions, pools of the height alone."""
    x = image = Input((32, None, 1), name="line")
    for size, pool in ((32, (2, 2)), (64, (2, 2)), (128, (2, 1)), (128, (2, 1))):
        x = layers.Conv2D(size, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D(pool)(x)
    x = layers.TimeDistributed(layers.Flatten())(layers.Permute((2, 1, 3))(x))
    x = layers.Bidirectional(layers.LSTM(128, return_sequences=True))(x)
    return Model(image, layers.Dense(80, activation="softmax")(x))


class Lines(nn.Module):
    """The same as a person writes it."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        before = 1
        for size, pool in ((32, (2, 2)), (64, (2, 2)), (128, (2, 1)), (128, (2, 1))):
            parts += [nn.Conv2d(before, size, 3, padding=1, bias=False), nn.BatchNorm2d(size, eps=1e-3)]
            parts += [nn.ReLU(), nn.MaxPool2d(pool)]
            before = size
        self.cnn = nn.Sequential(*parts)
        self.lstm = nn.LSTM(256, 128, batch_first=True, bidirectional=True)
        self.out = nn.Linear(256, 80)

    def forward(self, image: Tensor) -> Tensor:
        x = self.cnn(image.permute(0, 3, 1, 2))
        x, _ = self.lstm(x.permute(0, 3, 2, 1).flatten(2))
        return self.out(x).softmax(-1)


def film() -> Any:
    """16 frames of 32 by 32 pixels through one ConvLSTM, its last map classified."""
    parts = [
        layers.ConvLSTM2D(16, 3, padding="same"),
        layers.MaxPooling2D(4),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]
    return Sequential([Input((16, 32, 32, 3)), *parts])


class Film(nn.Module):
    """The same as a person writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Conv2d(3 + 16, 4 * 16, 3, padding=1)
        self.out = nn.Linear(16 * 8 * 8, 10)

    def forward(self, frames: Tensor) -> Tensor:
        frames = frames.permute(1, 0, 4, 2, 3)
        h = c = frames.new_zeros(frames.size(1), 16, *frames.shape[3:])
        for x in frames:
            i, f, g, o = self.cell(torch.cat([x, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        y = nn.functional.max_pool2d(h, 4)
        return self.out(y.permute(0, 2, 3, 1).flatten(1)).softmax(-1)


MODELS: dict[str, tuple[Callable[[], Any], type[nn.Module], tuple[int, ...]]] = {
    "captcha": (captcha, Captcha, (200, 50, 1)),
    "lines": (lines, Lines, (32, 256, 1)),
    "film": (film, Film, (16, 32, 32, 3)),
}
"""By name the Keras model, the same by hand, and the shape of a row."""


def contestants(name: str, threads: int, folder: Path) -> dict[str, Contestant]:
    """By name a function from images to what a contestant computes of them."""
    build, by_hand, _ = MODELS[name]
    model = build()
    graph = keras_side.read(model)
    export.write(graph, folder / "biport.onnx")
    export.write_tf2onnx(model, folder / "tf2onnx.onnx")
    sessions = [export.Session(folder / f"{who}.onnx", "cpu", threads) for who in ("biport", "tf2onnx")]
    modules = [torch_side.write(graph).eval(), by_hand().eval()]
    runs: list[Contestant] = [
        *(lambda images, session=session: session.run([images]) for session in sessions),
        *(lambda images, module=module: module(torch.from_numpy(images)) for module in modules),
        lambda images: model.predict(images, batch_size=len(images), verbose=0),
    ]
    return dict(zip(NAMES, runs, strict=True))


def measured(runs: Mapping[str, Contestant], images: np.ndarray, seconds: float) -> Iterator[str]:
    """Milliseconds of all contestants, then how many times as long as what they are held against."""
    turns = {name: lambda run=run: run(images) for name, run in runs.items()}
    times = take_turns(turns, seconds=seconds)
    yield from (f"{times.median(name):.2f}" for name in NAMES)
    yield times.ratios("tf2onnx", "ONNX")
    yield times.ratios("keras", "ONNX")
    yield times.ratios("written", "by hand")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--batches", default="1,8", help="N, ...")
    parser.add_argument("--threads", type=int, default=1, help="of every contestant")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each row")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    tensorflow.config.threading.set_intra_op_parallelism_threads(given.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(given.threads)
    rng = np.random.default_rng(0)
    print(machine("onnxruntime", "tf2onnx", "torch", "keras", "tensorflow"))
    print(f"{given.threads} threads; ms, then ratios\n")
    heads = ["", *NAMES, "tf2onnx / ONNX", "keras / ONNX", "written / by hand"]
    print(markdown_table([heads], "<>"), flush=True)
    for name in given.models.split(","):
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            runs = contestants(name, given.threads, Path(folder))
            for N in map(int, given.batches.split(",")):
                images = rng.normal(size=(N, *MODELS[name][2])).astype("float32")
                print(
                    "| " + " | ".join([f"{name} N{N}", *measured(runs, images, given.seconds)]) + " |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
