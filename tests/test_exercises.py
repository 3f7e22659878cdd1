"""The checks of the exercises: they say right, not yet or a hint, and never raise."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from helpers import exercises, noise, training
from helpers.data import load_emoji, load_letters, load_mnist
from helpers.evaluation import bayes_denoiser, psnr
from helpers.models import Autoencoder

IMAGES = load_letters().images


def say(capsys, check, *args):
    check(*args)
    (line,) = capsys.readouterr().out.splitlines()
    return line


def wrong(*_):
    raise RuntimeError("a mistake")


def at_first(function, then):
    """An answer that is `function` in the first call, and `then` from the second call on."""
    functions = iter([function])
    return lambda *args: next(functions, then)(*args)


# --- notebook 01 -----------------------------------------------------------------------------------------------------


def error(x, y):
    return (x - y).square().flatten(1).mean(1)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda x, y: ..., "not yet"),
        (lambda x, y: None, "not yet"),
        (wrong, "your function stopped with RuntimeError: a mistake"),
        (lambda x: x, "your function stopped with TypeError"),
        (lambda x, y: 20.0, "hint: return a tensor; yours returned float"),
        (lambda x, y: psnr(x, y).mean(), "hint: expected a tensor of shape (5,); yours has ()"),
        (
            lambda x, y: psnr(x, y).unsqueeze(1),
            "hint: expected a tensor of shape",
        ),
        (lambda x, y: 10 * error(x, y).log10(), "hint: the sign"),
        (lambda x, y: -10 * error(x, y).log(), "hint: PSNR takes the logarithm to base 10"),
        (error, "hint: first the mean squared error"),
        (lambda x, y: -20 * error(x, y).log10(), "hint: first the mean squared error"),
        (lambda x, y: -10 * (x - y).abs().flatten(1).mean(1).log10(), "hint: first the mean squared error"),
        (lambda x, y: -10 * (x - y).square().flatten(1).sum(1).log10(), "hint: first the mean squared error"),
        (lambda x, y: torch.full((5,), torch.nan), "hint: first the mean squared error"),
        (psnr, "right."),
        (lambda x, y: 10 * torch.log10(1 / error(x, y)), "right."),
        (lambda x, y: psnr(x, y).double(), "right."),
        (lambda x, y: psnr(x.requires_grad_(), y), "right."),
    ],
)
def test_psnr(capsys, answer, reply):
    assert say(capsys, exercises.check_psnr, answer).startswith(f"Exercise 1: {reply}")


def mixed(change=lambda u: u, shape=(400, 1, 1, 1)):
    """An answer whose levels are `change` of numbers from U[0, 1]."""
    return lambda x, g: noise.gaussian(x, change(torch.rand(shape, generator=g)), g)


def mixed_by_hand(x, g):
    sigma = torch.rand(len(x), 1, 1, 1, generator=g)
    return x + sigma * torch.randn(x.shape, generator=g)


def mixed_in_place(x, g):
    sigma = torch.rand(len(x), 1, 1, 1, generator=g)
    return x.add_(sigma * torch.randn(x.shape, generator=g)).clamp_(0, 1)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda x, g: ..., "not yet"),
        (lambda x, g: None, "not yet"),
        (wrong, "your function stopped with RuntimeError: a mistake"),
        (lambda x: x, "your function stopped with TypeError"),
        (lambda x, g: x.numpy(), "hint: return a tensor; yours returned ndarray"),
        (lambda x, g: x[:3], "hint: expected a tensor of shape (400, 1, 28, 28); yours has (3, 1, 28, 28)"),
        (lambda x, g: noise.gaussian(x, torch.rand(400, 1, 1, 1), g), "hint: draw the levels *and* the noise"),
        (lambda x, g: mixed()(x, None), "hint: draw the levels *and* the noise"),
        (mixed_by_hand, "hint: cut the result to [0, 1]"),
        (lambda x, g: x, "hint: sigma does not differ from image to image"),
        (lambda x, g: noise.gaussian(x, 0.5, g), "hint: sigma does not differ from image to image"),
        (mixed(shape=()), "hint: sigma does not differ from image to image"),
        (mixed(shape=(400, 1, 28, 28)), "hint: sigma does not differ from image to image"),
        (mixed(lambda u: u * torch.linspace(0, 1, 28).unsqueeze(1)), "hint: sigma changes inside an image"),
        (mixed(lambda u: u.repeat_interleave(14, 2), (400, 1, 2, 1)), "hint: sigma changes inside an image"),
        (mixed(lambda u: u.repeat_interleave(14, 3), (400, 1, 1, 2)), "hint: sigma changes inside an image"),
        (mixed(lambda u: u / 2), "hint: sigma should be anywhere"),
        (mixed(lambda u: u**2), "hint: sigma should be anywhere"),
        (mixed(lambda u: u**0.5), "hint: sigma should be anywhere"),
        (mixed(lambda u: 2 * u), "hint: sigma should be anywhere"),
        (mixed(lambda u: 0.2 + 0.6 * u), "hint: sigma should be anywhere"),
        (mixed(lambda u: u.round()), "hint: sigma should be anywhere"),
        (mixed(), "right."),
        (lambda x, g: mixed_by_hand(x, g).clamp(0, 1), "right."),
        (lambda x, g: mixed()(x, g).double(), "right."),
        (mixed_in_place, "right."),
        (at_first(mixed(), wrong), "your function stopped with RuntimeError: a mistake"),
        (at_first(mixed(), lambda x, g: None), "not yet"),
        (at_first(mixed(), lambda x, g: mixed()(x, g)[:3]), "hint: expected a tensor of shape (400, 1, 28, 28)"),
    ],
)
def test_mixed_noise(capsys, answer, reply):
    assert say(capsys, exercises.check_mixed_noise, answer).startswith(f"Exercise 2: {reply}")


@pytest.mark.parametrize("skipped", range(1, 11))
def test_a_right_mixed_noise_is_right_whatever_it_draws(capsys, skipped):
    def answer(x, g):
        torch.rand(skipped, generator=g)  # numbers that it does not need
        return mixed()(x, g)

    assert "right." in say(capsys, exercises.check_mixed_noise, answer)


@pytest.fixture(scope="module")
def digits():
    """Images to train with and to test with, from the smaller file."""
    images = load_mnist(train=False).images
    return images[:9500], images[-500:]


def make_dense():
    return Autoencoder([784, 64, 784], activation=nn.ReLU, code_activation=nn.ReLU)


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        (..., "not yet"),
        (None, "not yet"),
        ({"batch_size": 100, "lr": ...}, "not yet"),
        ([100, 0.1], "hint: give the settings as a dictionary, {...}; yours is a list"),
        ({"batch_size": 100, "epochs": 10}, "hint: the number of epochs is fixed: 3; yours is 10"),
        ({"batch_size": 100, "epochs": None}, "hint: the number of epochs is fixed: 3; yours is None"),
        ({}, "training with these settings stopped with KeyError: 'batch_size'"),
        ({"batch_size": 0}, "training with these settings stopped with ValueError: batch_size: expected 1 to 9500"),
        ({"batch_size": "100"}, "training with these settings stopped with ValueError"),
        ({"batch_size": 100.5}, "training with these settings stopped with ValueError"),
        ({"batch_size": np.array([1, 2])}, "training with these settings stopped with ValueError: batch_size"),
        ({"batch_size": 100, "speed": 3}, "training with these settings stopped with TypeError"),
        ({"batch_size": 100, "progress": True}, "training with these settings stopped with TypeError"),
        ({"batch_size": 100, "lr": -1}, "training with these settings stopped with ValueError: lr"),
        ({"batch_size": 100, "loss": wrong}, "training with these settings stopped with RuntimeError: a mistake"),
        ({"batch_size": 2000, "lr": 1e-6}, "hint: the BCE on test images is 0.69"),
        ({"batch_size": 2000, "epochs": 3}, "hint: the BCE on test images is 0."),
        ({"batch_size": 50, "lr": 3e-3}, "the BCE on test images is below 0.15: right."),
    ],
)
def test_denoiser(capsys, digits, settings, reply):
    before = dict(settings) if isinstance(settings, dict) else settings
    assert say(capsys, exercises.check_denoiser, settings, make_dense, *digits).startswith(f"Exercise 3: {reply}")
    assert settings == before  # the cell may be run again


# --- notebook 02 -----------------------------------------------------------------------------------------------------


def errors(p, x):
    return ((p > 0.5) != (x > 0.5)).flatten(1).sum(1)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda p, x: ..., "not yet"),
        (lambda p, x: None, "not yet"),
        (wrong, "stopped with RuntimeError: a mistake"),
        (lambda p, x: 3, "hint: return a tensor"),
        (lambda p, x: errors(p, x).sum(), "hint: expected a tensor of shape"),
        (lambda p, x: 35 - errors(p, x), "hint: you count the pixels that are right"),
        (lambda p, x: (p - x).abs().flatten(1).sum(1), "hint: cut the probabilities"),
        (errors, "right."),
        (lambda p, x: errors(p, x).float(), "right."),
    ],
)
def test_pixel_errors(capsys, answer, reply):
    assert reply in say(capsys, exercises.check_pixel_errors, answer)


def code_mean(model, a, b):
    return model.decode((model.encode(a) + model.encode(b)) / 2)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda m, a, b: ..., "not yet"),
        (wrong, "stopped with RuntimeError"),
        (lambda m, a, b: code_mean(m, a, b) > 0, "hint: encode both images"),
        (lambda m, a, b: torch.zeros(3), "hint: expected one image of 35 pixels; yours has 3"),
        (code_mean, "hint: these are logits"),
        (lambda m, a, b: (a + b) / 2, "hint: take the mean of the two codes"),
        (lambda m, a, b: torch.sigmoid(m((a + b) / 2)), "hint: take the mean of the two codes"),
        (lambda m, a, b: torch.sigmoid(m(a)), "hint: encode both images"),
        (lambda m, a, b: torch.sigmoid(code_mean(m, a, b)), "right."),
        (lambda m, a, b: torch.sigmoid(code_mean(m, a, b)).reshape(1, 1, 7, 5), "right."),
    ],
)
def test_halfway(capsys, answer, reply):
    torch.manual_seed(0)
    model = Autoencoder([35, 17, 2, 17, 35])
    for linear in (model.encoder[0], model.decoder[0]):
        linear.weight.data *= 5  # an untrained network that still tells letters apart
    assert reply in say(capsys, exercises.check_halfway, answer, model, IMAGES)


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        (..., "not yet"),
        (None, "not yet"),
        ([3000, 0.1], "as a dictionary"),
        ({"lr": 0.1}, "yours is None"),
        ({"epochs": "3000"}, "yours is '3000'"),
        ({"epochs": 3000, "lr": ...}, "not yet"),
        ({"epochs": 5000}, "at most 3000; yours is 5000"),
        ({"epochs": 10, "speed": 3}, "stopped with TypeError"),
        ({"epochs": 10, "lr": 0.01}, "hint: only 0 of 16 networks have no wrong pixel"),
        (
            {
                "epochs": 3000,
                "lr": 0.05,
                "scheduler": training.warmup_cosine(3000, 100),
                "optimizer": partial(training.Adam, betas=(0.9, 0.99)),
            },
            "right.",
        ),
    ],
)
def test_recipe(capsys, settings, reply):
    assert reply in say(capsys, exercises.check_recipe, settings, lambda: Autoencoder([35, 17, 2, 17, 35]), IMAGES)


# --- notebook 03 -----------------------------------------------------------------------------------------------------


def salt_and_pepper(salt=0.5, pepper=0.5, shape=(500, 1, 7, 5)):
    """An answer with these shares of p; by default it is right."""

    def answer(x, p, g):
        u = torch.rand(shape, generator=g)
        return torch.where(u < salt * p, 1.0, torch.where(u > 1 - pepper * p, 0.0, x))

    return answer


def salt_and_pepper_in_place(x, p, g):
    u = torch.rand(x.shape, generator=g)
    x[u < p] = 0.0
    x[u < p / 2] = 1.0
    return x


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda x, p, g: ..., "not yet"),
        (lambda x, p, g: None, "not yet"),
        (wrong, "your function stopped with RuntimeError: a mistake"),
        (lambda x, p: x, "your function stopped with TypeError"),
        (at_first(salt_and_pepper(), wrong), "your function stopped with RuntimeError: a mistake"),
        (at_first(salt_and_pepper(), lambda x, p, g: None), "not yet"),
        (lambda x, p, g: 0.4, "hint: return a tensor; yours returned float"),
        (lambda x, p, g: x[:3], "hint: expected a tensor of shape (500, 1, 7, 5); yours has (3, 1, 7, 5)"),
        (lambda x, p, g: noise.salt_and_pepper(x, p), "hint: draw the random numbers with generator=generator"),
        (lambda x, p, g: noise.gaussian(x, p, g), "hint: a pixel is replaced by 1 or by 0, or it stays"),
        (lambda x, p, g: 2 * noise.salt_and_pepper(x, p, g), "hint: a pixel is replaced by 1 or by 0, or it stays"),
        (lambda x, p, g: x, "hint: too many pixels stay"),
        (salt_and_pepper(0.25, 0.25), "hint: too many pixels stay"),
        (salt_and_pepper(0.5, 0), "hint: too many pixels stay"),
        (salt_and_pepper(1, 1), "hint: too many pixels are replaced"),
        (lambda x, p, g: torch.zeros_like(x), "hint: too many pixels are replaced"),
        (salt_and_pepper(1, 0), "hint: there should be as much salt (1) as pepper (0)"),
        (salt_and_pepper(0.25, 0.75), "hint: there should be as much salt (1) as pepper (0)"),
        (salt_and_pepper(shape=(500, 1, 1, 1)), "hint: every pixel of every image needs a random number of its own"),
        (salt_and_pepper(shape=(1, 1, 7, 5)), "hint: "),  # which one depends on the 35 numbers
        (salt_and_pepper(), "right."),
        (noise.salt_and_pepper, "right."),
        (lambda x, p, g: noise.salt_and_pepper(x, p, g).double(), "right."),
        (salt_and_pepper_in_place, "right."),
    ],
)
def test_salt_and_pepper(capsys, answer, reply):
    assert say(capsys, exercises.check_salt_and_pepper, answer).startswith(f"Exercise 1: {reply}")


@pytest.mark.parametrize("skipped", range(1, 11))
def test_a_right_salt_and_pepper_is_right_whatever_it_draws(capsys, skipped):
    def answer(x, p, g):
        torch.rand(skipped, generator=g)  # numbers that it does not need
        return salt_and_pepper()(x, p, g)

    assert "right." in say(capsys, exercises.check_salt_and_pepper, answer)


def posterior(noisy, letters, p, f=0.5, rest=1, sum_over=1):
    """An answer with the probability f * p of a flip; by default it is right."""
    d = (noisy.flatten(1).unsqueeze(1) != letters.flatten(1)).sum(dim=2)
    likelihood = (f * p) ** d * (1 - f * p) ** (rest * (35 - d))
    return likelihood / likelihood.sum(dim=sum_over, keepdim=True) if sum_over is not None else likelihood


def posterior_that_changes_the_noisy_images(noisy, letters, p):
    right = posterior(noisy, letters, p)
    noisy.zero_()
    return right


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda x, y, p: ..., "not yet"),
        (lambda x, y, p: None, "not yet"),
        (wrong, "your function stopped with RuntimeError: a mistake"),
        (lambda x, y: x, "your function stopped with TypeError"),
        (lambda x, y, p: x @ y, "your function stopped with RuntimeError"),
        (lambda x, y, p: posterior(x, y, p).tolist(), "hint: return a tensor; yours returned list"),
        (lambda x, y, p: posterior(x, y, p)[0], "hint: expected a tensor of shape (32, 32)"),
        (bayes_denoiser, "hint: expected a tensor of shape (32, 32); yours has (32, 1, 7, 5)"),
        (partial(posterior, f=1), "hint: a pixel flips with probability p/2, not p"),
        (partial(posterior, sum_over=None), "hint: the probabilities of one image should add up to 1"),
        (partial(posterior, sum_over=0), "hint: the probabilities of one image should add up to 1"),
        (lambda x, y, p: posterior(x, y, p).T, "hint: the probabilities of one image should add up to 1"),
        (partial(posterior, rest=0), "hint: count the different pixels d, then"),
        (lambda x, y, p: torch.full((32, 32), 1 / 32), "hint: count the different pixels d, then"),
        (lambda x, y, p: posterior(x, y, p).flip(1), "hint: count the different pixels d, then"),
        (lambda x, y, p: torch.full((32, 32), torch.nan), "hint: "),
        (posterior, "right."),
        (lambda x, y, p: posterior(x.double(), y.double(), p), "right."),
        (lambda x, y, p: torch.softmax(posterior(x, y, p, sum_over=None).log(), dim=1), "right."),
        (lambda x, y, p: posterior(x, y, p).requires_grad_(), "right."),
        (posterior_that_changes_the_noisy_images, "right."),
    ],
)
def test_bayes(capsys, answer, reply):
    assert say(capsys, exercises.check_bayes, answer, IMAGES.clone()).startswith(f"Exercise 2: {reply}")


@pytest.mark.parametrize(
    ("sizes", "p", "reply"),
    [
        ([35, 17, ..., 17, 35], ..., "not yet"),
        ([35, 17, 4, 17, 35], ..., "not yet"),
        ([35, 17, 4, 17, 35], None, "not yet"),
        ([35, 17, ..., 17, 35], 0.1, "not yet"),
        (..., 0.1, "not yet"),
        (None, 0.1, "not yet"),
        ([35, 17, 5, 17, 35], 0.1, "hint: the code may have at most 4 numbers"),
        ([35, 17, 5, 17, 35], torch.tensor(0.1), "hint: the code may have at most 4 numbers"),
        ([35, 257, 4, 257, 35], 0.1, "hint: the code may have at most 4 numbers, a layer at most 256; yours are [35,"),
        ([], 0.1, "training stopped with ValueError"),
        ([4], 0.1, "training stopped with ValueError: sizes"),
        ([35, 4, 17, 35], 0.1, "training stopped with ValueError: sizes"),
        ([35, 0, 35], 0.1, "training stopped with ValueError: sizes"),
        ([35, 4.0, 35], 0.1, "training stopped with ValueError: sizes"),
        ([36, 4, 36], 0.1, "training stopped with ValueError: expected images with 36 pixels"),
        ([35, "4", 35], 0.1, "training stopped with TypeError"),
        ([35, None, 35], 0.1, "training stopped with TypeError"),
        ([35, torch.tensor([4, 4]), 35], 0.1, "training stopped with RuntimeError"),
        ([35, 4, 35], -0.1, "training stopped with ValueError: p is a probability"),
        ([35, 4, 35], 10, "training stopped with ValueError: p is a probability"),
        ([35, 4, 35], float("nan"), "training stopped with ValueError: p is a probability"),
        ([35, 4, 35], "0.1", "training stopped with TypeError"),
        ([35, 4, 35], [0.1], "training stopped with TypeError"),
        ((35, 48, 4, 48, 35), 0.12, "at least 95 % of the letters are right at p = 0.1: right."),
    ],
)
def test_letter_denoiser(capsys, sizes, p, reply):
    assert say(capsys, exercises.check_letter_denoiser, sizes, p, IMAGES).startswith(f"Exercise 3: {reply}")


@pytest.mark.parametrize(
    ("share", "reply"), [(0.0, "hint: 0% of the"), (0.94, "hint: 94% of the"), (0.951, "at least 95 % of the")]
)
def test_the_limit_of_a_letter_denoiser(capsys, monkeypatch, share, reply):
    """In place of training: this share of the letters is right, the others have one wrong pixel."""

    def outputs(noisy):
        logits = IMAGES.repeat(len(noisy) // 32, 1, 1, 1) - 0.5
        logits[round(share * len(noisy)) :, 0, 0, 0] *= -1
        return logits.expand(4, *logits.shape)

    monkeypatch.setattr(exercises, "fit_ensemble", lambda *args, **options: outputs)
    answer = [35, 17, 4, 17, 35], 0.1, IMAGES
    assert say(capsys, exercises.check_letter_denoiser, *answer).startswith(f"Exercise 3: {reply}")


@pytest.mark.parametrize("shape", [(500, 1, 7, 1), (500, 1, 1, 5), (1, 1, 7, 5), ()])
def test_salt_and_pepper_with_shared_random_numbers_gets_a_hint(capsys, shape):
    def answer(x, p, g):
        u = torch.rand(shape, generator=g).expand_as(x)
        return torch.where(u < p / 2, 1.0, torch.where(u < p, 0.0, x))

    assert "right." not in say(capsys, exercises.check_salt_and_pepper, answer)


def test_the_check_of_bayes_keeps_the_letters_of_the_notebook(capsys):
    letters = IMAGES.clone()
    assert "hint" in say(
        capsys, exercises.check_bayes, lambda noisy, x, p: x.zero_().flatten(1) @ x.flatten(1).T, letters
    )
    assert torch.equal(letters, IMAGES)


@pytest.mark.parametrize("p", [np.array([0.1, 0.2]), "0.1"])
@pytest.mark.parametrize("sizes", [[35, 4, 35], [35, np.array([1, 2]), 35], 35])
def test_odd_answers_do_not_stop_the_notebook(capsys, sizes, p):
    assert "Exercise 3: " in say(capsys, exercises.check_letter_denoiser, sizes, p, IMAGES)


def test_salt_and_pepper_from_two_draws_is_not_quite_right(capsys):
    def answer(x, p, g):
        x[torch.rand(x.shape, generator=g) < p / 2] = 1
        x[torch.rand(x.shape, generator=g) < p / 2] = 0
        return x

    assert "Let one random number decide for both" in say(capsys, exercises.check_salt_and_pepper, answer)


# --- notebook 04 -----------------------------------------------------------------------------------------------------


def kl(m, v, n, w):
    return 0.5 * (w - v + (v.exp() + (m - n).square()) / w.exp() - 1)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda *_: ..., "not yet"),
        (wrong, "your function stopped with RuntimeError"),
        (lambda m, v, n, w: kl(m, v, n, w).sum(dim=1), "hint: expected a tensor of shape (5, 3)"),
        (lambda m, v, n, w: kl(n, w, m, v), "hint: the two distributions are exchanged"),
        (lambda m, v, n, w: 2 * kl(m, v, n, w), "hint: a factor 1/2"),
        (lambda m, v, n, w: kl(m, 2 * v, n, 2 * w), "hint: exp(logvar) is the variance already"),
        (lambda m, v, n, w: kl(m, v, n, w) + 0.5, "hint: with mu2 = 0"),
        (lambda m, v, n, w: torch.full_like(m, torch.nan), "hint: with mu2 = 0"),
        (kl, "right."),
    ],
)
def test_kl_between(capsys, answer, reply):
    assert say(capsys, exercises.check_kl_between, answer).startswith(f"Exercise 1: {reply}")


def clouds(width=lambda v: (0.5 * v).exp(), faces=3, shape=lambda count, d: (count, d), shift=0.0):
    def answer(mu, logvar, count, generator):
        which = torch.randint(faces, (count,), generator=generator)
        epsilon = torch.randn(shape(count, mu.shape[1]), generator=generator)
        return mu[which] + width(logvar[which]) * (epsilon + shift)

    return answer


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda *_: None, "not yet"),
        (wrong, "your function stopped with RuntimeError"),
        (lambda m, v, count, g: m, "hint: expected a tensor of shape (3000, 2)"),
        (lambda m, v, count, g: clouds()(m, v, count, torch.Generator()), "hint: draw the faces *and* the points"),
        (clouds(width=lambda v: (0.5 * v[:1]).exp()), "hint: the clouds have the wrong width"),
        (clouds(width=lambda v: (0.5 * v.flip(0)).exp()), "hint: the clouds have the wrong width"),
        (clouds(faces=2), "hint: every face should come equally often"),
        (clouds(width=torch.zeros_like), "hint: that is the middle of the clouds"),
        (clouds(width=torch.exp), "hint: the clouds have the wrong width"),
        (clouds(width=lambda v: v), "hint: the clouds have the wrong width"),
        (clouds(shape=lambda count, d: (count, 1)), "hint: every number of every point"),
        (clouds(shift=1.0), "hint: every number of every point"),
        (clouds(), "right."),
    ],
)
def test_sample_clouds(capsys, answer, reply):
    assert say(capsys, exercises.check_sample_clouds, answer).startswith(f"Exercise 2: {reply}")


def test_sample_clouds_must_use_the_generator(capsys):
    def answer(mu, logvar, count, generator):
        which = torch.randint(3, (count,), generator=generator)
        return mu[which] + (0.5 * logvar[which]).exp() * torch.randn(count, 2)

    assert "from the generator" in say(capsys, exercises.check_sample_clouds, answer)


@pytest.mark.parametrize(
    ("latent_dim", "beta", "reply"),
    [
        (..., 0.3, "not yet"),
        (3, None, "not yet"),
        (0, 0.3, "hint: take a latent_dim of 1 to 32"),
        (33, 0.3, "hint: take a latent_dim of 1 to 32"),
        ("3", 0.3, "training stopped with TypeError"),
        (3.0, 0.3, "training stopped with ValueError"),
        (3, -1, "hint: take a beta above 0"),
        (3, 0, "hint: take a beta above 0"),
        (3, float("nan"), "hint: take a beta above 0"),
        (3, float("inf"), "hint: take a beta above 0"),
        (3, "1", "training stopped with"),
        (3, 0.3, "a good code, and a cheap one: right."),
    ],
)
def test_cheap_code(capsys, latent_dim, beta, reply):
    emoji = load_emoji().images
    assert say(capsys, exercises.check_cheap_code, latent_dim, beta, emoji).startswith(f"Exercise 3: {reply}")


@pytest.mark.parametrize(
    ("mse", "nats", "reply"),
    [
        (0.0039, 3.4, "a good code, and a cheap one: right."),
        (0.0041, 3.4, "hint: the MSE is 0.0041, more than 0.0040."),
        (0.0041, 3.6, "hint: the MSE is 0.0041, more than 0.0040."),
        (np.nan, 3.4, "hint: the MSE is nan"),
        (0.0039, 3.6, "hint: the KL divergence is 3.6 nats, more than 3.5."),
    ],
)
def test_the_limits_of_a_cheap_code(capsys, monkeypatch, mse, nats, reply):
    """In place of training: outputs with this error in every pixel, and this KL divergence."""

    def outputs(images):
        pixels = images + mse**0.5 * (0.5 - images).sign()
        mu = torch.tensor([(2 * nats) ** 0.5, 0.0]).expand(3, len(images), 2)
        return torch.logit(pixels).expand(3, *images.shape), mu, torch.zeros_like(mu)

    monkeypatch.setattr(exercises, "fit_ensemble", lambda *args, **options: outputs)
    emoji = load_emoji().images
    assert say(capsys, exercises.check_cheap_code, 2, 0.3, emoji).startswith(f"Exercise 3: {reply}")
