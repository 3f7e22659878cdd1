"""The gradient of a stack of dense networks, by hand: several times as fast as autograd's."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from helpers.inner.known import BACKWARD, FORWARD, check
from helpers.losses import PIXELS, _vae_loss, bce, mean_over_images, mse
from helpers.models import VariationalAutoencoder, normal_like
from helpers.stack import Stack, StackedLinear


class Backpropagation:
    """The gradient of the losses of a stack, added up, by hand and in memory that is kept.

    Called with images, targets and `record`: whether the losses (S,) are wanted; else they are not
    computed. Layer by layer, backwards: y = W' x + b has the gradients x g' for W, the sum of g for
    b, and W g for x, where g is that of y (Goodfellow et al., Deep Learning, 2016, section 6.5).
    Here an image is a column: the products of small matrices take two thirds of the time then.

    flat: all weights that are not frozen, as one parameter, with `grad`; an optimizer is faster
        with one. The weights of the stack become views of it.
    Raises ValueError if the stack has been changed so that this would not be its gradient.
    """

    def __init__(self, stack: Stack, loss: Callable):
        check(stack.network, StackedLinear)
        self.stack, self.loss, self.network = stack, loss, stack.network
        learned = [weight for weight in stack.parameters() if weight.requires_grad]
        sizes = [weight.numel() for weight in learned]
        self.flat = nn.Parameter(torch.cat([weight.detach().flatten() for weight in learned]))
        self.flat.grad = torch.zeros_like(self.flat)
        parts = zip(self.flat.detach().split(sizes), self.flat.grad.split(sizes), strict=True)
        for weight, (values, gradient) in zip(learned, parts, strict=True):
            weight.data, weight.grad = values.view_as(weight), gradient.view_as(weight)
        self.encoder = _Chain(self.network.encoder)
        self.decoder = _Chain(self.network.decoder, (1, *self.network.shape))

    @torch.no_grad()
    def __call__(self, images: Tensor, targets: Tensor, record: bool) -> Tensor | None:
        codes = self.encoder.forward(self.network.rows(self.stack.each(images, 4)).mT)
        moments = tuple[Tensor, ...]()
        if isinstance(self.network, VariationalAutoencoder):
            mu, logvar = moments = codes.mT.chunk(2, dim=-1)
            spread = torch.exp(0.5 * logvar) * normal_like(mu, self.network.generator)
            codes = (mu + spread).mT
        self.decoder.forward(codes)
        logits, *room = self.decoder.as_images
        if targets.shape == logits.shape[1:]:  # in memory like logits, for speed
            targets = targets.flatten(1).mT.contiguous().mT.view_as(targets)
        g, *of_codes = gradients(self.loss, (logits, *moments), targets, room)
        g = self.decoder.backward(g.flatten(-3).mT)
        if of_codes:
            g = torch.cat([of_codes[0].mT + g, of_codes[1].mT + 0.5 * spread.mT * g], dim=-2)
        self.encoder.backward(g, to_inputs=False)
        if not record:
            return None
        loss = VALUES.get(self.loss, self.loss)
        values = loss((logits, *moments) if moments else logits, targets)
        return mean_over_images(values, logits.shape[:2])


class _Chain:
    """The layers of an encoder, or of a decoder of images of some shape, forwards and backwards."""

    def __init__(self, layers: nn.Sequential, shape: Sequence[int] = (-1,)):
        self.layers, self.outputs, self.shape = list(layers), list[Tensor](), shape
        self.weights = [list(layer.parameters()) for layer in layers]  # none for an activation
        # Those of frozen weights are written, too, but nobody looks at them.
        grads = [[w.grad if w.requires_grad else w.clone() for w in ws] for ws in self.weights]
        self.grads = [gs and (gs[0], gs[1].mT) for gs in grads]
        self.transposed = [[w.detach().mT for w in ws] for ws in self.weights]

    def forward(self, x: Tensor) -> Tensor:
        if not self.outputs or self.outputs[0].shape[2] != x.shape[2]:
            self._make_room(x)  # once: new memory costs more than the arithmetic
        self.inputs = [x, *self.outputs]
        for i, (layer, y) in enumerate(zip(self.layers, self.outputs, strict=True)):
            if self.weights[i]:
                weight, bias = self.transposed[i]
                torch.baddbmm(bias, weight, self.inputs[i], out=y)
            else:
                FORWARD[type(layer)](layer, self.inputs[i], y)
        return self.outputs[-1]

    def backward(self, g: Tensor, to_inputs: bool = True) -> Tensor:
        """g: the gradient of the outputs; it is overwritten. The gradient of the inputs."""
        for i in reversed(range(len(self.layers))):
            x, layer = self.inputs[i], self.layers[i]
            if self.weights[i]:
                torch.bmm(x, g.mT, out=self.grads[i][0])
                torch.sum(g, dim=2, keepdim=True, out=self.grads[i][1])
                if i or to_inputs:
                    g = torch.bmm(self.weights[i][0], g, out=self.room[i])
            else:
                g = BACKWARD[type(layer)](layer, g, x, self.outputs[i])
        return g

    def _make_room(self, x):
        self.outputs = []  # y of every layer
        widths = [x.shape[1]]
        for weights in self.weights:
            widths.append(weights[0].shape[2] if weights else widths[-1])
            self.outputs.append(x.new_empty(len(x), widths[-1], x.shape[2]))
        widths.append(widths[-1])  # for pixels
        self.room = [x.new_empty(len(x), width, x.shape[2]) for width in widths]  # for gradients
        ends = self.outputs[-1], *self.room[-2:]
        self.as_images = [end.mT.unflatten(-1, self.shape) for end in ends]


def gradients(
    loss: Callable, outputs: Sequence[Tensor], images: Tensor, room: Sequence = (None, None)
) -> Sequence[Tensor]:
    """The gradient of the mean loss of every member of a stack, for each of its outputs.

    outputs: logits (S, N, 1, H, W), for VAEs mu and logvar, too. bce, mse and vae_loss have their
    formulas, much cheaper than the loss itself; others go through autograd.
    room: two tensors like the logits, for their gradient and for pixels; else new memory.
    """
    known, settings = getattr(loss, "func", loss), getattr(loss, "keywords", {})
    if known in FORMULAS:
        return FORMULAS[known](*outputs, images, room, **settings)
    with torch.enable_grad():
        leaves = [output.detach().requires_grad_() for output in outputs]
        values = loss(leaves[0] if len(leaves) == 1 else tuple(leaves), images)
        total = mean_over_images(values, outputs[0].shape[:2]).sum()
        return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)


def _bce_gradient(logits, images, room):
    return [torch.sigmoid(logits, out=room[0]).sub_(images).div_(images.numel())]


def _mse_gradient(logits, images, room):
    return [_squares_gradient(logits, images, room, 2 / images.numel())]


def _vae_gradient(logits, mu, logvar, images, room, beta):
    share = (beta.unsqueeze(-1) if isinstance(beta, Tensor) else beta) / len(images)
    of_logits = _squares_gradient(logits, images, room, 1 / len(images))
    return [of_logits, share * mu, 0.5 * share * torch.expm1(logvar)]


def _squares_gradient(logits, images, room, factor):
    """factor * (pixels - images) times the slope of the sigmoid, pixels * (1 - pixels)."""
    pixels = torch.sigmoid(logits, out=room[1])
    g = torch.sub(pixels, images, out=room[0]).mul_(factor)
    return torch.ops.aten.sigmoid_backward.grad_input(g, pixels, grad_input=g)


FORMULAS: dict = {bce: _bce_gradient, mse: _mse_gradient, _vae_loss: _vae_gradient}


def _bce_value(logits, images):
    """As `bce`, of 32 members at a time: new memory of more costs more than the arithmetic."""
    return torch.cat([_bce_of_some(some, images) for some in logits.split(32)])


def _bce_of_some(logits, images):
    """With one logarithm for an image: the sum of those of its pixels is that of their product.

    With 64 bits it is as exact; of 1,000 pixels it is below 2^1000, not too large.
    """
    tails = logits.abs().neg_().clamp_(min=-80).exp_().double().add_(1)  # -80: no denormals
    tail = sum(some.prod(dim=-1).log_() for some in tails.flatten(-3).split(1000, dim=-1))
    rest = logits.clamp(min=0).sub_(logits * images)
    return rest.sum(dim=PIXELS).add_(tail).div_(images[0].numel())


VALUES: dict = {bce: _bce_value}  # without gradients
