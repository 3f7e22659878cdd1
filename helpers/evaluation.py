"""Numbers that say how good a model is. No plots here.

Images and pixels are values in [0, 1], (N, 1, H, W). What does not fit raises ValueError.
"""

import math

import torch
from torch import Tensor, nn

from helpers.stack import Stack


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """The logits of many images in evaluation mode, as (..., N, 1, H, W); of a VAE from mu."""
    model.eval()
    outputs = [model(piece) for piece in images.split(250)]  # in pieces: memory stays small
    logits = [output[0] if isinstance(output, tuple) else output for output in outputs]
    return torch.cat(logits, dim=1 if isinstance(model, Stack) else 0)


def pixel_errors(pixels: Tensor, images: Tensor) -> Tensor:
    """How many pixels of each image are wrong, both cut at 0.5: (..., N, 1, H, W) -> (..., N).

    ValueError for values outside [0, 1]: logits need ``torch.sigmoid`` first.
    """
    if pixels.shape[-images.dim() :] != images.shape:
        raise ValueError(f"expected shape (..., {tuple(images.shape)}), got {tuple(pixels.shape)}")
    if pixels.min() < 0 or pixels.max() > 1:
        span = f"{pixels.min():.2f} to {pixels.max():.2f}"
        raise ValueError(
            f"expected pixel values in [0, 1], such as torch.sigmoid(logits), got {span}"
        )
    return ((pixels > 0.5) != (images > 0.5)).sum(dim=tuple(range(1 - images.dim(), 0)))


def psnr(pixels: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels, 10 log10(1 / mean squared error), (N,).

    10 dB more is a tenth of the squared error; equal images give inf.
    """
    if pixels.shape != images.shape:
        raise ValueError(f"expected shape {tuple(images.shape)}, got {tuple(pixels.shape)}")
    return -10 * (pixels - images).square().flatten(1).mean(dim=1).log10()


def sharpness(images: Tensor) -> Tensor:
    """Mean squared difference of neighbours, right and below, (N,); noise makes it larger too.

    An edge smeared over k pixels counts 1/k of a sharp one. (The "energy of gradient" of autofocus:
    Subbarao, Choi & Nikzad 1993.)
    """
    right, below = (images.diff(dim=way).square().flatten(1).mean(dim=1) for way in (-1, -2))
    return right + below


def t_interval(values) -> tuple[float, float]:
    """95 % interval of the mean of (n,) finite numbers, n >= 2, one for each seed (Student 1908).

    It is exact for normal values. To compare two recipes give the paired differences.
    """
    from scipy.stats import t  # here: it takes longer to import than all the rest

    values = torch.as_tensor(values, dtype=torch.float64)
    if values.dim() != 1 or len(values) < 2 or not values.isfinite().all():
        raise ValueError(f"values: expected at least 2 finite numbers, got {values.tolist()}")
    half = float(t.ppf(0.975, len(values) - 1)) * values.std() / math.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def pca_reconstruction(images: Tensor, latent_dim: int) -> Tensor:
    """The images as principal component analysis draws them with `latent_dim` numbers each.

    No *linear* encoder and decoder has a smaller squared error on them (Eckart & Young 1936).
    Values may leave [0, 1] a little.
    """
    rows = _rows(images, latent_dim)
    mean = rows.mean(dim=0)
    components = torch.linalg.svd(rows - mean, full_matrices=False).Vh[:latent_dim]
    return (mean + (rows - mean) @ components.T @ components).reshape(images.shape)


def _rows(images, latent_dim):
    rows = images.flatten(1)
    if not isinstance(latent_dim, int) or not 0 <= latent_dim <= min(rows.shape):
        most = f"0 to {min(rows.shape)} for {tuple(rows.shape)} images"
        raise ValueError(f"latent_dim: expected {most}, got {latent_dim}")
    return rows


def linear_vae(images: Tensor, latent_dim: int, beta: float) -> tuple[float, Tensor, float]:
    """The best *linear* variational autoencoder, without training: one linear layer each way.

    The likelihood is normal with standard deviation 1, `beta` > 0 weighs the KL divergence. The
    code then follows the principal components (Tipping & Bishop 1999; Lucas et al. 2019): one with
    variance v, summed over the pixels, is used only if v > beta, costs ln(v / beta) / 2 nats and
    leaves the squared error beta^2 / v; else its dimension collapses, and all of v is left.
    Gives the mean squared error of a pixel, decoded from mu; the KL of each dimension in nats,
    (latent_dim,), largest first; the least -ELBO of an image (see `losses.elbo`).
    """
    rows = _rows(images, latent_dim).double()
    if not 0 < beta < math.inf:
        raise ValueError(f"beta: expected a finite number > 0, got {beta}")
    variances = torch.linalg.svdvals(rows - rows.mean(dim=0)).square() / len(rows)
    codes, rest = variances[:latent_dim], variances[latent_dim:].sum()
    used, collapsed = codes[codes > beta], codes[codes <= beta].sum() + rest
    divergences = 0.5 * (codes / beta).clamp(min=1).log()
    error = (beta**2 / used).sum() + collapsed
    negative_elbo = beta * divergences.sum() + 0.5 * (beta * len(used) + collapsed)
    return float(error / rows.shape[1]), divergences.float(), float(negative_elbo)


def bayes_denoiser(noisy: Tensor, letters: Tensor, p: float) -> Tensor:
    """What is left to know about each pixel: its expected value, given the noisy image.

    noisy (N, ...) are `letters` (M, ...), all equally likely, pixels 0 and 1, after
    `noise.salt_and_pepper` with p. P(letter | noisy) is proportional to f^d (1 - f)^(pixels - d):
    f = p/2, the probability of a flip, d the pixels that differ. The result is the mean of the
    letters with these weights. Cut at 0.5, no denoiser has fewer wrong pixels on average.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability: expected a number in [0, 1], got {p}")
    if noisy.shape[1:] != letters.shape[1:]:
        raise ValueError(
            f"expected shape (N, {tuple(letters.shape[1:])}), got {tuple(noisy.shape)}"
        )
    if not all(((images == 0) | (images == 1)).all() for images in (noisy, letters)):
        raise ValueError("noisy and letters: expected the values 0 and 1, got others")
    rows, patterns = noisy.flatten(1), letters.flatten(1)
    d = rows @ (1 - patterns).T + (1 - rows) @ patterns.T  # (N, M)
    f = max(p / 2, 1e-30)  # not 0: its logarithm is finite, and p = 0 is the limit of a small p
    posterior = torch.softmax(d * math.log(f / (1 - f)), dim=1)
    return (posterior @ patterns).clamp(max=1).reshape(noisy.shape)  # rounding may exceed 1


def rms_distances(images: Tensor, others: Tensor) -> Tensor:
    """Root mean squared difference of the pixels of each pair: (N, ...), (M, ...) -> (N, M)."""
    a, b = images.flatten(1), others.flatten(1)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"expected as many pixels each, got {a.shape[1]} and {b.shape[1]}")
    # The default, a product of matrices, rounds so that an image is not at 0 from itself.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") / a.shape[1] ** 0.5


def precision_recall(real: Tensor, generated: Tensor) -> tuple[float, float]:
    """How many generated images look real, and how many real ones are covered; shares in [0, 1].

    Around each image of a set, of at least 4, lies a ball that reaches to its third nearest
    neighbour there. Precision: generated images in some ball of the real ones; recall: real ones in
    some ball of the generated ones (Kynkaanniemi et al. 2019, eq. 1 to 3, here on pixels).
    """
    if min(len(real), len(generated)) < 4:
        raise ValueError(f"expected at least 4 of each, got {len(real)} and {len(generated)}")
    between = rms_distances(real, generated)
    radius, radius_generated = (  # the fourth smallest distance: the first is that to itself
        rms_distances(images, images).kthvalue(4, dim=1).values for images in (real, generated)
    )
    precision = (between <= radius.unsqueeze(1)).any(dim=0).float().mean()
    recall = (between <= radius_generated).any(dim=1).float().mean()
    return float(precision), float(recall)


def nearest(patterns: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """For each of M patterns the nearest image, by different pixels, cut at 0.5.

    Gives the distances and the indices, whole numbers, (M,).
    """
    a, b = ((x > 0.5).flatten(1).float() for x in (patterns, images))
    return torch.cdist(a, b, p=1).round().long().min(dim=1)


@torch.no_grad()
def outlier_score(model: nn.Module, images: Tensor) -> Tensor:
    """Mean squared difference of each image and its reconstruction, (N,); of a stack (S, N)."""
    return (torch.sigmoid(model(images)) - images).square().mean(dim=(-3, -2, -1))


def roc(inlier_scores: Tensor, outlier_scores: Tensor) -> tuple[Tensor, Tensor, float]:
    """The ROC curve of a score that should be high for outliers, and the area under it.

    Gives the share of inliers called outliers and the share of outliers found, a point for each
    threshold, both from 0 to 1; and the AUC, the chance that an outlier scores higher than an
    inlier (ties count half; Hanley & McNeil 1982). A score may be inf, but not NaN.
    """
    scores = torch.cat([inlier_scores, outlier_scores])
    if not len(inlier_scores) or not len(outlier_scores) or scores.isnan().any():
        counts = f"{len(inlier_scores)} inliers, {len(outlier_scores)} outliers"
        raise ValueError(f"expected scores of both kinds, no NaN, got {counts}: {scores.tolist()}")
    thresholds = scores.unique().flip(0).unsqueeze(1)
    false_alarms, found = (
        torch.cat([torch.zeros(1), (kind >= thresholds).float().mean(dim=1)])
        for kind in (inlier_scores, outlier_scores)
    )
    return false_alarms, found, float(torch.trapezoid(found, false_alarms))
