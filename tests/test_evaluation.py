"""The numbers that say how good a model is."""

import math
import re
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
    t_interval,
)
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.stack import from_seeds

LETTERS = load_letters().images


def random_images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


IMAGES = random_images(20, 1, 4, 3)


# ---- pixels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [(), (1,), (3,)])
def test_pixel_errors_against_a_loop(members):
    images, pixels = IMAGES[:4], random_images(*members, 4, 1, 4, 3, seed=1)
    expected = torch.zeros(*members, 4, dtype=torch.int64)
    for index in product(*map(range, pixels.shape)):
        member, place = index[: len(members)], index[len(members) :]
        expected[(*member, place[0])] += (pixels[index] > 0.5) != (images[place] > 0.5)
    errors = pixel_errors(pixels, images)
    assert errors.dtype == torch.int64 and torch.equal(errors, expected)
    assert expected.sum() > 0
    assert pixel_errors(1 - images.round(), images.round()).tolist() == [12] * 4


@pytest.mark.parametrize("shape", [(4, 1, 7, 4), (3, 1, 7, 5), (4, 35), (1, 7, 5), (1, 1, 7, 5)])
def test_pixels_of_another_shape_are_refused(shape):
    for function in (pixel_errors, psnr):  # also where they could be broadcast
        with pytest.raises(ValueError, match=r"\(4, 1, 7, 5\).*" + re.escape(str(shape))):
            function(torch.zeros(shape), torch.zeros(4, 1, 7, 5))


@pytest.mark.parametrize(("value", "shown"), [(1.01, "1.01"), (-0.01, "-0.01"), (7.0, "7.00")])
def test_pixel_errors_refuses_logits(value, shown):
    pixels = torch.full((2, 1, 7, 5), 0.5)
    pixels[1, 0, 3, 2] = value
    with pytest.raises(ValueError, match=rf"torch.sigmoid.*got .*{shown}"):
        pixel_errors(pixels, torch.zeros(2, 1, 7, 5))
    pixels[1, 0, 3, 2] = math.nan  # a network of a stack that has diverged is just wrong
    assert pixel_errors(pixels, torch.ones(2, 1, 7, 5)).tolist() == [35, 35]


def test_predict_is_the_model_in_evaluation_mode_in_pieces():
    torch.manual_seed(0)
    layers = nn.Linear(12, 9), nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Linear(9, 4)
    model = nn.Sequential(nn.Flatten(), *layers).double()
    images, sizes = random_images(620, 1, 4, 3), []
    model(images)  # in training mode: the averages of the batch norm change
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
    vaes = from_seeds(lambda: VariationalAutoencoder([35, 9], 2), range(3))
    for i in range(3):
        assert torch.allclose(predict(stack, images)[i], stack.member(i)(images), atol=1e-5)
        expected = vaes.member(i)(images)[0]
        for logits in (predict(vaes, images)[i], predict(vaes.member(i), images)):
            assert torch.allclose(logits, expected, atol=1e-5)


def test_psnr_by_hand_and_against_a_loop():
    zeros = torch.zeros(3, 1, 4, 5, dtype=torch.float64)
    for difference, decibels in ((1.0, 0), (0.1, 20), (-0.1, 20), (0.5, 10 * math.log10(4))):
        assert psnr(zeros + difference, zeros).tolist() == pytest.approx([decibels] * 3, abs=1e-9)
    assert psnr(zeros, zeros).tolist() == [math.inf] * 3
    pixels = random_images(*IMAGES.shape, seed=1)
    errors = ((pixels - IMAGES) ** 2).numpy().mean(axis=(1, 2, 3))
    assert np.allclose(psnr(pixels, IMAGES), 10 * np.log10(1 / errors))


# ---- intervals ---------------------------------------------------------------------------------


def test_the_t_interval_of_a_textbook():
    """Student's own example (1908): ten differences of hours of sleep; t = 2.262, 9 degrees."""
    hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    half = 2.2622 * np.std(hours, ddof=1) / math.sqrt(10)
    for values in (hours, np.array(hours), torch.tensor(hours)):
        assert t_interval(values) == pytest.approx((1.58 - half, 1.58 + half), abs=1e-4)
    assert all(type(bound) is float for bound in t_interval(hours))
    assert t_interval(torch.tensor([2, 2, 2])) == (2, 2)
    for bad in ([], [1.0], 1.0, [[1.0, 2.0]], [1.0, math.nan], [1.0, math.inf]):
        with pytest.raises(ValueError, match="at least 2 finite numbers"):
            t_interval(bad)


# ---- the best linear networks ------------------------------------------------------------------


@pytest.mark.parametrize("latent_dim", [0, 1, 2, 6, 12])
def test_pca_leaves_the_smaller_singular_values(latent_dim):
    rows = IMAGES.flatten(1).numpy()
    left_out = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)[latent_dim:]
    output = pca_reconstruction(IMAGES, latent_dim)
    assert output.shape == IMAGES.shape
    error = (output - IMAGES).square().sum().item()
    assert error == pytest.approx((left_out**2).sum(), abs=1e-9)
    centred = output.flatten(1) - output.flatten(1).mean(dim=0)
    assert np.linalg.matrix_rank(centred, tol=1e-8) == latent_dim
    assert torch.allclose(output.mean(dim=0), IMAGES.mean(dim=0))


@pytest.mark.parametrize("latent_dim", [-1, 13, 2.5])
def test_an_impossible_number_of_components_is_refused(latent_dim):
    for function in (pca_reconstruction, lambda images, d: linear_vae(images, d, 1)):
        with pytest.raises(ValueError, match=f"latent_dim: .*from 0 to 12, got {latent_dim}"):
            function(IMAGES, latent_dim)
    assert torch.allclose(pca_reconstruction(IMAGES[:3], 3), IMAGES[:3], atol=1e-9)
    with pytest.raises(ValueError, match="from 0 to 3, got 4"):
        pca_reconstruction(IMAGES[:3], 4)


def linear_objective(rows, encode, log_s, decode, beta):
    """-ELBO of a linear VAE, mean over its clouds in closed form: code N(x E, s^2), x^ = z D."""
    mu, variance = rows @ encode, (2 * log_s).exp()
    squares = (mu @ decode - rows).square().sum(dim=1) + variance @ decode.square().sum(dim=1)
    divergence = 0.5 * (mu.square() + variance - 1 - 2 * log_s)
    objective = 0.5 * squares.mean() + beta * divergence.sum(dim=1).mean()
    return objective, divergence.mean(dim=0)


@pytest.mark.parametrize("beta", [0.02, 0.3])
def test_the_best_linear_vae_is_what_training_finds(beta):
    rows = random_images(30, 6, seed=1) * torch.tensor([1.0, 0.8, 1.5, 0.3, 2.0, 0.5])
    rows, generator = rows - rows.mean(dim=0), torch.Generator().manual_seed(0)
    encode, decode = (torch.randn(s, generator=generator).to(rows) / 2 for s in ((6, 4), (4, 6)))
    weights = [w.requires_grad_() for w in (encode, torch.zeros(4).to(rows), decode)]
    options = {"max_iter": 2000, "tolerance_grad": 1e-10, "line_search_fn": "strong_wolfe"}
    optimizer = torch.optim.LBFGS(weights, **options)

    def closure():
        optimizer.zero_grad()
        value = linear_objective(rows, *weights, beta)[0]
        value.backward()
        return value

    optimizer.step(closure)
    objective, divergences = linear_objective(rows, *weights, beta)
    expected, lowest = linear_vae(rows.reshape(30, 1, 2, 3), 4, beta)
    assert objective.item() == pytest.approx(lowest, rel=1e-4)
    assert torch.allclose(divergences.sum().float(), expected.sum(), atol=1e-2)


def test_linear_vae_by_hand():
    """Variances 4, 1 and 1/4 along the axes, beta = 1/2: two are used, the third collapses."""
    rows = torch.tensor([[2.0, 1, 0.5], [-2, 1, -0.5], [2, -1, -0.5], [-2, -1, 0.5]])
    rows += torch.tensor([3.0, 2.0, -1.0])  # the mean does not matter
    divergences, objective = linear_vae(rows, 3, 0.5)
    assert torch.allclose(divergences, 0.5 * torch.tensor([8.0, 2.0, 1.0]).log())
    assert objective == pytest.approx(0.5 * 0.5 * math.log(16) + 0.5 * (2 * 0.5 + 0.25))
    for beta in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"beta: expected a finite number > 0, got {beta}"):
            linear_vae(rows, 2, beta)


# ---- the best denoiser -------------------------------------------------------------------------

THREE = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0], [1, 0, 1, 1]], dtype=torch.float64)
ALL_16 = torch.tensor(list(product([0, 1], repeat=4)), dtype=torch.float64)


def probability(noisy, letter, p):
    """Of one noisy pattern, given the letter: pixel by pixel, from what salt and pepper do."""
    pairs = zip(noisy.tolist(), letter.tolist(), strict=True)
    return math.prod((p / 2 if a != b else 1 - p / 2) for a, b in pairs)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_bayes_denoiser_against_bayes_rule_on_all_noisy_patterns(p, shape):
    output = bayes_denoiser(ALL_16.reshape(16, *shape), THREE.reshape(3, *shape), p)
    assert output.shape == (16, *shape)
    distance = (ALL_16.unsqueeze(1) - THREE).abs().sum(dim=2)  # (answer, letter)
    for noisy, pixels in zip(ALL_16, output.flatten(1), strict=True):
        joint = torch.tensor([probability(noisy, letter, p) for letter in THREE]).double()
        expected = (joint @ THREE) / joint.sum()
        assert pixels.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
        if p < 1:  # no other answer has fewer wrong pixels
            answer = int(((pixels > 0.5) == ALL_16).all(dim=1).nonzero())
            wrong = distance @ joint
            assert wrong[answer] <= wrong.min() + 1e-6 < wrong.max()


@pytest.mark.parametrize("p", [0, 1e-320, 1e-30, 1e-9, 1e-4])
def test_with_hardly_any_noise_every_letter_comes_back(p):
    assert torch.allclose(bayes_denoiser(LETTERS, LETTERS, p), LETTERS, atol=1e-3)
    letters = torch.tensor([[0.0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    between = bayes_denoiser(torch.tensor([[0.0, 0, 0, 1], [0, 1, 1, 1]]), letters, p)
    assert torch.allclose(between, torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]), atol=1e-4)


def test_bayes_denoiser_refuses_what_it_is_not_made_for():
    for p in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match=f"p is a probability: .* got {p}"):
            bayes_denoiser(LETTERS, LETTERS, p)
    for bad in (0.5, -1.0, math.nan):
        grey = LETTERS.clone()
        grey[3, 0, 2, 1] = bad
        for images in ((grey, LETTERS), (LETTERS, grey)):
            with pytest.raises(ValueError, match="expected the values 0 and 1"):
                bayes_denoiser(*images, 0.1)
    for shape in ((4, 1, 5, 7), (4, 35), (1, 7, 5)):
        with pytest.raises(ValueError, match=r"shape \(N, \(1, 7, 5\)\)"):
            bayes_denoiser(torch.zeros(shape), LETTERS, 0.1)


# ---- distances ---------------------------------------------------------------------------------


def test_nearest_against_a_loop():
    patterns = random_images(40, 1, 4, 3, seed=1)
    distances, indices = nearest(patterns, IMAGES)
    assert distances.shape == indices.shape == (40,) and distances.dtype == torch.int64
    for pattern, distance, index in zip(patterns, distances, indices, strict=True):
        by_hand = [int(((pattern > 0.5) != (image > 0.5)).sum()) for image in IMAGES]
        assert distance == min(by_hand) == by_hand[index]
    distances, indices = nearest(LETTERS, LETTERS)
    assert distances.tolist() == [0] * 32 and indices.tolist() == list(range(32))


def test_rms_distances_of_every_pair():
    images, others = random_images(3, 1, 2, 2), random_images(4, 1, 2, 2, seed=1)
    expected = (images.unsqueeze(1) - others).square().mean(dim=(2, 3, 4)).sqrt()
    assert torch.allclose(rms_distances(images, others), expected)
    many = (0.9 + 0.01 * random_images(60, 1, 20, 20)).float()
    assert (rms_distances(many, many).diagonal() == 0).all()
    with pytest.raises(ValueError, match="as many pixels each, got 4 and 6"):
        rms_distances(images, random_images(3, 1, 2, 3))


def test_precision_and_recall_of_generators_that_know_too_little_or_too_much():
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.rand(40, 2, generator=generator) + centre for centre in (0, 50))
    both = torch.cat([left, right])
    assert precision_recall(left, left) == (1, 1)
    assert precision_recall(left, right) == (0, 0)
    assert precision_recall(both, left + 0.001) == (1, 0.5)
    assert precision_recall(left, both) == (0.5, 1)
    assert precision_recall(left[:4], right[:4]) == (0, 0)
    for real, generated in ((3, 5), (5, 3)):
        with pytest.raises(ValueError, match=f"at least 4 of each, got {real} and {generated}"):
            precision_recall(left[:real], left[:generated])


def test_precision_and_recall_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0], [20.0]])
    generated = torch.tensor([[-2.5], [6.5], [7.0], [30.0], [50.0]])
    # the third nearest of 0 is 3 away, of 3 also, of 20 it is 19; those of the generated are far
    assert precision_recall(real, generated) == (pytest.approx(4 / 5), 1.0)
    assert precision_recall(generated, real)[1] == pytest.approx(4 / 5)


@pytest.mark.parametrize("seed", range(20))
def test_precision_and_recall_of_images_that_lie_on_the_edge_of_a_ball(seed):
    """With distances that are rounded badly some are lost."""
    images = 0.9 + 0.01 * torch.rand(60, 400, generator=torch.Generator().manual_seed(seed))
    real, generated = images[:40], images[20:]

    def exact(a, b):
        between = np.linalg.norm(a[:, None] - b, axis=2)
        radius = np.sort(np.linalg.norm(a[:, None] - a, axis=2), axis=1)[:, 3]
        return (between <= radius[:, None]).any(axis=0).mean()

    a, b = real.double().numpy(), generated.double().numpy()
    assert precision_recall(real, generated) == pytest.approx((exact(a, b), exact(b, a)))


# ---- outliers ----------------------------------------------------------------------------------


def test_outlier_score_by_hand_and_of_a_stack():
    class Grey(nn.Module):
        """Draws every pixel with the value 0.5."""

        def forward(self, images):
            return torch.zeros_like(images)

    rows = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], [0.5, 0.5, 0.5, 1]])
    images = rows.reshape(3, 1, 2, 2)
    assert outlier_score(Grey(), images).tolist() == pytest.approx([0, 0.25, 0.0625])
    stack = from_seeds(lambda: Autoencoder([35, 4, 35]), range(3))
    scores = outlier_score(stack, LETTERS)
    for i in range(3):
        expected = (torch.sigmoid(stack.member(i)(LETTERS)) - LETTERS).square().flatten(1).mean(1)
        assert torch.allclose(scores[i], expected, atol=1e-6)
    assert not scores.requires_grad


LEVELS = st.sampled_from([-math.inf, 0.0, 1.0, 2.5, math.inf])
SCORES = st.lists(LEVELS, min_size=1, max_size=12).map(torch.tensor)  # many ties


@given(SCORES, SCORES)
def test_the_roc_curve_and_the_share_of_pairs_in_the_right_order(inliers, outliers):
    false_alarms, found, auc = roc(inliers, outliers)
    pairs = product(inliers.tolist(), outliers.tolist())
    right = [(a < b) + 0.5 * (a == b) for a, b in pairs]
    assert auc == pytest.approx(sum(right) / len(right), abs=1e-5)
    assert len(false_alarms) == len(found) == 1 + len({*inliers.tolist(), *outliers.tolist()})
    for curve in (false_alarms, found):
        assert curve[0] == 0 and curve[-1] == 1
        assert (curve.diff() >= 0).all()
    assert (false_alarms.diff() + found.diff() > 0).all()  # no point twice


def test_roc_needs_scores_of_both_kinds_that_are_numbers():
    assert roc(torch.tensor([0, 1]), torch.tensor([1, 2]))[2] == pytest.approx(0.875)
    nan = math.nan
    for inliers, outliers in (([], [1.0]), ([1.0], []), ([1.0, nan], [2.0]), ([1.0], [nan])):
        with pytest.raises(ValueError, match="expected scores of both kinds, no NaN"):
            roc(torch.tensor(inliers), torch.tensor(outliers))
