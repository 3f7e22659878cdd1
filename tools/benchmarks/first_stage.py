"""Follow the five networks of the report's first stage for 50,000 epochs, and write
data/first_stage.json.

    python tools/benchmarks/first_stage.py        (some minutes)

The letter notebook trains them for fewer epochs and draws this file beside its own curves.
"""

import json
from functools import partial

import torch
from torch import nn

from helpers import data, evaluation, losses, training
from helpers.models import Autoencoder
from helpers.stack import from_seeds

RECORD = data.DATA_FOLDER / "first_stage.json"
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
    images, networks = data.load_letters().images, []

    def wrong_pixels(stack):
        pixels = torch.sigmoid(evaluation.predict(stack, images))
        return evaluation.pixel_errors(pixels, images).sum(dim=1)

    for sizes, lr in SETTINGS:
        history = training.fit(
            from_seeds(partial(Autoencoder, sizes, activation=nn.Sigmoid), SEEDS),
            images,
            epochs=EPOCHS,
            lr=lr,
            loss=losses.mse,
            record_every=EVERY,
            measure=wrong_pixels,
            measure_every=EVERY,
        )
        wrong = torch.stack(history.measured).tolist()
        networks.append(
            {"sizes": sizes, "lr": lr, "epochs": history.measured_epochs, "wrong_pixels": wrong}
        )
    record = {"loss": "mse", "seeds": list(SEEDS), "networks": networks}
    RECORD.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
