"""Figures: what is drawn is what was given, and no global setting changes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
