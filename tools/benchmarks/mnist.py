"""What notebook 01 quotes but has no time to run: rates for its table, the U-Net at noise 0.4, more
seeds, and speed.

    python tools/benchmarks/mnist.py [rates] [parts] [unet] [seeds] [epoch]    (some minutes each)

Each part replaces its own entry in data/mnist_runs.json.
"""

import json
import shutil
import sys
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from helpers import data, evaluation, losses, noise, training
from helpers.models import Autoencoder, UNet

RECORD = data.DATA_FOLDER / "mnist_runs.json"
SIZES = [784, 512, 256, 128, 64, 32, 64, 128, 256, 512, 784]
LOSSES = {"BCE": losses.bce, "MSE": losses.mse, "L1": losses.l1}
OPTIMIZERS = {  # and the rates that are tried
    "SGD": (partial(torch.optim.SGD, momentum=0.9), (0.3, 1, 3, 10, 30, 100)),
    "RMSprop": (torch.optim.RMSprop, (0.0003, 0.001, 0.003, 0.01)),
    "Adam": (training.Adam, (0.001, 0.003, 0.01, 0.03)),
}
ACTIVATIONS = {"LeakyReLU": nn.LeakyReLU, "ReLU": nn.ReLU, "sigmoid": nn.Sigmoid}
# Nearly as in the notebook, which has 12,000 images and three seeds, from other first weights
SUBSET, EPOCHS, SEEDS, STD = 20_000, 2, range(2), 0.5
FAST = {
    "optimizer": partial(training.Adam, betas=(0.9, 0.99)),
    "bfloat16": training.bfloat16_is_fast(),
}


def dense(activation=nn.LeakyReLU, batch_norm=True):
    return Autoencoder(
        SIZES, activation=activation, code_activation=nn.Identity, batch_norm=batch_norm
    )


def train(model, images, std, epochs, lr, batch_size, seed=0, **settings):
    steps = epochs * (len(images) // batch_size)
    settings |= {"epochs": epochs, "lr": lr, "batch_size": batch_size, "seed": seed}
    settings |= {"scheduler": training.warmup_cosine(steps, steps // 5)}
    add_noise = partial(noise.gaussian, std=std)
    return training.fit(model, images, noise=add_noise, progress=False, **settings)


def best_rate(images, make_model, tried, **settings):
    """The rate with the best mean PSNR on 5,000 training images that were left out."""
    left_out = images[-5000:]
    noisy = noise.gaussian(left_out, STD, torch.Generator().manual_seed(1))
    scores = {}
    for lr in tried:
        values = []
        for seed in SEEDS:
            torch.manual_seed(100 + seed)
            model = make_model()
            try:
                train(model, images[:SUBSET], STD, EPOCHS, lr, 128, seed, **settings)
            except FloatingPointError:  # too high a rate: the loss is not a number any more
                values.append(float("-inf"))
                continue
            outputs = torch.sigmoid(evaluation.predict(model, noisy))
            values.append(evaluation.psnr(outputs, left_out).mean().item())
        scores[lr] = sum(values) / len(values)
    psnr = {str(lr): round(score, 2) for lr, score in scores.items()}
    return {"best": max(scores, key=scores.get), "psnr": psnr}


def rates(images):
    """The best rate for each loss and optimizer."""
    found = {}
    for loss, (name, (optimizer, tried)) in product(LOSSES, OPTIMIZERS.items()):
        settings = {"loss": LOSSES[loss], "optimizer": optimizer}
        found[f"{loss} {name}"] = best_rate(images, dense, tried, **settings)
        print(loss, name, found[f"{loss} {name}"], flush=True)
    return found


def parts(images):
    """The best rate for each activation, with and without BatchNorm; with BCE and Adam."""
    found = {}
    for name, batch_norm in product(ACTIVATIONS, (True, False)):
        make_model = partial(dense, ACTIVATIONS[name], batch_norm)
        variant = f"{name}, {'with' if batch_norm else 'no'} BatchNorm"
        found[variant] = best_rate(images, make_model, (0.001, 0.003, 0.01, 0.03), **FAST)
        print(variant, found[variant], flush=True)
    return found


def seeds(images):
    """Dense network and U-Net as the notebook trains them at noise 0.5, from three other seeds:
    test BCE and PSNR, and the share of digits that a classifier, trained here, still reads."""
    test, labels = data.load_mnist(train=False)
    noisy = noise.gaussian(test, STD, torch.Generator().manual_seed(1000))
    read = classifier(images, data.load_mnist().labels)
    found = {}
    for name, make_model, settings in (
        ("dense", dense, (6, 0.012, 256)),
        ("U-Net", UNet, (3, 0.02, 128)),
    ):
        found[name] = {"bce": [], "psnr": [], "same digit": []}
        for seed in (11, 12, 13):
            torch.manual_seed(seed)
            model = make_model()
            train(model, images, STD, *settings, seed=seed, **FAST)
            logits = evaluation.predict(model, noisy)
            pixels = torch.sigmoid(logits)
            same = (evaluation.predict(read, pixels).argmax(dim=1) == labels).float().mean()
            found[name]["bce"].append(round(losses.bce(logits, test).mean().item(), 4))
            found[name]["psnr"].append(round(evaluation.psnr(pixels, test).mean().item(), 2))
            found[name]["same digit"].append(round(same.item(), 4))
            print(name, seed, {key: values[-1] for key, values in found[name].items()}, flush=True)
    return found


def classifier(images, labels):
    """That of the notebook, but of two epochs."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.PixelUnshuffle(2),
        *(nn.Conv2d(4, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64 * 7 * 7, 10)),
    )
    cross_entropy = partial(nn.functional.cross_entropy, reduction="none")
    steps = 2 * (len(images) // 128)
    settings = {"epochs": 2, "lr": 0.005, "batch_size": 128, "seed": 1, "progress": False}
    settings |= {"scheduler": training.warmup_cosine(steps, min(100, steps))}
    training.fit(model, images, labels, loss=cross_entropy, **settings)
    return model


def unet(images):
    """The U-Net at noise 0.4, as in Keras' own example of a denoising autoencoder: test BCE."""
    test = data.load_mnist(train=False).images
    torch.manual_seed(1)
    model = UNet()
    history = train(model, images, 0.4, 14, 0.02, 128, **FAST)
    outputs = evaluation.predict(model, noise.gaussian(test, 0.4, torch.Generator().manual_seed(2)))
    return {
        "bce": round(losses.bce(outputs, test).mean().item(), 5),
        "psnr": round(evaluation.psnr(torch.sigmoid(outputs), test).mean().item(), 2),
        "epochs": len(history.loss),
        "seconds": round(history.seconds, 1),
        "weights": sum(p.numel() for p in model.parameters()),
        "bfloat16": FAST["bfloat16"],
    }


def epoch(images):
    """Seconds of one epoch of the dense network, three ways, side by side, and of its matrix
    products alone; batches of 256, the best of three."""
    with tempfile.TemporaryDirectory() as folder:
        loader = usual_loader(folder, 256)
        memory = {"from memory": False, "from memory, bfloat16": True}
        times = {name: [] for name in ("DataLoader", *memory, "products alone")}
        for _ in range(3):
            times["DataLoader"].append(usual_epoch(loader, dense()))
            for name, bfloat16 in memory.items():
                model = dense()
                history = train(model, images, STD, 1, 0.01, 256, bfloat16=bfloat16)
                times[name].append(history.seconds)
            times["products alone"].append(_products(dense(), 256) * (len(images) // 256))
    best = {name: round(min(values), 2) for name, values in times.items()}
    print(best)
    return best


def usual_loader(folder, batch_size):
    """The DataLoader of most tutorials, which reads one picture after the other."""
    shutil.copytree(data.DATA_FOLDER / "MNIST" / "raw", Path(folder) / "MNIST" / "raw")
    # It finds the files, and unpacks them
    pictures = MNIST(folder, download=True, transform=ToTensor())
    return DataLoader(pictures, batch_size=batch_size, shuffle=True)


def usual_epoch(loader, model):
    """Seconds of one epoch in the loop of most tutorials."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    start = time.perf_counter()
    for images, _ in loader:
        noisy = (images + STD * torch.randn_like(images)).clamp(0, 1)
        loss = nn.functional.binary_cross_entropy_with_logits(model(noisy), images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def _products(model, n, repeats=30):
    """Seconds of the matrix products of a step: outputs, gradients of weights and of inputs."""
    shapes = [
        layer.weight.shape
        for layer in (*model.encoder, *model.decoder)
        if isinstance(layer, nn.Linear)
    ]
    layers = [
        (torch.randn(n, inside), torch.randn(outside, inside), torch.randn(n, outside))
        for outside, inside in shapes
    ]
    start = time.perf_counter()
    for _ in range(repeats):
        for i, (inputs, weights, outputs) in enumerate(layers):
            inputs @ weights.T
            outputs.T @ inputs
            if i:  # nobody needs the gradient of the images
                outputs @ weights
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    digits = data.load_mnist().images
    for part in sys.argv[1:] or ["rates", "parts", "unet", "seeds", "epoch"]:
        record[part] = {
            "rates": rates,
            "parts": parts,
            "unet": unet,
            "seeds": seeds,
            "epoch": epoch,
        }[part](digits)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        print(part, "->", RECORD.name)
