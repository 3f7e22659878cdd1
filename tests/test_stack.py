"""Stacks compute what their members compute, and their gradients by hand are those of autograd."""

import copy
import io
from functools import partial

import pytest
import torch
from torch import nn

from helpers.inner.backpropagation import Backpropagation
from helpers.inner.known import FORWARD
from helpers.losses import bce, l1, mse, vae_loss
from helpers.models import Autoencoder, UNet, VariationalAutoencoder
from helpers.stack import from_seeds, stack

LEAKY = partial(nn.LeakyReLU, 0.2)
DEEP, LETTER = [12, 9, 5, 3, 5, 9, 12], [35, 17, 2, 17, 35]
IMAGES = torch.rand(6, 1, 3, 4, generator=torch.Generator().manual_seed(0))


def dense(activation=nn.Tanh, code=nn.Sigmoid, sizes=DEEP):
    shape = (3, 4) if sizes[0] == 12 else None
    return Autoencoder(sizes, shape=shape, activation=activation, code_activation=code)


def vae(activation=nn.ReLU, sizes=(12, 9, 5)):
    return VariationalAutoencoder(sizes, 3, shape=(3, 4), activation=activation)


def seeded(networks, seed=5):
    for module in networks.modules():
        if isinstance(module, VariationalAutoencoder):
            module.generator = torch.Generator().manual_seed(seed)
    return networks


def by_autograd(networks, images, targets, loss):
    """Losses (S,) and the gradients of all weights, one after the other."""
    networks.zero_grad()
    values = loss(seeded(networks)(images), targets).mean(dim=-1)
    learned = [weight for weight in networks.parameters() if weight.requires_grad]
    parts = torch.autograd.grad(values.sum(), learned)
    return values.detach(), torch.cat([part.flatten() for part in parts])


def assert_same_gradients(networks, images, targets, loss):
    values, expected = by_autograd(networks, images, targets, loss)
    backward = Backpropagation(networks, loss)
    tolerance = 1e-5 if images.dtype == torch.float32 else 1e-12
    for record in (True, False):  # the second in the memory of the first
        backward.flat.grad.fill_(torch.nan)
        seeded(networks)
        found = backward(images, targets, record)
        assert (backward.flat.grad - expected).norm() <= tolerance * expected.norm()
        if record:
            assert torch.allclose(found, values, rtol=tolerance)
        else:
            assert found is None
    return backward


ACTIVATIONS = [nn.Identity, nn.Tanh, nn.Sigmoid, nn.ReLU, LEAKY, nn.SiLU]


def own_loss(logits, images):
    return ((torch.sigmoid(logits) - images) ** 4).flatten(-3).sum(dim=-1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("members", [1, 5])
def test_gradients_of_every_activation_and_loss(activation, dtype, members):
    images = IMAGES.to(dtype)
    networks = from_seeds(partial(dense, activation, activation), range(members)).to(dtype)
    for loss in (bce, mse, l1, own_loss):
        assert_same_gradients(networks, images, images.flip(0), loss)
    networks = from_seeds(partial(vae, activation), range(members)).to(dtype)
    for loss in (vae_loss(0.3), vae_loss(torch.linspace(0, 2, members, dtype=dtype)[:, None])):
        assert_same_gradients(networks, images, images.flip(0), loss)


@pytest.mark.parametrize("sizes", [[12, 2, 12], [12, 7, 2, 7, 12], DEEP])
@pytest.mark.parametrize("members", [1, 2, 64])
def test_gradients_of_every_depth_and_number(sizes, members):
    networks = from_seeds(partial(dense, sizes=sizes), range(members))
    assert_same_gradients(networks, IMAGES, IMAGES, bce)
    networks = from_seeds(partial(vae, sizes=sizes[: len(sizes) // 2 + 1]), range(members))
    assert_same_gradients(networks, IMAGES, IMAGES, vae_loss())


@pytest.mark.parametrize(
    ("make", "loss"),
    [(partial(dense, nn.SiLU, LEAKY), bce), (partial(vae, nn.Tanh), vae_loss(0.5))],
)
def test_gradcheck(make, loss):
    """Against differences of the losses themselves, without autograd."""
    networks = from_seeds(make, range(2)).double()
    by_hand = Backpropagation(networks, loss)

    class Total(torch.autograd.Function):
        @staticmethod
        def forward(ctx, flat):
            by_hand.flat.data.copy_(flat)
            seeded(networks)
            value = by_hand(IMAGES[:3].double(), IMAGES[:3].double(), True).sum()
            ctx.gradient = by_hand.flat.grad.clone()
            return value

        @staticmethod
        def backward(ctx, g):
            return g * ctx.gradient

    start = by_hand.flat.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(Total.apply, (start,))


def test_targets_may_be_other_than_images():
    """Such as how much ink there should be."""

    def ink(logits, wanted):
        return (torch.sigmoid(logits).mean(dim=(-3, -2, -1)) - wanted).square()

    networks = from_seeds(dense, range(3))
    assert_same_gradients(networks, IMAGES, IMAGES.mean(dim=(-3, -2, -1)), ink)


def test_other_images_in_between_do_not_disturb():
    """Other numbers of images, one set for each member, calls of the stack and of another one."""
    make = partial(dense, sizes=[12, 7, 2, 7, 12])
    networks, other = from_seeds(make, range(3)), from_seeds(make, range(3))
    backward, of_other = Backpropagation(networks, bce), Backpropagation(other, bce)
    own = torch.rand(3, 4, 1, 3, 4, generator=torch.Generator().manual_seed(1))
    kept = networks(IMAGES)
    before = kept.detach().clone()
    for images, targets in [(IMAGES,) * 2, (own, own[0]), (IMAGES[:2],) * 2, (IMAGES,) * 2]:
        _, expected = by_autograd(networks, images, targets, bce)
        of_other(IMAGES, IMAGES, True)
        with torch.no_grad():
            networks(images)
        backward(images, targets, False)
        assert torch.allclose(backward.flat.grad, expected, rtol=1e-5, atol=1e-8)
    assert torch.equal(kept, before)
    first = backward(IMAGES, IMAGES, True)
    copied = first.clone()
    backward(IMAGES.flip(0), IMAGES, True)
    assert torch.equal(first, copied)


def test_the_weights_are_views_of_the_flat_ones_and_keep_their_values():
    networks = from_seeds(dense, range(3))
    before = copy.deepcopy(networks.state_dict())
    backward = Backpropagation(networks, bce)
    backward(IMAGES, IMAGES, False)
    for factor in (1, 2):
        backward.flat.data *= factor
        now = networks.state_dict()
        assert all(torch.equal(now[name], factor * before[name]) for name in before)
    starts = torch.cat([weight.grad.flatten() for weight in networks.parameters()])
    assert torch.equal(starts, backward.flat.grad) and starts.abs().sum() > 0


def test_frozen_weights_are_left_out():
    networks = from_seeds(dense, range(2))
    networks.network.encoder.requires_grad_(False)
    networks.network.decoder[0].bias.requires_grad_(False)
    frozen = [w.clone() for w in networks.parameters() if not w.requires_grad]
    backward = assert_same_gradients(networks, IMAGES, IMAGES, bce)
    assert backward.flat.numel() == sum(w.numel() for w in networks.parameters() if w.requires_grad)
    after = [w for w in networks.parameters() if not w.requires_grad]
    assert len(after) == 7 and all(torch.equal(a, b) for a, b in zip(frozen, after, strict=True))


# --- the stack as a module ---


@pytest.mark.parametrize("make", [dense, vae, partial(dense, nn.SiLU, LEAKY)])
def test_a_stack_computes_what_its_members_compute(make):
    networks = from_seeds(make, range(3)).eval()
    one_each = torch.stack([IMAGES, IMAGES.flip(0), IMAGES.square()])
    codes = torch.rand(3, 4, 3, generator=torch.Generator().manual_seed(2))
    assert len(networks) == 3 and networks.latent_dim == 3
    for i in range(3):
        model = networks.member(i)
        pairs = [
            *((networks(x), model(y)) for x, y in ((IMAGES, IMAGES), (one_each, one_each[i]))),
            (networks.encode(IMAGES), model.encode(IMAGES)),
            (networks.encode(one_each), model.encode(one_each[i])),
            (networks.decode(codes[0]), model.decode(codes[0])),
            (networks.decode(codes), model.decode(codes[i])),
        ]
        for stacked, alone in pairs:
            assert isinstance(stacked, tuple) == isinstance(alone, tuple)
            parts = (stacked, alone) if isinstance(alone, tuple) else ([stacked], [alone])
            for part, expected in zip(*parts, strict=True):
                assert torch.allclose(part[i], expected, atol=1e-6)
    assert isinstance(networks(IMAGES), tuple) == (make is vae)


def test_members_are_copies_of_the_networks_with_their_weights():
    models = [dense() for _ in range(3)]
    models[1].encoder[0].weight.data[2, 3] = 7.0
    for model in models:
        model.decoder[0].requires_grad_(False)
    networks = stack(models)
    for i, model in enumerate(models):
        member = networks.member(i)
        assert type(member) is Autoencoder and not member.training and str(member) == str(model)
        for a, b in zip(member.parameters(), model.parameters(), strict=True):
            assert torch.equal(a, b) and a.is_contiguous() and a.requires_grad == b.requires_grad
            a.data.zero_(), b.data.zero_()
    assert networks.member(-2).encoder[0].weight[2, 3] == 7
    with pytest.raises(IndexError):
        networks.member(3)


def test_from_seeds_is_the_loop_and_leaves_the_global_generator():
    torch.manual_seed(3)
    expected, state = dense(), torch.get_rng_state()
    networks = from_seeds(dense, [8, 3])
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(networks.member(1).parameters(), expected.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(networks.member(0).encoder[0].weight, expected.encoder[0].weight)


def test_a_stack_travels_as_weights_as_a_copy_and_to_another_type():
    networks, other = from_seeds(dense, range(2)), from_seeds(dense, range(2, 4))
    Backpropagation(networks, bce)
    file = io.BytesIO()
    torch.save(networks.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for same in (other, copy.deepcopy(networks)):
        assert torch.equal(same(IMAGES), networks(IMAGES))
    double = copy.deepcopy(networks).double()
    assert double.member(0)(IMAGES.double()).dtype == torch.float64


def test_codes_of_vaes_are_drawn_in_training_with_noise_of_its_own_for_each():
    networks = stack([vae()] * 2)
    logits, mu, _ = networks.train()(IMAGES)
    assert torch.allclose(mu[0], mu[1]) and not torch.allclose(logits[0], logits[1])
    assert torch.equal(*(seeded(networks)(IMAGES)[0] for _ in range(2)))
    logits, mu, _ = networks.eval()(IMAGES)
    assert torch.equal(logits, networks.decode(mu))


def test_images_for_another_number_of_networks_are_refused():
    networks = from_seeds(dense, range(3))
    for shape in ((3, 4), (2, 6, 1, 3, 4), (4, 6, 1, 3, 4), (1, 1, 6, 1, 3, 4)):
        for method in (networks, networks.encode):
            with pytest.raises(
                ValueError, match=r"expected 4 dim.*or 5 with 3 in front.*got shape"
            ):
                method(torch.rand(shape))
    for method, shape, message in (
        (networks.decode, (2, 5, 3), "expected 2 dimensions, or 3 with 3 in front"),
        (networks, (2, 1, 4, 3), r"images: expected shape \(N, 1, 3, 4\)"),
        (networks.decode, (2, 4), r"codes: expected shape \(N, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            method(torch.rand(shape))


# --- what a stack does not know is refused ---


def changed(change):
    model = dense()
    change(model)
    return model


UNKNOWN = {
    "U-Net": UNet(),
    "BatchNorm": Autoencoder(LETTER, batch_norm=True),
    "child class": type("Child", (Autoencoder,), {})(LETTER),
    "unknown activation": dense(nn.Softsign),
    "child of a known activation": dense(type("Tanh", (nn.Tanh,), {})),
    "no bias": changed(lambda m: m.decoder.__setitem__(0, nn.Linear(3, 5, bias=False))),
    "tied": changed(lambda m: setattr(m.decoder[2], "weight", m.encoder[2].weight) or m),
    "tied layer": changed(lambda m: m.encoder.extend([nn.Linear(3, 3)] * 2)),
    "more weights": changed(lambda m: setattr(m, "scale", nn.Parameter(torch.ones(1)))),
    "hook": changed(lambda m: m.encoder[1].register_forward_hook(lambda *_: None)),
    "hook before": changed(lambda m: m.register_forward_pre_hook(lambda *_: None)),
    "hook backwards": changed(lambda m: m.decoder.register_full_backward_hook(lambda *_: None)),
    "forward": changed(lambda m: setattr(m, "forward", lambda images: images)),
    "encode": changed(lambda m: setattr(m, "encode", lambda images: images)),
    "decode": changed(lambda m: setattr(m, "decode", lambda codes: codes)),
    "weight norm": changed(lambda m: nn.utils.parametrizations.weight_norm(m.encoder[0])),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_networks_are_refused(name):
    with pytest.raises(ValueError, match=r"expected Autoencoders without batch_norm or Var.*SiLU"):
        stack([UNKNOWN[name]])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((dense(), other) for other in (dense(nn.ReLU), dense(sizes=LETTER), vae())),
        (dense(LEAKY), dense(partial(nn.LeakyReLU, 0.3))),
        (dense(), dense().double()),
        (dense(), changed(lambda m: m.encoder[0].weight.requires_grad_(False))),
    ],
)
def test_networks_must_be_alike(one, other):
    with pytest.raises(ValueError, match="got 2 of 2 kinds"):
        stack([one, other])
    with pytest.raises(ValueError, match="got 0 of 0 kinds"):
        stack([])


def test_a_layer_changed_before_stacking_counts_and_after_it_too():
    model = changed(lambda m: m.encoder.__setitem__(1, nn.ReLU()))
    model.decoder.append(nn.Tanh())
    networks = stack([model, copy.deepcopy(model)])
    assert torch.allclose(networks(IMAGES)[1], model(IMAGES), atol=1e-6)
    assert_same_gradients(networks, IMAGES, IMAGES, bce)
    networks.network.decoder[1] = nn.SiLU()
    networks.network.decoder.insert(0, nn.Sigmoid())
    assert_same_gradients(networks, IMAGES, IMAGES, bce)
    networks.network.decoder[1] = nn.Softsign()
    with pytest.raises(ValueError, match="expected Autoencoders"):
        Backpropagation(networks, bce)
    assert set(FORWARD) == {type(make()) for make in ACTIVATIONS}  # all of them are tested
