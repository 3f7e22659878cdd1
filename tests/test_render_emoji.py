"""The committed sheet of emoji is what data/render_emoji.py makes of the font."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).resolve().parent.parent / "data"
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")


@pytest.mark.skipif(
    not FONT.exists() and not ("CI" in os.environ and sys.platform == "linux"),
    reason="no emoji font: apt-get install fonts-noto-color-emoji",
)
def test_the_script_renders_the_committed_sheet():
    spec = importlib.util.spec_from_file_location("render_emoji", DATA / "render_emoji.py")
    render_emoji = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(render_emoji)
    sheet = np.asarray(render_emoji.render_sheet(FONT), dtype=int)
    with Image.open(DATA / "emoji.png") as picture:
        committed = np.asarray(picture, dtype=int)
    assert sheet.shape == committed.shape
    assert (
        np.abs(sheet - committed).max() <= 2
    )  # grey levels of 255; room for another version of the scaler
