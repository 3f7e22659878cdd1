"""Make the animated picture of the README from the saved notebooks: a latent map, then the noise
slider.

    python tools/make_picture.py

The map is taken from the saved output of notebook 04 as it is. For the slider, JupyterLab runs the
first cells of notebook 03. Both are moved with keys in Chromium.
"""

import io
import sys
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]
from files import write_atomically  # noqa: E402
from lab import NOTEBOOKS, the_lab  # noqa: E402
from page import chromium, open_notebook, start_browser  # noqa: E402

PICTURE = ROOT / ".github" / "practical.gif"
SIZE = (760, 440)
WALK = ["Shift+ArrowUp"] * 2 + ["ArrowRight"] * 6 + ["ArrowDown"] * 8 + ["ArrowLeft"] * 8
NOISE_STEPS = 12  # of four presses of a key


def of_map(browser):
    """Pictures of the first map of notebook 04 while the cursor walks; it starts at a face."""
    cells = nbformat.read(NOTEBOOKS / "04_emoji_vae.ipynb", as_version=4).cells
    output = next(cell for cell in cells if cell.source.startswith("page.latent_map(")).outputs[0]
    page = browser.new_page(viewport={"width": SIZE[0] + 16, "height": SIZE[1] + 16})
    page.set_content(output.data["text/html"])
    frame = page.frames[1]
    frame.evaluate("latentMap.ready")
    frame.locator("#images").select_option(index=1)
    page.wait_for_timeout(8000)  # for the lines behind the faces
    frame.locator("#map").focus()
    for key in WALK:
        page.keyboard.press(key)
        yield page.locator("iframe").screenshot()
    page.close()


def of_slider(browser):
    """Pictures of the noise slider at the beginning of notebook 03."""
    with open_notebook(the_lab(), browser, "notebooks/03_letter_denoiser.ipynb") as notebook:
        cells = nbformat.read(NOTEBOOKS / "03_letter_denoiser.ipynb", as_version=4).cells
        last = next(i for i, cell in enumerate(cells) if "explorer(" in cell.source)
        for i, cell in enumerate(cells[: last + 1]):
            if cell.cell_type == "code":
                notebook.run(i)
        slider = notebook.sliders()[0]
        slider.focus()
        slider.go("min")
        explorer = notebook.page.locator(".jp-OutputArea-output .widget-vbox").first
        for _ in range(NOISE_STEPS):
            for _ in range(4):
                slider.press("ArrowRight", 500)
            slider.picture()
            yield explorer.screenshot()


def on_sheet(png):
    """The picture on a white sheet of SIZE, made smaller if need be."""
    picture, sheet = Image.open(io.BytesIO(png)).convert("RGB"), Image.new("RGB", SIZE, "white")
    picture.thumbnail(SIZE)
    sheet.paste(picture, ((SIZE[0] - picture.width) // 2, (SIZE[1] - picture.height) // 2))
    return sheet.quantize(32, dither=Image.Dither.NONE)


if __name__ == "__main__":
    with start_browser(chromium()) as browser:
        scenes = [on_sheet(png) for scene in (of_map(browser), of_slider(browser)) for png in scene]
    file = io.BytesIO()
    scenes[0].save(file, "gif", save_all=True, append_images=scenes[1:], duration=300, loop=0)
    write_atomically(PICTURE, file.getvalue())
