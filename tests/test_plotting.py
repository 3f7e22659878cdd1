"""Figures: what is drawn is what was given, and no global setting changes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox

from helpers import plotting
from helpers.models import Autoencoder, UNet, VariationalAutoencoder

mpl.use("Agg")


@pytest.fixture(autouse=True)
def no_trace():
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


def sheet_of(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def places(ax):
    """Where each text of the axes stands."""
    return {text.get_text(): tuple(text.xy) for text in ax.texts}


@pytest.mark.parametrize(
    ("count", "sets", "columns"), [(32, 1, 16), (5, 2, 16), (36, 1, 18), (7, 2, 4)]
)
def test_show_images_draws_every_image_once(count, sets, columns):
    rows = [torch.full((count, 1, 7, 5), 0.5 + s / 10) for s in range(sets)]
    labels, names = [str(i) for i in range(count)], ["first", "second"] if sets > 1 else None
    figure = plotting.show_images(rows if sets > 1 else rows[0], labels, names, columns)
    assert isinstance(figure, Figure)
    for s in range(sets):
        assert np.isclose(sheet_of(figure), 0.5 + s / 10).sum() == count * 35
    texts = sorted(text.get_text() for text in figure.axes[0].texts)
    assert texts == sorted(labels + (names or []) * -(-count // columns))  # a title only once


def test_order_and_orientation_of_images():
    images = torch.zeros(3, 1, 7, 5)
    images[1, 0, 0, 4] = 1  # the second image: ink in the upper right corner
    sheet = sheet_of(plotting.show_images(images, columns=2))
    assert np.argwhere(sheet == 1).tolist() == [[1, 1 + 5 + 1 + 4]]
    sheet = sheet_of(plotting.show_images([torch.ones(2, 1, 7, 5)] * 2))  # no room for titles
    assert sheet.shape == (1 + 2 * 8, 1 + 2 * 6)


def test_sets_stand_below_each_other_under_one_title():
    sets = [torch.full((3, 1, 7, 15), value) for value in (0.5, 0.6)]  # gaps of 3 pixels
    for s in sets:
        s[2] += 0.3  # the third image starts the second line
    figure = plotting.show_images(sets, ["a", "b", "c"], ["first", "second"], columns=2)
    sheet, texts = sheet_of(figure), figure.axes[0].texts
    tops = [np.argwhere(np.isclose(sheet, value))[0, 0] for value in (0.5, 0.6, 0.8, 0.9)]
    assert np.diff(tops).tolist() == [10, 13, 10]  # 7 pixels, a gap; 3 more where a title stands
    at = sorted((y, x, text.get_text()) for text in texts for x, y in [text.get_position()])
    middles = [(tops[0] - 1, 10, "a"), (tops[0] - 1, 28, "b"), (tops[2] - 1, 10, "c")]
    assert [(y, x, text) for y, x, text in at if text in "abc"] == middles
    names = [(text, y - 3.5) for y, _, text in at if text not in "abc"]
    assert names == list(zip(["first", "second"] * 2, tops, strict=True))


def test_curves_show_mean_and_band_and_differ_without_colour():
    values = torch.tensor([[1.0, 3.0], [2.0, 6.0]])
    curves = {"a": ([1, 2], values), "b": ([1, 2], values[:, 0])}
    ax = plotting.plot_curves(curves, "epochs", "errors")
    assert ax.lines[0].get_ydata().tolist() == [2, 4]
    assert len(ax.collections) == 1  # a band only where there are several seeds
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epochs", "errors")
    for log, scale in ((False, "linear"), (True, "log")):
        assert plotting.plot_curves(curves, "x", "y", log=log).get_yscale() == scale


def test_intervals_stand_in_the_given_order():
    ax = plotting.plot_intervals({"first": (2, 1, 4), "second": (5, 5, 5)}, "errors", {"limit": 3})
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["first", "second"]
    (bars,) = ax.containers[0].lines[2]
    spans = [[x for x, _ in segment] for segment in bars.get_segments()]
    assert spans == [[1, 4], [5, 5]]
    assert plotting.plot_intervals({"a": (2, 1, 4)}, "errors", log=True).get_xscale() == "symlog"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first one on top
    assert ax.get_legend().get_texts()[0].get_text() == "limit"


def test_a_grid_has_z1_to_the_right_and_z2_upwards_and_an_extent_of_the_middles():
    images = torch.zeros(3, 5, 1, 7, 5)
    images[0, 4] = 1  # lowest z2, highest z1: the lower right corner
    ax = plotting.show_grid(images, extent=(-2, 2, 0, 1))
    sheet = ax.images[0].get_array()
    assert sheet[-2, -2] == 1 and (sheet == 1).sum() == 35
    assert ax.images[0].get_extent() == pytest.approx([-2.5, 2.5, -0.25, 1.25])
    assert (ax.get_aspect(), ax.get_box_aspect()) == ("auto", 24 / 30)  # pixels are squares


def test_codes_and_errors():
    ax = plotting.plot_codes(torch.tensor([[0.1, 0.9], [0.5, 0.5]]), ["a", "b"], title="codes")
    assert places(ax) == {"a": pytest.approx((0.1, 0.9)), "b": (0.5, 0.5)}
    ax = plotting.plot_errors([1, 0, 2], ["a", "b", "c"], title="run")
    assert [bar.get_height() for bar in ax.patches] == [1, 0, 2] and ax.get_title() == "run"


CODES = torch.tensor([[-0.5, 0.0], [1.0, 0.5]])


def basins(letters=((0, 0, 1, 1), (0, 0, 1, 1)), distances=((0, 0, 0, 2), (3, 0, 0, 0)), **options):
    """A map of 2 x 4 points: letter 0 left, letter 1 right, not exactly a letter in two places."""
    given = torch.tensor(letters), torch.tensor(distances), CODES, ["a", "b"], (-1, 2, -0.5, 1.5)
    return plotting.plot_basins(*given, **options)


def test_basins_are_parted_by_lines_and_grey_where_there_is_no_letter():
    ax = basins()
    (image,), rows = ax.images, np.asarray(ax.images[0].get_array())
    assert image.origin == "lower"  # z2 upwards: the first row is the lowest
    assert image.get_extent() == [-1, 2, -0.5, 1.5]
    line = rows[0, 2]
    assert np.allclose(rows, [[1, 1, line, 0.85], [0.85, 1, line, 1]]) and line < 0.85
    shades = image.cmap(image.norm(rows))[..., 0]
    assert shades[0, 0] > shades[0, 3] > shades[0, 2]  # white paper, grey, dark lines
    assert places(ax) == {"a": (-0.5, 0.0), "b": (1.0, 0.5)}
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 2), (-0.5, 1.5))
    assert ax.get_xlabel().startswith("z1") and ax.get_ylabel().startswith("z2")
    assert ax.collections[0].get_zorder() > image.get_zorder()  # points above the ground
    rows = basins([[0, 0], [0, 0], [1, 1]], np.zeros((3, 2))).images[0].get_array()
    assert (rows[:2] == 1).all() and (rows[2] < 0.85).all()  # the line to the basin above


def heat_map(values=((0.123, 0.5), (0.75, 1.0), (2, 3.456)), **options):
    names = ("p = 0", "p = 1", 2)[: len(values)], [0.1, 0.3], "test", "training", "exact"
    return plotting.plot_heat_map(values, *names, **options)


def test_a_heat_map_shows_every_number_in_its_field():
    ax = heat_map()
    found = {text.get_position(): text.get_text() for text in ax.texts}
    lines = ["0.12", "0.50"], ["0.75", "1.00"], ["2.00", "3.46"]
    assert found == {(x, y): text for y, line in enumerate(lines) for x, text in enumerate(line)}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["p = 0", "p = 1", "2"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.1", "0.3"]
    assert list(ax.get_yticks()) == [0, 1, 2] and list(ax.get_xticks()) == [0, 1]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row on top
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("test", "training", "exact")


def test_a_heat_map_writes_a_small_negative_number_without_a_sign():
    ax = heat_map([[-0.001, 0.5], [-0.5, 1.0], [0.0, -0.004]])
    numbers = [text.get_text() for text in ax.texts]
    assert numbers == ["0.00", "0.50", "-0.50", "1.00", "0.00", "0.00"]
    whole = [text.get_text() for text in heat_map([[99.6, 7.4], [-0.2, 12]], digits=0).texts]
    assert whole == ["100", "7", "0", "12"]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_the_numbers_of_a_heat_map_can_be_read(kind):
    """Dark letters on light ground, light letters on dark ground."""
    ax = heat_map(kind([[0.0, 0.2], [0.8, 1.0], [-1.0, 2.0]]))
    image, values = ax.images[0], ax.images[0].get_array()
    for text in ax.texts:
        ground = image.cmap(image.norm(values[text.get_position()[::-1]]))[:3]
        difference = np.subtract(ground, mpl.colors.to_rgb(text.get_color()))
        assert abs(np.dot([0.3, 0.59, 0.11], difference)) > 0.3


@pytest.mark.parametrize("plot", [basins, heat_map])
def test_maps_are_drawn_where_they_should_be(plot):
    figure, (left, right) = plt.subplots(1, 2)
    assert plot(ax=right) is right and right.has_data() and not left.has_data()
    assert plt.get_fignums() == [figure.number]
    new = plot()  # one more: the one that is given back
    assert plt.get_fignums() == [figure.number, new.figure.number]


def test_values_are_ink_on_white_paper_or_light_on_black():
    images = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
    for paper, light in (("white", 0.0), ("black", 1.0)):
        grid = plotting.show_grid(torch.stack([images, images]), paper=paper)
        for ax in (plotting.show_images(images, paper=paper).axes[0], grid):
            (image,) = ax.images
            assert image.cmap(image.norm(1.0))[0] == pytest.approx(light)
            assert image.cmap(image.norm(0.0))[0] == pytest.approx(1 - light)


def test_thumbnails_lie_at_their_codes():
    codes, images = (
        torch.randn(5, 2, generator=torch.Generator().manual_seed(0)),
        torch.rand(5, 1, 4, 4),
    )
    ax = plt.figure().add_subplot()
    plotting.plot_thumbnails(codes, images, ax, title="map")
    boxes = [artist for artist in ax.artists if isinstance(artist, AnnotationBbox)]
    for box, code, image in zip(boxes, codes.numpy(), images, strict=True):
        assert np.allclose(box.xy, code)
        assert np.array_equal(box.offsetbox.get_data(), image[0])
    assert ax.get_title() == "map"
    ax.figure.canvas.draw()


def test_another_paper_and_codes_that_do_not_fit_are_refused_before_anything_is_drawn():
    images = torch.rand(4, 1, 4, 4)
    for draw in (plotting.show_images, plotting.show_grid):
        with pytest.raises(ValueError, match=r"paper: .*\['white', 'black'\], got 'grey'"):
            draw(images, paper="grey")
    for codes in (torch.zeros(4, 3), torch.zeros(3, 2), torch.zeros(4)):
        with pytest.raises(ValueError, match=r"codes: expected shape \(4, 2\), got"):
            plotting.plot_thumbnails(codes, images, None)
    assert plt.get_fignums() == []


def test_a_network_is_drawn_layer_by_layer():
    def drawn(model):
        ax = plotting.plot_network(model)
        return [bar.get_height() for bar in ax.patches], [text.get_text() for text in ax.texts]

    heights, texts = drawn(Autoencoder([35, 17, 2, 17, 35]))
    np.testing.assert_allclose(heights, np.log2([36, 18, 3, 18, 36]))
    texts = [text.replace("\n", " ") for text in texts if text]
    assert texts == ["35 image", "17 Tanh", "2 Sigmoid code", "17 Tanh", "35 logits"]
    _, texts = drawn(VariationalAutoencoder([400, 30], latent_dim=3))
    texts = [text.replace("\n", " ") for text in texts if text]
    middle = ["30 ReLU", "6 mu and log variance", "3 code z, drawn", "30 ReLU"]
    assert texts == ["400 image", *middle, "400 logits"]
    heights, texts = drawn(UNet())
    assert heights == [6, 3, 3, 1.5, 1.5, 3, 3, 3, 3, 6] and "skip" in texts
    channels = [int(text.split()[0]) for text in texts if " of" in text]
    assert channels == [1, 4, 32, 24, 24, 24, 56, 32, 4, 1]
    with pytest.raises(ValueError, match="expected a network of"):
        plotting.plot_network(torch.nn.Linear(2, 2))
