"""The numbers that say how good a model is."""

import math
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
    bootstrap_interval,
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
    wilson_interval,
)
from helpers.noise import salt_and_pepper


def random_images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- pixel errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 1, 3, 2), (4, 6), (1, 1, 2, 2)])
@pytest.mark.parametrize("members", [(), (1,), (3,)])
def test_pixel_errors_against_a_loop(shape, members):
    images, logits = random_images(*shape), random_images(*members, *shape, seed=1) - 0.5
    expected = torch.zeros(*members, shape[0], dtype=torch.int64)
    for index in product(*map(range, logits.shape)):
        member, pixel = index[: len(members)], index[len(members) :]
        expected[(*member, pixel[0])] += (torch.sigmoid(logits[index]) > 0.5) != (images[pixel] > 0.5)
    errors = pixel_errors(logits, images)
    assert errors.dtype == torch.int64
    assert torch.equal(errors, expected)
    assert expected.sum() > 0


def test_pixel_errors_of_a_perfect_and_of_an_inverted_output():
    images = random_images(5, 1, 7, 5).round()
    assert pixel_errors(images - 0.5, images).tolist() == [0] * 5
    assert pixel_errors(0.5 - images, images).tolist() == [35] * 5


@pytest.mark.parametrize("shape", [(4, 1, 7, 4), (3, 1, 7, 5), (4, 35), (2, 3, 1, 7, 5), (1, 7, 5)])
def test_pixel_errors_refuses_logits_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"\(4, 1, 7, 5\)") as error:
        pixel_errors(torch.zeros(shape), torch.zeros(4, 1, 7, 5))
    assert str(shape) in str(error.value)


# --- outputs for many images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20, 1000])
def test_predict_is_the_model_in_evaluation_mode_whatever_the_batch_size(batch_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Linear(9, 4)).double()
    images, sizes = random_images(20, 1, 4, 3), []
    model(images)  # in training mode: the averages of the batch norm are no longer those of a new one
    expected = model.eval()(images)
    averages = model[2].running_mean.clone()
    model.train()
    model.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    outputs = predict(model, images, batch_size)
    assert outputs.shape == (20, 4) and torch.allclose(outputs, expected)
    assert max(sizes) == min(batch_size, 20)
    assert not model.training and not outputs.requires_grad
    assert torch.equal(model[2].running_mean, averages)


# --- quality of images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "expected"), [(1.0, 0.0), (0.1, 20.0), (-0.1, 20.0), (0.01, 40.0), (0.5, 10 * math.log10(4))]
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
    assert sharp.tolist() == pytest.approx([1 / 19])  # one of 19 neighbours to the right, in every row
    for turned in (edge(pixels), edge(pixels).mT, edge(pixels).flip(-1), 1 - edge(pixels)):
        assert sharpness(turned).tolist() == pytest.approx([sharp.item() / pixels])


def test_sharpness_of_constant_images_is_0_and_every_image_counts_alone():
    constant = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1).expand(3, 1, 20, 20)
    assert sharpness(constant).tolist() == [0, 0, 0]
    mixed = torch.cat([constant[1:2], edge(1), edge(4)])
    assert sharpness(mixed).tolist() == pytest.approx([0, 1 / 19, 1 / 76])


def test_noise_makes_sharpness_larger_and_the_scale_enters_as_a_square():
    noisy = edge(4) + 0.2 * (random_images(1, 1, 20, 20) - 0.5)
    assert sharpness(noisy) > sharpness(edge(4))
    assert sharpness(noisy / 2).item() == pytest.approx(sharpness(noisy).item() / 4)
    chess = (torch.arange(8).unsqueeze(1) + torch.arange(6)) % 2.0
    assert sharpness(chess.expand(1, 1, 8, 6)).tolist() == [2]  # all neighbours differ by 1, to the right and below


# --- intervals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_bootstrap_interval_covers_the_true_mean_as_often_as_it_says(level, draw):
    samples = getattr(np.random.default_rng(0), draw)(size=(400, 40))  # 400 times 40 values
    intervals = [bootstrap_interval(sample, level=level, resamples=500) for sample in samples]
    mean = {"normal": 0, "uniform": 0.5}[draw]
    assert np.mean([low <= mean <= high for low, high in intervals]) == pytest.approx(level, abs=0.06)


def test_bootstrap_interval_is_like_the_textbook_interval_for_many_values():
    values = np.random.default_rng(0).normal(3, 2, size=1000)
    half = 1.96 * values.std() / math.sqrt(1000)
    assert bootstrap_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_bootstrap_interval_is_the_same_every_time():
    values = np.random.default_rng(1).random(40).tolist()
    first = bootstrap_interval(values)
    assert bootstrap_interval(values) == bootstrap_interval(np.array(values)) == first
    assert bootstrap_interval(values, seed=1, resamples=100) != bootstrap_interval(values, seed=2, resamples=100)
    assert all(type(bound) is float for bound in first)


def test_bootstrap_interval_of_equal_values_has_no_width():
    assert bootstrap_interval([2, 2, 2]) == (2, 2)


@pytest.mark.parametrize("values", [[], [1.0], 1.0, [[1.0, 2.0]], [1.0, math.nan], [1.0, math.inf]])
def test_bootstrap_interval_refuses_values_that_make_no_sense(values):
    with pytest.raises(ValueError, match="at least 2 finite numbers"):
        bootstrap_interval(values)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (0, 10, (0, 0.2775)),
        (10, 10, (0.7225, 1)),
        (5, 10, (0.2366, 0.7634)),
        (1, 10, (0.0179, 0.4042)),
        (81, 263, (0.2553, 0.3662)),  # the example of Newcombe (1998), Statistics in Medicine 17
        (0, 1, (0, 0.7935)),
    ],
)
def test_wilson_interval_against_known_values(successes, trials, expected):
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_interval_holds_the_share_and_is_symmetrical(case):
    successes, trials = case
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1 and high - low > 0
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    wider_low, wider_high = wilson_interval(successes, trials, level=0.99)
    assert wider_low <= low + 1e-12 and wider_high >= high - 1e-12


@pytest.mark.parametrize(("successes", "trials"), [(-1, 10), (11, 10), (0, 0), (0, -1), (-2, -1)])
def test_wilson_interval_refuses_counts_that_make_no_sense(successes, trials):
    with pytest.raises(ValueError, match=f"got {successes} of {trials}"):
        wilson_interval(successes, trials)


# --- principal components --------------------------------------------------------------------------------------------

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
    assert torch.allclose(pca_reconstruction(IMAGES, 0), IMAGES.mean(dim=0).expand_as(IMAGES), atol=1e-9)


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


# --- the best denoiser -----------------------------------------------------------------------------------------------

THREE = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0], [1, 0, 1, 1]], dtype=torch.float64)
ALL_16 = torch.tensor(list(product([0, 1], repeat=4)), dtype=torch.float64)
LETTERS = load_letters().images


def probability(noisy, letter, p):
    """Of one noisy pattern, given the letter: pixel by pixel, from what salt and pepper do."""
    return math.prod((p / 2 if a != b else 1 - p / 2) for a, b in zip(noisy.tolist(), letter.tolist(), strict=True))


@pytest.mark.parametrize("p", [0.01, 0.1, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_bayes_denoiser_against_bayes_rule_on_all_noisy_patterns(p, shape):
    output = bayes_denoiser(ALL_16.reshape(16, *shape), THREE.reshape(3, *shape), p)
    assert output.shape == (16, *shape)
    for noisy, pixels in zip(ALL_16, output.flatten(1), strict=True):
        joint = [probability(noisy, letter, p) / 3 for letter in THREE]
        expected = sum(weight * letter for weight, letter in zip(joint, THREE, strict=True)) / sum(joint)
        assert pixels.tolist() == pytest.approx(expected.tolist(), abs=1e-9)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.6, 0.9])
def test_no_answer_has_fewer_wrong_pixels_than_the_bayes_denoiser(p):
    """For every noisy pattern all 16 answers are tried: the expected number of wrong pixels of each."""
    distance = (ALL_16.unsqueeze(1) - THREE).abs().sum(dim=2)  # (answer, letter)
    for noisy, pixels in zip(ALL_16, bayes_denoiser(ALL_16, THREE, p), strict=True):
        joint = torch.tensor([probability(noisy, letter, p) for letter in THREE], dtype=torch.float64)
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
    assert torch.allclose(bayes_denoiser(noisy, LETTERS, 1), LETTERS.mean(dim=0).expand_as(LETTERS), atol=1e-6)


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
    return bayes_denoiser(salt_and_pepper(clean, p, torch.Generator().manual_seed(1)), LETTERS, p), clean


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
    errors = pixel_errors(output - 0.5, clean).double()
    promised = torch.minimum(output, 1 - output).flatten(1).sum(dim=1).mean().item()
    assert errors.mean().item() == pytest.approx(promised, abs=4 * errors.std().item() / math.sqrt(len(clean)))
    assert errors.mean() < 35 * p / 2  # doing nothing


@pytest.mark.parametrize("p", [-0.01, 1.01, math.nan, math.inf])
def test_bayes_denoiser_refuses_a_p_that_is_no_probability(p):
    with pytest.raises(ValueError, match=f"p is a probability: .* got {p}"):
        bayes_denoiser(LETTERS, LETTERS, p)


@pytest.mark.parametrize("bad", [0.5, -1.0, 2.0, math.nan])
def test_bayes_denoiser_refuses_grey(bad):
    grey = LETTERS.clone()
    grey[3, 0, 2, 1] = bad
    for name, images in (("noisy", (grey, LETTERS)), ("letters", (LETTERS, grey))):
        with pytest.raises(ValueError, match=f"{name}: expected the values 0 and 1, got"):
            bayes_denoiser(*images, 0.1)


@pytest.mark.parametrize("shape", [(4, 1, 5, 7), (4, 35), (4, 7, 5), (1, 7, 5)])
def test_bayes_denoiser_refuses_images_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"shape \(N, \(1, 7, 5\)\)") as error:
        bayes_denoiser(torch.zeros(shape), LETTERS, 0.1)
    assert str(shape) in str(error.value)


# --- nearest ---------------------------------------------------------------------------------------------------------


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


# --- outliers --------------------------------------------------------------------------------------------------------


def test_outlier_score_by_hand():
    class Grey(nn.Module):
        """Draws every pixel with the value 0.5."""

        def forward(self, images):
            return torch.zeros_like(images)

    images = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], [0.5, 0.5, 0.5, 1]]).reshape(3, 1, 2, 2)
    scores = outlier_score(Grey(), images)
    assert scores.tolist() == pytest.approx([0, 0.25, 0.0625])


def test_outlier_score_against_numpy():
    torch.manual_seed(0)
    model = nn.Linear(12, 12).double()
    images = IMAGES.flatten(1)
    output = 1 / (1 + np.exp(-model(images).detach().numpy()))
    scores = outlier_score(model, images)
    assert np.allclose(scores, ((output - images.numpy()) ** 2).mean(axis=1), atol=1e-12)
    assert not scores.requires_grad


SCORES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12).map(torch.tensor)  # many ties


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
    [([1, 2, 3], [4, 5], 1), ([4, 5], [1, 2, 3], 0), ([2, 2, 2], [2, 2], 0.5), ([1, 3], [2], 0.5), ([0], [-1e-9], 0)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_auc_of_simple_cases(inliers, outliers, auc, dtype):
    inliers, outliers = torch.tensor(inliers, dtype=dtype), torch.tensor(outliers, dtype=dtype)
    assert roc(inliers, outliers)[2] == pytest.approx(auc, abs=1e-6)


@pytest.mark.parametrize(
    ("inliers", "outliers", "expected"), [(0, 3, "0 inliers, 3 outliers"), (3, 0, "3 inliers, 0 outliers")]
)
def test_roc_needs_scores_of_both_kinds(inliers, outliers, expected):
    with pytest.raises(ValueError, match=expected):
        roc(torch.zeros(inliers), torch.zeros(outliers))


# ---- precision and recall of generated images ------------------------------------------------------------------------


def cloud(centre, count, seed):
    return torch.tensor(centre) + torch.rand(count, 2, generator=torch.Generator().manual_seed(seed))


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
    real, generated = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [4.5], [9.0]])
    # balls of the real ones with k = 1: 0 +- 1, 1 +- 1, 3 +- 2; of the generated ones: 0.5 +- 4, 4.5 +- 4, 9 +- 4.5
    assert precision_recall(real, generated, k=1) == (pytest.approx(2 / 3), 1.0)


@pytest.mark.parametrize("k", [0, 5, -1])
def test_precision_recall_refuses_a_k_that_does_not_fit(k):
    with pytest.raises(ValueError, match=f"k: expected 1 to 4, got {k}"):
        precision_recall(torch.rand(9, 2), torch.rand(5, 2), k=k)


# ---- the best linear variational autoencoder -------------------------------------------------------------------------


def linear_objective(rows, encode, log_s, decode, beta):
    """-ELBO of a linear VAE, the mean over its clouds in closed form: code N(x E, s^2), decoder x^ = z D."""
    mu, variance = rows @ encode, (2 * log_s).exp()
    squares = (mu @ decode - rows).square().sum(dim=1) + (variance * decode.square().sum(dim=1)).sum()
    divergence = 0.5 * (mu.square() + variance - 1 - 2 * log_s)
    return 0.5 * squares.mean() + beta * divergence.sum(dim=1).mean(), divergence.mean(dim=0), mu @ decode


@pytest.mark.parametrize("beta", [0.02, 0.1, 0.3])
def test_the_best_linear_vae_is_what_training_finds(beta):
    rows = random_images(30, 6, seed=1) * torch.tensor([1.0, 0.8, 1.5, 0.3, 2.0, 0.5])
    rows = rows - rows.mean(dim=0)
    generator = torch.Generator().manual_seed(0)
    encode, decode = (0.5 * torch.randn(n, m, generator=generator, dtype=rows.dtype) for n, m in ((6, 4), (4, 6)))
    weights = [encode.requires_grad_(), torch.zeros(4, dtype=rows.dtype, requires_grad=True), decode.requires_grad_()]
    optimizer = torch.optim.LBFGS(weights, max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

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
        assert distances[i, j] == pytest.approx(float((images[i] - others[j]).square().mean().sqrt()))
    assert (rms_distances(images.float(), images.float()).diagonal() == 0).all()


def test_rms_distances_refuses_images_of_another_size():
    with pytest.raises(ValueError, match=r"got shapes \(3, 1, 2, 2\) and \(3, 1, 2, 3\)"):
        rms_distances(random_images(3, 1, 2, 2), random_images(3, 1, 2, 3))
