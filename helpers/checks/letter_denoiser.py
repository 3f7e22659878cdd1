"""The checks of notebook 03."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from helpers import checks, noise
from helpers.evaluation import pixel_errors, predict, t_interval
from helpers.models import Autoencoder
from helpers.stack import from_seeds
from helpers.training import Adam, fit, warmup_cosine

ALPHABETS = 8 * 4_000  # that step 2 of section 10 sees


@checks.exercise(1)
def check_salt_and_pepper(function: Callable[[Tensor, float, torch.Generator], Tensor]) -> str:
    """function(images, p, generator) replaces pixels, with p/2 by 1 and with p/2 by 0."""
    images, p = torch.full((500, 1, 7, 5), 0.5), 0.4
    answer, again, other = checks.call_with_seeds(function, images, p, shape=images.shape)
    kinds = [((answer - value).abs() < 1e-3).float() for value in (1.0, 0.0, 0.5)]
    salt, pepper, kept = (float(kind.mean()) for kind in kinds)
    if not checks.close(answer, again) or (checks.close(answer, other) and answer.std() > 1e-3):
        return "hint: draw the random numbers with generator=generator: one seed, one noise."
    if 0.01 < kept < 0.99 and any(_is_shared(kind) for kind in kinds):
        return "hint: every pixel of every image needs a random number of its own: torch.rand."
    if salt + pepper + kept < 0.999:
        return "hint: a pixel is replaced by 1 or by 0, or it stays as it is. Nothing else."
    if kept > 0.7:
        return "hint: too many pixels stay. Salt has the probability p/2, and pepper p/2 as well."
    if kept < 0.58:
        return "hint: too many pixels are replaced. Salt *and* pepper *together* have p."
    one = "Let one random number decide for both."
    if abs(salt - pepper) > 0.02:
        return f"hint: there should be as much salt (1) as pepper (0). {one}"
    if kept > 0.62:
        return f"hint: a few pixels too many stay. {one}"
    return "right."


def _is_shared(mask):
    """Whether pixels, or images, share random numbers: then their shares differ too much."""
    share = mask.mean()
    by_image = mask.flatten(1).mean(dim=1).std() > 1.5 * (share * (1 - share) / 35).sqrt()
    return bool(by_image or (mask.mean(dim=0) - share).abs().max() > 0.15)


@checks.exercise(2)
def check_bayes(
    function: Callable[[Tensor, Tensor, float, Tensor], Tensor], letters: Tensor
) -> str:
    """function(noisy, letters, p, prior) gives P(letter | noisy) for all letters, (N, letters).

    prior: the probability of each letter before it is seen, (letters,).
    """
    p, prior = 0.3, torch.arange(1.0, len(letters) + 1)
    prior = prior / prior.sum()
    noisy = noise.salt_and_pepper(letters, p, torch.Generator().manual_seed(0))
    d = torch.cdist(noisy.flatten(1), letters.flatten(1), p=1)

    def right(f, prior):
        return torch.softmax(d * torch.log(torch.tensor(f / (1 - f))) + prior.log(), dim=1)

    answer = checks.call(function, noisy, letters, p, prior, shape=d.shape)
    if checks.close(answer, right(p, prior)):
        return "hint: a pixel flips with probability p/2, not p."
    if checks.close(answer, right(p / 2, torch.ones(len(letters)))):
        return "hint: all letters are equally likely in yours. Multiply with the prior."
    if not checks.close(answer.sum(dim=1), torch.ones(len(noisy))):
        return "hint: the probabilities of one image should add up to 1: divide by their sum."
    if not checks.close(answer, right(p / 2, prior)):
        return "hint: prior * f**d * (1 - f)**(35 - d), f = p/2, d different pixels; then divide."
    return "right."


@checks.exercise(3)
def check_count_waiting(function: Callable[[Tensor], Tensor]) -> str:
    """function(errors) gives, after each epoch, the epochs since the last progress, (epochs,)."""

    def answer(*errors):
        return checks.call(function, torch.tensor(errors), shape=(len(errors),)).int().tolist()

    if any(answer(0.5, 0.4, 0.3, 0.2)):
        one = "Compare with the lowest error *before* this epoch"
        return f"hint: 0.5, 0.4, 0.3, 0.2 is progress in every epoch: 0, 0, 0, 0. {one}."
    if answer(0.5, 0.3, 0.4, 0.35) != [0, 0, 1, 2]:
        one = "Compare with the lowest error, not with the last one"
        return f"hint: 0.5, 0.3, 0.4, 0.35 should give 0, 0, 1, 2. {one}."
    if answer(0.5, 0.5 - 5e-7, 0.5) != [0, 1, 2]:
        return "hint: a fall by 0.0000005 is too small to be progress."
    if answer(0.5, 0.6, 0.4, 0.4 - 5e-6, 0.4) != [0, 1, 0, 0, 1]:
        return "hint: 0.5, 0.6, 0.4, 0.399995, 0.4 should give 0, 1, 0, 0, 1."
    return "right."


@checks.exercise(4)
def check_as_many_letters(copies: int, updates: int, letters: Tensor) -> str:
    """copies in an update, and updates, with as many noisy letters as 8 copies and 4,000."""
    if checks.is_missing(copies, updates):
        return checks.NOT_YET
    with checks.caught("training"):
        if copies != 1:
            return f"hint: one copy in each update; yours has {copies}."
        if updates != ALPHABETS:
            ask = f"How many updates with 1 copy see {ALPHABETS:,} noisy alphabets, too?"
            return f"hint: 8 copies see {ALPHABETS:,} in 4,000 updates. {ask} Not {updates}."
        exact = []
        for number, length in ((1, updates), (8, updates // 8)):
            networks = from_seeds(partial(Autoencoder, [35, 17, 2, 17, 35]), range(4))
            add_noise = partial(noise.salt_and_pepper, p=0.1)
            schedule = warmup_cosine(length, min(50, length // 2))
            train = partial(fit, networks, letters, record_every=500, progress=False)
            train = partial(train, optimizer=partial(Adam, betas=(0.9, 0.99)), scheduler=schedule)
            train(epochs=length, lr=0.05, noise=add_noise, copies=number)
            exact.append(100 * _exact(networks, letters))
    near = "within 10 letters of 100 of each other"  # the figures depend on the computer
    found = near if abs(exact[0] - exact[1]) < 10 else "{:.0f} and {:.0f} of 100".format(*exact)
    return f"right. Exact letters with one copy, and with 8 in an eighth of the updates: {found}."


@checks.exercise(5)
def check_gain_interval(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    """function(after, before), (n,) each, gives the 95 % t interval of the mean gain, (2,)."""
    before = torch.tensor([0.42, 0.55, 0.31, 0.48, 0.71, 0.37])
    after = before + torch.tensor([0.10, 0.14, 0.02, 0.09, 0.05, 0.08])
    answer = checks.call(function, after, before, shape=(2,))
    gain = after - before
    low, high = t_interval(gain)
    half, one = (high - low) / 2, gain.std() / 6**0.5

    def interval(half):
        return torch.stack([gain.mean() - half, gain.mean() + half])

    hints = {
        "the gain is after minus before.": -interval(half).flip(0),
        "first the lowest value, then the highest.": interval(half).flip(0),
        "divide by the root of n: this is the spread of the gains, not of their mean.": interval(
            half * 6**0.5
        ),
        "divide by n - 1 in the standard deviation.": interval(half * (5 / 6) ** 0.5),
        "1.96 holds for many pairs. For few it is t.": interval(1.96 * one),
        "take the standard deviation of the differences: each pair has the same start.": interval(
            half / gain.std() * (after.var() + before.var()).sqrt()
        ),
    }
    for hint, wrong in hints.items():
        if checks.close(answer, wrong, atol=1e-4):
            return f"hint: {hint}"
    if not checks.close(answer, interval(half), atol=1e-4):
        return "hint: mean of the gains, minus and plus t times their deviation / root of n."
    return "right."


@checks.exercise(6)
def check_letter_denoiser(sizes: list, p: float, letters: Tensor) -> str:
    """sizes: code at most 2, layers at most 32; p: for the training. 95 % exact at p = 0.1."""
    if checks.is_missing(p, sizes):
        return checks.NOT_YET
    if not isinstance(sizes, list | tuple):
        return f"hint: give the sizes as a list, [35, ...]; yours are a {type(sizes).__name__}."
    if any(size is ... for size in sizes):
        return checks.NOT_YET
    with checks.caught("training"):
        if sizes[len(sizes) // 2] > 2 or max(sizes[1:-1], default=0) > 32:
            most = "the code may have at most 2 numbers, a hidden layer at most 32"
            return f"hint: {most}; yours are {sizes}."
        make_model = partial(Autoencoder, sizes, code_activation=nn.Identity)
        networks = from_seeds(make_model, range(100, 104))
        add_noise, schedule = partial(noise.salt_and_pepper, p=p), warmup_cosine(1500, 50)
        train = partial(fit, networks, letters, copies=8, record_every=500, progress=False)
        train(epochs=1500, lr=0.02, scheduler=schedule, noise=add_noise)
    exact = _exact(networks, letters)
    if exact < 0.95:
        ask = "More hidden layers? Another noise in training?"
        return f"hint: {exact:.0%} of the letters are right. {ask}"
    return "at least 95 % of the letters are right at p = 0.1: right."


def _exact(networks, letters):
    """The share of exact letters at p = 0.1, mean of 200 draws and all networks."""
    clean = letters.repeat(200, 1, 1, 1)
    noisy = noise.salt_and_pepper(clean, 0.1, torch.Generator().manual_seed(100))
    errors = pixel_errors(torch.sigmoid(predict(networks, noisy)), clean)
    return float((errors == 0).float().mean())
