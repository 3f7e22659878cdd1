"""The two kinds of noise, for any images."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from helpers.noise import gaussian, salt_and_pepper

SEEDS = st.integers(0, 2**32)
STRENGTHS = st.one_of(
    st.tuples(st.just(salt_and_pepper), st.floats(0, 1)), st.tuples(st.just(gaussian), st.floats(0, 10))
)


@st.composite
def any_images(draw):
    """Images of any shape with values in [0, 1], in single or double precision."""
    width = draw(st.sampled_from([32, 64]))
    shape = draw(array_shapes(min_dims=1, max_dims=4, max_side=8))
    return torch.from_numpy(draw(arrays(f"float{width}", shape, elements=st.floats(0, 1, width=width))))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def assert_share(hits, p):
    """The share of hits among many trials is p, as far as chance allows: six standard deviations and one hit."""
    trials = hits.numel()
    assert abs(int(hits.sum()) - trials * p) <= 6 * math.sqrt(trials * p * (1 - p)) + 1


@given(images=any_images(), noise=STRENGTHS, seed=SEEDS)
def test_shape_kind_and_range_are_kept_and_the_input_is_not_changed(images, noise, seed):
    function, strength = noise
    before = images.clone()
    noisy = function(images, strength, seeded(seed))
    assert noisy.shape == images.shape and noisy.dtype == images.dtype
    assert noisy.min() >= 0 and noisy.max() <= 1
    assert torch.equal(images, before)
    assert noisy.data_ptr() != images.data_ptr()


@given(images=any_images(), seed=SEEDS)
@pytest.mark.parametrize("function", [salt_and_pepper, gaussian])
def test_no_noise_changes_nothing(function, images, seed):
    assert torch.equal(function(images, 0, seeded(seed)), images)


@given(images=any_images(), noise=STRENGTHS, seed=SEEDS)
def test_the_same_seed_gives_the_same_noise_and_leaves_the_global_generator_alone(images, noise, seed):
    function, strength = noise
    state = torch.get_rng_state()
    first = function(images, strength, seeded(seed))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)  # whatever else happens in between
    assert torch.equal(function(images, strength, seeded(seed)), first)


@given(seed=SEEDS)
@pytest.mark.parametrize("noise", [(salt_and_pepper, 0.3), (gaussian, 0.1)])
def test_other_seeds_give_other_noise(noise, seed):
    function, strength = noise
    grey = torch.full((50, 50), 0.5)
    generator = seeded(seed)
    first = function(grey, strength, generator)
    assert not torch.equal(first, function(grey, strength, generator))  # the generator goes on
    assert not torch.equal(first, function(grey, strength, seeded(seed + 1)))


@pytest.mark.parametrize("noise", [(salt_and_pepper, 0.3), (gaussian, 0.1)])
def test_without_a_generator_the_global_one_is_used(noise):
    function, strength = noise
    grey = torch.full((50, 50), 0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = function(grey, strength)
        assert not torch.equal(function(grey, strength), first)
        torch.manual_seed(1)
        assert torch.equal(function(grey, strength), first)


@given(images=any_images(), seed=SEEDS)
def test_with_p_1_only_salt_and_pepper_are_left(images, seed):
    noisy = salt_and_pepper(images, 1, seeded(seed))
    assert ((noisy == 0) | (noisy == 1)).all()


@given(p=st.floats(0, 1), ink=st.floats(0, 1), seed=SEEDS)
def test_a_black_or_white_pixel_flips_with_probability_half_p(p, ink, seed):
    images = (torch.rand(20_000, generator=seeded(seed + 1)) < ink).float()
    flipped = salt_and_pepper(images, p, seeded(seed)) != images
    for value in (0, 1):
        assert_share(flipped[images == value], p / 2)


@given(p=st.floats(0, 1), seed=SEEDS)
def test_a_grey_pixel_becomes_salt_or_pepper_equally_often(p, seed):
    noisy = salt_and_pepper(torch.full((20_000,), 0.5), p, seeded(seed))
    assert_share(noisy == 1, p / 2)
    assert_share(noisy == 0, p / 2)
    assert_share(noisy == 0.5, 1 - p)


@given(std=st.floats(1e-3, 0.08), seed=SEEDS)
def test_gaussian_noise_has_mean_0_and_the_given_standard_deviation(std, seed):
    number = 50_000
    noise = gaussian(torch.full((number,), 0.5, dtype=torch.float64), std, seeded(seed)) - 0.5
    assert abs(noise.mean()) < 6 * std / math.sqrt(number)
    assert abs(noise.std() - std) < 6 * std / math.sqrt(2 * number)


def test_gaussian_noise_is_clipped():
    noisy = gaussian(torch.full((50_000,), 0.5), 0.5, seeded(0))
    beyond = 0.15866  # the share of a normal distribution beyond one standard deviation
    assert_share(noisy == 0, beyond)
    assert_share(noisy == 1, beyond)


@pytest.mark.parametrize("p", [-0.1, 1.1, -1e-9, math.nan, math.inf, -math.inf])
def test_p_must_be_a_probability(p):
    with pytest.raises(ValueError, match=rf"p .*\[0, 1\].* {p}$"):
        salt_and_pepper(torch.zeros(3), p)


@pytest.mark.parametrize("std", [-0.1, -1e-9, math.nan, math.inf, -math.inf])
def test_std_must_be_finite_and_not_negative(std):
    with pytest.raises(ValueError, match=rf"std .*>= 0.* {std}$"):
        gaussian(torch.zeros(3), std)


@pytest.mark.parametrize("function", [salt_and_pepper, gaussian])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_images_must_be_floating_point(function, dtype):
    with pytest.raises(TypeError, match=f"images: .*{dtype}"):
        function(torch.zeros(3, dtype=dtype), 0.1)


# --- a level for each image ------------------------------------------------------------------------------------------


def levels(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_image_gets_its_own_standard_deviation(dtype):
    stds = (0, 0.01, 0.03, 0.08)
    images = torch.full((4, 1, 200, 200), 0.5)
    noise = gaussian(images, levels(*stds, dtype=dtype), seeded(0)) - 0.5
    assert noise.dtype == torch.float32
    for image, std in zip(noise, stds, strict=True):
        assert abs(image.std() - std) <= 6 * std / math.sqrt(2 * image.numel()) + 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_image_gets_its_own_p(dtype):
    ps = (0, 0.1, 0.7, 1)
    noisy = salt_and_pepper(torch.full((4, 1, 150, 150), 0.5), levels(*ps, dtype=dtype), seeded(0))
    assert noisy.dtype == torch.float32
    for image, p in zip(noisy, ps, strict=True):
        assert_share(image == 1, p / 2)
        assert_share(image == 0, p / 2)
        assert_share(image == 0.5, 1 - p)


@given(images=any_images(), noise=STRENGTHS, seed=SEEDS)
def test_a_tensor_of_equal_levels_is_like_the_number(images, noise, seed):
    function, strength = noise
    before = images.clone()
    expected = function(images, strength, seeded(seed))
    tensor = torch.full((len(images), *[1] * (images.dim() - 1)), strength, dtype=images.dtype)
    for level in (tensor, tensor.expand_as(images), tensor[0]):
        kept = level.clone()
        noisy = function(images, level, seeded(seed))
        assert noisy.shape == images.shape and noisy.dtype == images.dtype
        assert torch.allclose(noisy, expected, atol=1e-5)
        assert torch.equal(level, kept)
    assert torch.equal(images, before)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_level_among_good_ones_is_refused(bad, place):
    values = [0.2, 0.5, 1.0]
    values[place] = bad
    with pytest.raises(ValueError, match=r"p is a probability: .*\[0, 1\]"):
        salt_and_pepper(torch.zeros(3, 1, 2, 2), levels(*values))
    if bad == 1.1:
        gaussian(torch.zeros(3, 1, 2, 2), levels(*values))
    else:
        with pytest.raises(ValueError, match=r"std is a standard deviation: .*>= 0"):
            gaussian(torch.zeros(3, 1, 2, 2), levels(*values))
