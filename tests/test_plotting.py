"""Figures: what is drawn is what was given, and no global setting changes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox
from mpl_toolkits.mplot3d.proj3d import proj_transform

from helpers import plotting

mpl.use("Agg")


@pytest.fixture(autouse=True)
def no_trace():
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(("count", "sets", "columns"), [(32, 1, 16), (5, 2, 16), (36, 1, 18), (7, 2, 4)])
def test_show_images_draws_every_image_once(count, sets, columns):
    rows = [torch.full((count, 1, 7, 5), 0.5 + s / 10) for s in range(sets)]
    labels = [str(i) for i in range(count)]
    names = ["first", "second"][:sets] if sets > 1 else None
    figure = plotting.show_images(rows if sets > 1 else rows[0], labels, names, columns)
    assert isinstance(figure, Figure)
    (ax,) = figure.axes
    sheet = ax.images[0].get_array()
    for s in range(sets):
        assert np.isclose(sheet, 0.5 + s / 10).sum() == count * 35
    texts = [text.get_text() for text in ax.texts]
    assert sorted(texts) == sorted(labels + (names or []) * -(-count // columns))  # one title, above the first set


def test_show_images_keeps_order_and_orientation():
    images = torch.zeros(3, 1, 7, 5)
    images[1, 0, 0, 4] = 1  # the second image: ink in the upper right corner
    sheet = plotting.show_images(images, columns=2).axes[0].images[0].get_array()
    assert np.argwhere(sheet == 1).tolist() == [[1, 1 + 5 + 1 + 4]]


def test_sets_stand_below_each_other_under_one_title():
    sets = [torch.full((3, 1, 7, 5), value) for value in (0.5, 0.6)]
    for s in sets:
        s[2] += 0.3  # the third image starts the second line
    (ax,) = plotting.show_images(sets, ["a", "b", "c"], ["first", "second"], columns=2).axes
    sheet = np.asarray(ax.images[0].get_array())
    tops = [np.argwhere(np.isclose(sheet, value))[0, 0] for value in (0.5, 0.6, 0.8, 0.9)]
    assert np.diff(tops).tolist() == [8, 11, 8]  # 7 pixels and a gap of 1; 3 more where a title comes between
    places = sorted((y, x, text.get_text()) for text in ax.texts for x, y in [text.get_position()])
    assert [(y, x, text) for y, x, text in places if text in "abc"] == [
        (tops[0] - 1, 3, "a"),  # above the middle of its image
        (tops[0] - 1, 9, "b"),
        (tops[2] - 1, 3, "c"),
    ]
    names = [(text, y) for y, _, text in places if text not in "abc"]
    assert names == [(name, top + 3.5) for name, top in zip(["first", "second"] * 2, tops, strict=True)]


def test_sets_without_titles_leave_no_room_for_them():
    sheet = plotting.show_images([torch.ones(2, 1, 7, 5), torch.ones(2, 1, 7, 5)]).axes[0].images[0].get_array()
    assert sheet.shape == (1 + 2 * 8, 1 + 2 * 6)


def test_curves_show_mean_and_band_and_differ_without_colour():
    values = torch.tensor([[1.0, 3.0], [2.0, 6.0]])
    ax = plotting.plot_curves({"a": ([1, 2], values), "b": ([1, 2], values[:, 0])}, "epochs", "errors")
    assert isinstance(ax, Axes)
    assert ax.lines[0].get_ydata().tolist() == [2, 4]
    assert len(ax.collections) == 1  # a band only where there are several seeds
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epochs", "errors")
    assert plotting.plot_curves({"a": ([1, 2], values)}, "x", "y", log=True).get_yscale() == "log"
    assert plotting.plot_curves({"a": ([1, 2], values)}, "x", "y", log="symlog").get_yscale() == "symlog"


def test_intervals_stand_in_the_given_order():
    ax = plotting.plot_intervals({"first": (2, 1, 4), "second": (5, 5, 5)}, "errors", {"limit": 3})
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["first", "second"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first one on top
    assert ax.get_legend().get_texts()[0].get_text() == "limit"


def test_codes_are_labelled_at_their_place():
    ax = plotting.plot_codes(torch.tensor([[0.1, 0.9], [0.5, 0.5]]), ["a", "b"], title="codes")
    assert [(text.get_text(), tuple(text.xy)) for text in ax.texts] == [
        ("a", pytest.approx((0.1, 0.9))),
        ("b", pytest.approx((0.5, 0.5))),
    ]


def test_grid_has_z1_to_the_right_and_z2_upwards():
    images = torch.zeros(3, 3, 1, 7, 5)
    images[0, 2] = 1  # lowest z2, highest z1: the lower right corner
    sheet = plotting.show_grid(images).images[0].get_array()
    assert sheet[-2, -2] == 1
    assert (sheet == 1).sum() == 35


def test_errors_and_roc():
    ax = plotting.plot_errors([1, 0, 2], ["a", "b", "c"])
    assert [bar.get_height() for bar in ax.patches] == [1, 0, 2]
    curve = (torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 1.0]), 1.0)
    assert "AUC 1.00" in plotting.plot_roc({"network": curve}).get_legend().get_texts()[0].get_text()


def basins(**options):
    """A map of 2 x 4 points: letter 0 on the left, letter 1 on the right, not exactly a letter in two places."""
    letters, distances = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]]), torch.tensor([[0, 0, 0, 2], [3, 0, 0, 0]])
    codes = torch.tensor([[-0.5, 0.0], [1.0, 0.5]])
    return plotting.plot_basins(letters, distances, codes, ["a", "b"], (-1, 2, -0.5, 1.5), **options)


def test_basins_are_parted_by_lines_and_grey_where_there_is_no_letter():
    ax = basins()
    ((image,), rows) = ax.images, np.asarray(ax.images[0].get_array())
    assert image.origin == "lower"  # z2 upwards: the first row is the lowest
    assert image.get_extent() == [-1, 2, -0.5, 1.5]
    line = rows[0, 2]
    assert np.allclose(rows, [[1, 1, line, 0.85], [0.85, 1, line, 1]])
    assert line < 0.85
    shades = image.cmap(image.norm(rows))[..., 0]
    assert shades[0, 0] > shades[0, 3] > shades[0, 2]  # white paper, grey, dark lines


def test_a_line_between_a_basin_and_the_one_above_it():
    zeros = torch.zeros(1, 2)
    ax = plotting.plot_basins([[0, 0], [0, 0], [1, 1]], np.zeros((3, 2)), zeros, ["a"], (0, 1, 0, 1))
    rows = np.asarray(ax.images[0].get_array())
    assert (rows[:2] == 1).all() and (rows[2] < 0.85).all()


def test_basins_show_the_letters_at_their_codes():
    ax = basins()
    assert [(text.get_text(), tuple(text.xy)) for text in ax.texts] == [("a", (-0.5, 0.0)), ("b", (1.0, 0.5))]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 2), (-0.5, 1.5))
    assert ax.get_xlabel().startswith("z1") and ax.get_ylabel().startswith("z2")
    assert ax.collections[0].get_zorder() > ax.images[0].get_zorder()  # points above the ground


def heat_map(values=((0.123, 0.5), (0.75, 1.0), (2, 3.456)), **options):
    return plotting.plot_heat_map(values, ("p = 0", "p = 1", 2), [0.1, 0.3], "test", "training", "exact", **options)


def test_a_heat_map_shows_every_number_in_its_field():
    ax = heat_map()
    found = {text.get_position(): text.get_text() for text in ax.texts}
    assert found == {(0, 0): "0.12", (1, 0): "0.50", (0, 1): "0.75", (1, 1): "1.00", (0, 2): "2.00", (1, 2): "3.46"}
    assert np.asarray(ax.images[0].get_array()).tolist() == [[0.123, 0.5], [0.75, 1.0], [2, 3.456]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["p = 0", "p = 1", "2"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.1", "0.3"]
    assert list(ax.get_yticks()) == [0, 1, 2] and list(ax.get_xticks()) == [0, 1]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row on top
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("test", "training", "exact")


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_the_numbers_of_a_heat_map_can_be_read(kind):
    """Dark letters on light ground, light letters on dark ground."""
    ax = heat_map(kind([[0.0, 0.2], [0.8, 1.0], [-1.0, 2.0]]))
    (image,) = ax.images
    for text in ax.texts:
        x, y = text.get_position()
        ground, ink = image.cmap(image.norm(image.get_array()[y, x]))[:3], mpl.colors.to_rgb(text.get_color())
        assert abs(np.dot([0.3, 0.59, 0.11], np.subtract(ground, ink))) > 0.3


@pytest.mark.parametrize("plot", [basins, heat_map])
def test_maps_are_drawn_where_they_should_be(plot):
    figure, (left, right) = plt.subplots(1, 2)
    assert plot(ax=right) is right
    assert plt.get_fignums() == [figure.number]
    assert right.has_data() and not left.has_data()
    new = plot()
    assert plt.get_fignums() == [figure.number, new.figure.number]  # one more: the one that is given back


@pytest.mark.parametrize(
    "draw", [plotting.show_images, lambda images, **kw: plotting.show_grid(torch.stack([images, images]), **kw)]
)
def test_values_are_ink_on_white_paper_or_light_on_black(draw):
    for paper, light in (("white", 0.0), ("black", 1.0)):
        drawn = draw(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4), paper=paper)
        (image,) = (drawn.axes[0] if isinstance(drawn, Figure) else drawn).images
        assert image.cmap(image.norm(1.0))[0] == pytest.approx(light)
        assert image.cmap(image.norm(0.0))[0] == pytest.approx(1 - light)
        plt.close("all")


@pytest.mark.parametrize("latent_dim", [2, 3])
def test_thumbnails_lie_at_their_codes(latent_dim):
    codes, images = torch.randn(5, latent_dim, generator=torch.Generator().manual_seed(0)), torch.rand(5, 1, 4, 4)
    ax = plotting.plot_thumbnails(codes, images, title="map")
    boxes = [artist for artist in ax.artists if isinstance(artist, AnnotationBbox)]
    assert len(boxes) == 5
    for box, code, image in zip(boxes, codes.numpy(), images, strict=True):
        expected = code if latent_dim == 2 else proj_transform(*code, ax.get_proj())[:2]
        assert np.allclose(box.xy, expected)
        assert np.array_equal(box.offsetbox.get_data(), image[0])
    assert ax.get_title() == "map"
    ax.figure.canvas.draw()


def test_another_paper_and_codes_that_do_not_fit_are_refused_before_anything_is_drawn():
    images = torch.rand(4, 1, 4, 4)
    for draw in (plotting.show_images, plotting.show_grid):
        with pytest.raises(ValueError, match=r"paper: expected one of \['white', 'black'\], got 'grey'"):
            draw(images, paper="grey")
    for codes in (torch.zeros(4, 4), torch.zeros(3, 2), torch.zeros(4)):
        with pytest.raises(ValueError, match=r"expected codes of shape \(4, 2\) or \(4, 3\), got"):
            plotting.plot_thumbnails(codes, images)
    assert plt.get_fignums() == []
