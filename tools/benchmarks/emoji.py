"""The six attempts of the report with its own recipe, one face at a time, which notebook 04 quotes.

    python tools/benchmarks/emoji.py        (a quarter of an hour)

Writes data/emoji_runs.json.
"""

import json

import torch
from torch import nn

from helpers import data, evaluation, losses, training
from helpers.models import VariationalAutoencoder

RECORD = data.DATA_FOLDER / "emoji_runs.json"
SMALL, LARGE = [400, 30, 20, 10], [400, 300, 200, 100]
ATTEMPTS = [  # sizes, latent_dim, activation, epochs
    (SMALL, 2, nn.Sigmoid, 100),
    (SMALL, 2, nn.Sigmoid, 1000),
    (LARGE, 2, nn.Sigmoid, 1000),
    (LARGE, 2, nn.ReLU, 1000),
    (LARGE, 3, nn.ReLU, 1000),
    (LARGE, 6, nn.ReLU, 1000),
]


@torch.no_grad()
def result(model, images):
    logits, mu, logvar = model(images)
    pca = evaluation.pca_reconstruction(images, model.latent_dim)
    kl = losses.kl_divergence(mu, logvar).mean(dim=0)
    return {
        "mse": round(float((torch.sigmoid(logits) - images).square().mean()), 5),
        "pca": round(float((pca - images).square().mean()), 5),
        "kl": [round(value, 3) for value in kl.tolist()],
    }


def main():
    torch.set_num_threads(1)
    images, runs = data.load_emoji().images, []
    for sizes, latent_dim, activation, epochs in ATTEMPTS:
        torch.manual_seed(0)
        model = VariationalAutoencoder(sizes, latent_dim, activation=activation)
        loss = losses.vae_loss(1 / latent_dim)
        settings = {"epochs": epochs, "batch_size": 1, "lr": 1e-4, "progress": False}
        history = training.fit(model, images, loss=loss, **settings)
        runs.append(
            {
                "sizes": sizes,
                "latent_dim": latent_dim,
                "activation": activation.__name__,
                "epochs": epochs,
                "updates": epochs * len(images),
                "seconds": round(history.seconds),
            }
            | result(model, images)
        )
        print(runs[-1], flush=True)
    record = {"batch_size": 1, "lr": 1e-4, "beta": "1 / latent_dim", "attempts": runs}
    RECORD.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
