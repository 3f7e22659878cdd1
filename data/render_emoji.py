"""Render emoji.png, the sheet of 56 faces listed in emoji.txt: 20x20 grey pixels each, 8 in a row.

    python data/render_emoji.py FONT [SHEET]

FONT is NotoColorEmoji.ttf (SIL Open Font License 1.1; Debian and Ubuntu: package
fonts-noto-color-emoji). Each glyph is drawn in colour at the font's own size, put on black, turned
into luminance (ITU-R 601) and scaled down, anti-aliased.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
FONT_SIZE = 109  # the only size of the bitmaps inside the font
GLYPH = 128  # pixels: height of a bitmap; the faces are round and fill it
SIDE, COLUMNS = 20, 8


def code_points():
    lines = (HERE / "emoji.txt").read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0], 16) for line in lines if line and not line.startswith(";")]


def render_face(code_point, font):
    """One face as a grey image of SIDE x SIDE pixels."""
    left, top, right, bottom = font.getbbox(chr(code_point))
    face = Image.new("RGBA", (GLYPH, GLYPH), "black")
    corner = ((GLYPH - (right - left)) // 2 - left, (GLYPH - (bottom - top)) // 2 - top)  # centred
    layer = Image.new("RGBA", face.size, (0, 0, 0, 0))
    ImageDraw.Draw(layer).text(corner, chr(code_point), font=font, embedded_color=True)
    face.alpha_composite(layer)
    return face.convert("L").resize(
        (SIDE, SIDE), Image.Resampling.LANCZOS
    )  # "L" is luminance by ITU-R 601


def render_sheet(font_file):
    font = ImageFont.truetype(str(font_file), FONT_SIZE)
    points = code_points()
    sheet = Image.new("L", (COLUMNS * SIDE, -(-len(points) // COLUMNS) * SIDE))
    for i, point in enumerate(points):
        sheet.paste(render_face(point, font), (i % COLUMNS * SIDE, i // COLUMNS * SIDE))
    return sheet


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    render_sheet(sys.argv[1]).save(
        sys.argv[2] if len(sys.argv) == 3 else HERE / "emoji.png", optimize=True
    )
