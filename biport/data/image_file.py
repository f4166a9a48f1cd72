"""The file of a picture: opened as people see it, in grey or RGB, or refused where that loses something."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from biport.errors import Argument, FileError
from biport.extras import missing

if TYPE_CHECKING:
    from PIL import Image

BACKGROUNDS = {"black": 0, "white": 255}
MOST_PIXELS = 2**26
"""Of a picture; larger ones are taken for attacks."""
_PLAIN = {"1", "L", "P", "RGB", "RGBA", "LA", "PA"}
"""Pillow's modes of 8 bits a channel, or fewer, that are grey or RGB."""
_ORIENTATION = 0x0112
"""The tag of EXIF."""


def argument(name: str, value: Any) -> Argument:
    """An argument by the name that it has where a function or a command takes several kinds."""
    return Argument(f"image_{name}", value)


def require_pillow() -> Any:
    """``PIL.Image``.

    Raises:
        MissingDependencyError: pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise missing("reading pictures needs pillow, which is not installed", "images") from error
    return Image


def open_image(path: Path, channels: int, background: str | None) -> Image.Image:
    """A picture as people see it, in grey or RGB.

    Grey is made of colours as Pillow does, by the luma of ITU-R 601. A picture is turned as EXIF says that
    the camera was. Transparency that shows nothing is dropped.

    Args:
        path: of a PNG or a JPEG.
        channels: 1 for grey, 3 for RGB.
        background: what transparent pixels show, one of `BACKGROUNDS`; ``None`` refuses them.

    Raises:
        FileError: it cannot be read, or not without loss: 16 bits a channel, CMYK, several pictures.
        MissingDependencyError: pillow is not installed.
    """
    pil = require_pillow()
    try:
        with warnings.catch_warnings():
            # Of sizes that are refused below, and of colours that are transparent in a palette.
            warnings.simplefilter("ignore")
            with pil.open(path, formats=("PNG", "JPEG")) as image:
                _check(path, image)
                image.load()
                upright = _upright(image)
            flat = _flattened(path, upright, background)
            return flat.convert("L" if channels == 1 else "RGB")
    except FileError:
        raise
    except pil.DecompressionBombError as error:
        raise _too_large(path) from error
    except Exception as error:  # of damaged files Pillow raises whatever its readers run into
        why = getattr(error, "strerror", None) or str(error).partition(f" {str(path)!r}")[0]
        raise FileError(f"{path}: cannot be read as a PNG or a JPEG: {why}") from error


def _check(path: Path, image: Image.Image) -> None:
    """Refuse what would lose something without anybody's knowing."""
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(path)
    png = image.format == "PNG"
    if png and getattr(image, "n_frames", 1) > 1:
        raise FileError(f"{path}: has several pictures, which move; one a file is read")
    deep = png and _depth(path) > 8
    if deep or image.mode not in _PLAIN:
        colours = "16 bits a channel" if deep or image.mode.startswith("I") else f"colours in {image.mode}"
        raise FileError(f"{path}: has {colours}; grey and RGB of 8 bits are read, with a palette or without")


def _too_large(path: Path) -> FileError:
    return FileError(f"{path}: is larger than {MOST_PIXELS:,} pixels")


def _depth(path: Path) -> int:
    """Bits a channel of a PNG.

    Source: https://www.w3.org/TR/png-3/#11IHDR
    """
    with path.open("rb") as file:
        return file.read(25)[24]


def _upright(image: Image.Image) -> Image.Image:
    """The picture as viewers show it: cameras say in EXIF how they were turned."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image


def _flattened(path: Path, image: Image.Image, background: str | None) -> Image.Image:
    """The picture without transparency.

    Raises:
        FileError: it has transparent pixels, and nothing says what shows through them.
    """
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    clear = image.convert("RGBA")
    alpha = clear.getchannel("A")
    if alpha.getextrema()[0] == 255:
        return clear.convert("RGB")
    if background is None:
        raise FileError(
            f"{path}: has transparent pixels; ",
            argument("background", "white"),
            f" says what shows through them, {' or '.join(BACKGROUNDS)}",
        )
    ground = require_pillow().new("RGB", clear.size, (BACKGROUNDS[background],) * 3)
    ground.paste(clear, mask=alpha)
    return ground


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    """The numbers of a picture, ``(H, W, C)``."""
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
