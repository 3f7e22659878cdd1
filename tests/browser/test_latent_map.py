"""Latent maps in a real browser: in a bare page, opened from disk without a network, and in
JupyterLab.

With ``-s`` pytest also prints how long a move takes, beside the sliders of ipywidgets.
"""

import statistics

import nbformat
import pytest
import torch
from page import HOLD, open_notebook
from test_page import decode as decode_packed

from helpers import evaluation
from helpers.data import load_emoji, load_letters
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.page import latent_map as map_of

pytestmark = pytest.mark.browser

LETTERS, LABELS = load_letters()
EMOJI, NAMES = load_emoji()


def letter_model():
    torch.manual_seed(0)
    model = Autoencoder([35, 17, 2, 17, 35])
    for layer in (model.encoder[0], model.encoder[2], model.decoder[0], model.decoder[2]):
        layer.weight.data *= 4
    return model


def vae(latent_dim, sizes=(400, 300, 200, 100)):
    """An untrained network that tells faces apart."""
    torch.manual_seed(latent_dim)
    model = VariationalAutoencoder(list(sizes), latent_dim)
    for layer in (*model.encoder, *model.decoder):
        if isinstance(layer, torch.nn.Linear):
            layer.weight.data *= 3
    return model


MODELS = {"letters": letter_model, "2": lambda: vae(2), "3": lambda: vae(3), "6": lambda: vae(6)}


def make_map(name, **options):
    model, images = MODELS[name](), (LETTERS, LABELS) if name == "letters" else (EMOJI, NAMES)
    return model, map_of(model, *images, **options)


def where(frame):
    return frame.locator("#map").get_attribute("aria-valuetext")


def numbers(frame):
    """The code that the map says."""
    return [float(part.split("=")[1]) for part in where(frame).split(". ")[0].split(",")]


def picture(frame, canvas="decoded"):
    return frame.evaluate("id => document.getElementById(id).toDataURL()", canvas)


@pytest.mark.parametrize("name", MODELS)
def test_the_page_decodes_as_pytorch_does(open_instrument, name):
    model, latent_map = make_map(name)
    frame = open_instrument(latent_map)
    low, high = torch.tensor(latent_map.data["bounds"]).T
    shares = torch.rand(500, len(low), generator=torch.Generator().manual_seed(1))
    codes = torch.cat([low + shares * (high - low), torch.tensor(latent_map.data["codes"])])
    decode = "codes => codes.map(code => [...decode(code)])"
    decoded = torch.tensor(frame.evaluate(decode, codes.tolist()))
    with torch.no_grad():
        pixels = torch.sigmoid(model.decode(codes))
    exact = pixels.flatten(1)
    assert exact.std() > 0.1  # pixels differ: an empty picture would prove nothing
    assert float((decoded - exact).abs().max()) <= 0.02

    found = frame.evaluate("pictures => pictures.map(nearest_image)", exact.tolist())
    images = LETTERS if name == "letters" else EMOJI
    if name == "letters":
        distance, index = evaluation.nearest(pixels, images)
    else:
        distance, index = evaluation.rms_distances(pixels, images).min(dim=1)
    distances = torch.tensor([nearest["distance"] for nearest in found], dtype=torch.float32)
    # images travel with 256 grey values
    assert torch.allclose(distances, distance.float(), atol=0.003)
    same = torch.tensor([nearest["index"] for nearest in found]) == index
    assert same.float().mean() > 0.995


def test_the_picture_on_the_page_is_the_decoded_image(open_instrument):
    model, latent_map = make_map("2")
    frame = open_instrument(latent_map)
    shown = frame.evaluate("""() => {
        const canvas = document.getElementById('decoded').getContext('2d');
        return [...canvas.getImageData(0, 0, 20, 20).data].filter((_, i) => i % 4 === 0);
    }""")
    with torch.no_grad():
        exact = torch.sigmoid(model.decode(torch.tensor([latent_map.data["start"]]))).flatten()
    assert float((torch.tensor(shown) / 255 - exact).abs().max()) <= 0.02 + 1 / 255


@pytest.mark.parametrize("name", ["letters", "2", "6"])
def test_a_held_key_shows_every_step(open_instrument, name):
    _, latent_map = make_map(name)
    frame = open_instrument(latent_map)
    frame.locator("#map").focus()
    frame.page.keyboard.press("Home")
    for _ in range(5):
        frame.page.keyboard.press("Shift+ArrowLeft")
    basins(frame)  # until they are there the picture changes by itself
    shown, times = frame.evaluate(HOLD, ["map", "ArrowRight", 40])
    assert shown == 40
    median, most = statistics.median(times), sorted(times)[37]
    print(f"\nmap {name}, held key: median {median:.0f} ms, 95 % below {most:.0f} ms", end=" ")


def test_keys(open_instrument):
    _, latent_map = make_map("letters", start=(0.5, 0.5))
    frame = open_instrument(latent_map)
    frame.locator("#map").focus()
    press = frame.page.keyboard.press
    for key, expected in [
        ("ArrowRight", [0.51, 0.5]),
        ("ArrowUp", [0.51, 0.51]),
        ("Shift+ArrowLeft", [0.41, 0.51]),
        ("ArrowDown", [0.41, 0.5]),
        ("a", [0.41, 0.5]),
        ("Control+ArrowLeft", [0.41, 0.5]),
        ("PageUp", [0.41, 0.6]),
        ("End", [0.41, 0.6]),
        ("PageDown", [0.41, 0.5]),
        ("Home", [0.5, 0.5]),
    ]:
        press(key)
        assert numbers(frame) == expected, key
    for _ in range(12):
        press("Shift+ArrowRight")
    assert numbers(frame) == [1.08, 0.5]  # it stops at the edge, a little past the codes
    label = frame.get_by_role("slider", name="Cursor on the map of the codes")
    assert label.get_attribute("aria-valuenow") == "1.08"
    assert label.get_attribute("aria-valuemin") == "-0.08"


def test_mouse(open_instrument):
    _, latent_map = make_map("letters")
    frame = open_instrument(latent_map)
    box, mouse = frame.locator("#map").bounding_box(), frame.page.mouse
    scale = box["width"] / 420

    def at(z1, z2):
        right, down = (z1 + 0.08) / 1.16, (1.08 - z2) / 1.16
        return box["x"] + scale * (26 + 380 * right), box["y"] + scale * (14 + 380 * down)

    mouse.move(*at(0.25, 0.75))
    assert numbers(frame) != [0.25, 0.75]
    mouse.down()
    assert numbers(frame) == pytest.approx([0.25, 0.75], abs=0.01)
    mouse.move(*at(0.6, 0.1))
    assert numbers(frame) == pytest.approx([0.6, 0.1], abs=0.01)
    mouse.move(box["x"] + 3000, box["y"] - 300)  # far outside: the edge
    assert numbers(frame) == [1.08, 1.08]
    mouse.up()
    mouse.move(*at(0.6, 0.1))
    mouse.click(*at(0.6, 0.1), button="right")
    mouse.move(box["x"] + box["width"] + 50, box["y"])
    mouse.down()  # a press that begins elsewhere is not for the map
    mouse.move(*at(0.6, 0.1))
    mouse.up()
    assert numbers(frame) == [1.08, 1.08]


def test_touch_on_a_small_screen(open_instrument):
    _, latent_map = make_map("letters")
    frame = open_instrument(latent_map, has_touch=True, viewport={"width": 320, "height": 640})
    box = frame.locator("#map").bounding_box()
    assert 200 < box["width"] <= 320
    frame.page.touchscreen.tap(
        box["x"] + box["width"] * (26 + 190) / 420, box["y"] + box["width"] * (14 + 190) / 420
    )
    assert numbers(frame) == pytest.approx([0.5, 0.5], abs=0.01)
    for one in (frame, frame.page):
        assert one.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert frame.evaluate(
        "document.documentElement.scrollHeight <= innerHeight"
    )  # no scroll bar of its own
    assert frame.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("width", [320, 500, 760, 1200])
def test_the_map_is_square(open_instrument, width):
    _, latent_map = make_map("6")
    box = (
        open_instrument(latent_map, viewport={"width": width, "height": 800})
        .locator("#map")
        .bounding_box()
    )
    assert box["width"] == pytest.approx(box["height"], abs=1)


def test_without_scripts_there_is_a_still_picture(browser, tmp_path):
    file = tmp_path / "map.html"
    file.write_text(make_map("letters")[1]._repr_html_(), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("img[alt^='Map of the codes']").is_visible()
    assert page.frame_locator("iframe").get_by_text("This needs JavaScript.").is_visible()
    context.close()


def test_lines_follow_a_slider_that_is_held(open_instrument):
    _, latent_map = make_map("3", dimensions=(1, 2))
    frame = open_instrument(latent_map)
    basins(frame)
    shown = frame.evaluate("""async () => {
        const slider = document.querySelector('#held input'), seen = new Set();
        for (let i = 0; i < 90; i++) {
            slider.value = Number(slider.min) + (slider.max - slider.min) * i / 90;
            slider.dispatchEvent(new Event('input'));
            await new Promise(requestAnimationFrame);
            seen.add(cells.index.join());
        }
        return seen.size;
    }""")
    assert shown > 3


def test_go_to_an_image(open_instrument):
    _, latent_map = make_map("letters")
    frame = open_instrument(latent_map)
    frame.locator("#images").select_option(label="q")
    assert numbers(frame) == pytest.approx(latent_map.data["codes"][LABELS.index("q")], abs=0.005)
    assert frame.locator("#images").evaluate("list => list.selectedOptions[0].label") == "q"
    frame.locator("#map").focus()
    frame.page.keyboard.press("ArrowUp")
    frame.page.keyboard.press("ArrowDown")
    assert frame.locator("#images").evaluate("list => list.selectedOptions[0].label") == "choose"


def test_a_plane_of_six_dimensions(open_instrument):
    _, latent_map = make_map("6", dimensions=(2, 5))
    frame = open_instrument(latent_map)
    start = numbers(frame)
    held = frame.locator("#held input")
    assert held.count() == 4
    assert (
        frame.locator("#held label").all_inner_texts()[0].strip()
        == f"z1 (code, no unit): {start[0]:.2f}"
    )
    frame.locator("#map").focus()
    frame.page.keyboard.press("ArrowRight")
    before, moved = picture(frame), numbers(frame)
    assert [a != b for a, b in zip(start, moved, strict=True)] == [
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    held.nth(2).focus()  # z4
    frame.page.keyboard.press("End")
    assert numbers(frame)[3] == pytest.approx(latent_map.data["bounds"][3][1], abs=0.05)
    assert picture(frame) != before
    assert frame.evaluate("document.activeElement.type") == "range"  # the slider keeps the focus

    frame.locator("#up").select_option(label="z2")  # the same as to the right: they change places
    assert frame.evaluate(
        "['right', 'up'].map(id => document.getElementById(id).selectedIndex + 1)"
    ) == [5, 2]
    frame.locator("#right").select_option(label="z1")
    assert frame.locator("#held label").count() == 4
    frame.locator("#images").select_option(index=3)
    assert numbers(frame) == pytest.approx(latent_map.data["codes"][2], abs=0.005)


def basins(frame):
    """What lies behind the cursor, once it is there in full: it does not change any more."""
    last, now = None, picture(frame, "map")
    while now != last:
        frame.page.wait_for_timeout(1000)
        last, now = now, picture(frame, "map")
    return now


def test_the_basins_are_those_of_the_decoder(open_instrument):
    """Of the rounded one, which travels: a pixel that is nearly 0.5 may fall on the other side when
    it is rounded."""
    _, latent_map = make_map("letters")
    frame = open_instrument(latent_map)
    basins(frame)
    side = (torch.arange(128) + 0.5) / 128 * 1.16 - 0.08
    codes = torch.cartesian_prod(side.flip(0), side).flip(1)  # rows from the top
    pixels = decode_packed(latent_map.data["decoder"], codes.double())
    distances = torch.cdist((pixels > 0.5).float(), LETTERS.flatten(1), p=1)  # (cells, letters)
    found = torch.tensor(frame.evaluate("[...cells.index]")).long()
    ground = torch.tensor(frame.evaluate("[...cells.far]"))
    least = distances.min(dim=1).values
    right = (
        distances.gather(1, found.unsqueeze(1)).squeeze(1) == least
    )  # two letters may be equally near
    assert right.float().mean() > 0.998  # a thin strip inside of a coarse cell may be missed
    assert (ground == (least > 0).float()).float().mean() > 0.998
    assert len(found.unique()) > 5


def test_the_area_of_the_cursors_letter_is_blue(open_instrument):
    _, latent_map = make_map("letters")
    frame = open_instrument(latent_map)
    basins(frame)
    code = """() => {
        const often = { willReadFrequently: true };
        const copy = new OffscreenCanvas(CELLS, CELLS).getContext('2d', often);
        copy.drawImage(ground.canvas, 0, 0);
        const picture = copy.getImageData(0, 0, CELLS, CELLS).data, seen = [0, 0];
        for (let i = 0; i < CELLS * CELLS; i++) {
            const blue = picture[4 * i + 2] - picture[4 * i] > 20;
            if (blue) seen[Number(cells.index[i] === area)]++;
        }
        return [area, ...seen];
    }"""
    for letter in ("a", "q"):
        frame.locator("#images").select_option(label=letter)
        area, others, own = frame.evaluate(code)
        with torch.no_grad():
            pixels = torch.sigmoid(make_map("letters")[0](LETTERS[LABELS.index(letter)][None]))
        assert area == int(evaluation.nearest(pixels, LETTERS)[1])
        assert own > 50 and others == 0


def test_clouds_of_a_vae(open_instrument):
    model, latent_map = make_map("3")
    frame = open_instrument(latent_map)
    with torch.no_grad():
        mu, logvar = model.encode(EMOJI)
    sigma = torch.exp(0.5 * logvar)
    frame.locator("#images").select_option(index=5)
    assert f"The ellipse is the cloud of {NAMES[4]}" in frame.locator("#drawn").inner_text()
    draws = {}
    for button, (mean, spread) in {
        "from its cloud": (mu[4], sigma[4]),
        "from the prior": (torch.zeros(3), torch.ones(3)),
    }.items():
        for _ in range(2):
            frame.get_by_role("button", name=button).press("Enter")
        assert frame.locator("#draws canvas").count() == 8
        assert frame.locator("#draws canvas").first.get_attribute("aria-label").startswith("draw 1")
        many = []
        for _ in range(50):  # 400 draws
            frame.get_by_role("button", name=button).click()
            many += frame.evaluate("draws")
        shares = (torch.tensor(many) - mean) / spread
        assert float(shares.mean(dim=0).abs().max()) < 0.2
        assert torch.allclose(shares.std(dim=0), torch.ones(3), atol=0.15)
        draws[button] = frame.evaluate("draws.map(z => [...decode(z)])")
        with torch.no_grad():
            pixels = torch.sigmoid(model.decode(torch.tensor(frame.evaluate("draws"))))
        exact = pixels.flatten(1)
        found = torch.tensor(draws[button])
        assert float((found - exact).abs().max()) <= 0.02  # also off the map
    assert draws["from its cloud"] != draws["from the prior"]
    assert make_map("letters")[1].data["sigmas"] is None


def test_a_view_is_shared_by_the_address(open_instrument):
    _, latent_map = make_map("letters")
    frame = open_instrument(latent_map)
    frame.locator("#map").focus()
    frame.page.keyboard.press("Shift+ArrowRight")
    there = numbers(frame)
    frame.get_by_role("button", name="link to this view").press("Enter")
    said = frame.page.url.split("#view-0=")[1]
    assert [float(number) for number in said.split(",")] == pytest.approx(there, abs=0.005)
    frame.page.reload()
    frame = frame.page.frames[1]
    frame.evaluate("ready")
    assert numbers(frame) == there
    for wrong in ("view-0=1,2,3", "view-0=a,b", "view-1=0.1,0.1", "section"):
        frame.page.goto(frame.page.url.split("#")[0] + f"?#{wrong}")
        frame.page.reload()
        frame = frame.page.frames[1]
        frame.evaluate("ready")
        assert numbers(frame) == pytest.approx(latent_map.data["start"], abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["letters", "6"])
def test_light_dark_and_accessible(open_instrument, serious_findings, name, scheme):
    _, latent_map = make_map(name)
    frame = open_instrument(latent_map, color_scheme=scheme, reduced_motion="reduce")
    paper = frame.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 380) == (scheme == "light")
    assert serious_findings(frame) == []
    assert serious_findings(frame.page.main_frame) == []


MAP = """
import torch
from helpers import data, models, page, widgets

letters, labels = data.load_letters()
torch.manual_seed(0)
model = models.Autoencoder([35, 17, 2, 17, 35])
page.latent_map(model, letters, labels)
"""
SLIDERS = "widgets.interpolation_explorer(model, letters, labels, start=('b', 'd'))"


def test_in_jupyterlab_it_needs_no_kernel_and_keeps_its_keys(lab, browser):
    with open_notebook(lab, browser, lab.write("map.ipynb", MAP, SLIDERS)) as notebook:
        notebook.run()
        page = notebook.page
        assert page.locator(".latent-map figure").is_hidden()
        iframe = page.locator(".latent-map iframe")
        frame = iframe.element_handle().content_frame()
        frame.evaluate("ready")
        assert iframe.bounding_box()["height"] == pytest.approx(
            frame.evaluate("document.body.scrollHeight"), abs=12
        )
        page.evaluate("probe.kernel().shutdown()")

        frame.locator("#map").click()
        before = where(frame), page.evaluate("probe.cells()")
        for key in [
            "ArrowDown",
            "ArrowUp",
            "d",
            "d",
            "a",
            "x",
        ]:  # commands of JupyterLab: next cell, delete, add
            page.keyboard.press(key)
        assert (where(frame), page.evaluate("probe.cells()")) == before
        page.keyboard.press("ArrowDown")
        assert where(frame) != before[0]

        dark = page.evaluate("document.body.dataset.jpThemeLight === 'false'")
        page.evaluate(
            "jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })"
        )
        page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
        frame.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        assert not dark
        assert notebook.page_errors == []


def test_a_notebook_that_was_not_run_shows_a_still_picture(lab, browser):
    path = lab.write("still.ipynb", MAP)
    notebook = nbformat.read(lab.root / path, as_version=4)
    html = make_map("letters")[1]._repr_html_()
    notebook.cells[0].outputs = [
        nbformat.v4.new_output("execute_result", {"text/html": html, "text/plain": "Latent map"})
    ]
    nbformat.write(notebook, lab.root / path)
    with open_notebook(lab, browser, path) as notebook:
        assert notebook.page.locator("iframe").count() == 0
        assert notebook.page.get_by_text("Run this cell to play with it").is_visible()
        still = notebook.page.locator("img[alt^='Map of the codes']")
        assert still.is_visible()
        assert still.evaluate("image => image.naturalWidth") > 300


@pytest.mark.long
def test_a_move_is_faster_than_a_slider_of_python(lab, browser):
    with open_notebook(lab, browser, lab.write("both.ipynb", MAP, SLIDERS)) as notebook:
        notebook.run()
        frame = notebook.page.locator(".latent-map iframe").element_handle().content_frame()
        frame.evaluate("ready")
        slider = notebook.sliders()[0]
        slider.focus()
        sliders = [time for _ in range(40) for _, time in [slider.press("ArrowRight", 500)] if time]
        frame.locator("#map").focus()
        frame.page.keyboard.press("Home")
        basins(frame)
        shown, moves = frame.evaluate(HOLD, ["map", "ArrowRight", 40])
        for name, times in {"map": moves, "slider": sliders}.items():
            print(
                f"\n{name}: median {statistics.median(times):.0f} ms, "
                f"95 % below {sorted(times)[int(0.95 * len(times))]:.0f} ms",
                end=" ",
            )
        assert shown == 40
        assert statistics.median(moves) < statistics.median(sliders)
