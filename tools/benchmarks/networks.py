"""The larger networks: an epoch of MNIST against the usual loop and the bare arithmetic, and how good after how long.

python tools/benchmarks/networks.py [mnist] [denoiser] [vae]        (some minutes each; prints the results)
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

from helpers import data, evaluation, noise, training
from helpers.models import Autoencoder, UNet, VariationalAutoencoder, sampling_noise

NETWORKS = {"dense": (dense, 12, 0.012, 256), "U-Net": (UNet, 6, 0.02, 128)}  # epochs, rate, batch: of notebook 01
ROUNDS = 2
DRAWS = 20  # of the codes, for -ELBO


def mnist() -> dict:
    """Seconds of an epoch, the fastest of some rounds; test BCE and PSNR after every epoch, with the seconds so far.

    With numbers of 32 bits, and with 16 where the processor multiplies them in hardware (the notebook uses them there).
    """
    kinds = {"32": torch.float32} | ({"16": torch.bfloat16} if FAST["bfloat16"] else {})
    images, results = data.load_mnist().images, {"gflops": {bits: round(gflops(kind)) for bits, kind in kinds.items()}}
    for name, (make_model, epochs, lr, batch_size) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            loader = usual_loader(folder, batch_size)
            usual = min(usual_epoch(loader, make_model()) for _ in range(ROUNDS))
        ours = {
            bits: min(
                train(
                    make_model(), images, STD, 1, lr, batch_size, optimizer=FAST["optimizer"], bfloat16=bits == "16"
                ).seconds
                for _ in range(ROUNDS)
            )
            for bits in kinds
        }
        operations = flops(make_model(), batch_size) * (len(images) // batch_size)
        results[name] = {
            "usual": round(usual, 1),
            "ours": {bits: round(seconds, 1) for bits, seconds in ours.items()},
            "products": {bits: round(operations / speed / 1e9, 1) for bits, speed in results["gflops"].items()},
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
        bce, psnr = training.bce(logits, test).mean(), evaluation.psnr(torch.sigmoid(logits), test).mean()
        points.append({"seconds": round(spent, 1), "bce": round(bce.item(), 4), "psnr": round(psnr.item(), 2)})
        clock[0] += time.perf_counter() - clock[0] - spent  # measuring is not training

    train(model, images, STD, epochs, lr, batch_size, on_epoch=measure, **FAST)
    return points


def denoiser() -> dict:
    """The last networks of notebook 03: wrong pixels as a multiple of those of Bayes' rule, mean of four networks."""
    torch.set_num_threads(1)
    letters = data.load_letters().images
    make_model = partial(Autoencoder, [35, 128, 8, 128, 35], activation=nn.ReLU, code_activation=nn.Identity)
    ensemble = training.fit_ensemble(
        *(make_model, range(4), letters, letters),
        epochs=5000,
        lr=0.01,
        noise=partial(noise.salt_and_pepper, p=0.15),
        copies=16,
        scheduler=training.warmup_cosine(5000, 50),
        optimizer=partial(training.Adam, betas=(0.9, 0.99)),
        progress=False,
    )
    ratios = {}
    for p in (0.05, 0.10, 0.15):
        clean = letters.repeat(2000, 1, 1, 1)
        noisy = noise.salt_and_pepper(clean, p, torch.Generator().manual_seed(1001))
        wrong = evaluation.pixel_errors(ensemble(noisy), clean).float().mean()
        bayes = evaluation.pixel_errors(evaluation.bayes_denoiser(noisy, letters, p) - 0.5, clean).float().mean()
        ratios[str(p)] = round(float(wrong / bayes), 2)
    return {"ratio_to_bayes": ratios, "seconds_for_4": round(ensemble.seconds, 1)}


def vae() -> dict:
    """The annealed networks of notebook 04: error as a share of PCA's, and -ELBO, after each stage; four seeds."""
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    emoji, results = data.load_emoji().images, {}
    for d in (2, 3, 6):
        pca = float((evaluation.pca_reconstruction(emoji, d) - emoji).square().mean())
        ensemble, seconds, stages = None, 0.0, []
        for share, updates, lr in [(0.006, 2000, 0.002), (0.06, 500, 0.001), (0.3, 500, 0.001), (1, 1500, 0.001)]:
            ensemble = training.fit_ensemble(
                partial(VariationalAutoencoder, [400, 300, 200, 100], d),
                *(range(4), emoji, emoji),
                epochs=updates,
                lr=lr,
                noise=sampling_noise(d),
                loss=training.negative_elbo(share / d),
                scheduler=training.warmup_cosine(updates, 50),
                optimizer=partial(training.Adam, betas=(0.9, 0.99)),
                start_from=ensemble,
                progress=False,
            )
            seconds += ensemble.seconds
            logits, mu, logvar = ensemble(emoji)
            errors = (torch.sigmoid(logits) - emoji).square().mean(dim=(1, 2, 3, 4))
            generator = torch.Generator().manual_seed(1000)
            nats = torch.zeros(len(ensemble))
            for _ in range(DRAWS):
                codes = mu + torch.exp(0.5 * logvar) * torch.randn(mu.shape, generator=generator)
                outputs = ensemble.decode(codes).reshape(logits.shape), mu, logvar
                nats -= training.elbo(outputs, emoji, 1 / d).mean(dim=1) / DRAWS
            stages.append(
                {
                    "seconds": round(seconds, 1),
                    "share_of_pca": [round(float(error) / pca, 2) for error in errors],
                    "negative_elbo": [round(float(value), 2) for value in nats],
                }
            )
        results[str(d)] = stages
    return results


if __name__ == "__main__":
    parts = {"mnist": mnist, "denoiser": denoiser, "vae": vae}
    for part in sys.argv[1:] or parts:
        print(json.dumps({part: parts[part]()}), flush=True)
