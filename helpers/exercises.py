"""The checks behind the exercises. Each prints one line: not yet, a hint, or right. No answer stops the notebook."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from helpers import noise
from helpers.evaluation import pixel_errors, predict, psnr
from helpers.models import Autoencoder, VariationalAutoencoder, sampling_noise
from helpers.training import (
    Adam,
    Batches,
    bce,
    fit,
    fit_ensemble,
    kl_divergence,
    negative_elbo,
    warmup_cosine,
)

NOT_YET = "not yet. Replace the ... by your own code and run the cell again."


def _say(number, text):
    print(f"Exercise {number}: {text}")


def _call(number, function, *args, shape=None):
    """The student's answer as a tensor (of this shape), or None after a line that says what is wrong."""
    try:
        answer = function(*args)
    except Exception as error:  # whatever the student's code does, Run All goes on
        _say(number, f"your function stopped with {type(error).__name__}: {error}")
        return None
    if answer is None or answer is ...:
        _say(number, NOT_YET)
        return None
    if not isinstance(answer, Tensor):
        _say(number, f"hint: return a tensor; yours returned {type(answer).__name__}.")
        return None
    if shape is not None and answer.shape != shape:
        _say(number, f"hint: expected a tensor of shape {tuple(shape)}; yours has {tuple(answer.shape)}.")
        return None
    return answer.detach().to_dense().float()


def _call_twice(number, function, shape, *args):
    """The same with a generator as the last argument, twice from the same seed: (answer, again), or None."""
    answers = []
    for _ in range(2):
        inputs = [arg.clone() if isinstance(arg, Tensor) else arg for arg in args]  # an answer may change them
        answers.append(_call(number, function, *inputs, torch.Generator().manual_seed(0), shape=shape))
        if answers[-1] is None:
            return None
    return answers


def _settings(number, settings):
    """The student's settings as a new dictionary, or None after a line that says what is wrong."""
    if settings is None or settings is ...:
        _say(number, NOT_YET)
    elif not isinstance(settings, dict):
        _say(number, f"hint: give the settings as a dictionary, {{...}}; yours is a {type(settings).__name__}.")
    elif any(value is ... for value in settings.values()):
        _say(number, NOT_YET)
    else:
        return dict(settings)
    return None


# ---- notebook 01 -----------------------------------------------------------------------------------------------------


def check_psnr(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Notebook 01, exercise 1: function(outputs, images), both (N, 1, H, W), gives the PSNR of each image, (N,)."""
    generator = torch.Generator().manual_seed(0)
    outputs, images = torch.rand(2, 5, 1, 28, 28, generator=generator)
    right = psnr(outputs, images)
    answer = _call(1, function, outputs, images, shape=right.shape)
    if answer is None:
        return
    if torch.allclose(answer, -right, atol=1e-3):
        _say(1, "hint: the sign. A smaller error must give a larger PSNR.")
    elif torch.allclose(answer, right * torch.log(torch.tensor(10.0)), rtol=1e-3):
        _say(1, "hint: PSNR takes the logarithm to base 10 (torch.log10).")
    elif not torch.allclose(answer, right, atol=1e-3):
        _say(1, "hint: first the mean squared error of each image, then -10 times its logarithm to base 10.")
    else:
        _say(1, "right.")


def check_mixed_noise(function: Callable[[Tensor, torch.Generator], Tensor]) -> None:
    """Notebook 01, exercise 2: function(images, generator) adds Gaussian noise, sigma of each image from U[0, 1]."""
    images = torch.full((400, 1, 28, 28), 0.5)
    answers = _call_twice(2, function, images.shape, images)
    if answers is None:
        return
    answer, again = answers
    spread = (answer - images).flatten(1).std(dim=1)
    halves = answer[:, :, :14], answer[:, :, 14:], answer[..., :14], answer[..., 14:]
    uneven = max((half.flatten(1).std(dim=1) / spread).sub(1).abs().median() for half in halves)
    one_level = [noise.gaussian(images[:1], std, torch.Generator().manual_seed(0)).std() for std in (0.02, 0.98)]
    if not torch.equal(answer, again):
        _say(2, "hint: draw the levels *and* the noise from the generator, so that the same seed gives the same noise.")
    elif answer.min() < 0 or answer.max() > 1:
        _say(2, "hint: cut the result to [0, 1], as noise.gaussian does.")
    elif spread.std() < 0.02:
        _say(2, "hint: sigma does not differ from image to image. Draw one for each: shape (len(images), 1, 1, 1).")
    elif uneven > 0.1:
        _say(2, "hint: sigma changes inside an image. Draw one for each image: shape (len(images), 1, 1, 1).")
    elif spread.min() > 2 * one_level[0] or spread.max() < 0.9 * one_level[1] or not 0.27 < spread.mean() < 0.33:
        _say(2, "hint: sigma should be anywhere in [0, 1], all values alike: torch.rand.")
    else:
        _say(2, "right.")


def check_denoiser(settings: dict, make_model: Callable[[], nn.Module], images: Tensor, test_images: Tensor) -> None:
    """Notebook 01, exercise 3: settings with which a network learns to denoise from 10,000 images in 3 epochs.

    settings: keyword arguments of `fit` and a "batch_size". The BCE at sigma = 0.5 must come below 0.15.
    """
    settings = _settings(3, settings)
    if settings is None:
        return
    epochs = settings.setdefault("epochs", 3)
    if not isinstance(epochs, int) or epochs != 3:
        _say(3, f"hint: the number of epochs is fixed: 3; yours is {settings['epochs']!r}.")
        return
    try:
        torch.manual_seed(100)
        model, add_noise = make_model(), partial(noise.gaussian, std=0.5)
        batches = Batches(images[:10_000], batch_size=settings.pop("batch_size"), noise=add_noise, seed=100)
        fit(model, batches, progress=False, **settings)
    except Exception as error:  # as above
        _say(3, f"training with these settings stopped with {type(error).__name__}: {error}")
        return
    noisy = noise.gaussian(test_images, 0.5, torch.Generator().manual_seed(100))
    loss = float(bce(predict(model, noisy), test_images).mean())
    if not loss < 0.15:
        _say(3, f"hint: the BCE on test images is {loss:.3f}. How many steps does it take? How large are they?")
    else:
        _say(3, "the BCE on test images is below 0.15: right.")


# ---- notebook 02 -----------------------------------------------------------------------------------------------------


def check_pixel_errors(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Notebook 02, exercise 1: function(probabilities, images), both (N, 1, 7, 5), counts the wrong pixels, (N,)."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(6, 1, 7, 5, generator=generator)
    images = (torch.rand(6, 1, 7, 5, generator=generator) > 0.5).float()
    right = ((probabilities > 0.5) != (images > 0.5)).flatten(1).sum(dim=1)
    answer = _call(1, function, probabilities, images, shape=right.shape)
    if answer is None:
        return
    if torch.equal(answer.long(), 35 - right):
        _say(1, "hint: you count the pixels that are right.")
    elif not torch.equal(answer, right.float()):
        _say(1, "hint: cut the probabilities at 0.5 first, then count the pixels that differ from the image.")
    else:
        _say(1, "right.")


def check_halfway(function: Callable[[nn.Module, Tensor, Tensor], Tensor], model: nn.Module, images: Tensor) -> None:
    """Notebook 02, exercise 2: function(model, first, second) decodes the middle between the codes of two images.

    first, second: (1, 1, H, W). The answer holds pixel values in [0, 1], shape (1, 1, H, W) or (1, pixels).
    """
    first, second = images[1:2], images[4:5]
    with torch.no_grad():
        logits = model.decode((model.encode(first) + model.encode(second)) / 2)
        blend = torch.sigmoid(model((first + second) / 2)).flatten()
    answer = _call(2, function, model, first, second)
    if answer is None:
        return
    answer = answer.flatten()
    if answer.shape != logits.flatten().shape:
        _say(2, f"hint: expected one image of {logits.numel()} pixels; yours has {answer.numel()} numbers.")
    elif torch.allclose(answer, logits.flatten(), atol=1e-5):
        _say(2, "hint: these are logits. Which function turns them into values between 0 and 1?")
    elif torch.allclose(answer, ((first + second) / 2).flatten(), atol=1e-5) or torch.allclose(
        answer, blend, atol=1e-5
    ):
        _say(2, "hint: take the mean of the two codes, not of the two images.")
    elif not torch.allclose(answer, torch.sigmoid(logits).flatten(), atol=1e-4):
        _say(2, "hint: encode both images, take the mean of the two codes, decode it, then the sigmoid.")
    else:
        _say(2, "right.")


def check_recipe(settings: dict, make_model: Callable[[], nn.Module], images: Tensor) -> None:
    """Notebook 02, exercise 3: settings for `fit_ensemble` with which 14 of 16 networks learn all images by heart.

    settings: keyword arguments of `fit_ensemble`; at most 3,000 epochs. Trains 16 networks, seeds 100 to 115.
    """
    settings = _settings(3, settings)
    if settings is None:
        return
    if not isinstance(settings.get("epochs"), int) or settings["epochs"] > 3000:
        _say(3, f"hint: 'epochs' must be a whole number, at most 3000; yours is {settings.get('epochs')!r}.")
        return
    try:
        ensemble = fit_ensemble(make_model, range(100, 116), images, images, progress=False, **settings)
    except Exception as error:  # as above
        _say(3, f"training with these settings stopped with {type(error).__name__}: {error}")
        return
    perfect = int((pixel_errors(ensemble(images), images).sum(dim=1) == 0).sum())
    if perfect < 14:
        _say(
            3, f"hint: only {perfect} of 16 networks have no wrong pixel. Think of the loss, the rate and the schedule."
        )
    else:
        _say(3, "at least 14 of 16 networks have no wrong pixel: right.")


# ---- notebook 03 -----------------------------------------------------------------------------------------------------


def check_salt_and_pepper(function: Callable[[Tensor, float, torch.Generator], Tensor]) -> None:
    """Notebook 03, exercise 1: function(images, p, generator) replaces pixels, with p/2 by 1 and with p/2 by 0."""
    images, p = torch.full((500, 1, 7, 5), 0.5), 0.4
    answers = _call_twice(1, function, images.shape, images, p)
    if answers is None:
        return
    answer, again = answers
    differ = [float((answer[:, :, 0, 0] != answer[:, :, y, x]).float().mean()) for y, x in ((6, 4), (0, 4), (6, 0))]
    salt, pepper, kept = (float((answer == value).float().mean()) for value in (1.0, 0.0, 0.5))
    if not torch.equal(answer, again):
        _say(1, "hint: draw the random numbers with generator=generator: the same seed must give the same noise.")
    elif 0.01 < kept < 0.99 and (min(differ) < 0.02 or answer.std(dim=0).min() == 0):
        _say(1, "hint: every pixel of every image needs a random number of its own: torch.rand(images.shape, ...).")
    elif salt + pepper + kept < 0.999:
        _say(1, "hint: a pixel is replaced by 1 or by 0, or it stays as it is. Nothing else.")
    elif kept > 0.7:
        _say(1, "hint: too many pixels stay. Salt has the probability p/2, and pepper has p/2 as well.")
    elif kept < 0.58:
        _say(1, "hint: too many pixels are replaced. Salt *and* pepper together have the probability p.")
    elif abs(salt - pepper) > 0.02:
        _say(1, "hint: there should be as much salt (1) as pepper (0). Let one random number decide for both.")
    elif kept > 0.62:
        _say(1, "hint: a few pixels too many stay. Let one random number decide for salt and for pepper.")
    else:
        _say(1, "right.")


def check_bayes(function: Callable[[Tensor, Tensor, float], Tensor], letters: Tensor) -> None:
    """Notebook 03, exercise 2: function(noisy, letters, p) gives P(letter | noisy) for all letters, (N, letters)."""
    p = 0.3
    noisy = noise.salt_and_pepper(letters, p, torch.Generator().manual_seed(0))
    d = torch.cdist(noisy.flatten(1), letters.flatten(1), p=1)
    right = torch.softmax(d * torch.log(torch.tensor(p / 2 / (1 - p / 2))), dim=1)
    not_halved = torch.softmax(d * torch.log(torch.tensor(p / (1 - p))), dim=1)
    answer = _call(2, function, noisy.clone(), letters.clone(), p, shape=right.shape)
    if answer is None:
        return
    if torch.allclose(answer, not_halved, atol=1e-3):
        _say(2, "hint: a pixel flips with probability p/2, not p.")
    elif not torch.allclose(answer.sum(dim=1), torch.ones(len(noisy)), atol=1e-3):
        _say(2, "hint: the probabilities of one image should add up to 1: divide by their sum.")
    elif not torch.allclose(answer, right, atol=1e-3):
        _say(
            2, "hint: count the different pixels d, then f**d * (1 - f)**(35 - d) with f = p/2, then divide by the sum."
        )
    else:
        _say(2, "right.")


def check_letter_denoiser(sizes: list, p: float, letters: Tensor) -> None:
    """Notebook 03, exercise 3: sizes with a code of at most 4, and a p for the training: 95 % exact at p = 0.1."""
    if p is None or p is ... or sizes is None or sizes is ...:
        _say(3, NOT_YET)
        return
    if not isinstance(sizes, (list, tuple)):
        _say(3, f"hint: give the sizes as a list, [35, ...]; yours are a {type(sizes).__name__}.")
        return
    if any(size is ... for size in sizes):
        _say(3, NOT_YET)
        return
    try:
        if min(sizes) > 4 or max(sizes) > 256:
            _say(3, f"hint: the code may have at most 4 numbers, a layer at most 256; yours are {sizes}.")
            return
        ensemble = fit_ensemble(
            partial(Autoencoder, sizes, code_activation=nn.Identity),
            range(100, 104),
            letters,
            letters,
            epochs=1500,
            lr=0.02,
            scheduler=warmup_cosine(1500, 50),
            noise=partial(noise.salt_and_pepper, p=p),
            copies=8,
            progress=False,
        )
    except Exception as error:  # as above
        _say(3, f"training stopped with {type(error).__name__}: {error}")
        return
    clean = letters.repeat(200, 1, 1, 1)
    noisy = noise.salt_and_pepper(clean, 0.1, torch.Generator().manual_seed(100))
    exact = float((pixel_errors(ensemble(noisy), clean) == 0).float().mean())
    if exact < 0.95:
        _say(3, f"hint: {exact:.0%} of the letters are right. More room in the layers? Another noise in training?")
    else:
        _say(3, "at least 95 % of the letters are right at p = 0.1: right.")


# ---- notebook 04 -----------------------------------------------------------------------------------------------------


def check_kl_between(function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Notebook 04, exercise 1: function(mu1, logvar1, mu2, logvar2), all (N, d), gives the KL of each, (N, d)."""
    generator = torch.Generator().manual_seed(0)
    mu1, logvar1, mu2, logvar2 = torch.randn(4, 5, 3, generator=generator)

    def right(mu1, logvar1, mu2, logvar2):
        first, second = (torch.distributions.Normal(m, (0.5 * v).exp()) for m, v in ((mu1, logvar1), (mu2, logvar2)))
        return torch.distributions.kl_divergence(first, second)

    numbers = mu1, logvar1, mu2, logvar2
    answer = _call(1, function, *(number.clone() for number in numbers), shape=mu1.shape)
    if answer is None:
        return
    expected = right(*numbers)
    if torch.allclose(answer, right(mu2, logvar2, mu1, logvar1), atol=1e-4):
        _say(1, "hint: the two distributions are exchanged. The KL divergence is not symmetrical.")
    elif torch.allclose(answer, 2 * expected, atol=1e-4):
        _say(1, "hint: a factor 1/2 is missing.")
    elif torch.allclose(answer, right(mu1, 2 * logvar1, mu2, 2 * logvar2), atol=1e-4):
        _say(1, "hint: exp(logvar) is the variance already; don't square it.")
    elif not torch.allclose(answer, expected, atol=1e-4):
        _say(1, "hint: with mu2 = 0 and logvar2 = 0 it must be the formula of section 2. Mind the order and the signs.")
    else:
        _say(1, "right.")


def check_sample_clouds(function: Callable[[Tensor, Tensor, int, torch.Generator], Tensor]) -> None:
    """Notebook 04, exercise 2: function(mu, logvar, count, generator) gives points of random clouds, (count, d)."""
    mu = torch.tensor([[-100.0, 0.0], [0.0, 100.0], [100.0, 0.0]])  # far apart
    logvar = torch.tensor([[2.0, -2.0], [-2.0, 2.0], [0.0, 1.0]])
    count = 3000
    answers = _call_twice(2, lambda m, v, g: function(m, v, count, g), (count, 2), mu, logvar)
    if answers is None:
        return
    answer, again = answers
    other = _call(2, function, mu.clone(), logvar.clone(), count, torch.Generator().manual_seed(1), shape=(count, 2))
    if other is None:
        return
    cloud = torch.cdist(answer, mu).argmin(dim=1)
    shares = torch.stack([(cloud == i).float().mean() for i in range(3)])
    noise_of = (answer - mu[cloud]) / (0.5 * logvar[cloud]).exp()
    if not torch.equal(answer, again) or torch.equal(answer, other):
        _say(
            2, "hint: draw the faces *and* the points from the generator, so that the same seed gives the same points."
        )
    elif (shares - 1 / 3).abs().max() > 0.05:
        _say(2, "hint: every face should come equally often: torch.randint(len(mu), (count,), generator=generator).")
    elif torch.allclose(answer, mu[cloud], atol=1e-3):
        _say(2, "hint: that is the middle of the clouds. Add the standard deviation times a normal random number.")
    elif (noise_of.std(dim=0) - 1).abs().max() > 0.15:
        _say(2, "hint: the clouds have the wrong width. It is exp(0.5 * logvar), of the face that was drawn.")
    elif noise_of.T.corrcoef()[0, 1].abs() > 0.15 or noise_of.mean(dim=0).abs().max() > 0.15:
        _say(
            2,
            "hint: every number of every point needs a normal random number of its own: torch.randn((count, d), ...).",
        )
    else:
        _say(2, "right.")


def check_cheap_code(latent_dim: int, beta: float, emoji: Tensor) -> None:
    """Notebook 04, exercise 3: latent_dim and beta with an MSE of at most 0.0040 and at most 3.5 nats of KL."""
    if any(value is None or value is ... for value in (latent_dim, beta)):
        _say(3, NOT_YET)
        return
    try:
        if not 0 < beta < 1e6:
            _say(3, f"hint: take a beta above 0; yours is {beta!r}.")
            return
        if not 1 <= latent_dim <= 32:
            _say(3, f"hint: take a latent_dim of 1 to 32; yours is {latent_dim!r}.")
            return
        ensemble = None
        for share, epochs, lr in ((0.006, 600, 0.003), (0.06, 300, 0.002), (0.3, 300, 0.002), (1, 800, 0.002)):
            ensemble = fit_ensemble(
                partial(VariationalAutoencoder, [400, 128, 64], latent_dim),
                [100, 101, 102],
                emoji,
                emoji,
                epochs=epochs,
                lr=lr,
                loss=negative_elbo(share * beta),
                optimizer=partial(Adam, betas=(0.9, 0.99)),
                scheduler=warmup_cosine(epochs, 50),
                noise=sampling_noise(latent_dim),
                start_from=ensemble,
                progress=False,
            )
        logits, mu, logvar = ensemble(emoji)
    except Exception as error:  # as above
        _say(3, f"training stopped with {type(error).__name__}: {error}")
        return
    error = float((torch.sigmoid(logits) - emoji).square().mean())
    nats = float(kl_divergence(mu, logvar).sum(dim=-1).mean())
    if not error <= 0.004:
        _say(3, f"hint: the MSE is {error:.4f}, more than 0.0040. A cheaper code (smaller beta), or more dimensions?")
    elif nats > 3.5:
        _say(
            3,
            f"hint: the KL divergence is {nats:.1f} nats, more than 3.5. Make the code more expensive: a larger beta.",
        )
    else:
        _say(3, "a good code, and a cheap one: right.")
