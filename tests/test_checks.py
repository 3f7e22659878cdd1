"""The checks of the exercises: they say right, not yet or a hint, and never raise."""

import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from helpers import checks, noise, training
from helpers.checks import emoji_vae, letter_denoiser
from helpers.checks.emoji_vae import (
    check_cheap_code,
    check_kl_between,
    check_linear_vae,
    check_sample_clouds,
)
from helpers.checks.letter_autoencoder import (
    check_flip_one,
    check_l1_derivative,
    check_pixel_errors,
    check_recipe,
)
from helpers.checks.letter_denoiser import (
    check_as_many_letters,
    check_bayes,
    check_count_waiting,
    check_gain_interval,
    check_letter_denoiser,
    check_salt_and_pepper,
)
from helpers.checks.mnist_denoiser import check_denoiser, check_psnr, check_two_noises
from helpers.data import load_capitals, load_emoji, load_letters, load_mnist
from helpers.evaluation import bayes_denoiser, linear_vae, psnr, t_interval
from helpers.models import Autoencoder

IMAGES = load_letters().images


def say(capsys, check, *answers):
    check(*answers)
    (line,) = capsys.readouterr().out.splitlines()
    return line.partition(": ")[2]


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def stops(error):
    def answer(*_):
        raise error

    return answer


def at_first(function, then):
    """An answer that is `function` in the first call, and `then` from the second call on."""
    functions = iter([function])
    return lambda *args: next(functions, then)(*args)


def error(x, y):
    return (x - y).square().flatten(1).mean(1)


def two_noises(coin=None, std=0.5, p=0.5):
    """An answer with this coin, by default a fair one for each image, and these levels."""

    def answer(x, g):
        heads = coin(x, g) if coin else torch.rand(len(x), 1, 1, 1, generator=g) < 0.5
        return torch.where(heads, noise.gaussian(x, std, g), noise.salt_and_pepper(x, p, g))

    return answer


def one_coin(shape, share=0.5):
    return lambda x, g: torch.rand(shape, generator=g) < share


def two_noises_in_place(x, g):
    heads = torch.rand(len(x), generator=g) < 0.5
    x[heads] = noise.gaussian(x[heads], 0.5, g)
    x[~heads] = noise.salt_and_pepper(x[~heads], 0.5, g)
    return x


def uniform(shape, generator):
    """Uniform numbers with the standard deviation 1."""
    return 12**0.5 * (torch.rand(shape, generator=generator) - 0.5)


OWN = "hint: every pixel of every image needs a"
IMAGE, PIXEL = (400, 1, 1, 1), (400, 1, 28, 28)
PSNR = [
    (lambda x, y: ..., "not yet"),
    (lambda x, y: None, "not yet"),
    (stops(RuntimeError("a mistake")), "your function stopped with RuntimeError: a mistake"),
    (stops(SystemExit(3)), "your function stopped with SystemExit: 3"),
    (lambda *_: sys.exit(), "your function stopped with SystemExit"),
    (stops(Silent()), "your function stopped with Silent: (its text can't be shown)"),
    (stops(ValueError("one\ntwo")), "your function stopped with ValueError: one"),
    (lambda x: x, "your function stopped with TypeError"),
    (lambda x, y: 20.0, "hint: return a tensor; yours returned float"),
    (lambda x, y: psnr(x, y).mean(), "hint: expected a tensor of shape (5,); yours has ()"),
    (lambda x, y: 10 * error(x, y).log10(), "hint: the sign"),
    (lambda x, y: -10 * error(x, y).log(), "hint: PSNR takes the logarithm to base 10"),
    (error, "hint: first the mean squared error"),
    (lambda x, y: -20 * error(x, y).log10(), "hint: first the mean squared error"),
    (lambda x, y: torch.full((5,), torch.nan), "hint: first the mean squared error"),
    (lambda x, y: 10 * torch.log10(1 / error(x, y)), "right."),
    (lambda x, y: psnr(x.requires_grad_(), y).double(), "right."),
]
TWO = [
    (lambda x, g: ..., "not yet"),
    (lambda x, g: x.numpy(), "hint: return a tensor; yours returned ndarray"),
    (lambda x, g: x[:3], "hint: expected a tensor of shape (400, 1, 28, 28); yours has (3,"),
    (lambda x, g: x, "hint: draw the coins *and*"),
    (two_noises(lambda x, g: torch.rand(IMAGE) < 0.5), "hint: draw the coins *and*"),
    (lambda x, g: two_noises()(x, torch.Generator().manual_seed(5)), "hint: draw the coins *and*"),
    (lambda x, g: noise.gaussian(x, 0.5, g), "hint: some images should get one kind"),
    (lambda x, g: noise.salt_and_pepper(x, 0.5, g), "hint: some images should get one kind"),
    (two_noises(one_coin(())), "hint: some images should get one kind"),
    (two_noises(one_coin(PIXEL)), "hint: some images should get one kind"),
    (two_noises(lambda x, g: torch.arange(400).reshape(IMAGE) < 200), "hint: the same images"),
    (two_noises(one_coin(IMAGE, 0.2)), "hint: a fair coin"),
    (two_noises(p=0.3), "hint: salt and pepper should have p = 0.5"),
    (two_noises(std=0.4), "hint: the other images should have Gaussian noise"),
    (lambda x, g: two_noises()(x, g) * 0.9, "hint: some images should get one kind"),
    (two_noises(), "right."),
    (two_noises_in_place, "right."),
    (lambda x, g: two_noises()(x, g).double(), "right."),
    (at_first(two_noises(), stops(RuntimeError("late"))), "your function stopped with Runtime"),
    (at_first(two_noises(), lambda x, g: None), "not yet"),
]


def errors(p, x):
    return ((p > 0.5) != (x > 0.5)).flatten(1).sum(1)


PIXELS = [
    (lambda p, x: ..., "not yet"),
    (lambda p, x: errors(p, x).sum(), "hint: expected a tensor of shape"),
    (lambda p, x: 35 - errors(p, x), "hint: you count the pixels that are right"),
    (lambda p, x: (p - x).abs().flatten(1).sum(1), "hint: threshold the probabilities"),
    (errors, "right."),
    (lambda p, x: errors(p, x) * 1.0000001, "right."),
]


def slope(a):
    return torch.sigmoid(a) * (1 - torch.sigmoid(a))


def sign(a, x):
    return (torch.sigmoid(a) - x).sign()


L1 = [
    (lambda a, x: ..., "not yet"),
    (lambda a, x: sign(a, x)[0], "hint: expected a tensor of shape (6, 1, 7, 5)"),
    (lambda a, x: (1 - 2 * sign(a, x).lt(0).float()) * -slope(a), "hint: the sign"),
    (lambda a, x: sign(a, x), "hint: this is the derivative with respect to the pixel value"),
    (lambda a, x: slope(a), "hint: for a pixel that should be 1"),
    (lambda a, x: 2 * (torch.sigmoid(a) - x) * slope(a), "hint: this is the derivative of the MSE"),
    (lambda a, x: torch.sigmoid(a) - x, "hint: take that of"),
    (lambda a, x: sign(a, x) * slope(a), "right."),
    (lambda a, x: (1 - 2 * x.double()) * slope(a), "right."),
]


def salt_and_pepper(salt=0.5, pepper=0.5, shape=(500, 1, 7, 5)):
    """An answer with these shares of p; by default it is right."""

    def answer(x, p, g):
        u = torch.rand(shape, generator=g).expand_as(x)
        return torch.where(u < salt * p, 1.0, torch.where(u > 1 - pepper * p, 0.0, x))

    return answer


def salt_and_pepper_in_place(x, p, g):
    u = torch.rand(x.shape, generator=g)
    x[u < p] = 0.0
    x[u < p / 2] = 1.0
    return x


def two_draws(x, p, g):
    x[torch.rand(x.shape, generator=g) < p / 2] = 1
    x[torch.rand(x.shape, generator=g) < p / 2] = 0
    return x


SALT = [
    (lambda x, p, g: ..., "not yet"),
    (at_first(salt_and_pepper(), lambda x, p, g: None), "not yet"),
    (lambda x, p, g: x[:3], "hint: expected a tensor of shape (500, 1, 7, 5); yours has (3,"),
    (lambda x, p, g: noise.salt_and_pepper(x, p), "hint: draw the random numbers with generator"),
    (lambda x, p, g: salt_and_pepper()(x, p, torch.Generator()), "hint: draw the random numbers"),
    (lambda x, p, g: noise.gaussian(x, p, g), "hint: a pixel is replaced by 1 or by 0, or it st"),
    (lambda x, p, g: x, "hint: too many pixels stay"),
    (salt_and_pepper(0.25, 0.25), "hint: too many pixels stay"),
    (salt_and_pepper(0.5, 0), "hint: too many pixels stay"),
    (salt_and_pepper(1, 1), "hint: too many pixels are replaced"),
    (lambda x, p, g: torch.zeros_like(x), "hint: too many pixels are replaced"),
    (salt_and_pepper(1, 0), "hint: there should be as much salt (1) as pepper (0)"),
    (salt_and_pepper(0.25, 0.75), "hint: there should be as much salt (1) as pepper (0)"),
    *((salt_and_pepper(shape=shape), OWN) for shape in ((500, 1, 1, 1), (1, 1, 7, 5))),
    *((salt_and_pepper(shape=shape), OWN) for shape in ((500, 1, 7, 1), (500, 1, 1, 5))),
    (two_draws, "hint: there should be as much salt (1) as pepper (0). Let one random number"),
    (salt_and_pepper(), "right."),
    (lambda x, p, g: noise.salt_and_pepper(x, p, g).double() * (1 - 1e-7), "right."),
    (salt_and_pepper_in_place, "right."),
]


def posterior(noisy, letters, p, prior, f=0.5, rest=1, sum_over=1):
    """An answer with the probability f * p of a flip; by default it is right."""
    d = (noisy.flatten(1).unsqueeze(1) != letters.flatten(1)).sum(dim=2)
    likelihood = prior * (f * p) ** d * (1 - f * p) ** (rest * (35 - d))
    return likelihood / likelihood.sum(dim=sum_over, keepdim=True) if sum_over else likelihood


def bayes_mean(noisy, letters, p, prior):
    return bayes_denoiser(noisy, letters, p)


BAYES = [
    (lambda x, y, p, q: ..., "not yet"),
    (lambda x, y, p, q: x @ y, "your function stopped with RuntimeError"),
    (lambda x, y, p, q: posterior(x, y, p, q)[0], "hint: expected a tensor of shape (32, 32)"),
    (bayes_mean, "hint: expected a tensor of shape (32, 32); yours has (32, 1, 7, 5)"),
    (partial(posterior, f=1), "hint: a pixel flips with probability p/2, not p"),
    (lambda x, y, p, q: posterior(x, y, p, 1.0), "hint: all letters are equally likely in yours"),
    (partial(posterior, sum_over=None), "hint: the probabilities of one image should add up"),
    (lambda x, y, p, q: posterior(x, y, p, q).T, "hint: the probabilities of one image should add"),
    (partial(posterior, rest=0), "hint: prior * f**d"),
    (lambda x, y, p, q: posterior(x, y, p, q).flip(1), "hint: prior * f**d"),
    (lambda x, y, p, q: posterior(x, y, p, q.flip(0)), "hint: prior * f**d"),
    (lambda x, y, p, q: torch.full((32, 32), torch.nan), "hint: "),
    (posterior, "right."),
    (lambda x, y, p, q: posterior(x.double(), y, p, q).requires_grad_(), "right."),
]


def kl(m, v, n, w):
    return 0.5 * (w - v + (v.exp() + (m - n).square()) / w.exp() - 1)


KL = [
    (lambda *_: ..., "not yet"),
    (lambda m, v, n, w: kl(m, v, n, w).sum(dim=1), "hint: expected a tensor of shape (5, 3)"),
    (lambda m, v, n, w: kl(n, w, m, v), "hint: the two distributions are exchanged"),
    (lambda m, v, n, w: 2 * kl(m, v, n, w), "hint: a factor 1/2"),
    (lambda m, v, n, w: kl(m, 2 * v, n, 2 * w), "hint: exp(logvar) is the variance already"),
    (lambda m, v, n, w: kl(m, v, n, w) + 0.5, "hint: with mu2 = "),
    (kl, "right."),
]


def clouds(width=lambda v: (0.5 * v).exp(), faces=3, draw=torch.randn, shape=None, shift=0.0):
    def answer(mu, logvar, count, generator):
        which = torch.randint(faces, (count,), generator=generator)
        epsilon = draw(shape or (count, mu.shape[1]), generator=generator)
        return mu[which] + width(logvar[which]) * (epsilon + shift)

    return answer


def one_after_the_other(mu, logvar, count, generator):
    which = torch.arange(count) % 3
    return mu[which] + (0.5 * logvar[which]).exp() * torch.randn(count, 2, generator=generator)


def faces_alone(mu, logvar, count, generator):
    which = torch.randint(3, (count,), generator=generator)
    return mu[which] + (0.5 * logvar[which]).exp() * torch.randn(count, 2)


CLOUDS = [
    (lambda *_: None, "not yet"),
    (lambda m, v, count, g: m, "hint: expected a tensor of shape (6000, 2)"),
    (lambda m, v, count, g: clouds()(m, v, count, torch.Generator()), "hint: draw the faces *and*"),
    (faces_alone, "hint: draw the faces *and* the points from the generator"),
    (clouds(faces=2), "hint: every face should come equally often"),
    (one_after_the_other, "hint: every face should come equally often, by chance"),
    (clouds(width=torch.zeros_like), "hint: that is the middle of the clouds"),
    (clouds(width=lambda v: (0.5 * v[:1]).exp()), "hint: the clouds have the wrong width"),
    (clouds(width=torch.exp), "hint: the clouds have the wrong width"),
    (clouds(width=lambda v: v), "hint: the clouds have the wrong width"),
    (clouds(shape=(6000, 1)), "hint: every number of every point"),
    (clouds(shift=1.0), "hint: every number of every point"),
    (clouds(draw=uniform), "hint: every number of every point"),
    (clouds(), "right."),
]
CASES = [
    *((check_psnr, *case) for case in PSNR),
    *((check_two_noises, *case) for case in TWO),
    *((check_pixel_errors, *case) for case in PIXELS),
    *((check_l1_derivative, *case) for case in L1),
    *((check_salt_and_pepper, *case) for case in SALT),
    *((partial(check_bayes, letters=IMAGES), *case) for case in BAYES),
    *((check_kl_between, *case) for case in KL),
    *((check_sample_clouds, *case) for case in CLOUDS),
]


@pytest.mark.parametrize(("check", "answer", "reply"), CASES)
def test_answers_and_replies(capsys, check, answer, reply):
    if isinstance(check, partial):
        check = lambda function: check_bayes(function, IMAGES.clone())  # noqa: E731
    assert say(capsys, check, answer).startswith(reply)


@pytest.mark.parametrize("skipped", range(1, 9))
@pytest.mark.parametrize(
    ("check", "right"),
    [
        (check_two_noises, two_noises()),
        (check_salt_and_pepper, salt_and_pepper()),
        (check_sample_clouds, clouds()),
    ],
)
def test_a_right_answer_is_right_whatever_it_draws(capsys, check, right, skipped):
    def answer(*args):
        torch.rand(skipped, generator=args[-1])  # numbers that it does not need
        return right(*args)

    assert say(capsys, check, answer) == "right."


def test_an_answer_may_change_what_it_gets_but_not_what_the_notebook_has(capsys):
    letters = IMAGES.clone()

    def spoiled(noisy, x, p, prior):
        right = posterior(noisy, x, p, prior)
        noisy.zero_(), x.zero_(), prior.zero_()
        return right

    assert say(capsys, check_bayes, spoiled, letters) == "right."
    assert torch.equal(letters, IMAGES)


def test_another_default_dtype_and_the_random_numbers_of_the_notebook_stay(capsys):
    torch.set_default_dtype(torch.float64)
    try:
        state = torch.get_rng_state()
        assert say(capsys, check_psnr, psnr) == "right."
        assert say(capsys, check_kl_between, kl) == "right."
        assert say(capsys, check_sample_clouds, clouds()) == "right."
        make_model = partial(Autoencoder, [35, 2, 35])
        assert "only 0 of 16" in say(capsys, check_recipe, {"epochs": 1}, make_model, IMAGES)
        assert torch.get_default_dtype() == torch.float64
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_default_dtype(torch.float32)


def test_an_interrupt_stays_one(capsys):
    with pytest.raises(KeyboardInterrupt):
        check_psnr(stops(KeyboardInterrupt()))


@pytest.fixture(scope="module")
def digits():
    """Images to train with and to test with, from the smaller file."""
    images = load_mnist(train=False).images
    return images[:9500], images[-500:]


STOPPED = "training with these settings stopped with "


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        (..., "not yet"),
        ({"batch_size": 100, "lr": ...}, "not yet"),
        ([100, 0.1], "hint: give the settings as a dictionary, {...}; yours is a list"),
        ({"batch_size": 100, "epochs": 10}, "hint: the number of epochs is fixed: 3; yours is 10"),
        ({}, "hint: the settings need a 'batch_size'"),
        ({"batch_size": 0}, STOPPED + "ValueError: batch_size"),
        ({"batch_size": np.array([1, 2])}, STOPPED + "ValueError: batch_size"),
        ({"batch_size": 100, "speed": 3}, STOPPED + "TypeError"),
        ({"batch_size": 100, "loss": stops(SystemExit(1))}, STOPPED + "SystemExit: 1"),
        ({"batch_size": 4000, "lr": 1e-6}, "hint: the BCE on left-out images is 0.69"),
        ({"batch_size": 50, "lr": 3e-3}, "the BCE on left-out images is below 0.15: right."),
    ],
)
def test_denoiser(capsys, digits, settings, reply):
    before = dict(settings) if isinstance(settings, dict) else settings
    make = partial(Autoencoder, [784, 64, 784], activation=nn.ReLU, code_activation=nn.ReLU)
    assert say(capsys, check_denoiser, settings, make, *digits).startswith(reply)
    assert settings == before  # the cell may be run again


RIGHT = {"lr": 0.05, "optimizer": partial(training.Adam, betas=(0.9, 0.99))}


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        (None, "not yet"),
        ({"lr": 0.1}, "hint: 'epochs' must be a whole number, at most 2000; yours is None"),
        ({"epochs": 5000}, "hint: 'epochs' must be a whole number, at most 2000; yours is 5000"),
        ({"epochs": 10, "speed": 3}, STOPPED + "TypeError"),
        ({"epochs": 10, "lr": 0.01}, "hint: only 0 of 16 networks have no wrong pixel"),
        (
            {"epochs": 2000, **RIGHT, "scheduler": training.warmup_cosine(2000, 100)},
            "at least 12 of 16 networks have no wrong pixel: right.",
        ),
    ],
)
def test_recipe(capsys, settings, reply):
    make = partial(Autoencoder, [35, 17, 2, 17, 35])
    assert say(capsys, check_recipe, settings, make, IMAGES).startswith(reply)


def flip_one(pixels=35, shape=(640,), draw=torch.randint):
    """An answer that flips one of so many pixels; by default each image gets its own."""

    def answer(x, generator):
        which = draw(pixels, shape if len(x) == 640 else (len(x),), generator=generator)
        return (x - nn.functional.one_hot(which.expand(len(x)), 35).reshape(x.shape)).abs()

    return answer


def flip_one_in_place(x, generator):
    which = torch.randint(35, (len(x), 1), generator=generator)
    rows = x.view(len(x), 35)
    rows.scatter_(1, which, 1 - rows.gather(1, which))
    return x


def in_turn(pixels, shape, generator):
    return torch.arange(*shape) % pixels


ONE_PIXEL, OWN_GENERATOR = "hint: exactly one pixel", "hint: draw the random numbers with generator"


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda x, generator: ..., "not yet"),
        (lambda x, generator: x[:3], "hint: expected a tensor of shape (640, 1, 7, 5)"),
        (lambda x, generator: x, ONE_PIXEL),
        (lambda x, generator: 1 - x, ONE_PIXEL),
        (lambda x, generator: (x - 1 / 35).abs(), ONE_PIXEL),
        (lambda x, generator: flip_one()(flip_one()(x, generator), generator), ONE_PIXEL),
        (flip_one(shape=(1,)), "hint: every image needs a random pixel of its own"),
        (flip_one(draw=in_turn), OWN_GENERATOR),
        (lambda x, generator: flip_one()(x, None), OWN_GENERATOR),
        (flip_one(pixels=34), "hint: every one of the 35 pixels should be flipped equally often"),
        (lambda x, g: flip_one()(x, g), "training with your noise stopped with TypeError"),
        (flip_one(), "the networks reach an AUC of 1.00: right."),
        (flip_one_in_place, "the networks reach an AUC of 1.00: right."),
    ],
)
def test_flip_one(capsys, answer, reply):
    make, letters = partial(Autoencoder, [35, 17, 2, 17, 35], activation=nn.Sigmoid), IMAGES.clone()
    capitals = load_capitals().images
    check = lambda answer: check_flip_one(answer, make, letters, capitals)  # noqa: E731
    assert say(capsys, check, answer).startswith(reply)
    assert torch.equal(letters, IMAGES)


def count_waiting(falls, best_of):
    """An answer that counts until falls(best, error), and keeps best_of(best, error)."""

    def answer(errors):
        best, waiting, counts = float("inf"), 0, []
        for value in errors:
            waiting = 0 if falls(best, value) else waiting + 1
            best = best_of(best, value)
            counts.append(waiting)
        return torch.tensor(counts)

    return answer


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda errors: ..., "not yet"),
        (lambda errors: None, "not yet"),
        (lambda errors: 0, "hint: return a tensor; yours returned int"),
        (lambda errors: torch.zeros(1), "hint: expected a tensor of shape (4,); yours has (1,)"),
        (stops(ValueError("so")), "your function stopped with ValueError: so"),
        # what the students' program counts: no fall as large as these is progress
        (
            lambda errors: torch.arange(1, len(errors) + 1),
            "hint: 0.5, 0.4, 0.3, 0.2 is progress in every epoch: 0, 0, 0, 0",
        ),
        (lambda errors: torch.zeros(len(errors)), "hint: 0.5, 0.3, 0.4, 0.35 should give"),
        (count_waiting(lambda b, e: e < b - 1e-6, lambda b, e: e), "hint: 0.5, 0.3, 0.4, 0.35"),
        (count_waiting(lambda b, e: e < b, min), "hint: a fall by 0.0000005 is too small"),
        (count_waiting(lambda b, e: b - e > 1e-5, min), "hint: 0.5, 0.6, 0.4, 0.399995, 0.4"),
        (count_waiting(lambda b, e: b - e > 1e-6, min), "right."),
        (lambda errors: count_waiting(lambda b, e: b - e > 1e-6, min)(errors.tolist()), "right."),
    ],
)
def test_count_waiting(capsys, answer, reply):
    assert say(capsys, check_count_waiting, answer).startswith(reply)


@pytest.mark.parametrize(
    ("copies", "updates", "reply"),
    [
        (..., 60, "not yet"),
        (1, ..., "not yet"),
        (8, 60, "hint: one copy in each update; yours has 8"),
        (1, 4, "hint: 8 copies see 60 in 4,000 updates."),
        (1, "60", "hint: 8 copies see 60 in 4,000 updates."),
        (
            1,
            60,
            "right. Exact letters with one copy, and with 8 in an eighth of the updates: within 10",
        ),
    ],
)
def test_as_many_letters(capsys, monkeypatch, copies, updates, reply):
    """The real number of updates, which takes half a minute, is in the solutions."""
    monkeypatch.setattr(letter_denoiser, "ALPHABETS", 60)
    assert say(capsys, check_as_many_letters, copies, updates, IMAGES).startswith(reply)


def test_as_many_letters_says_where_the_two_differ(capsys, monkeypatch):
    shares = iter([0.91, 0.66])
    monkeypatch.setattr(letter_denoiser, "ALPHABETS", 60)
    monkeypatch.setattr(letter_denoiser, "_exact", lambda *_: next(shares))
    reply = say(capsys, check_as_many_letters, 1, 60, IMAGES)
    assert reply.endswith("in an eighth of the updates: 91 and 66 of 100.")


def gain_interval(after, before, z=2.5706, std=torch.std):
    gain = after - before
    half = z * std(gain) / len(gain) ** 0.5
    return torch.stack([gain.mean() - half, gain.mean() + half])


def two_intervals(after, before):
    half = 2.5706 * (after.var() / 6 + before.var() / 6).sqrt()
    return (after - before).mean() + torch.stack([-half, half])


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda after, before: ..., "not yet"),
        (lambda after, before: (0, 1), "hint: return a tensor; yours returned tuple"),
        (lambda after, before: after, "hint: expected a tensor of shape (2,); yours has (6,)"),
        (lambda after, before: gain_interval(before, after), "hint: the gain is after minus"),
        (lambda after, before: gain_interval(after, before).flip(0), "hint: first the lowest"),
        (partial(gain_interval, z=2.5706 * 6**0.5), "hint: divide by the root of n"),
        (partial(gain_interval, std=partial(torch.std, correction=0)), "hint: divide by n - 1"),
        (partial(gain_interval, z=1.96), "hint: 1.96 holds for many"),
        (two_intervals, "hint: take the standard deviation of the differences"),
        (partial(gain_interval, z=1), "hint: mean of the gains, minus and plus t"),
        (lambda a, b: torch.tensor(t_interval(a - b)), "right."),
        (gain_interval, "right."),
    ],
)
def test_gain_interval(capsys, answer, reply):
    assert say(capsys, check_gain_interval, answer).startswith(reply)


@pytest.mark.parametrize(
    ("sizes", "p", "reply"),
    [
        ([35, ..., 2, ..., 35], 0.1, "not yet"),
        ([35, 17, 2, 17, 35], ..., "not yet"),
        (None, 0.1, "not yet"),
        (35, 0.1, "hint: give the sizes as a list, [35, ...]; yours are a int"),
        ([35, 17, 3, 17, 35], 0.1, "hint: the code may have at most 2 numbers"),
        ([35, 2, 32, 2, 35], 0.1, "hint: the code may have at most 2 numbers"),
        ([35, 33, 2, 33, 35], 0.1, "hint: the code may have at most 2 numbers, a hidden layer at"),
        ([35, 0, 35], 0.1, "training stopped with ValueError: sizes"),
        ([36, 2, 36], 0.1, "training stopped with ValueError"),
        ([35, "2", 35], 0.1, "training stopped with TypeError"),
        ([35, np.array([1, 2]), 35], 0.1, "training stopped with ValueError"),
        ([35, 2, 35], float("nan"), "training stopped with ValueError: p is a probability"),
        ([35, 2, 35], "0.1", "training stopped with TypeError"),
        ([35, 2, 35], 1.0, "hint: 0% of the letters are right"),
        ([35, 32, 2, 32, 35], 0.12, "hint: 9"),  # as wide as it may be, and not deep enough
        (
            (35, 32, 32, 2, 32, 32, 35),
            0.12,
            "at least 95 % of the letters are right at p = 0.1: right.",
        ),
    ],
)
def test_letter_denoiser(capsys, sizes, p, reply):
    assert say(capsys, check_letter_denoiser, sizes, p, IMAGES).startswith(reply)


def linear(collapsed=lambda v, beta: v / 2, price=lambda beta: beta, rest=0.5, factor=1):
    """The least -ELBO of a linear VAE, with what a student may take for one of its parts."""

    def answer(variances, latent_dim, beta):
        v = variances[:latent_dim]
        used = beta / 2 + price(beta) * (v / beta).log() / 2
        nats = torch.where(v > beta, used, collapsed(v, beta)).sum()
        return factor * (nats + rest * variances[latent_dim:].sum())

    return answer


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda v, d, beta: ..., "not yet"),
        (lambda v, d, beta: 1.0, "hint: return a tensor; yours returned float"),
        (lambda v, d, beta: v, "hint: expected a tensor of shape (); yours has (5,)"),
        (stops(ValueError("so")), "your function stopped with ValueError: so"),
        (linear(rest=0), "hint: the components that get no dimension"),
        (linear(lambda v, beta: beta * (1 + (v / beta).log()) / 2), "hint: nats are never"),
        (linear(price=lambda beta: 1), "hint: each nat costs beta"),
        (linear(factor=2), "hint: -ELBO counts *half*"),
        (lambda v, d, beta: v.sum() / 2, "hint: variances 3, 1.3, 0.6, 0.2, 0.1 with d = 2 and"),
        (linear(), "right."),
    ],
)
def test_linear_vae(capsys, answer, reply):
    assert say(capsys, check_linear_vae, answer).startswith(reply)


def test_linear_vae_is_that_of_the_notebook():
    """What the exercise calls right is what `evaluation.linear_vae` gives for real images."""
    emoji = load_emoji().images
    rows = (emoji - emoji.mean(dim=0)).flatten(1).double()
    variances = torch.linalg.svdvals(rows).square() / len(emoji)
    for d, beta in ((2, 0.5), (6, 1 / 6), (12, 1.0)):
        assert float(linear()(variances, d, beta)) == pytest.approx(linear_vae(emoji, d, beta)[1])


@pytest.mark.parametrize(
    ("latent_dim", "beta", "reply"),
    [
        (..., 0.3, "not yet"),
        (33, 0.3, "hint: take a latent_dim of 1 to 32"),
        (3.0, 0.3, "training stopped with ValueError"),
        (3, 0, "hint: take a beta above 0"),
        (3, float("nan"), "hint: take a beta above 0"),
        (1, 0.3, "hint: the MSE is"),
        (12, 1e-3, "hint: the KL divergence is"),
    ],
)
def test_cheap_code(capsys, monkeypatch, latent_dim, beta, reply):
    """The right answer, which takes seconds, is in the solutions."""
    monkeypatch.setattr(emoji_vae, "STAGES", [(1, 800 if latent_dim == 12 else 60, 0.005)])
    emoji = load_emoji().images
    assert say(capsys, check_cheap_code, latent_dim, beta, emoji).startswith(reply)


def test_what_holds_is_a_list(capsys):
    checks.holds({"one": True, "all of many": torch.tensor([True, True]), "two": 1 < 0})
    checks.holds({"not all": torch.tensor([True, False])})
    not_here = ": with your settings this does not hold"
    expected = ["✓ one", "✓ all of many", f"✗ two{not_here}", f"✗ not all{not_here}"]
    assert capsys.readouterr().out.splitlines() == expected
