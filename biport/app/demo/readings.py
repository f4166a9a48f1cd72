"""A picture of captchas with what was read beneath them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from biport.data import Captchas
from biport.data.captchas import HEIGHT, WIDTH
from biport.data.image_file import require_pillow
from biport.files import atomic_file

COLUMNS = 2
ENLARGED = 3
"""How often each pixel of a captcha is drawn, in height and width."""
MARGIN, LINE = 16, 32
"""Pixels around a captcha, and for the line beneath it."""
RIGHT, WRONG = "#1a7f37", "#cf222e"


def draw_readings(path: Path, captchas: Captchas, readings: Sequence[str]) -> None:
    """Write a PNG of some captchas with their readings: green where they are right, else red, with the truth.

    Args:
        path: of the file.
        captchas: what was read.
        readings: a text for each.

    Raises:
        MissingDependencyError: pillow is not installed.
    """
    pil = require_pillow()
    from PIL import ImageDraw, ImageFont

    width, height = ENLARGED * WIDTH, ENLARGED * HEIGHT
    across, down = width + 2 * MARGIN, height + LINE + 2 * MARGIN
    lines = -(-len(readings) // COLUMNS)
    sheet = pil.new("RGB", (COLUMNS * across, lines * down), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(LINE * 2 // 3)
    every = zip(captchas.images, captchas.texts, readings, strict=True)
    for number, (image, text, reading) in enumerate(every):
        line, column = divmod(number, COLUMNS)
        left, top = column * across + MARGIN, line * down + MARGIN
        picture = pil.fromarray(image[..., 0]).resize((width, height), pil.Resampling.NEAREST)
        sheet.paste(picture, (left, top))
        told = reading if reading == text else f"{reading or '(nothing)'}, is {text}"
        canvas.text((left, top + height + 4), told, RIGHT if reading == text else WRONG, font)
    with atomic_file(path) as draft:
        sheet.save(draft, "PNG")
