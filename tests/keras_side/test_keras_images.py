"""Pictures as Keras and TensorFlow read them, number by number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from biport.data.images import ImageInput, ImageSettings
from biport.graph import Value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    smooth = rng.uniform(0, 255, (5, 7, 3)).repeat(8, axis=0).repeat(8, axis=1)
    pixels = np.clip(smooth + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels).save(folder / "a.jpg", quality=90)
    Image.fromarray(pixels).quantize(32).save(folder / "p.png")
    return folder


def given(path: Path, shape: tuple[int, ...], **settings: Any) -> np.ndarray:
    value = Value("x", ("N", *shape), "float32")
    return ImageInput.of(value, ImageSettings(**{"scale": 1, **settings})).read(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "p.png"])
@pytest.mark.parametrize(("mode", "channels"), [("grayscale", 1), ("rgb", 3)])
def test_load_img(name: str, mode: str, channels: int, folder: Path) -> None:
    for size in ((40, 56), (20, 56), (61, 17)):
        for filter in ("nearest", "bilinear", "bicubic"):
            loaded = keras.utils.load_img(
                folder / name, color_mode=mode, target_size=size, interpolation=filter
            )
            own = given(folder / name, (*size, channels), resize=f"pil-{filter}", layout="HWC")
            assert np.array_equal(own, keras.utils.img_to_array(loaded))


@pytest.mark.parametrize("size", [(40, 56), (20, 56), (61, 17), (90, 100)])
def test_resize_of_tensorflow(size: tuple[int, int], folder: Path) -> None:
    pixels = tf.io.decode_png(tf.io.read_file(str(folder / "a.png")), channels=3)
    wanted = tf.image.resize(tf.image.convert_image_dtype(pixels, tf.float32), size)
    own = given(folder / "a.png", (*size, 3), resize="tf-bilinear", scale=1 / 255, layout="HWC")
    assert np.abs(own - np.asarray(wanted)).max() < 3e-7
    # Rows of the captcha reader among Keras' examples: width first.
    turned = given(folder / "a.png", (size[1], size[0], 3), resize="tf-bilinear", scale=1 / 255, layout="WHC")
    assert np.abs(turned - np.asarray(tf.transpose(wanted, [1, 0, 2]))).max() < 3e-7


def test_resize_of_a_dataset(folder: Path, tmp_path: Path) -> None:
    """``image_dataset_from_directory`` resizes as ``tf.image`` does."""
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.png").write_bytes((folder / "a.png").read_bytes())
    how: dict[str, Any] = {"labels": None, "image_size": (30, 41), "verbose": False}
    dataset: Any = keras.utils.image_dataset_from_directory(tmp_path, **how)
    (batch,) = dataset.as_numpy_iterator()
    own = given(folder / "a.png", (30, 41, 3), resize="tf-bilinear")
    assert np.abs(own - batch[0]).max() < 1e-4


def test_a_layer_that_scales(folder: Path) -> None:
    """Scaled here, or raw into a `Rescaling`: the same but for the last bit."""
    raw = given(folder / "a.png", (40, 56, 3))
    inside = np.asarray(keras.layers.Rescaling(1 / 127.5, offset=-1)(raw[None]))[0]
    own = given(folder / "a.png", (40, 56, 3), scale=1 / 127.5, mean=(1.0,))
    assert np.abs(inside - own).max() < 2e-7
