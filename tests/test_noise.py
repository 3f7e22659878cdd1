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
    st.tuples(st.just(salt_and_pepper), st.floats(0, 1)),
    st.tuples(st.just(gaussian), st.floats(0, 10)),
)


@st.composite
def any_images(draw):
    """Images of any shape with values in [0, 1], in single or double precision."""
    width, shape = draw(st.sampled_from([32, 64])), draw(array_shapes(max_dims=4, max_side=8))
    values = st.floats(0, 1, width=width)
    return torch.from_numpy(draw(arrays(f"float{width}", shape, elements=values)))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def assert_share(hits, p):
    """The share of hits is p, as far as chance allows: six standard deviations and one hit."""
    trials = hits.numel()
    assert abs(int(hits.sum()) - trials * p) <= 6 * math.sqrt(trials * p * (1 - p)) + 1


@given(images=any_images(), noise=STRENGTHS, seed=SEEDS)
def test_what_holds_for_any_images_and_level(images, noise, seed):
    (function, strength), before, state = noise, images.clone(), torch.get_rng_state()
    noisy = function(images, strength, seeded(seed))
    assert noisy.shape == images.shape and noisy.dtype == images.dtype
    assert noisy.min() >= 0 and noisy.max() <= 1 and noisy.data_ptr() != images.data_ptr()
    assert torch.equal(function(images, strength, seeded(seed)), noisy)
    assert torch.equal(function(images, 0, seeded(seed)), images)
    each = torch.full((len(images), *[1] * (images.dim() - 1)), strength, dtype=images.dtype)
    for level in (each, each.expand_as(images), each[0]):  # like the number
        kept = level.clone()
        again = function(images, level, seeded(seed))
        assert again.shape == images.shape and again.dtype == images.dtype
        assert torch.allclose(again, noisy, atol=1e-5) and torch.equal(level, kept)
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("function", "strength"), [(salt_and_pepper, 0.3), (gaussian, 0.1)])
def test_the_generator_goes_on_and_without_one_it_is_the_global_one(function, strength):
    grey, generator = torch.full((50, 50), 0.5), seeded(1)
    first, second = (function(grey, strength, generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first, function(grey, strength, seeded(2)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert torch.equal(function(grey, strength), first)
        assert torch.equal(function(grey, strength), second)


@given(p=st.floats(0, 1), ink=st.floats(0, 1), seed=SEEDS)
def test_a_black_or_white_pixel_flips_with_probability_half_p(p, ink, seed):
    images = (torch.rand(20_000, generator=seeded(seed + 1)) < ink).float()
    noisy = salt_and_pepper(images, p, seeded(seed))
    for value in (0, 1):
        assert_share((noisy != images)[images == value], p / 2)
    assert set(salt_and_pepper(images / 2, 1, seeded(seed)).tolist()) == {0, 1}


@given(p=st.floats(0, 1), seed=SEEDS)
def test_a_grey_pixel_becomes_salt_or_pepper_equally_often(p, seed):
    noisy = salt_and_pepper(torch.full((20_000,), 0.5), p, seeded(seed))
    for value, share in ((1, p / 2), (0, p / 2), (0.5, 1 - p)):
        assert_share(noisy == value, share)


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


def levels(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("bad", [-0.1, -1e-9, 1.1, math.nan, math.inf, -math.inf])
def test_a_bad_level_is_refused_alone_and_among_good_ones(bad):
    images, several = torch.zeros(3, 1, 2, 2), [0.2, 0.5, 1.0]
    for place in range(3):
        several[place] = bad
        for level, end in ((bad, f" {bad}$"), (levels(*several), "")):
            with pytest.raises(ValueError, match=rf"p is a probability: .*\[0, 1\].*{end}"):
                salt_and_pepper(images, level)
            if bad == 1.1:
                gaussian(images, level)
                continue
            with pytest.raises(ValueError, match=rf"std is a standard deviation: .*>= 0.*{end}"):
                gaussian(images, level)
        several[place] = 0.5


@pytest.mark.parametrize("function", [salt_and_pepper, gaussian])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_images_must_be_floating_point(function, dtype):
    with pytest.raises(TypeError, match=f"images: .*{dtype}"):
        function(torch.zeros(3, dtype=dtype), 0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_image_gets_its_own_level(dtype):
    stds, ps, images = (0, 0.01, 0.03, 0.08), (0, 0.1, 0.7, 1), torch.full((4, 1, 200, 200), 0.5)
    noise = gaussian(images, levels(*stds, dtype=dtype), seeded(0)) - 0.5
    noisy = salt_and_pepper(images, levels(*ps, dtype=dtype), seeded(0))
    assert noise.dtype == noisy.dtype == torch.float32
    for image, std in zip(noise, stds, strict=True):
        assert abs(image.std() - std) <= 6 * std / math.sqrt(2 * image.numel()) + 1e-6
    for image, p in zip(noisy, ps, strict=True):
        for value, share in ((1, p / 2), (0, p / 2), (0.5, 1 - p)):
            assert_share(image == value, share)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_are_enough_for_images_but_not_for_the_draw(dtype):
    noisy = salt_and_pepper(torch.full((1_000_000,), 0.5, dtype=dtype), 0.001, seeded(0))
    assert noisy.dtype == dtype
    assert_share(noisy == 1, 0.0005)
    assert_share(noisy == 0, 0.0005)
    images = torch.rand(1000, generator=seeded(1))
    for function in (salt_and_pepper, gaussian):  # the same numbers, up to rounding
        half = function(images.to(dtype), 0.3, seeded(0))
        assert half.dtype == dtype
        assert torch.allclose(half.float(), function(images, 0.3, seeded(0)), atol=0.01)
