"""Numbers that say how good a model is. No plots here."""

import math
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor, nn


def pixel_errors(logits: Tensor, images: Tensor) -> Tensor:
    """How many pixels of each image are wrong once the output is cut at 0.5 (which is logit 0).

    logits: (N, ...) like images, or with more dimensions in front, (members, N, ...); images: (N, ...) in [0, 1].
    Returns whole numbers, (N,) or (members, N).
    """
    if logits.shape[-images.dim() :] != images.shape:
        raise ValueError(f"expected logits of shape (..., {tuple(images.shape)}), got {tuple(logits.shape)}")
    wrong = (logits > 0) != (images > 0.5)
    return wrong.sum(dim=tuple(range(1 - images.dim(), 0)))


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch_size: int = 250) -> Tensor:
    """The model's outputs for many images, in evaluation mode, computed in pieces so that memory stays small."""
    model.eval()
    return torch.cat([model(piece) for piece in images.split(batch_size)])


def psnr(outputs: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in decibels: 10 log10(1 / mean squared error), shape (N,).

    outputs, images: pixel values in [0, 1], (N, ...). 10 dB more is a tenth of the squared error; equal
    images give inf.
    """
    if outputs.shape != images.shape:
        raise ValueError(f"expected outputs of the images' shape {tuple(images.shape)}, got {tuple(outputs.shape)}")
    return -10 * (outputs - images).square().flatten(1).mean(dim=1).log10()


def sharpness(images: Tensor) -> Tensor:
    """Mean squared difference between neighbouring pixels, right and below, of each image (N, 1, H, W); shape (N,).

    An edge that is smeared over k pixels counts 1/k of a sharp one. The "energy of gradient" of autofocus (Subbarao,
    Choi & Nikzad 1993). Noise makes it larger too.
    """
    right = (images[..., :, 1:] - images[..., :, :-1]).square().flatten(1).mean(dim=1)
    below = (images[..., 1:, :] - images[..., :-1, :]).square().flatten(1).mean(dim=1)
    return right + below


def bootstrap_interval(values, level: float = 0.95, resamples: int = 5000, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979): draw the values again, with replacement, many times.

    values: one number for each seed, (n,), n >= 2. For the difference of two recipes give the paired differences.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"values: expected a list of at least 2 finite numbers, got shape {values.shape}")
    draws = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927, score interval). It has a width even when all trials, or none, succeed."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"expected 0 <= successes <= trials and trials >= 1, got {successes} of {trials}")
    z, share = NormalDist().inv_cdf((1 + level) / 2), successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return min(share, max(0.0, float(centre - half))), max(share, min(1.0, float(centre + half)))


def pca_reconstruction(images: Tensor, latent_dim: int) -> Tensor:
    """The images as principal component analysis with `latent_dim` numbers an image can draw them; same shape.

    No *linear* encoder and decoder has a smaller squared error on these images (Eckart & Young 1936).
    """
    rows = images.flatten(1)
    _check_latent_dim(latent_dim, rows)
    mean = rows.mean(dim=0)
    components = torch.linalg.svd(rows - mean, full_matrices=False).Vh[:latent_dim]
    return (mean + (rows - mean) @ components.T @ components).reshape(images.shape)


def _check_latent_dim(latent_dim, rows):
    if not isinstance(latent_dim, int) or not 0 <= latent_dim <= min(rows.shape):
        raise ValueError(
            f"latent_dim: expected 0 to {min(rows.shape)} for {tuple(rows.shape)} images, got {latent_dim}"
        )


def linear_vae(images: Tensor, latent_dim: int, beta: float) -> tuple[float, Tensor, float]:
    """The best *linear* variational autoencoder, without training: squared error, KL divergences, -ELBO.

    images (N, ...) in [0, 1]. Encoder and decoder are one linear layer each, the likelihood is normal with standard
    deviation 1, `beta` > 0 weighs the KL divergence. Then the code follows the principal components (Tipping & Bishop
    1999; Lucas et al. 2019): the k-th is used only if its variance v, summed over the pixels, is larger than beta. If
    so, it costs ln(v / beta) / 2 nats and leaves the squared error beta^2 / v; if not, the dimension collapses and all
    of v is left.

    Returns the mean squared error of a pixel, reconstructed from mu; the KL divergence of each dimension in nats,
    (latent_dim,), largest first; and the least -ELBO of an image (see `helpers.training.elbo`).
    Raises ValueError for a latent_dim that PCA could not have, and for a beta that is not a finite number > 0.
    """
    rows = images.flatten(1).double()
    _check_latent_dim(latent_dim, rows)
    if not 0 < beta < math.inf:
        raise ValueError(f"beta: expected a finite number > 0, got {beta}")
    variances = torch.linalg.svdvals(rows - rows.mean(dim=0)).square() / len(rows)
    codes, rest = variances[:latent_dim], variances[latent_dim:].sum()
    used, collapsed = codes[codes > beta], codes[codes <= beta].sum() + rest
    divergences = 0.5 * (codes / beta).clamp(min=1).log()
    error = (beta**2 / used).sum() + collapsed
    negative_elbo = beta * divergences.sum() + 0.5 * (beta * len(used) + collapsed)
    return float(error / rows.shape[1]), divergences.float(), float(negative_elbo)


def rms_distances(images: Tensor, others: Tensor) -> Tensor:
    """Root mean squared difference of the pixels of each pair: images (N, ...), others (M, ...) -> (N, M).

    In the unit of the pixels, so in [0, 1] for images. Raises ValueError if they have not as many pixels each.
    """
    a, b = images.flatten(1), others.flatten(1)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"expected images with as many pixels, got shapes {tuple(images.shape)} and {tuple(others.shape)}"
        )
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") / a.shape[1] ** 0.5


def bayes_denoiser(noisy: Tensor, letters: Tensor, p: float) -> Tensor:
    """What is left to know about each pixel: its expected value, given the noisy image. Pixel values in [0, 1].

    noisy (N, ...) are `letters` (M, ...), all equally likely, with values 0 and 1, after `noise.salt_and_pepper` with
    probability p. Bayes' rule: P(letter | noisy) is proportional to f^d (1 - f)^(pixels - d), with f = p/2 the
    probability that a pixel flips and d the number of pixels in which noisy and letter differ. The result is the mean
    of the letters with these weights. Cut at 0.5, no other denoiser has fewer wrong pixels on average.
    Raises ValueError for p outside [0, 1], images with other values than 0 and 1, or with another number of pixels.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability: expected a number in [0, 1], got {p}")
    if noisy.shape[1:] != letters.shape[1:]:
        raise ValueError(f"expected noisy images of shape (N, {tuple(letters.shape[1:])}), got {tuple(noisy.shape)}")
    for name, images in (("noisy", noisy), ("letters", letters)):
        if not ((images == 0) | (images == 1)).all():
            raise ValueError(f"{name}: expected the values 0 and 1, got {images.min():g} to {images.max():g}")
    rows, patterns = noisy.flatten(1), letters.flatten(1)
    d = rows @ (1 - patterns).T + (1 - rows) @ patterns.T  # (N, M)
    f = max(p / 2, 1e-30)  # not 0: then its logarithm is finite, and p = 0 is the limit of a small p
    posterior = torch.softmax(d * math.log(f / (1 - f)), dim=1)
    return (posterior @ patterns).clamp(max=1).reshape(noisy.shape)  # rounding may give a little more than 1


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> tuple[float, float]:
    """How many generated images look real, and how many real images the generator covers; both shares, in [0, 1].

    real (N, ...), generated (M, ...), N and M > k. Around each image of a set lies a ball that reaches to its k-th
    nearest neighbour in that set. Precision: generated images in some ball of the real ones. Recall: real images in
    some ball of the generated ones. (Kynkaanniemi et al. 2019, eq. 1 to 3, here on pixels.)
    """
    if not 1 <= k < min(len(real), len(generated)):
        raise ValueError(f"k: expected 1 to {min(len(real), len(generated)) - 1}, got {k}")
    a, b = real.flatten(1), generated.flatten(1)
    between = torch.cdist(a, b)
    radius_a, radius_b = (torch.cdist(x, x).kthvalue(k + 1, dim=1).values for x in (a, b))  # + 1: itself is the first
    precision = (between <= radius_a.unsqueeze(1)).any(dim=0).float().mean()
    recall = (between <= radius_b).any(dim=1).float().mean()
    return float(precision), float(recall)


def nearest(patterns: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """For each pattern the nearest of the images, by number of different pixels (both cut at 0.5).

    patterns: (M, ...), images: (N, ...), as many pixels each. Returns distances (M,) and indices (M,).
    """
    a, b = (patterns > 0.5).flatten(1).float(), (images > 0.5).flatten(1).float()
    return torch.cdist(a, b, p=1).round().long().min(dim=1)


@torch.no_grad()
def outlier_score(model, images: Tensor) -> Tensor:
    """Reconstruction error of each image: mean squared difference of the pixels, in [0, 1]; shape (N,)."""
    return (torch.sigmoid(model(images)) - images).square().flatten(1).mean(dim=1)


def roc(inlier_scores: Tensor, outlier_scores: Tensor) -> tuple[Tensor, Tensor, float]:
    """The ROC curve of a score that should be high for outliers, and the area under it.

    Returns the share of inliers called outliers, the share of outliers found, one value for each threshold, both
    climbing from 0 to 1, and the AUC: the chance that an outlier scores higher than an inlier (ties count half;
    Hanley & McNeil 1982).
    """
    if not len(inlier_scores) or not len(outlier_scores):
        raise ValueError(
            f"expected scores of both kinds, got {len(inlier_scores)} inliers, {len(outlier_scores)} outliers"
        )
    thresholds = torch.cat([inlier_scores, outlier_scores]).unique().flip(0)
    thresholds = torch.cat([torch.tensor([torch.inf]), thresholds]).unsqueeze(1)
    false_alarms = (inlier_scores >= thresholds).float().mean(dim=1)
    found = (outlier_scores >= thresholds).float().mean(dim=1)
    return false_alarms, found, float(torch.trapezoid(found, false_alarms))
