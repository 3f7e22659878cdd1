"""The numbers that say how good a model is."""

import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from helpers.data import load_letters
from helpers.evaluation import (
    bayes_denoiser,
    linear_vae,
    nearest,
    outlier_score,
    pca_reconstruction,
    pixel_errors,
    precision_recall,
    predict,
    psnr,
    rms_distances,
    roc,
    sharpness,
    t_interval,
    wilson_interval,
)
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.noise import salt_and_pepper
from helpers.stack import from_seeds


def random_images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- pixel errors


@pytest.mark.parametrize("shape", [(4, 1, 3, 2), (4, 6), (1, 1, 2, 2)])
@pytest.mark.parametrize("members", [(), (1,), (3,)])
def test_pixel_errors_against_a_loop(shape, members):
    images, pixels = random_images(*shape), random_images(*members, *shape, seed=1)
    expected = torch.zeros(*members, shape[0], dtype=torch.int64)
    for index in product(*map(range, pixels.shape)):
        member, pixel = index[: len(members)], index[len(members) :]
        expected[(*member, pixel[0])] += (pixels[index] > 0.5) != (images[pixel] > 0.5)
    errors = pixel_errors(pixels, images)
    assert errors.dtype == torch.int64
    assert torch.equal(errors, expected)
    assert expected.sum() > 0


def test_pixel_errors_of_a_perfect_and_of_an_inverted_output():
    images = random_images(5, 1, 7, 5).round()
    assert pixel_errors(images, images).tolist() == [0] * 5
    assert pixel_errors(1 - images, images).tolist() == [35] * 5


@pytest.mark.parametrize("shape", [(4, 1, 7, 4), (3, 1, 7, 5), (4, 35), (2, 3, 1, 7, 5), (1, 7, 5)])
def test_pixel_errors_refuses_another_shape(shape):
    with pytest.raises(ValueError, match=r"\(4, 1, 7, 5\)") as error:
        pixel_errors(torch.zeros(shape), torch.zeros(4, 1, 7, 5))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize(("value", "sign"), [(1.01, "1.01"), (-0.01, "-0.01"), (7.0, "7.00")])
def test_pixel_errors_refuses_logits(value, sign):
    pixels = torch.full((2, 1, 7, 5), 0.5)
    pixels[1, 0, 3, 2] = value
    with pytest.raises(ValueError, match=rf"torch.sigmoid.*got .*{sign}"):
        pixel_errors(pixels, torch.zeros(2, 1, 7, 5))
    pixels[1, 0, 3, 2] = math.nan  # a network of a stack that has diverged is just wrong
    assert pixel_errors(pixels, torch.ones(2, 1, 7, 5)).tolist() == [35, 35]


# --- outputs for many images


def test_predict_is_the_model_in_evaluation_mode_in_pieces():
    torch.manual_seed(0)
    layers = nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Linear(9, 4)
    model = nn.Sequential(nn.Flatten(), *layers).double()
    images, sizes = random_images(620, 1, 4, 3), []
    model(
        images
    )  # in training mode: the averages of the batch norm are no longer those of a new one
    expected = model.eval()(images)
    averages = model[2].running_mean.clone()
    model.train()
    model.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    outputs = predict(model, images)
    assert outputs.shape == (620, 4) and torch.allclose(outputs, expected)
    assert sizes == [250, 250, 120]
    assert not model.training and not outputs.requires_grad
    assert torch.equal(model[2].running_mean, averages)


def test_predict_of_a_stack_and_of_a_vae_gives_logits():
    images = LETTERS.repeat(10, 1, 1, 1)
    stack = from_seeds(lambda: Autoencoder([35, 4, 35]), range(3))
    expected = torch.stack([stack.member(i)(images) for i in range(3)])
    assert torch.allclose(predict(stack, images), expected, atol=1e-5)
    vaes = from_seeds(lambda: VariationalAutoencoder([35, 9], 2), range(2))
    expected = torch.stack([vaes.member(i)(images)[0] for i in range(2)])
    assert torch.allclose(predict(vaes, images), expected, atol=1e-5)
    assert torch.allclose(predict(vaes.member(1), images), expected[1], atol=1e-5)


# --- quality of images


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(1.0, 0.0), (0.1, 20.0), (-0.1, 20.0), (0.01, 40.0), (0.5, 10 * math.log10(4))],
)
def test_psnr_of_one_and_the_same_difference_everywhere(difference, expected):
    images = torch.zeros(3, 1, 4, 5, dtype=torch.float64)
    assert psnr(images + difference, images).tolist() == pytest.approx([expected] * 3, abs=1e-9)


@pytest.mark.parametrize("shape", [(4, 1, 3, 2), (4, 6), (1, 1, 28, 28)])
def test_psnr_against_a_loop_over_the_images(shape):
    outputs, images = random_images(*shape), random_images(*shape, seed=1)
    errors = [np.mean((a - b) ** 2) for a, b in zip(outputs.numpy(), images.numpy(), strict=True)]
    values = psnr(outputs, images)
    assert values.shape == shape[:1]
    assert np.allclose(values, [10 * math.log10(1 / error) for error in errors])


def test_a_tenth_of_the_squared_error_is_10_decibels_and_no_error_is_infinitely_many():
    images, noise = random_images(2, 1, 4, 3), random_images(2, 1, 4, 3, seed=1)
    gain = psnr(images + noise / math.sqrt(10), images) - psnr(images + noise, images)
    assert gain.tolist() == pytest.approx([10, 10])
    assert psnr(images, images).tolist() == [math.inf] * 2


@pytest.mark.parametrize("shape", [(4, 1, 7, 4), (3, 1, 7, 5), (4, 35), (1, 1, 7, 5), (4, 1, 1, 1)])
def test_psnr_refuses_outputs_of_another_shape(shape):
    """Also of a shape that could be broadcast."""
    with pytest.raises(ValueError, match=r"\(4, 1, 7, 5\)") as error:
        psnr(torch.zeros(shape), torch.zeros(4, 1, 7, 5))
    assert str(shape) in str(error.value)


def edge(pixels, side=20):
    """An upright edge from 0 to 1 that is smeared over so many pixels: (1, 1, side, side)."""
    ramp = ((torch.arange(side, dtype=torch.float64) - 5) / pixels).clamp(0, 1)
    return ramp.expand(1, 1, side, side)


@pytest.mark.parametrize("pixels", [1, 2, 4, 10])
def test_an_edge_smeared_over_k_pixels_counts_one_kth(pixels):
    sharp = sharpness(edge(1))
    assert sharp.tolist() == pytest.approx(
        [1 / 19]
    )  # one of 19 neighbours to the right, in every row
    for turned in (edge(pixels), edge(pixels).mT, edge(pixels).flip(-1), 1 - edge(pixels)):
        assert sharpness(turned).tolist() == pytest.approx([sharp.item() / pixels])


def test_sharpness_of_constant_images_is_0_and_every_image_counts_alone():
    constant = (
        torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1).expand(3, 1, 20, 20)
    )
    assert sharpness(constant).tolist() == [0, 0, 0]
    mixed = torch.cat([constant[1:2], edge(1), edge(4)])
    assert sharpness(mixed).tolist() == pytest.approx([0, 1 / 19, 1 / 76])


def test_noise_makes_sharpness_larger_and_the_scale_enters_as_a_square():
    noisy = edge(4) + 0.2 * (random_images(1, 1, 20, 20) - 0.5)
    assert sharpness(noisy) > sharpness(edge(4))
    assert sharpness(noisy / 2).item() == pytest.approx(sharpness(noisy).item() / 4)
    chess = (torch.arange(8).unsqueeze(1) + torch.arange(6)) % 2.0
    assert sharpness(chess.expand(1, 1, 8, 6)).tolist() == [
        2
    ]  # all neighbours differ by 1, to the right and below


# --- intervals


@pytest.mark.parametrize("n", [2, 8, 40])
def test_the_t_interval_covers_the_true_mean_95_times_of_100(n):
    samples = np.random.default_rng(0).normal(3, 2, size=(2000, n))
    intervals = np.array([t_interval(sample) for sample in samples])
    assert np.mean((intervals[:, 0] <= 3) & (intervals[:, 1] >= 3)) == pytest.approx(
        0.95, abs=0.015
    )
    assert np.allclose(intervals.mean(axis=1), samples.mean(axis=1))  # symmetrical


def test_the_t_interval_of_a_textbook():
    """Student's own example (1908): ten differences of hours of sleep; t = 2.262 for 9 degrees."""
    hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    half = 2.2622 * np.std(hours, ddof=1) / math.sqrt(10)
    for values in (hours, np.array(hours), torch.tensor(hours)):
        assert t_interval(values) == pytest.approx((1.58 - half, 1.58 + half), abs=1e-4)
    assert all(type(bound) is float for bound in t_interval(hours))
    assert t_interval(torch.tensor([2, 2, 2])) == (2, 2)


@pytest.mark.parametrize("values", [[], [1.0], 1.0, [[1.0, 2.0]], [1.0, math.nan], [1.0, math.inf]])
def test_t_interval_refuses_values_that_make_no_sense(values):
    with pytest.raises(ValueError, match="at least 2 finite numbers"):
        t_interval(values)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (0, 10, (0, 0.2775)),
        (10, 10, (0.7225, 1)),
        (1, 10, (0.0179, 0.4042)),
        (81, 263, (0.2553, 0.3662)),  # the example of Newcombe (1998), Statistics in Medicine 17
    ],
)
def test_wilson_interval_against_known_values(successes, trials, expected):
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 10), (11, 10), (0, 0)])
def test_wilson_interval_refuses_counts_that_make_no_sense(successes, trials):
    with pytest.raises(ValueError, match="must"):
        wilson_interval(successes, trials)


def test_importing_the_module_does_not_import_scipy():
    code = "import sys, helpers.evaluation; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- principal components

IMAGES = random_images(20, 1, 4, 3)


def squared_error(output, images=IMAGES):
    return float((output - images).square().sum())


@pytest.mark.parametrize("latent_dim", range(13))
def test_pca_leaves_the_smaller_singular_values(latent_dim):
    rows = IMAGES.flatten(1).numpy()
    left_out = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)[latent_dim:]
    output = pca_reconstruction(IMAGES, latent_dim)
    assert output.shape == IMAGES.shape
    assert squared_error(output) == pytest.approx((left_out**2).sum(), abs=1e-9)
    centred = output.flatten(1) - output.flatten(1).mean(dim=0)
    assert np.linalg.matrix_rank(centred, tol=1e-8) == latent_dim


def test_pca_with_all_or_no_components():
    assert torch.allclose(pca_reconstruction(IMAGES, 12), IMAGES, atol=1e-9)
    assert torch.allclose(
        pca_reconstruction(IMAGES, 0), IMAGES.mean(dim=0).expand_as(IMAGES), atol=1e-9
    )


@pytest.mark.parametrize("latent_dim", [1, 2, 6])
def test_no_other_linear_projection_is_better_than_pca(latent_dim):
    best, rows = squared_error(pca_reconstruction(IMAGES, latent_dim)), IMAGES.flatten(1)
    for seed in range(100):
        basis = torch.linalg.qr(random_images(12, latent_dim, seed=seed) - 0.5).Q
        output = rows.mean(dim=0) + (rows - rows.mean(dim=0)) @ basis @ basis.T
        assert squared_error(output.reshape(IMAGES.shape)) >= best


@pytest.mark.parametrize("latent_dim", [-1, 13])
def test_pca_refuses_an_impossible_number_of_components(latent_dim):
    with pytest.raises(ValueError, match=f"latent_dim: expected 0 to 12 .*got {latent_dim}"):
        pca_reconstruction(IMAGES, latent_dim)


def test_pca_of_few_images():
    assert torch.allclose(pca_reconstruction(IMAGES[:3], 3), IMAGES[:3], atol=1e-9)
    with pytest.raises(ValueError, match="expected 0 to 3"):
        pca_reconstruction(IMAGES[:3], 4)


# --- the best denoiser

THREE = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0], [1, 0, 1, 1]], dtype=torch.float64)
ALL_16 = torch.tensor(list(product([0, 1], repeat=4)), dtype=torch.float64)
LETTERS = load_letters().images


def probability(noisy, letter, p):
    """Of one noisy pattern, given the letter: pixel by pixel, from what salt and pepper do."""
    return math.prod(
        (p / 2 if a != b else 1 - p / 2)
        for a, b in zip(noisy.tolist(), letter.tolist(), strict=True)
    )


@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_bayes_denoiser_against_bayes_rule_on_all_noisy_patterns(p, shape):
    output = bayes_denoiser(ALL_16.reshape(16, *shape), THREE.reshape(3, *shape), p)
    assert output.shape == (16, *shape)
    for noisy, pixels in zip(ALL_16, output.flatten(1), strict=True):
        joint = [probability(noisy, letter, p) / 3 for letter in THREE]
        expected = sum(weight * letter for weight, letter in zip(joint, THREE, strict=True)) / sum(
            joint
        )
        assert pixels.tolist() == pytest.approx(expected.tolist(), abs=1e-9)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.6, 0.9])
def test_no_answer_has_fewer_wrong_pixels_than_the_bayes_denoiser(p):
    """For every noisy pattern all 16 answers are tried: the expected number of wrong pixels of each."""
    distance = (ALL_16.unsqueeze(1) - THREE).abs().sum(dim=2)  # (answer, letter)
    for noisy, pixels in zip(ALL_16, bayes_denoiser(ALL_16, THREE, p), strict=True):
        joint = torch.tensor(
            [probability(noisy, letter, p) for letter in THREE], dtype=torch.float64
        )
        wrong = distance @ joint
        answer = int(((pixels > 0.5) == ALL_16).all(dim=1).nonzero())
        assert wrong[answer] <= wrong.min() + 1e-12
        assert wrong.max() > wrong.min() + 1e-3


@pytest.mark.parametrize("p", [0, 1e-320, 1e-30, 1e-9, 1e-4])
def test_with_hardly_any_noise_every_letter_comes_back(p):
    assert torch.allclose(bayes_denoiser(LETTERS, LETTERS, p), LETTERS, atol=1e-3)
    assert torch.allclose(bayes_denoiser(THREE, THREE, p), THREE, atol=1e-3)


@pytest.mark.parametrize("p", [0, 1e-320, 1e-30, 1e-9])
def test_with_hardly_any_noise_a_pattern_between_two_letters_gives_their_mean(p):
    letters = torch.tensor([[0.0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    output = bayes_denoiser(torch.tensor([[0.0, 0, 0, 1], [0, 1, 1, 1]]), letters, p)
    assert torch.allclose(output, torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]), atol=1e-6)


def test_with_nothing_but_noise_the_mean_letter_is_all_there_is():
    noisy = salt_and_pepper(LETTERS, 1.0, torch.Generator().manual_seed(0))
    assert torch.allclose(
        bayes_denoiser(noisy, LETTERS, 1), LETTERS.mean(dim=0).expand_as(LETTERS), atol=1e-6
    )


@pytest.mark.parametrize("p", [0, 1e-9, 0.1, 0.5, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bayes_denoiser_gives_pixel_values(p, dtype):
    letters = LETTERS.to(dtype)
    noisy = salt_and_pepper(letters.repeat(20, 1, 1, 1), p, torch.Generator().manual_seed(0))
    before = noisy.clone()
    output = bayes_denoiser(noisy, letters, p)
    assert output.dtype == dtype and output.shape == noisy.shape
    assert output.min() >= 0 and output.max() <= 1 + 1e-6  # to rounding
    assert torch.equal(noisy, before)


def simulated(p):
    """Noisy letters after the Bayes denoiser, and the clean ones."""
    clean = LETTERS.repeat(300, 1, 1, 1)
    return bayes_denoiser(
        salt_and_pepper(clean, p, torch.Generator().manual_seed(1)), LETTERS, p
    ), clean


@pytest.mark.parametrize("p", [0.3, 0.5, 0.8])
def test_where_the_bayes_denoiser_says_one_third_a_third_of_the_pixels_are_ink(p):
    output, clean = simulated(p)
    for low in (0.1, 0.3, 0.5, 0.7):
        here = (output > low) & (output <= low + 0.2)
        assert here.sum() > 500
        assert clean[here].mean().item() == pytest.approx(output[here].mean().item(), abs=0.05)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.8])
def test_the_bayes_denoiser_knows_how_many_of_its_pixels_are_wrong(p):
    output, clean = simulated(p)
    errors = pixel_errors(output, clean).double()
    promised = torch.minimum(output, 1 - output).flatten(1).sum(dim=1).mean().item()
    assert errors.mean().item() == pytest.approx(
        promised, abs=4 * errors.std().item() / math.sqrt(len(clean))
    )
    assert errors.mean() < 35 * p / 2  # doing nothing


@pytest.mark.parametrize("p", [-0.01, 1.01, math.nan, math.inf])
def test_bayes_denoiser_refuses_a_p_that_is_no_probability(p):
    with pytest.raises(ValueError, match=f"p is a probability: .* got {p}"):
        bayes_denoiser(LETTERS, LETTERS, p)


@pytest.mark.parametrize("bad", [0.5, -1.0, 2.0, math.nan])
def test_bayes_denoiser_refuses_grey(bad):
    grey = LETTERS.clone()
    grey[3, 0, 2, 1] = bad
    for images in ((grey, LETTERS), (LETTERS, grey)):
        with pytest.raises(ValueError, match="expected the values 0 and 1, got"):
            bayes_denoiser(*images, 0.1)


@pytest.mark.parametrize("shape", [(4, 1, 5, 7), (4, 35), (4, 7, 5), (1, 7, 5)])
def test_bayes_denoiser_refuses_images_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"shape \(N, \(1, 7, 5\)\)") as error:
        bayes_denoiser(torch.zeros(shape), LETTERS, 0.1)
    assert str(shape) in str(error.value)


# --- nearest


def test_nearest_against_a_loop():
    patterns, images = random_images(40, 1, 4, 3, seed=1), IMAGES
    distances, indices = nearest(patterns, images)
    assert distances.shape == indices.shape == (40,) and distances.dtype == torch.int64
    for pattern, distance, index in zip(patterns, distances, indices, strict=True):
        by_hand = [int(((pattern > 0.5) != (image > 0.5)).sum()) for image in images]
        assert distance == min(by_hand) == by_hand[index]
    assert distances.max() > 0


def test_nearest_to_itself():
    images = torch.eye(30, dtype=torch.float32).reshape(30, 1, 6, 5)
    distances, indices = nearest(images, images)
    assert distances.tolist() == [0] * 30 and indices.tolist() == list(range(30))
    assert nearest(images.flatten(1)[4:5], images)[1].tolist() == [4]


# --- outliers


def test_outlier_score_by_hand():
    class Grey(nn.Module):
        """Draws every pixel with the value 0.5."""

        def forward(self, images):
            return torch.zeros_like(images)

    images = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], [0.5, 0.5, 0.5, 1]]).reshape(
        3, 1, 2, 2
    )
    scores = outlier_score(Grey(), images)
    assert scores.tolist() == pytest.approx([0, 0.25, 0.0625])


def test_outlier_scores_of_a_stack():
    stack = from_seeds(lambda: Autoencoder([35, 4, 35]), range(3))
    scores = outlier_score(stack, LETTERS)
    for i in range(3):
        output = 1 / (1 + np.exp(-stack.member(i)(LETTERS).detach().numpy()))
        expected = ((output - LETTERS.numpy()) ** 2).mean(axis=(1, 2, 3))
        assert np.allclose(scores[i], expected, atol=1e-6)
    assert not scores.requires_grad


LEVELS = st.sampled_from([-math.inf, 0.0, 1.0, 2.5, math.inf])
SCORES = st.lists(LEVELS, min_size=1, max_size=12).map(torch.tensor)  # many ties


@given(SCORES, SCORES)
def test_auc_is_the_share_of_pairs_in_the_right_order(inliers, outliers):
    pairs = [(a < b) + 0.5 * (a == b) for a, b in product(inliers.tolist(), outliers.tolist())]
    assert roc(inliers, outliers)[2] == pytest.approx(sum(pairs) / len(pairs), abs=1e-5)


@given(SCORES, SCORES)
def test_the_roc_curve_climbs_from_0_to_1(inliers, outliers):
    false_alarms, found, _ = roc(inliers, outliers)
    assert false_alarms.shape == found.shape == (1 + len({*inliers.tolist(), *outliers.tolist()}),)
    for curve in (false_alarms, found):
        assert curve[0] == 0 and curve[-1] == 1
        assert (curve.diff() >= 0).all()
    assert (false_alarms.diff() + found.diff() > 0).all()  # no point twice


@pytest.mark.parametrize(
    ("inliers", "outliers", "auc"),
    [
        ([1, 2, 3], [4, 5], 1),
        ([4, 5], [1, 2, 3], 0),
        ([2, 2, 2], [2, 2], 0.5),
        ([1, 3], [2], 0.5),
        ([0], [-1e-9], 0),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_auc_of_simple_cases(inliers, outliers, auc, dtype):
    inliers, outliers = torch.tensor(inliers, dtype=dtype), torch.tensor(outliers, dtype=dtype)
    assert roc(inliers, outliers)[2] == pytest.approx(auc, abs=1e-6)


def test_roc_needs_scores_of_both_kinds_that_are_numbers():
    for inliers, outliers in (
        ([], [1.0]),
        ([1.0], []),
        ([1.0, math.nan], [2.0]),
        ([1.0], [math.nan]),
    ):
        with pytest.raises(ValueError, match="expected scores of both kinds, no NaN"):
            roc(torch.tensor(inliers), torch.tensor(outliers))


def test_roc_with_scores_of_whole_numbers():
    assert roc(torch.tensor([0, 1]), torch.tensor([1, 2]))[2] == pytest.approx(0.875)


# ---- precision and recall of generated images


def cloud(centre, count, seed):
    return torch.tensor(centre) + torch.rand(
        count, 2, generator=torch.Generator().manual_seed(seed)
    )


def test_precision_and_recall_of_the_same_set_are_one_and_of_far_sets_zero():
    real = cloud([0.0, 0.0], 30, 1)
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real, cloud([50.0, 0.0], 30, 2)) == (0.0, 0.0)


def test_a_generator_that_knows_one_of_two_kinds_has_precision_without_recall():
    left, right = cloud([0.0, 0.0], 40, 1), cloud([50.0, 0.0], 40, 2)
    precision, recall = precision_recall(torch.cat([left, right]), left + 0.001)
    assert precision == 1
    assert recall == 0.5


def test_a_generator_that_adds_a_false_kind_has_recall_without_precision():
    left, right = cloud([0.0, 0.0], 40, 1), cloud([50.0, 0.0], 40, 2)
    assert precision_recall(left, torch.cat([left, right])) == (0.5, 1.0)


def test_precision_and_recall_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0], [20.0]])
    generated = torch.tensor([[-2.5], [6.5], [7.0], [30.0], [50.0]])
    # to the third nearest: the real 0 +- 3, 1 +- 2, 2 +- 2, 3 +- 3, 20 +- 19; generated: 7 +- 23, ...
    assert precision_recall(real, generated) == (pytest.approx(4 / 5), 1.0)
    assert precision_recall(real, generated + 0.001)[0] == pytest.approx(4 / 5)
    assert precision_recall(generated, real)[1] == pytest.approx(4 / 5)


@pytest.mark.parametrize("seed", range(20))
def test_precision_and_recall_of_images_that_lie_on_the_edge_of_a_ball(seed):
    """Four images that are in both sets: with distances that are rounded badly one may be lost."""
    random = torch.rand(60, 400, generator=torch.Generator().manual_seed(seed)) * 0.01 + 0.9
    assert precision_recall(random, random.flip(0)) == (1.0, 1.0)
    real, generated = random[:40], random[20:]

    def exact(a, b):
        between = np.linalg.norm(a[:, None] - b, axis=2)
        radius = np.sort(np.linalg.norm(a[:, None] - a, axis=2), axis=1)[:, 3]
        return (between <= radius[:, None]).any(axis=0).mean()

    a, b = real.double().numpy(), generated.double().numpy()
    assert precision_recall(real, generated) == pytest.approx((exact(a, b), exact(b, a)))


def test_precision_recall_needs_four_images_of_each():
    assert precision_recall(torch.rand(4, 2), torch.rand(4, 2) + 9) == (0, 0)
    for real, generated in ((3, 5), (5, 3)):
        with pytest.raises(ValueError, match=f"at least 4 of each, got {real} and {generated}"):
            precision_recall(torch.rand(real, 2), torch.rand(generated, 2))


# ---- the best linear variational autoencoder


def linear_objective(rows, encode, log_s, decode, beta):
    """-ELBO of a linear VAE, the mean over its clouds in closed form: code N(x E, s^2), decoder x^ = z D."""
    mu, variance = rows @ encode, (2 * log_s).exp()
    squares = (mu @ decode - rows).square().sum(dim=1) + (
        variance * decode.square().sum(dim=1)
    ).sum()
    divergence = 0.5 * (mu.square() + variance - 1 - 2 * log_s)
    return (
        0.5 * squares.mean() + beta * divergence.sum(dim=1).mean(),
        divergence.mean(dim=0),
        mu @ decode,
    )


@pytest.mark.parametrize("beta", [0.02, 0.1, 0.3])
def test_the_best_linear_vae_is_what_training_finds(beta):
    rows = random_images(30, 6, seed=1) * torch.tensor([1.0, 0.8, 1.5, 0.3, 2.0, 0.5])
    rows = rows - rows.mean(dim=0)
    generator = torch.Generator().manual_seed(0)
    encode, decode = (
        0.5 * torch.randn(n, m, generator=generator, dtype=rows.dtype) for n, m in ((6, 4), (4, 6))
    )
    weights = [
        encode.requires_grad_(),
        torch.zeros(4, dtype=rows.dtype, requires_grad=True),
        decode.requires_grad_(),
    ]
    optimizer = torch.optim.LBFGS(
        weights, max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = linear_objective(rows, *weights, beta)[0]
        value.backward()
        return value

    optimizer.step(closure)
    objective, divergences, outputs = linear_objective(rows, *weights, beta)
    error, expected, lowest = linear_vae(rows.reshape(30, 1, 2, 3), 4, beta)
    assert objective.item() == pytest.approx(lowest, rel=1e-4)
    assert (outputs - rows).square().mean().item() == pytest.approx(error, rel=1e-2)
    assert torch.allclose(divergences.sum().float(), expected.sum(), atol=1e-2)


def test_a_linear_vae_with_a_free_code_is_pca_and_with_a_dear_one_the_mean():
    images = random_images(20, 1, 3, 4)
    error, divergences, _ = linear_vae(images, 3, 1e-9)
    assert error == pytest.approx(float((pca_reconstruction(images, 3) - images).square().mean()))
    assert (divergences > 5).all()
    error, divergences, objective = linear_vae(images, 3, 1e3)
    squares = (images - images.mean(dim=0)).square()
    assert error == pytest.approx(float(squares.mean()))
    assert objective == pytest.approx(float(0.5 * squares.sum(dim=(1, 2, 3)).mean()))
    assert (divergences == 0).all()


@pytest.mark.parametrize("latent_dim", [-1, 13, 2.5])
def test_linear_vae_refuses_a_latent_dim_that_pca_could_not_have(latent_dim):
    with pytest.raises(ValueError, match=rf"latent_dim: expected 0 to 12 .*got {latent_dim}"):
        linear_vae(random_images(20, 1, 3, 4), latent_dim, 1)


@pytest.mark.parametrize("beta", [0, -1, math.nan, math.inf])
def test_linear_vae_refuses_a_beta_that_is_no_price(beta):
    with pytest.raises(ValueError, match=rf"beta: expected a finite number > 0, got {beta}"):
        linear_vae(random_images(20, 1, 3, 4), 2, beta)


def test_linear_vae_by_hand():
    """Variances 4, 1 and 1/4 along the axes, and beta = 1/2: two dimensions are used, the third collapses."""
    rows = torch.tensor([[2.0, 1, 0.5], [-2, 1, -0.5], [2, -1, -0.5], [-2, -1, 0.5]])
    error, divergences, objective = linear_vae(rows, 3, 0.5)
    assert torch.allclose(divergences, 0.5 * torch.tensor([8.0, 2.0, 1.0]).log())
    assert error == pytest.approx((0.25 / 4 + 0.25 / 1 + 0.25) / 3)
    assert objective == pytest.approx(0.5 * 0.5 * math.log(16) + 0.5 * (2 * 0.5 + 0.25))


def test_rms_distances_of_every_pair():
    images, others = random_images(3, 1, 2, 2), random_images(4, 1, 2, 2, seed=1)
    distances = rms_distances(images, others)
    for i, j in product(range(3), range(4)):
        assert distances[i, j] == pytest.approx(
            float((images[i] - others[j]).square().mean().sqrt())
        )
    assert (rms_distances(images.float(), images.float()).diagonal() == 0).all()


def test_rms_distances_refuses_images_of_another_size():
    with pytest.raises(ValueError, match="as many pixels each, got 4 and 6"):
        rms_distances(random_images(3, 1, 2, 2), random_images(3, 1, 2, 3))
