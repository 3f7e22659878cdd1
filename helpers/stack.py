"""Many dense networks as one module: a layer of all of them is one batched matrix product.

`Stack` is an ordinary module, and autograd can follow it. `Backpropagation` gives the same
gradients several times faster, by hand and in memory that is kept: `fit` trains stacks with it.
"""

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from helpers.losses import gradients, mean_over_images
from helpers.models import Autoencoder, VariationalAutoencoder, normal_like

aten = torch.ops.aten
FORWARD = {  # an activation: from x, into y
    nn.Identity: lambda layer, x, y: y.copy_(x),
    nn.Tanh: lambda layer, x, y: torch.tanh(x, out=y),
    nn.Sigmoid: lambda layer, x, y: torch.sigmoid(x, out=y),
    nn.ReLU: lambda layer, x, y: torch.clamp_min(x, 0, out=y),
    nn.LeakyReLU: lambda layer, x, y: aten.leaky_relu.out(x, layer.negative_slope, out=y),
    nn.SiLU: lambda layer, x, y: aten.silu.out(x, out=y),
}
BACKWARD = {  # in place: g, the gradient of y, becomes that of x; with the kernels of autograd
    nn.Identity: lambda layer, g, x, y: g,
    nn.Tanh: lambda layer, g, x, y: _into(g, aten.tanh_backward, y),
    nn.Sigmoid: lambda layer, g, x, y: _into(g, aten.sigmoid_backward, y),
    nn.ReLU: lambda layer, g, x, y: _into(g, aten.threshold_backward, y, 0),
    nn.LeakyReLU: lambda layer, g, x, y: _into(
        g, aten.leaky_relu_backward, x, layer.negative_slope, False
    ),
    nn.SiLU: lambda layer, g, x, y: _into(g, aten.silu_backward, x),
}


def _into(g, kernel, *arguments):
    return kernel.grad_input(g, *arguments, grad_input=g)


def stack(models: Iterable[nn.Module]) -> "Stack":
    """The networks, which must be alike, as one module with copies of their weights.

    models: `Autoencoder`s without batch_norm or `VariationalAutoencoder`s, with activations of
    `FORWARD`; ValueError for all else, such as tied layers. What is frozen stays frozen.
    """
    models = list(models)
    for model in models:
        _check(model)
    kinds = {
        (str(model), *((p.dtype, p.device, p.requires_grad) for p in model.parameters()))
        for model in models
    }
    if len(kinds) != 1:
        found = f"got {len(models)} of {len(kinds)} kinds"
        raise ValueError(f"models: expected one architecture, type, device, and freezing, {found}")
    return Stack(models)


def from_seeds(make_model: Callable[[], nn.Module], seeds: Iterable[int]) -> "Stack":
    """A stack of `make_model()` after each seed; PyTorch's global generator stays as it was."""
    models = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            models.append(make_model())
    return stack(models)


def _check(model, linear=nn.Linear):
    """Raise ValueError unless the model computes what its class and its layers say, no more."""
    known = type(model) in (Autoencoder, VariationalAutoencoder)
    layers = [*model.encoder, *model.decoder] if known else []
    linears = [layer for layer in layers if type(layer) is linear]
    weights = [id(weight) for layer in linears for weight in (layer.weight, layer.bias)]
    if not (
        known
        and {type(layer) for layer in layers} <= {linear, *FORWARD}
        and len({*weights}) == len(weights)  # none is tied
        and {*weights} == {id(weight) for weight in model.parameters()}  # none is added
        and not any(_is_changed(module) for module in model.modules())
    ):
        raise ValueError(
            "models: expected Autoencoders without batch_norm or VariationalAutoencoders, with "
            f"{', '.join(kind.__name__ for kind in FORWARD)}, without tied or added weights, hooks "
            f"or methods of their own; train others one at a time. Got {model}"
        )


def _is_changed(module):
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks
    return any(hooks) or not vars(module).keys().isdisjoint({"forward", "encode", "decode"})


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
        if values.dim() != dims + 1 or len(values) != len(self):
            expected = f"expected {dims} dimensions, or {dims + 1} with {len(self)} in front"
            raise ValueError(f"{expected}, got shape {tuple(values.shape)}")
        return values

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """images -> logits (S, N, 1, H, W), for VAEs with mu and logvar (S, N, latent_dim)."""
        return self.network(self.each(images, 4))

    def encode(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """images -> codes (S, N, latent_dim), for VAEs mu and logvar."""
        return self.network.encode(self.each(images, 4))

    def decode(self, codes: Tensor) -> Tensor:
        """codes -> logits (S, N, 1, H, W)."""
        return self.network.decode(self.each(codes, 2))

    def member(self, i: int) -> nn.Module:
        """The i-th network, from 0: an ordinary module, a copy, in evaluation mode."""
        model = copy.deepcopy(self.network)
        for name, layer in self.network.named_modules():
            if isinstance(layer, StackedLinear):
                model.set_submodule(name, layer.member(i))
        return model.eval()


class Backpropagation:
    """The gradient of the losses of a stack, added up, by hand and in memory that is kept.

    Called with images, targets and `record`: whether the losses (S,) are wanted; else they are not
    computed. Layer by layer, backwards: y = x W + b has the gradients x' g for W, the sum of g for
    b, and g W' for x, where g is that of y (Goodfellow et al., Deep Learning, 2016, section 6.5).

    flat: all weights that are not frozen, as one parameter, with `grad`; an optimizer is faster
        with one. The weights of the stack become views of it.
    Raises ValueError if the stack has been changed so that this would not be its gradient.
    """

    def __init__(self, stack: Stack, loss: Callable):
        _check(stack.network, StackedLinear)
        self.stack, self.loss, self.network = stack, loss, stack.network
        learned = [weight for weight in stack.parameters() if weight.requires_grad]
        sizes = [weight.numel() for weight in learned]
        self.flat = nn.Parameter(torch.cat([weight.detach().flatten() for weight in learned]))
        self.flat.grad = torch.zeros_like(self.flat)
        parts = zip(self.flat.detach().split(sizes), self.flat.grad.split(sizes), strict=True)
        for weight, (values, gradient) in zip(learned, parts, strict=True):
            weight.data, weight.grad = values.view_as(weight), gradient.view_as(weight)
        self.encoder, self.decoder = _Chain(self.network.encoder), _Chain(self.network.decoder)

    @torch.no_grad()
    def __call__(self, images: Tensor, targets: Tensor, record: bool) -> Tensor | None:
        codes = self.encoder.forward(self.network.rows(self.stack.each(images, 4)))
        moments = tuple[Tensor, ...]()
        if isinstance(self.network, VariationalAutoencoder):
            mu, logvar = moments = codes.chunk(2, dim=-1)
            spread = torch.exp(0.5 * logvar) * normal_like(mu, self.network.generator)
            codes = mu + spread
        logits = self.decoder.forward(codes).unflatten(-1, (1, *self.network.shape))
        g, *of_codes = gradients(self.loss, (logits, *moments), targets)
        g = self.decoder.backward(g.flatten(-3))
        if of_codes:
            g = torch.cat([of_codes[0] + g, of_codes[1] + 0.5 * spread * g], dim=-1)
        self.encoder.backward(g, to_inputs=False)
        if not record:
            return None
        values = self.loss((logits, *moments) if moments else logits, targets)
        return mean_over_images(values, logits.shape[:2])


class _Chain:
    """The layers of an encoder or a decoder, forwards and backwards."""

    def __init__(self, layers: nn.Sequential):
        self.layers, self.outputs = list(layers), list[Tensor]()
        self.weights = [list(layer.parameters()) for layer in layers]  # none for an activation
        # Those of frozen weights are written, too, but nobody looks at them.
        self.grads = [[w.grad if w.requires_grad else w.clone() for w in ws] for ws in self.weights]

    def forward(self, x: Tensor) -> Tensor:
        if not self.outputs or self.outputs[0].shape[1] != x.shape[1]:
            self._make_room(x)  # once: new memory costs more than the arithmetic
        self.inputs = [x, *self.outputs]
        for i, (layer, y) in enumerate(zip(self.layers, self.outputs, strict=True)):
            if self.weights[i]:
                torch.baddbmm(self.weights[i][1], self.inputs[i], self.weights[i][0], out=y)
            else:
                FORWARD[type(layer)](layer, self.inputs[i], y)
        return self.outputs[-1]

    def backward(self, g: Tensor, to_inputs: bool = True) -> Tensor:
        """g: the gradient of the outputs; it is overwritten. The gradient of the inputs."""
        for i in reversed(range(len(self.layers))):
            x, layer = self.inputs[i], self.layers[i]
            if self.weights[i]:
                torch.bmm(x.mT, g, out=self.grads[i][0])
                torch.sum(g, dim=1, keepdim=True, out=self.grads[i][1])
                if i or to_inputs:
                    g = torch.bmm(g, self.weights[i][0].mT, out=self.room[i])
            else:
                g = BACKWARD[type(layer)](layer, g, x, self.outputs[i])
        return g

    def _make_room(self, x):
        self.outputs, self.room = [], []  # for y, and for the gradient of x, of every layer
        for weights in self.weights:
            width = weights[0].shape[2] if weights else x.shape[2]
            self.room.append(torch.empty_like(x, memory_format=torch.contiguous_format))
            self.outputs.append(x := x.new_empty(*x.shape[:2], width))
