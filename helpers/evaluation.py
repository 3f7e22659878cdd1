"""Numbers that say how good a model is. No plots here.

Images and pixels are values in [0, 1], (N, 1, H, W). What does not fit raises ValueError.
"""

import math

import torch
from torch import Tensor, nn

from helpers.inner.expect import expect
from helpers.stack import Stack


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """The logits of many images in evaluation mode, as (..., N, 1, H, W); of a VAE from mu."""
    model.eval()
    outputs = [model(piece) for piece in images.split(250)]  # in pieces: memory stays small
    logits = [output[0] if isinstance(output, tuple) else output for output in outputs]
    return torch.cat(logits, dim=1 if isinstance(model, Stack) else 0)


def pixel_errors(pixels: Tensor, images: Tensor) -> Tensor:
    """How many pixels of each image are wrong, thresholded at 0.5: (..., N, 1, H, W) -> (..., N).

    ValueError for values outside [0, 1]: logits need ``torch.sigmoid`` first.
    """
    good = pixels.shape[-images.dim() :] == images.shape
    expect(good, f"expected shape (..., {tuple(images.shape)})", tuple(pixels.shape))
    low, high = pixels.min(), pixels.max()
    wrong = low < 0 or high > 1  # NaN is just wrong: a network of a stack may have diverged
    expected = "expected pixel values in [0, 1], such as torch.sigmoid(logits)"
    expect(not wrong, expected, f"{low:.2f} to {high:.2f}")
    return ((pixels > 0.5) != (images > 0.5)).flatten(1 - images.dim()).sum(dim=-1)


def psnr(pixels: Tensor, images: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels, 10 log10(1 / mean squared error), (N,).

    10 dB more is a tenth of the squared error; equal images give inf.
    """
    same = pixels.shape == images.shape
    expect(same, f"expected shape {tuple(images.shape)}", tuple(pixels.shape))
    return -10 * (pixels - images).square().flatten(1).mean(dim=1).log10()


def t_interval(values) -> tuple[float, float]:
    """95 % interval of the mean of (n,) finite numbers, n >= 2, one for each seed (Student 1908).

    It is exact for normal values. To compare two recipes give the paired differences.
    """
    from scipy.stats import t  # here: it takes longer to import than all the rest

    values = torch.as_tensor(values, dtype=torch.float64)
    good = values.dim() == 1 and len(values) >= 2 and values.isfinite().all()
    expect(good, "values: expected at least 2 finite numbers", values.tolist())
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
    good = isinstance(latent_dim, int) and 0 <= latent_dim <= min(rows.shape)
    expect(good, f"latent_dim: expected a whole number from 0 to {min(rows.shape)}", latent_dim)
    return rows


def linear_vae(images: Tensor, latent_dim: int, beta: float) -> tuple[Tensor, float]:
    """The best *linear* variational autoencoder, without training: one linear layer each way.

    The likelihood is normal with standard deviation 1, `beta` > 0 weighs the KL divergence. The
    code then follows the principal components (Tipping & Bishop 1999; Lucas et al. 2019): one with
    variance v, summed over the pixels, is used only if v > beta, costs ln(v / beta) / 2 nats and
    leaves beta (from a random point); else its dimension collapses, and all of v is left. Gives the
    KL of each dimension in nats, (latent_dim,), largest first; the least -ELBO of an image.
    """
    rows = _rows(images, latent_dim).double()
    expect(0 < beta < math.inf, "beta: expected a finite number > 0", beta)
    variances = torch.linalg.svdvals(rows - rows.mean(dim=0)).square() / len(rows)
    codes, rest = variances[:latent_dim], variances[latent_dim:].sum()
    divergences = 0.5 * (codes / beta).clamp(min=1).log()
    squares = codes.clamp(max=beta).sum() + rest
    return divergences.float(), float(0.5 * squares + beta * divergences.sum())


def bayes_denoiser(noisy: Tensor, letters: Tensor, p: float) -> Tensor:
    """What is left to know about each pixel: its expected value, given the noisy image.

    noisy (N, ...) are `letters` (M, ...), all equally likely, pixels 0 and 1, after
    `noise.salt_and_pepper` with p. P(letter | noisy) is proportional to f^d (1 - f)^(pixels - d):
    f = p/2, the probability of a flip, d the pixels that differ. The result is the mean of the
    letters with these weights. Cut at 0.5, no denoiser has fewer wrong pixels on average.
    """
    expect(0 <= p <= 1, "p is a probability: expected a number in [0, 1]", p)
    shape = tuple(letters.shape[1:])
    expect(noisy.shape[1:] == shape, f"expected shape (N, {shape})", tuple(noisy.shape))
    binary = all(((images == 0) | (images == 1)).all() for images in (noisy, letters))
    expect(binary, "noisy and letters: expected the values 0 and 1", "others")
    rows, patterns = noisy.flatten(1), letters.flatten(1)
    d = rows @ (1 - patterns).T + (1 - rows) @ patterns.T  # (N, M)
    f = max(p / 2, 1e-30)  # not 0: its logarithm is finite, and p = 0 is the limit of a small p
    posterior = torch.softmax(d * math.log(f / (1 - f)), dim=1)
    return (posterior @ patterns).clamp(max=1).reshape(noisy.shape)  # rounding may exceed 1


def rms_distances(images: Tensor, others: Tensor) -> Tensor:
    """Root mean squared difference of the pixels of each pair: (N, ...), (M, ...) -> (N, M)."""
    a, b = images.flatten(1), others.flatten(1)
    same = a.shape[1] == b.shape[1]
    expect(same, "expected as many pixels each", f"{a.shape[1]} and {b.shape[1]}")
    # The default, a product of matrices, rounds so that an image is not at 0 from itself.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") / a.shape[1] ** 0.5


def precision_recall(real: Tensor, generated: Tensor) -> tuple[float, float]:
    """How many generated images look real, and how many real ones are covered; shares in [0, 1].

    Around each image of a set, of at least 4, lies a ball that reaches to its third nearest
    neighbour there. Precision: generated images in some ball of the real ones; recall: real ones in
    some ball of the generated ones (Kynkaanniemi et al. 2019, eq. 1 to 3, here on pixels).
    """
    n, m = len(real), len(generated)
    expect(min(n, m) >= 4, "expected at least 4 of each", f"{n} and {m}")

    def share_in_balls(around, others):
        to_third = rms_distances(around, around).kthvalue(4, dim=0).values  # the first is itself
        return float((rms_distances(others, around) <= to_third).any(dim=1).float().mean())

    return share_in_balls(real, generated), share_in_balls(generated, real)


def nearest(patterns: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """For each of M patterns the nearest image, by different pixels, thresholded at 0.5.

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
    good = len(inlier_scores) and len(outlier_scores) and not scores.isnan().any()
    counts = f"{len(inlier_scores)} inliers, {len(outlier_scores)} outliers"
    expect(good, "expected scores of both kinds, no NaN", f"{counts}: {scores.tolist()}")
    thresholds = scores.unique().flip(0).unsqueeze(1)
    false_alarms, found = (
        torch.cat([torch.zeros(1), (kind >= thresholds).float().mean(dim=1)])
        for kind in (inlier_scores, outlier_scores)
    )
    return false_alarms, found, float(torch.trapezoid(found, false_alarms))
