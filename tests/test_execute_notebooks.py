"""How the pictures of notebooks are saved."""

import base64
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from helpers.plotting import COLOURS

sys.path.append(str(Path(__file__).resolve().parent.parent / "tools"))
from execute_notebooks import with_palette


def test_a_saved_picture_keeps_white_and_the_colours_of_lines():
    """Also where each colour has a handful of pixels beside thousands of others."""
    rng = np.random.default_rng(0)
    pixels = np.full((200, 200, 4), 255, np.uint8)
    pixels[100:, :, :3] = rng.integers(0, 250, (100, 200, 3))
    pixels[0, :, 3] = 0  # transparent: white
    for i, colour in enumerate(COLOURS):
        pixels[10 + 10 * i, 5:9, :3] = ImageColor.getrgb(colour)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    saved = with_palette(base64.b64encode(file.getvalue()).decode())
    image = Image.open(io.BytesIO(base64.b64decode(saved)))
    assert len(image.getcolors()) <= 64
    shown = np.asarray(image.convert("RGB")).astype(int)
    assert (shown[:9] == 255).all()
    for i, colour in enumerate(COLOURS):
        assert np.abs(shown[10 + 10 * i, 5:9] - ImageColor.getrgb(colour)).max() <= 4
