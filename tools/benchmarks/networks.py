"""The larger networks: an epoch of MNIST against the usual loop and the bare arithmetic, and how
good after how long.

python tools/benchmarks/networks.py [mnist] [denoiser] [vae]        (some minutes each; prints the
results)
"""

import json
import sys
import tempfile
import time
from functools import partial

import torch
from mnist import FAST, STD, dense, train, usual_epoch, usual_loader
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from helpers import data, evaluation, losses, noise, training
from helpers.models import Autoencoder, UNet, VariationalAutoencoder
from helpers.stack import from_seeds

# Epochs, rate and size of a batch of notebook 01; updates of 03; of 04 the KL weight, as a share of
# the last one, updates and rate of each stage.
NETWORKS = {"dense": (dense, 12, 0.012, 256), "U-Net": (UNet, 6, 0.02, 128)}
DENOISER_UPDATES = 5000
STAGES = [(0.006, 2000, 0.002), (0.06, 500, 0.001), (0.3, 500, 0.001), (1, 1500, 0.001)]
ROUNDS = 2
DRAWS = 20  # of the codes, for -ELBO


def mnist() -> dict:
    """Seconds of an epoch, the fastest of some rounds; test BCE and PSNR after every epoch, with
    the seconds so far.

    With numbers of 32 bits, and of 16 where the processor multiplies them in hardware, as the
    notebook does.
    """
    kinds = {"32": torch.float32} | ({"16": torch.bfloat16} if FAST["bfloat16"] else {})
    speeds = {bits: round(gflops(kind)) for bits, kind in kinds.items()}
    images, results = data.load_mnist().images, {"gflops": speeds}
    for name, (make_model, epochs, lr, batch_size) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            loader = usual_loader(folder, batch_size)
            usual = min(usual_epoch(loader, make_model()) for _ in range(ROUNDS))
        ours = {}
        for bits in kinds:
            settings = FAST | {"bfloat16": bits == "16"}
            runs = [
                train(make_model(), images, STD, 1, lr, batch_size, **settings)
                for _ in range(ROUNDS)
            ]
            ours[bits] = min(history.seconds for history in runs)
        operations = flops(make_model(), batch_size) * (len(images) // batch_size)
        results[name] = {
            "usual": round(usual, 1),
            "ours": {bits: round(seconds, 1) for bits, seconds in ours.items()},
            "products": {b: round(operations / speed / 1e9, 1) for b, speed in speeds.items()},
            "curve": curve(make_model, images, epochs, lr, batch_size),
        }
    return results


def flops(model, batch_size):
    """Floating point operations of one step of training, forwards and backwards."""
    images = torch.rand(batch_size, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops()


def gflops(kind, n=1500, repeats=9):
    """Billions of floating point operations a second of a large product of matrices."""
    a, b = (torch.rand(n, n).to(kind) for _ in range(2))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times) / 1e9


def curve(make_model, images, epochs, lr, batch_size):
    test = data.load_mnist(train=False).images
    noisy = noise.gaussian(test, STD, torch.Generator().manual_seed(1000))
    torch.manual_seed(1)
    model, points, clock = make_model(), [], [time.perf_counter()]

    def measure(history):
        if history.seconds:  # the call at the end
            return
        spent = time.perf_counter() - clock[0]
        logits = evaluation.predict(model, noisy)
        bce = losses.bce(logits, test).mean().item()
        psnr = evaluation.psnr(torch.sigmoid(logits), test).mean().item()
        points.append({"seconds": round(spent, 1), "bce": round(bce, 4), "psnr": round(psnr, 2)})
        clock[0] += time.perf_counter() - clock[0] - spent  # measuring is not training

    train(model, images, STD, epochs, lr, batch_size, on_epoch=measure, **FAST)
    return points


def denoiser() -> dict:
    """The last networks of notebook 03: wrong pixels as a multiple of those of Bayes' rule, the
    mean of four networks."""
    torch.set_num_threads(1)
    letters, ratios = data.load_letters().images, {}
    sizes = [35, 128, 8, 128, 35]
    make_model = partial(Autoencoder, sizes, activation=nn.ReLU, code_activation=nn.Identity)
    networks = from_seeds(make_model, range(4))
    add_noise = partial(noise.salt_and_pepper, p=0.15)
    settings = steps(DENOISER_UPDATES, 0.01) | {"noise": add_noise, "copies": 16}
    history = training.fit(networks, letters, **settings)
    clean = letters.repeat(2000, 1, 1, 1)
    for p in (0.05, 0.10, 0.15):
        noisy = noise.salt_and_pepper(clean, p, torch.Generator().manual_seed(1001))
        network, bayes = (
            evaluation.pixel_errors(pixels, clean).float().mean()
            for pixels in (
                torch.sigmoid(evaluation.predict(networks, noisy)),
                evaluation.bayes_denoiser(noisy, letters, p),
            )
        )
        ratios[str(p)] = round(float(network / bayes), 2)
    return {"ratio_to_bayes": ratios, "seconds_for_4": round(history.seconds, 1)}


def steps(updates, lr):
    """Settings of `fit` for a stack."""
    return {
        "epochs": updates,
        "lr": lr,
        "scheduler": training.warmup_cosine(updates, min(updates, 50)),
        "optimizer": FAST["optimizer"],
        "record_every": updates,
        "progress": False,
    }


def vae() -> dict:
    """The annealed networks of notebook 04 after each stage: error as a share of PCA's, and -ELBO,
    of four seeds."""
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    emoji, results = data.load_emoji().images, {}
    for d in (2, 3, 6):
        pca = float((evaluation.pca_reconstruction(emoji, d) - emoji).square().mean())
        networks = from_seeds(partial(VariationalAutoencoder, [400, 300, 200, 100], d), range(4))
        seconds, results[str(d)] = 0.0, []
        for share, updates, lr in STAGES:
            loss = losses.vae_loss(share / d)
            seconds += training.fit(networks, emoji, loss=loss, **steps(updates, lr)).seconds
            share_of_pca, negative_elbo = quality(networks, emoji, pca)
            results[str(d)].append(
                {
                    "seconds": round(seconds, 1),
                    "share_of_pca": share_of_pca,
                    "negative_elbo": negative_elbo,
                }
            )
    return results


@torch.no_grad()
def quality(networks, images, pca):
    """Of each network the error as a share of PCA's, and -ELBO, the mean over DRAWS of the
    codes."""
    pixels = torch.sigmoid(evaluation.predict(networks, images))
    errors = (pixels - images).square().mean(dim=(1, 2, 3, 4)) / pca
    mu, logvar = networks.encode(images)
    nats, generator = torch.zeros(len(networks)), torch.Generator().manual_seed(1000)
    for _ in range(DRAWS):
        codes = mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape, generator=generator)
        outputs = networks.decode(codes), mu, logvar
        nats -= losses.elbo(outputs, images, 1 / mu.shape[-1]).mean(dim=1) / DRAWS
    return [[round(value, 2) for value in values.tolist()] for values in (errors, nats)]


if __name__ == "__main__":
    parts = {"mnist": mnist, "denoiser": denoiser, "vae": vae}
    for part in sys.argv[1:] or parts:
        print(json.dumps({part: parts[part]()}), flush=True)
