"""The networks whose gradient is computed by hand, and the activations, forwards and backwards."""

import torch
from torch import nn

from helpers.inner.expect import expect
from helpers.models import Autoencoder, VariationalAutoencoder

aten = torch.ops.aten
FORWARD = {  # an activation: from x, into y
    nn.Identity: lambda layer, x, y: y.copy_(x),
    nn.Tanh: lambda layer, x, y: _tanh(x, y),
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


def _tanh(x, y):
    """2 sigmoid(2 x) - 1: PyTorch's own tanh takes three times as long (to rounding the same)."""
    return torch.mul(x, 2, out=y).sigmoid_().mul_(2).sub_(1)


def _into(g, kernel, *arguments):
    return kernel.grad_input(g, *arguments, grad_input=g)


def check(model: nn.Module, linear=nn.Linear) -> None:
    """Raise ValueError unless the model computes what its class and its layers say, no more."""
    known = type(model) in (Autoencoder, VariationalAutoencoder)
    layers: list = [*model.encoder, *model.decoder] if known else []  # type: ignore[misc]
    linears = [layer for layer in layers if type(layer) is linear]
    weights = [id(weight) for layer in linears for weight in (layer.weight, layer.bias)]
    expect(
        known
        and {type(layer) for layer in layers} <= {linear, *FORWARD}
        and len({*weights}) == len(weights)  # none is tied
        and {*weights} == {id(weight) for weight in model.parameters()}  # none is added
        and not any(map(_is_changed, model.modules())),
        "models: expected Autoencoders without batch_norm or VariationalAutoencoders, with "
        f"{', '.join(kind.__name__ for kind in FORWARD)}, without tied or added weights, hooks or "
        "methods of their own; train others one at a time",
        model,
    )


def _is_changed(module):
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks
    return any(hooks) or not vars(module).keys().isdisjoint({"forward", "encode", "decode"})
