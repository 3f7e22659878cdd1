"""Many dense networks as one module: a layer of all of them is one batched matrix product.

Autograd can follow a `Stack`; `fit` takes the same gradients, sooner, from `helpers.inner`.
"""

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from helpers.inner.expect import expect
from helpers.inner.known import check
from helpers.models import Autoencoder, VariationalAutoencoder


def stack(models: Iterable[nn.Module]) -> "Stack":
    """The networks, which must be alike, as one module with copies of their weights.

    models: `Autoencoder`s without batch_norm or `VariationalAutoencoder`s, with the activations
    Identity, Tanh, Sigmoid, ReLU, LeakyReLU, SiLU; ValueError for all else, such as tied layers.
    What is frozen stays frozen.
    """
    models, kinds = list(models), set()
    for model in models:
        check(model)
        details = ((p.dtype, p.device, p.requires_grad) for p in model.parameters())
        kinds.add((str(model), *details))
    alike = "models: expected one architecture, type, device, and freezing"
    expect(len(kinds) == 1, alike, f"{len(models)} of {len(kinds)} kinds")
    return Stack(models)


def from_seeds(make_model: Callable[[], nn.Module], seeds: Iterable[int]) -> "Stack":
    """A stack of `make_model()` after each seed; PyTorch's global generator stays as it was."""
    models = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            models.append(make_model())
    return stack(models)


class StackedLinear(nn.Module):
    """A Linear layer of S networks: weight (S, in, out), bias (S, 1, out)."""

    def __init__(self, layers: Sequence):
        super().__init__()
        weight = torch.stack([layer.weight.detach().mT for layer in layers])
        bias = torch.stack([layer.bias.detach().unsqueeze(0) for layer in layers])
        self.weight = nn.Parameter(weight, layers[0].weight.requires_grad)
        self.bias = nn.Parameter(bias, layers[0].bias.requires_grad)

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (S, N, in) -> (S, N, out)."""
        return torch.baddbmm(self.bias, inputs, self.weight)

    def member(self, i: int) -> nn.Linear:
        """The layer of the i-th network, a copy."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[2], device="meta")
        weight, bias = self.weight.detach()[i].mT.contiguous(), self.bias.detach()[i, 0].clone()
        layer.weight = nn.Parameter(weight, self.weight.requires_grad)
        layer.bias = nn.Parameter(bias, self.bias.requires_grad)
        return layer


class Stack(nn.Module):
    """Made by `stack`: S networks as one. len(stack) is S, `member` gives one of them.

    Calling it, `encode` and `decode` do what a member does, with S in front of every result, for
    images (N, 1, H, W) or codes (N, latent_dim), or with S in front one such set for each member.
    """

    def __init__(self, models: Sequence):
        super().__init__()
        self.network: Autoencoder | VariationalAutoencoder = copy.deepcopy(models[0])
        self._members, self.latent_dim = len(models), self.network.latent_dim
        for name, layer in models[0].named_modules():
            if type(layer) is nn.Linear:
                layers = [model.get_submodule(name) for model in models]
                self.network.set_submodule(name, StackedLinear(layers))

    def __len__(self):
        return self._members

    def each(self, values: Tensor, dims: int) -> Tensor:
        """values for all members, with `dims` dimensions, or one set for each -> (S, ...)."""
        if values.dim() == dims:
            return values.expand(len(self), *values.shape)
        good = values.dim() == dims + 1 and len(values) == len(self)
        expected = f"expected {dims} dimensions, or {dims + 1} with {len(self)} in front"
        expect(good, expected, f"shape {tuple(values.shape)}")
        return values

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        return self.network(self.each(images, 4))

    def encode(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.network.encode(self.each(images, 4))

    def decode(self, codes: Tensor) -> Tensor:
        return self.network.decode(self.each(codes, 2))

    def member(self, i: int) -> nn.Module:
        """The i-th network, from 0: an ordinary module, a copy, in evaluation mode."""
        model = copy.deepcopy(self.network)
        for name, layer in self.network.named_modules():
            if isinstance(layer, StackedLinear):
                model.set_submodule(name, layer.member(i))
        return model.eval()
