"""Train the letter denoisers of the report with its own recipe, and write data/report_denoisers.pt.

    python tools/benchmarks/report_denoisers.py        (about twenty minutes)

From the report: [35, 17, 2, 17, 35], sigmoid everywhere, binary cross entropy, Adam, 10,000 epochs,
an adaptive rate that begins at 0.009, new noise in every epoch; p fixed, or drawn for each epoch
from [0, 0.15]; random weights, or those of an autoencoder of clean letters. From its authors'
public code (CTepedino/sia-tp5): the start, one update for each letter, how the rate adapts, and
that the weights of the best epoch are kept. And all trainings with noise again, with one thing
repaired: how the rate adapts. Notebook 03 tests the 16 networks of each training; their rates after
every 100 epochs are kept, too.
"""

import torch
from torch import nn
from tqdm import tqdm

from helpers import data, losses, noise
from helpers.inner.backpropagation import Backpropagation
from helpers.models import Autoencoder
from helpers.stack import from_seeds, stack

RECORD = data.DATA_FOLDER / "report_denoisers.pt"
EPOCHS, LR, SEEDS = 10_000, 0.009, range(16)


def report_net():
    """A network with their random start: normal, with the variance of Glorot, biases as well."""
    model = Autoencoder([35, 17, 2, 17, 35], activation=nn.Sigmoid)
    for layer in (*model.encoder, *model.decoder):
        if isinstance(layer, nn.Linear):
            std = (2 / (layer.in_features + 1 + layer.out_features)) ** 0.5
            nn.init.normal_(layer.weight, std=std)
            nn.init.normal_(layer.bias, std=std)
    return model


class AdaptiveRates:
    """Their rule, for S networks, from the error (S,) of every epoch.

    Half the rate after 500 epochs without a gain of more than 1e-6, 1.1 times the rate after 400
    in a row with one. The best error is replaced first, if it is beaten by more than 1e-5: so only
    gains below that are seen. Repaired, the gain is that over the best error before.
    """

    def __init__(self, count, repaired=False):
        self.repaired = repaired
        self.rates, self.best = torch.full((count,), LR), torch.full((count,), torch.inf)
        self.without, self.in_a_row = torch.zeros(count), torch.zeros(count)

    def step(self, error):
        """Whether this is the best epoch so far, (S,)."""
        before, improved = self.best, error < self.best - 1e-5
        self.best = torch.where(improved, error, self.best)
        gain = (before if self.repaired else self.best) - error > 1e-6
        self.without = torch.where(gain, 0, self.without + 1)
        self.in_a_row = torch.where(gain, self.in_a_row + 1, 0)
        self.rates = torch.where(self.without >= 500, (self.rates / 2).clamp(min=1e-6), self.rates)
        self.rates = torch.where(self.in_a_row >= 400, 1.1 * self.rates, self.rates)
        self.without[self.without >= 500] = 0
        self.in_a_row[self.in_a_row >= 400] = 0
        return improved


def train(names, levels, starts=None, repaired=False):
    """Networks of 16 seeds for each level, all trained in one stack.

    Gives name -> 16 networks, and name -> their rates after every 100 epochs, (16, 100).
    levels: p of each name; -m stands for one p an epoch, drawn from [0, m].
    """
    many = [network for _ in levels for network in starts or members(from_seeds(report_net, SEEDS))]
    networks, letters = stack(many), data.load_letters().images
    update = Backpropagation(networks, losses.bce)
    flat, gradient = update.flat.data, update.flat.grad
    sizes = [weight[0].numel() for weight in networks.parameters()]
    owner = torch.cat([torch.arange(len(many)).repeat_interleave(size) for size in sizes])
    levels = torch.tensor(levels).repeat_interleave(len(SEEDS)).reshape(-1, 1, 1, 1, 1)
    first, second, kept = torch.zeros_like(flat), torch.zeros_like(flat), flat.clone()
    adaptive, step = AdaptiveRates(len(many), repaired), 0
    generator, path = torch.Generator().manual_seed(0), []
    for epoch in tqdm(range(1, EPOCHS + 1)):
        drawn = -levels * torch.rand(levels.shape, generator=generator)
        p = torch.where(levels < 0, drawn, levels)
        noisy = noise.salt_and_pepper(letters.repeat(len(many), 1, 1, 1, 1), p, generator)
        rates, error = adaptive.rates[owner], 0.0
        for i in torch.randperm(len(letters), generator=generator).tolist():
            error = error + update(noisy[:, i : i + 1], letters[i : i + 1], True)
            step += 1
            first.lerp_(gradient, 0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            size = (second / (1 - 0.999**step)).sqrt_().add_(1e-8)
            flat.sub_(first.mul(rates / (1 - 0.9**step)).div_(size))
        best = adaptive.step(error / len(letters))[owner]
        kept = torch.where(best, flat, kept)
        if epoch % 100 == 0:
            path.append(adaptive.rates.clone())
    flat.copy_(kept)
    pieces, count = members(networks), len(SEEDS)
    rates = dict(zip(names, torch.stack(path, dim=1).split(count), strict=True))
    return {name: pieces[i * count : (i + 1) * count] for i, name in enumerate(names)}, rates


def members(networks):
    return [networks.member(i) for i in range(len(networks))]


def main():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    names, levels = ["0.05", "0.10", "0.15"], [0.05, 0.10, 0.15]
    trained, rates = train(["clean", *names], [0.0, *levels])
    after, mixed = [f"pretrained, {name}" for name in (*names, "0 to 0.15")], [*levels, -0.15]
    for more, more_rates in (
        train(after, mixed, trained["clean"]),
        train([f"repaired, {name}" for name in names], levels, repaired=True),
        train([f"repaired, {name}" for name in after], mixed, trained["clean"], repaired=True),
    ):
        trained, rates = trained | more, rates | more_rates
    record = {name: stack(networks).state_dict() for name, networks in trained.items()}
    half = {name: {k: w.half() for k, w in weights.items()} for name, weights in record.items()}
    torch.save(half | {"rates": rates}, RECORD)  # weights of 16 bits: half the bytes


if __name__ == "__main__":
    main()
