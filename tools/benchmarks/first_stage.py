"""Follow the five networks of the report's first stage for 50,000 epochs, and write data/first_stage.json.

    python tools/benchmarks/first_stage.py        (some minutes)

The letter notebook trains them for fewer epochs and draws this file beside its own curves.
"""

import json

import torch
from torch import nn

from helpers import data, evaluation, training
from helpers.files import write_atomically
from helpers.models import Autoencoder

EPOCHS, EVERY, SEEDS = 50_000, 2_500, range(8)
SETTINGS = [
    ([35, 12, 2, 12, 35], 0.0024),
    ([35, 10, 2, 10, 35], 0.0033),
    ([35, 18, 6, 2, 6, 18, 35], 0.0038),
    ([35, 18, 6, 2, 6, 18, 35], 0.0024),
    ([35, 14, 6, 2, 6, 14, 35], 0.0024),
]


def main():
    torch.set_num_threads(1)
    images = data.load_letters().images
    networks = []
    for sizes, lr in SETTINGS:
        ensemble = training.fit_ensemble(
            lambda sizes=sizes: Autoencoder(sizes, activation=nn.Sigmoid),
            SEEDS,
            images,
            images,
            epochs=EPOCHS,
            lr=lr,
            loss=training.mse,
            metric=evaluation.pixel_errors,
            metric_every=EVERY,
        )
        wrong = (ensemble.metric * len(images)).round().long().tolist()
        networks.append({"sizes": sizes, "lr": lr, "epochs": ensemble.metric_epochs, "wrong_pixels": wrong})
    text = json.dumps({"loss": "mse", "seeds": list(SEEDS), "networks": networks})
    write_atomically(data.DATA_FOLDER / "first_stage.json", text.encode())


if __name__ == "__main__":
    main()
