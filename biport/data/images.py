"""Pictures as rows of a model: PNG and JPEG files become the arrays that the model was trained on.

What a model takes is partly seen from its input (sizes, channels, mostly their order) and partly said by
whoever trained it, `ImageSettings`; `ImageInput` is both together. Nothing is guessed where the wrong guess
would give other numbers and no error.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from biport.data.image_file import BACKGROUNDS, argument, open_image, pixels_of, require_pillow
from biport.data.text_rows import BadRow, TextRow
from biport.errors import FileError, InputError
from biport.graph import Value

if TYPE_CHECKING:
    from PIL import Image

PROPERTY = "biport.image"
"""Under which the settings travel in an ONNX file."""
SUFFIXES = (".png", ".jpg", ".jpeg")
_ENDINGS = ", ".join(SUFFIXES)
LAYOUTS = ("HWC", "CHW", "WHC", "CWH", "HW", "WH")
"""The order of a picture's axes: height, width, channels."""
RESIZES = ("pil-nearest", "pil-bilinear", "pil-bicubic", "tf-bilinear")
"""Pillow's filters, which average over what they make smaller, all but the first; and ``tf.image.resize``."""


@dataclass(frozen=True)
class ImageSettings:
    """What is said of the pictures that a model takes; it travels with the model.

    A number of the model is ``(pixel * scale - mean) / std``, the pixel being 0 to 255.

    Args:
        layout: the order of the axes, one of `LAYOUTS`; ``None`` where the model's input shows it.
        scale: ``1`` for pixels as they are, ``1 / 255`` for numbers from 0 to 1.
        mean: none, one number, or one for each channel.
        std: likewise.
        resize: one of `RESIZES`; ``None`` where all pictures have the model's size.
        background: what transparent pixels show, one of `BACKGROUNDS`; ``None`` where there are none.

    Raises:
        InputError: one of them is none.
    """

    layout: str | None = None
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str | None = None
    background: str | None = None

    def __post_init__(self) -> None:
        known = {"layout": LAYOUTS, "resize": RESIZES, "background": tuple(BACKGROUNDS)}
        for name, choices in known.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise InputError(argument(name, value), f": should be one of {', '.join(choices)}")
        if self.scale is not None and not 0 < self.scale < np.inf:
            raise InputError(argument("scale", self.scale), ": should be above 0")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (0, 1, 3) or not np.all(np.isfinite(numbers)):
                raise InputError(
                    argument(name, numbers), ": should be a number, or one for each of 3 channels"
                )
        if any(number <= 0 for number in self.std):
            raise InputError(argument("std", self.std), ": should be above 0")
        if self.scale is None and (self.mean or self.std):
            raise InputError(argument("mean", ...), " and std go with ", argument("scale", "1/255"))

    @property
    def given(self) -> bool:
        """Whether anything is said."""
        return self != ImageSettings()

    def over(self, other: ImageSettings) -> ImageSettings:
        """These settings, and the other ones where these say nothing; scale, mean and std go together."""
        numbers = ("scale", "mean", "std")
        said = {name: one for name, one in vars(self).items() if one is not None and name not in numbers}
        if self.scale is not None:
            said |= {name: getattr(self, name) for name in numbers}
        return dataclasses.replace(other, **said)

    def to_data(self) -> dict[str, Any]:
        """What is said, as plain data.

        Example:
            >>> ImageSettings(layout="CHW", mean=(0.5,), scale=1).to_data()
            {'layout': 'CHW', 'scale': 1, 'mean': [0.5]}
        """
        said = {name: one for name, one in vars(self).items() if one not in (None, ())}
        return {name: list(one) if isinstance(one, tuple) else one for name, one in said.items()}

    @staticmethod
    def from_data(data: Any, owner: str) -> ImageSettings:
        """The way back.

        Raises:
            FileError: it is something else; ``owner`` says where.
        """
        try:
            said: dict[str, Any] = {
                name: tuple(map(float, one)) if isinstance(one, list) else one for name, one in data.items()
            }
            return ImageSettings(**said)
        except (AttributeError, TypeError, ValueError, InputError) as error:
            raise FileError(f"{owner}: does not say how pictures are read ({error})") from error


def number(text: str) -> float:
    """A number as people write those of pictures.

    Raises:
        ValueError: it is none.

    Example:
        >>> number("1/255") == 1 / 255, number("0.5")
        (True, 0.5)
    """
    return float(Fraction(text))


@dataclass(frozen=True)
class ImageRow(TextRow):
    """A picture: its text is the name of its file, and so is its field ``file``.

    Args:
        pixels: as the model takes it, without the axis of the batch.
    """

    pixels: NDArray[Any] | None = dataclasses.field(default=None, compare=False)

    @property
    def content(self) -> Any:
        """What the model is given."""
        return self.pixels


@dataclass(frozen=True)
class ImageInput:
    """The pictures that a model takes.

    Args:
        settings: what is said of them; its layout is known.
        height: in pixels; ``None`` for any.
        width: likewise.
        channels: 1 for grey, 3 for RGB.
        dtype: of the numbers.
        layout_said: whether the layout was said, and not only seen from the input.

    Example:
        >>> image = ImageInput.of(Value("x", ("N", 3, 32, "W"), "float32"), ImageSettings(scale=1 / 255))
        >>> image.settings.layout, image.height, image.width, image.channels
        ('CHW', 32, None, 3)
    """

    settings: ImageSettings
    height: int | None
    width: int | None
    channels: int
    dtype: str
    layout_said: bool

    @staticmethod
    def of(value: Value, settings: ImageSettings) -> ImageInput:
        """What an input takes.

        Args:
            value: an input of a model, ``(N, ...)``.
            settings: what is said of its pictures.

        Raises:
            InputError: it takes none, or what has to be said is not.
        """
        sizes = value.shape[1:]
        if len(sizes) not in (2, 3) or not (value.dtype.startswith("float") or value.dtype == "uint8"):
            raise InputError(
                f"the model takes no pictures: its input {value.name!r} is {value.tensor}; pictures are rows "
                "of (N, H, W, C), (N, C, H, W) or (N, H, W), in floats or uint8"
            )
        layout = settings.layout or _layout(value)
        if len(layout) != len(sizes):
            raise InputError(argument("layout", layout), f": does not go with the input {value.tensor}")
        by_letter = dict(zip(layout, sizes, strict=True))
        channels = by_letter.get("C", 1)
        if not isinstance(channels, int) or channels not in (1, 3):
            raise InputError(
                "pictures have 1 channel (grey) or 3 (RGB); with ",
                argument("layout", layout),
                f" the model's input {value.tensor} has {channels}",
            )
        if value.dtype == "uint8" and (settings.scale not in (None, 1) or settings.mean or settings.std):
            raise InputError(argument("scale", settings.scale), ": the model takes pixels as they are")
        if value.dtype != "uint8" and settings.scale is None:
            raise InputError(
                "nothing says in which numbers the model takes pictures; give ",
                argument("scale", "1/255"),
                " for 0 to 1, or 1 for 0 to 255, as it was trained",
            )
        for name, numbers in (("mean", settings.mean), ("std", settings.std)):
            if len(numbers) > channels:
                raise InputError(argument(name, numbers), f": the model's pictures have {channels} channel")
        height, width = (size if isinstance(size := by_letter[axis], int) else None for axis in "HW")
        said = settings.layout is not None
        return ImageInput(
            dataclasses.replace(settings, layout=layout), height, width, channels, value.dtype, said
        )

    def read(self, path: str | os.PathLike[str]) -> NDArray[Any]:
        """A picture as a row of the model, without the axis of the batch.

        Raises:
            FileError: naming the file: it cannot be read, or not without saying more.
            MissingDependencyError: pillow is not installed.
        """
        image = open_image(Path(path), self.channels, self.settings.background)
        return self.array(image, os.fspath(path))

    def array(self, image: Image.Image, owner: str) -> NDArray[Any]:
        """The same of a picture in memory, of mode L or RGB.

        Raises:
            FileError: its size is not the model's, and nothing says how that is made of it.
        """
        pixels = self._sized(image, owner)
        settings, layout = self.settings, self.settings.layout
        assert layout is not None
        if self.dtype != "uint8":
            pixels = pixels.astype("float64") * (settings.scale or 1)
            pixels = (pixels - np.array(settings.mean or (0,))) / np.array(settings.std or (1,))
        axes = pixels if "C" in layout else pixels[..., 0]
        order = ["HWC".index(axis) for axis in layout]
        return np.ascontiguousarray(axes.transpose(order).astype(self.dtype))

    def _sized(self, image: Image.Image, owner: str) -> NDArray[Any]:
        """The pixels ``(H, W, C)`` in the model's size."""
        height, width = self._size(image)
        if (height, width) == (image.height, image.width):
            return pixels_of(image)
        self._check_lies(image, owner)
        method = self.settings.resize
        if method is None:
            raise FileError(
                f"{owner}: is {image.height} by {image.width} pixels, the model takes {height} by {width}; ",
                argument("resize", "..."),
                f" says how pictures were resized when it was trained: {', '.join(RESIZES)}",
            )
        if method == "tf-bilinear":
            pixels = _bilinear(pixels_of(image).astype("float64"), height, width)
            return np.rint(pixels).astype("uint8") if self.dtype == "uint8" else pixels
        pil = require_pillow()
        filters = {name: getattr(pil.Resampling, name[4:].upper()) for name in RESIZES[:3]}
        return pixels_of(image.resize((width, height), filters[method]))

    def _size(self, image: Image.Image) -> tuple[int, int]:
        """The height and width that the model takes; a free one keeps the shape of the picture."""
        match self.height, self.width:
            case int(height), int(width):
                return height, width
            case int(height), None:
                return height, max(1, round(image.width * height / image.height))
            case None, int(width):
                return max(1, round(image.height * width / image.width)), width
        return image.height, image.width

    def _check_lies(self, image: Image.Image, owner: str) -> None:
        """Refuse a wide picture where high ones are taken: the layout is likely another one.

        Raises:
            FileError: it is, and nobody has said the layout.
        """
        if self.layout_said or self.height is None or self.width is None:
            return
        if (self.height - self.width) * (image.height - image.width) < 0:
            layout = self.settings.layout or ""
            turned = layout.translate(str.maketrans("HW", "WH"))
            raise FileError(
                f"{owner}: is {image.height} by {image.width} pixels, and the model's {self.height} by "
                f"{self.width} lie the other way; ",
                argument("layout", turned if turned in LAYOUTS else layout),
                f" turns pictures, and {layout} stretches them",
            )


def _layout(value: Value) -> str:
    """The order of axes that the sizes of an input show.

    Raises:
        InputError: they may be several.
    """
    sizes = value.shape[1:]
    first, last = sizes[0] in (1, 3), sizes[-1] in (1, 3)
    if len(sizes) == 3 and first != last:
        one, other = sizes[1:] if first else sizes[:2]
        # One free axis is that of the width: lines of text are read along it.
        plane = "WH" if isinstance(other, int) and not isinstance(one, int) else "HW"
        return f"C{plane}" if first else f"{plane}C"
    may = ", ".join(one for one in LAYOUTS if len(one) == len(sizes))
    raise InputError(
        f"the model's input {value.tensor} does not show the order of its axes; give ",
        argument("layout", may.partition(",")[0]),
        f", one of {may}",
    )


def image_files(source: str | os.PathLike[str]) -> list[Path]:
    """The files of a folder and of all folders in it, by their names; or the one file itself.

    Those whose names begin with a dot are passed over, as a shell does.
    """
    source = Path(source)
    if not source.is_dir():
        return [source]
    files = [path for path in source.rglob("*") if not path.is_dir()]
    files = [path for path in files if not any(p.startswith(".") for p in path.relative_to(source).parts)]
    return sorted(files, key=lambda path: path.relative_to(source).as_posix())


def read_images(
    source: str | os.PathLike[str],
    image: ImageInput,
    *,
    behind: int = 0,
    bad: Callable[[BadRow], object] | None = None,
) -> Iterator[ImageRow]:
    """The pictures of a folder, and of the folders in it, one at a time, in the order of their names.

    Args:
        source: a folder, or one file.
        image: what the model takes.
        behind: how many files are passed over unread; the numbers of rows count them.
        bad: is given each file that is no picture, or cannot be read; without, it is an error.

    Raises:
        InputError: there is none in the folder.
        FileError: naming the file; not before that is reached.
        MissingDependencyError: pillow is not installed.
    """
    require_pillow()
    files = image_files(source)
    folder = Path(source) if Path(source).is_dir() else Path(source).parent
    if not any(path.suffix.lower() in SUFFIXES for path in files):
        raise InputError(
            f"{os.fspath(source)}: holds no pictures; those are read whose names end in {_ENDINGS}"
        )
    for count, path in enumerate(files[behind:], behind + 1):
        name = _printable(path.relative_to(folder))
        row = ImageRow(count, name, {"file": name}, _printable(path))
        try:
            if path.exists() and not path.is_file():
                raise FileError(f"{row.where}: is no file")
            if path.suffix.lower() not in SUFFIXES:
                raise FileError(f"{row.where}: is no picture; those are read whose names end in {_ENDINGS}")
            yield dataclasses.replace(row, pixels=image.read(path))
        except FileError as error:
            if bad is None:
                raise
            bad(BadRow.unread(row, error))


def _printable(path: Path) -> str:
    """A path as text that every file can hold, whatever bytes are in it."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _bilinear(pixels: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Between the four nearest pixels, by the centres of pixels, nothing averaged.

    Source: https://www.tensorflow.org/api_docs/python/tf/image/resize, with ``antialias=False``.
    """
    for axis, size in enumerate((height, width)):
        there = pixels.shape[axis]
        # In float32, as there: the places are where the numbers differ most.
        at = (np.arange(size, dtype="float32") + 0.5) * np.float32(there / size) - 0.5
        at = np.clip(at, 0, there - 1).astype("float64")
        lower = at.astype(int)
        upper = np.minimum(lower + 1, there - 1)
        share = (at - lower).reshape([-1, 1, 1] if axis == 0 else [-1, 1])
        pixels = (1 - share) * pixels.take(lower, axis) + share * pixels.take(upper, axis)
    return pixels
