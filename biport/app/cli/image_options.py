"""Options of commands about pictures: how rows of a model are made of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from biport.app.cli.added import Given, add_options
from biport.app.cli.app import Result
from biport.errors import Argument, InputError

IMAGES = "Pictures"
"""The group of these options in the help."""


class Layout(StrEnum):
    """The axes of a picture behind that of the batch, see `biport.data.images.LAYOUTS`."""

    HWC = "HWC"
    CHW = "CHW"
    WHC = "WHC"
    CWH = "CWH"
    HW = "HW"
    WH = "WH"


class Resize(StrEnum):
    """How a picture gets the model's size, see `biport.data.images.RESIZES`."""

    PIL_NEAREST = "pil-nearest"
    PIL_BILINEAR = "pil-bilinear"
    PIL_BICUBIC = "pil-bicubic"
    TF_BILINEAR = "tf-bilinear"


class Background(StrEnum):
    """What shows through transparent pixels."""

    BLACK = "black"
    WHITE = "white"


LayoutOption = Annotated[
    Layout | None,
    typer.Option(
        "--image-layout",
        help="The axes of a picture: height, width, channels; where the model's input does not show them.",
        rich_help_panel=IMAGES,
    ),
]
ScaleOption = Annotated[
    str | None,
    typer.Option(
        "--image-scale",
        help="What pixels, 0 to 255, are multiplied by: 1/255, or 1 for a model that scales itself.",
        metavar="NUMBER",
        rich_help_panel=IMAGES,
    ),
]
MeanOption = Annotated[
    str | None,
    typer.Option(
        "--image-mean",
        help="What is then subtracted: a number, or 3 with commas between.",
        metavar="NUMBERS",
        rich_help_panel=IMAGES,
    ),
]
StdOption = Annotated[
    str | None,
    typer.Option(
        "--image-std", help="What is then divided by, likewise.", metavar="NUMBERS", rich_help_panel=IMAGES
    ),
]
ResizeOption = Annotated[
    Resize | None,
    typer.Option(
        "--image-resize",
        help="How pictures were resized in training: by Pillow (torchvision, load_img), or by tf.image.",
        rich_help_panel=IMAGES,
    ),
]
BackgroundOption = Annotated[
    Background | None,
    typer.Option("--image-background", help="What shows through transparent pixels.", rich_help_panel=IMAGES),
]


def takes_images(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command these options; it is handed what they say as its ``images``."""
    options = {
        "image_layout": LayoutOption,
        "image_scale": ScaleOption,
        "image_mean": MeanOption,
        "image_std": StdOption,
        "image_resize": ResizeOption,
        "image_background": BackgroundOption,
    }

    def gather(added: Given, given: Given) -> None:
        from biport.data.images import ImageSettings

        choices = {name: added[f"image_{name}"] for name in ("layout", "resize", "background")}
        scale = _numbers("image_scale", added["image_scale"])
        if len(scale) > 1:
            raise InputError(Argument("image_scale", added["image_scale"]), ": is one number")
        given["images"] = ImageSettings(
            scale=scale[0] if scale else None,
            mean=_numbers("image_mean", added["image_mean"]),
            std=_numbers("image_std", added["image_std"]),
            **{name: one.value for name, one in choices.items() if one is not None},
        )

    return add_options(function, options, gather, ["images"])


def _numbers(name: str, text: str | None) -> tuple[float, ...]:
    """Numbers with commas between.

    Raises:
        InputError: they are none.
    """
    from biport.data.images import number

    try:
        return () if text is None else tuple(number(part.strip()) for part in text.split(","))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(Argument(name, text), ": should be numbers such as 1/255 or 0.5") from error
