"""Pictures as rows of a model: layouts, sizes, numbers, and what is refused because nobody has said it."""

from __future__ import annotations

import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biport.data.images import RESIZES, ImageInput, ImageSettings, image_files, read_images
from biport.data.text_rows import BadRow
from biport.errors import FileError, InputError, MissingDependencyError
from biport.graph import Value

RAW = ImageSettings(scale=1)


def taken(shape: tuple[Any, ...], dtype: str = "float32", **settings: Any) -> ImageInput:
    return ImageInput.of(Value("x", ("N", *shape), dtype), ImageSettings(**{"scale": 1, **settings}))


def saved(path: Path, pixels: np.ndarray, **more: Any) -> Path:
    Image.fromarray(pixels).save(path, **more)
    return path


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("shape", "layout", "height", "width", "channels"),
    [
        ((4, 6, 3), "HWC", 4, 6, 3),
        ((4, 6, 1), "HWC", 4, 6, 1),
        ((3, 4, 6), "CHW", 4, 6, 3),
        ((4, "W", 1), "HWC", 4, None, 1),
        (("W", 4, 1), "WHC", 4, None, 1),
        ((1, 4, "W"), "CHW", 4, None, 1),
        ((1, "W", 4), "CWH", 4, None, 1),
        (("H", "W", 3), "HWC", None, None, 3),
    ],
)
def test_layouts_that_the_input_shows(shape, layout, height, width, channels) -> None:
    image = taken(shape)
    assert (image.settings.layout, image.height, image.width, image.channels) == (
        layout,
        height,
        width,
        channels,
    )


@pytest.mark.parametrize("shape", [(3, 4, 1), (4, 6, 2), (4, 6), ("T", 6)])
def test_other_inputs_need_a_layout(shape: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="does not show the order of its axes"):
        taken(shape)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("HWC", (4, 6, 3)),
        ("CHW", (3, 4, 6)),
        ("WHC", (6, 4, 3)),
        ("CWH", (3, 6, 4)),
        ("HW", (4, 6)),
        ("WH", (6, 4)),
    ],
)
def test_axes_are_in_their_order(layout: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = drawn(4, 6, 3)
    path = saved(tmp_path / "a.png", pixels if "C" in layout else pixels[..., 0])
    row = taken(shape, layout=layout).read(path)
    assert row.shape == shape
    assert row.dtype == np.float32
    for y, x in np.ndindex(4, 6):
        place = tuple({"H": y, "W": x, "C": slice(None)}[axis] for axis in layout)
        assert np.array_equal(row[place], pixels[y, x] if "C" in layout else pixels[y, x, 0])


def test_numbers_are_those_of_division() -> None:
    """As float32 has them, which multiplying by a rounded 1/255 has not."""
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(every)
    given = taken((16, 16), layout="HW", scale=1 / 255).array(image, "a")
    assert np.array_equal(given, every.astype("float32") / np.float32(255))
    signed = taken((16, 16), layout="HW", scale=1 / 127.5, mean=(1.0,)).array(image, "a")
    assert np.allclose(signed, every / 127.5 - 1, atol=1e-7)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    coloured = taken((4, 6, 3), scale=1 / 255, mean=mean, std=std).array(Image.fromarray(drawn(4, 6, 3)), "a")
    assert np.allclose(coloured, (drawn(4, 6, 3) / 255 - mean) / std, atol=1e-6)
    assert np.array_equal(taken((16, 16), "uint8", layout="HW", scale=None).array(image, "a"), every)


def test_a_free_side_keeps_the_shape(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", drawn(20, 50))
    for shape, wanted in [
        ((10, "W", 1), (10, 25, 1)),
        (("W", 10, 1), (25, 10, 1)),
        (("H", "W", 1), (20, 50, 1)),
    ]:
        assert taken(shape, resize="pil-bilinear").read(path).shape == wanted
    assert taken((1, 10, "W"), resize="tf-bilinear").read(path).shape == (1, 10, 25)


def test_resizing_is_said_or_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", drawn(20, 50))
    with pytest.raises(FileError, match="is 20 by 50 pixels, the model takes 10 by 30; image_resize"):
        taken((10, 30, 1)).read(path)
    results = [taken((10, 30, 1), resize=method).read(path) for method in RESIZES]
    assert all(row.shape == (10, 30, 1) for row in results)
    assert all(np.abs(one - other).max() > 5 for k, one in enumerate(results) for other in results[:k])


def test_a_wide_picture_for_high_ones_is_refused(tmp_path: Path) -> None:
    """What the captcha models of Keras' examples take, width first, and what stretches it silently."""
    path = saved(tmp_path / "a.png", drawn(5, 20))
    with pytest.raises(
        FileError, match="5 by 20 pixels, and the model's 20 by 5 lie the other way; image_layout='WHC'"
    ):
        taken((20, 5, 1), resize="pil-bilinear").read(path)
    turned = taken((20, 5, 1), layout="WHC").read(path)
    assert np.array_equal(turned[..., 0], drawn(5, 20).T)
    assert taken((20, 5, 1), layout="HWC", resize="pil-bilinear").read(path).shape == (20, 5, 1)


def test_colours(tmp_path: Path) -> None:
    pixels = drawn(4, 6, 3)
    grey = taken((4, 6, 1)).read(saved(tmp_path / "rgb.png", pixels))
    luma = pixels @ [0.299, 0.587, 0.114]
    assert np.abs(grey[..., 0] - luma).max() <= 0.51
    alone = saved(tmp_path / "grey.png", pixels[..., 0])
    assert np.array_equal(taken((4, 6, 3)).read(alone), np.repeat(pixels[..., :1], 3, axis=2))
    # A palette of 8 colours, whose numbers are not the pixels.
    palette = Image.fromarray(pixels).quantize(8)
    palette.save(tmp_path / "p.png")
    assert np.array_equal(taken((4, 6, 3)).read(tmp_path / "p.png"), np.asarray(palette.convert("RGB")))
    bits = pixels[..., 0] > 100
    Image.fromarray(bits).save(tmp_path / "1.png")
    assert np.array_equal(taken((4, 6, 1)).read(tmp_path / "1.png")[..., 0], 255 * bits)


def test_transparency(tmp_path: Path) -> None:
    pixels = drawn(4, 6, 4)
    opaque = pixels.copy()
    opaque[..., 3] = 255
    path = saved(tmp_path / "opaque.png", opaque)
    assert np.array_equal(taken((4, 6, 3)).read(path), opaque[..., :3])
    path = saved(tmp_path / "clear.png", pixels)
    with pytest.raises(FileError, match="has transparent pixels; image_background='white'"):
        taken((4, 6, 3)).read(path)
    share = pixels[..., 3:] / 255
    for background, ground in {"white": 255, "black": 0}.items():
        row = taken((4, 6, 3), background=background).read(path)
        assert np.abs(row - (share * pixels[..., :3] + (1 - share) * ground)).max() <= 1
    mask = Image.fromarray(pixels[..., 0]).quantize(4)
    mask.save(tmp_path / "p.png", transparency=1)
    with pytest.raises(FileError, match="transparent"):
        taken((4, 6, 1)).read(tmp_path / "p.png")


def test_a_camera_that_was_turned(tmp_path: Path) -> None:
    pixels = drawn(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    path = saved(tmp_path / "a.png", pixels, exif=exif)
    assert np.array_equal(taken((6, 4, 1)).read(path)[..., 0], np.rot90(pixels, -1))


def png_of_16_bits(path: Path) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + bytes(2 * 2 * 3) for _ in range(2)))
    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def test_what_would_lose_something_is_refused(tmp_path: Path) -> None:
    image = taken((4, 6, 1))
    deep = tmp_path / "deep.png"
    Image.fromarray(drawn(4, 6).astype(np.uint16) * 257).save(deep)
    for path in (deep, png_of_16_bits(tmp_path / "rgb16.png")):
        with pytest.raises(FileError, match="has 16 bits a channel"):
            image.read(path)
    Image.fromarray(drawn(4, 6, 4), "CMYK").save(tmp_path / "cmyk.jpg")
    with pytest.raises(FileError, match="has colours in CMYK"):
        image.read(tmp_path / "cmyk.jpg")
    frames = [Image.fromarray(drawn(4, 6)), Image.fromarray(255 - drawn(4, 6))]
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    with pytest.raises(FileError, match="has several pictures"):
        image.read(tmp_path / "moving.png")
    whole = saved(tmp_path / "whole.png", drawn(40, 60)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:500])
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(drawn(4, 6)).save(tmp_path / "gif.png", "GIF")
    for name in ("cut.png", "text.jpg", "gif.png", "missing.png"):
        with pytest.raises(FileError, match=f"{name}: cannot be read as a PNG or a JPEG"):
            taken(("H", "W", 1)).read(tmp_path / name)
    huge = bytearray(whole)
    huge[16:24] = struct.pack(">II", 2**16, 2**16)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    (tmp_path / "huge.png").write_bytes(huge)
    with pytest.raises(FileError, match="is larger than 67,108,864 pixels"):
        image.read(tmp_path / "huge.png")


def test_a_folder_by_the_names_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for name in ("b.PNG", "a.jpg", "more/c.jpeg", ".hidden.png"):
        Image.fromarray(drawn(4, 6)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    assert [path.name for path in image_files(folder)] == ["a.jpg", "b.PNG", "c.jpeg", "notes.txt"]
    bad: list[BadRow] = []
    rows = list(read_images(folder, taken((4, 6, 1)), bad=bad.append))
    assert [(row.number, row.text, row.fields) for row in rows] == [
        (number, name, {"file": name}) for number, name in enumerate(["a.jpg", "b.PNG", "more/c.jpeg"], 1)
    ]
    assert all(row.content.shape == (4, 6, 1) for row in rows)
    assert [(one.row.number, one.row.text) for one in bad] == [(4, "notes.txt")]
    assert bad[0].reason == "is no picture; those are read whose names end in .png, .jpg, .jpeg"
    with pytest.raises(FileError, match=r"notes\.txt: is no picture"):
        list(read_images(folder, taken((4, 6, 1))))
    (alone,) = read_images(folder / "b.PNG", taken((4, 6, 1)))
    assert alone.text == "b.PNG"
    assert [row.number for row in read_images(folder, taken((4, 6, 1)), behind=2, bad=bad.append)] == [3]
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", folder / "notes.txt"):
        with pytest.raises(InputError, match="holds no pictures"):
            list(read_images(source, taken((4, 6, 1))))


def test_without_pillow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", drawn(4, 6))
    monkeypatch.setitem(sys.modules, "PIL", None)
    remedy = r"reading pictures needs pillow, .*: pip install pillow, or .*'\.\[images\]'"
    with pytest.raises(MissingDependencyError, match=remedy):
        list(read_images(path, taken((4, 6, 1))))


def test_names_of_any_bytes_and_what_is_no_file(tmp_path: Path) -> None:
    Image.fromarray(drawn(4, 6)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / b"\xff.png".decode("utf-8", "surrogateescape"))
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.png")
    bad: list[BadRow] = []
    (row,) = read_images(tmp_path, taken((4, 6, 1)), bad=bad.append)
    assert row.text == r"\udcff.png"
    assert [one.reason for one in bad] == [
        "cannot be read as a PNG or a JPEG: No such file or directory",
        "is no file",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "CWHN"},
        {"resize": "bilinear"},
        {"background": "pink"},
        {"scale": 0},
        {"scale": float("nan")},
        {"mean": (1.0, 2.0)},
        {"std": (0.0,)},
        {"scale": None, "mean": (0.5,)},
    ],
)
def test_settings_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="image_"):
        ImageSettings(**{"scale": 1, **wrong})


def test_settings_that_do_not_go_with_the_input() -> None:
    with pytest.raises(
        InputError, match="nothing says in which numbers the model takes pictures; give image_scale"
    ):
        ImageInput.of(Value("x", ("N", 4, 6, 1), "float32"), ImageSettings())
    for shape, dtype, settings, why in [
        ((4,), "float32", {}, "takes no pictures"),
        ((5, 4, 6, 3), "float32", {}, "takes no pictures"),
        ((4, 6, 1), "int32", {}, "takes no pictures"),
        ((4, 6, 4), "float32", {"layout": "HWC"}, "1 channel .grey. or 3"),
        ((4, 6, 1), "float32", {"layout": "HW"}, "does not go with the input"),
        ((4, 6, 1), "uint8", {"scale": 0.5}, "pixels as they are"),
        ((4, 6, 1), "float32", {"mean": (1.0, 2.0, 3.0)}, "have 1 channel"),
    ]:
        with pytest.raises(InputError, match=why):
            taken(shape, dtype, **settings)


def test_settings_travel() -> None:
    every = ImageSettings("CHW", 1 / 255, (0.5,), (0.25,), "tf-bilinear", "white")
    assert ImageSettings.from_data(every.to_data(), "m.onnx") == every
    assert ImageSettings.from_data({}, "m.onnx") == ImageSettings()
    for damaged in ([], {"scale": "big"}, {"layout": 3}, {"colour": 1}, {"mean": ["x"]}):
        with pytest.raises(FileError, match=r"m\.onnx: does not say how pictures are read"):
            ImageSettings.from_data(damaged, "m.onnx")
    here = ImageSettings(scale=1.0, resize="pil-nearest")
    assert here.over(every) == ImageSettings("CHW", 1.0, (), (), "pil-nearest", "white")
    assert ImageSettings(layout="WHC").over(every).mean == (0.5,)
