"""The checks of notebook 04."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from helpers import checks
from helpers.losses import kl_divergence, vae_loss
from helpers.models import VariationalAutoencoder
from helpers.stack import from_seeds
from helpers.training import Adam, fit, warmup_cosine

STAGES = ((0.006, 600, 0.003), (0.06, 300, 0.002), (0.3, 300, 0.002), (1, 800, 0.002))


@checks.exercise(1)
def check_kl_between(function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> str:
    """function(mu1, logvar1, mu2, logvar2), all (N, d), gives the KL of each, (N, d)."""
    mu1, logvar1, mu2, logvar2 = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))

    def right(mu1, logvar1, mu2, logvar2):
        first, second = Normal(mu1, (0.5 * logvar1).exp()), Normal(mu2, (0.5 * logvar2).exp())
        return torch.distributions.kl_divergence(first, second)

    answer = checks.call(function, mu1, logvar1, mu2, logvar2, shape=mu1.shape)
    expected = right(mu1, logvar1, mu2, logvar2)
    if checks.close(answer, right(mu2, logvar2, mu1, logvar1)):
        return "hint: the two distributions are exchanged. The KL divergence is not symmetrical."
    if checks.close(answer, 2 * expected):
        return "hint: a factor 1/2 is missing."
    if checks.close(answer, right(mu1, 2 * logvar1, mu2, 2 * logvar2)):
        return "hint: exp(logvar) is the variance already; don't square it."
    if not checks.close(answer, expected):
        return "hint: with mu2 = logvar2 = 0 it must be the formula of section 2. Mind the signs."
    return "right."


@checks.exercise(2)
def check_linear_vae(function: Callable[[Tensor, int, float], Tensor]) -> str:
    """function(variances, latent_dim, beta) gives the least -ELBO of a linear VAE, a scalar."""
    variances = torch.tensor([3.0, 1.3, 0.6, 0.2, 0.1])
    answers, right, wrong = [], [], []
    for latent_dim, beta in ((1, 0.5), (2, 0.5), (4, 0.5), (5, 0.15)):
        answers.append(checks.call(function, variances, latent_dim, beta, shape=()))
        v, rest = variances[:latent_dim], 0.5 * variances[latent_dim:].sum()
        nats = 0.5 * (v / beta).log()
        used, collapsed = 0.5 * beta + beta * nats, 0.5 * v
        right.append(torch.where(v > beta, used, collapsed).sum() + rest)
        no_rest = right[-1] - rest
        no_beta = torch.where(v > beta, 0.5 * beta + nats, collapsed).sum() + rest
        wrong.append(torch.stack([no_rest, used.sum() + rest, no_beta, 2 * right[-1]]))
    hints = (
        "the components that get no dimension leave their variance, too.",
        "nats are never negative: where v is smaller than beta, the dimension collapses.",
        "each nat costs beta.",
        "-ELBO counts *half* the squared error.",
    )
    answer = torch.stack(answers)
    for hint, values in zip(hints, torch.stack(wrong, dim=1), strict=True):
        if checks.close(answer, values):
            return f"hint: {hint}"
    if not checks.close(answer, torch.stack(right)):
        expected = f"{right[1]:.4f}; yours is {answer[1]:.4f}"
        return f"hint: variances 3, 1.3, 0.6, 0.2, 0.1 with d = 2 and beta = 1/2 give {expected}."
    return "right."


@checks.exercise(3)
def check_cheap_code(latent_dim: int, beta: float, emoji: Tensor) -> str:
    """latent_dim and beta with an MSE of at most 0.0036 and at most 3.0 nats of KL."""
    if checks.is_missing(latent_dim, beta):
        return checks.NOT_YET
    with checks.caught("training"):
        if not 0 < beta < 1e6:
            return f"hint: take a beta above 0; yours is {beta!r}."
        if not 1 <= latent_dim <= 32:
            return f"hint: take a latent_dim of 1 to 32; yours is {latent_dim!r}."
        make_model = partial(VariationalAutoencoder, [400, 128, 64], latent_dim, activation=nn.SiLU)
        networks = from_seeds(make_model, (100, 101, 102))
        optimizer = partial(Adam, betas=(0.9, 0.99))
        train = partial(
            fit, networks, emoji, optimizer=optimizer, record_every=1000, progress=False
        )
        for share, epochs, lr in STAGES:
            loss, scheduler = vae_loss(share * beta), warmup_cosine(epochs, 50)
            train(epochs=epochs, lr=lr, loss=loss, scheduler=scheduler)
        with torch.no_grad():
            logits, mu, logvar = networks(emoji)
    error = float((torch.sigmoid(logits) - emoji).square().mean())
    nats = float(kl_divergence(mu, logvar).sum(dim=-1).mean())
    if not error <= 0.0036:
        ask = "Make a nat cheaper: a smaller beta. Or is d too small?"
        return f"hint: the MSE is {error:.4f}, more than 0.0036. {ask}"
    if nats > 3.0:
        make = "Make a nat more expensive: a larger beta."
        return f"hint: the KL divergence is {nats:.1f} nats, more than 3.0. {make}"
    return "a small error with few nats: right."


@checks.exercise(4)
def check_sample_clouds(
    function: Callable[[Tensor, Tensor, int, torch.Generator], Tensor],
) -> str:
    """function(mu, logvar, count, generator) gives points of random clouds, (count, d)."""
    mu = torch.tensor([[-100.0, 0.0], [0.0, 100.0], [100.0, 0.0]])  # far apart
    logvar = torch.tensor([[2.0, -2.0], [-2.0, 2.0], [0.0, 1.0]])
    count = 6000
    answer, again, other = checks.call_with_seeds(function, mu, logvar, count, shape=(count, 2))
    cloud, other_cloud = (torch.cdist(points, mu).argmin(dim=1) for points in (answer, other))
    shares = torch.stack([(cloud == i).float().mean() for i in range(3)])
    z = (answer - mu[cloud]) / (0.5 * logvar[cloud]).exp()
    if not checks.close(answer, again) or checks.close(answer, other):
        return "hint: draw the faces *and* the points from the generator: one seed, one result."
    if (shares - 1 / 3).abs().max() > 0.04 or torch.equal(cloud, other_cloud):
        return "hint: every face should come equally often, by chance: torch.randint."
    if checks.close(answer, mu[cloud]):
        return (
            "hint: that is the middle of the clouds. Add a normal number times exp(0.5 * logvar)."
        )
    if (z.std(dim=0) - 1).abs().max() > 0.12:
        return "hint: the clouds have the wrong width: exp(0.5 * logvar), of the face drawn."
    correlated = z.T.corrcoef()[0, 1].abs() > 0.12
    if correlated or z.mean(dim=0).abs().max() > 0.12 or not checks.is_normal(z):
        return "hint: every number of every point needs a random number of its own: torch.randn."
    return "right."
