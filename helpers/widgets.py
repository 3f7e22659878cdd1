"""Sliders. Each explorer is made of ordinary ipywidgets: controls, one picture that stays, and a line of text.

A move calls a `draw` function that makes a small picture with PIL; no figure is made in a callback. Each explorer
draws its random numbers from a generator of its own, so moving a slider never changes a training.
"""

import base64
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from helpers import noise
from helpers.evaluation import nearest, outlier_score, pixel_errors, psnr, rms_distances
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.page import LatentMap, pack, pack_decoder
from helpers.plotting import COLOURS, DASHES, plot_codes, plot_curves, plot_thumbnails
from helpers.training import kl_divergence

MAP_SIDE = 400  # pixels, like all sizes below
MARK, MARK_EDGE = (0, 0, 0), (255, 255, 255)


@torch.no_grad()
def latent_explorer(model: nn.Module, images: Tensor, labels: Sequence[str], start: Sequence[float] | None = None):
    """Two sliders that move through a 2-D latent plane; the decoded image follows, its place is marked on the map.

    images (N, 1, H, W) are on the map: by their labels if they are letters (all pixels 0 or 1), else as small pictures.
    The code of a variational autoencoder is its mean. start: the first code, by default the middle of the map.
    """
    codes, letters = _codes(model, images), _are_letters(images)
    if codes.shape[1] != 2:
        raise ValueError(f"latent_explorer: expected a model with latent_dim 2, got {codes.shape[1]}")
    bounds = _bounds(model, codes)
    background, place = _map(codes, images, labels, bounds, letters)

    @torch.no_grad()
    def draw(z1, z2):
        panels, text = _decoded(model, torch.tensor([[z1, z2]]), images, labels, letters)
        left = background.copy()
        _mark(left, *place(z1, z2))
        return _beside(left, _panels(images.shape, panels, black=not letters)), text

    start = [(a + b) / 2 for a, b in bounds] if start is None else start
    sliders = [
        widgets.FloatSlider(
            start[i], min=a, max=b, step=(b - a) / 100, readout_format=".2f", **_wide(f"z{i + 1} (code, no unit)")
        )
        for i, (a, b) in enumerate(bounds)
    ]
    return _explorer(sliders, draw)


@torch.no_grad()
def latent_map(
    model: nn.Module,
    images: Tensor,
    labels: Sequence[str],
    start: Sequence[float] | None = None,
    dimensions: tuple[int, int] | None = None,
) -> LatentMap:
    """A map of the latent space that lives in the page: it moves without a kernel, and in the saved page on the web.

    A cursor, moved by mouse, touch or the arrow keys, and what the model decodes there. images (N, 1, H, W) are on the
    map: by their labels if they are letters (all pixels 0 or 1), else as small pictures. Lines part the *basins*, the
    areas where another of the images is the nearest to the decoded one.
    dimensions: of a code with more than two numbers the map shows a plane, along these two, counted from 1; by default
    the two in which the codes differ most. Sliders hold the other numbers.
    start: the first code, (latent_dim,), by default the mean of the codes. The code of a variational autoencoder is its
    mean. Raises ValueError for a code of one number, and for a start, dimensions or a decoder that don't fit.
    """
    if not isinstance(model, Autoencoder | VariationalAutoencoder):
        raise ValueError(f"latent_map: expected an Autoencoder or a VariationalAutoencoder, got {type(model).__name__}")
    codes, letters = _codes(model, images), _are_letters(images)
    latent_dim = codes.shape[1]
    if latent_dim < 2:
        raise ValueError(f"latent_map: expected a model with latent_dim 2 or more, got {latent_dim}")
    if len(labels) != len(images):
        raise ValueError(f"latent_map: expected {len(images)} labels, got {len(labels)}")
    if dimensions is None:
        dimensions = sorted((codes.std(dim=0).argsort(descending=True)[:2] + 1).tolist())
    dimensions = list(dimensions)
    if (
        len(dimensions) != 2
        or dimensions[0] == dimensions[1]
        or any(i not in range(1, latent_dim + 1) for i in dimensions)
    ):
        raise ValueError(f"dimensions: expected two different numbers from 1 to {latent_dim}, got {dimensions}")
    start = codes.mean(dim=0).tolist() if start is None else [float(value) for value in start]
    if len(start) != latent_dim:
        raise ValueError(f"start: expected {latent_dim} numbers, got {len(start)}")

    right, up = (int(dimension) - 1 for dimension in dimensions)
    bounds = _bounds(model, codes)
    if not all(low <= value <= high for value, (low, high) in zip(start, bounds, strict=True)):
        raise ValueError(f"start: expected a code on the map, within {bounds}, got {start}")
    still, place = _map(codes[:, [right, up]], images, labels, [bounds[right], bounds[up]], letters)
    _mark(still, *place(start[right], start[up]))
    panels, text = _decoded(model, torch.tensor([start]), images, labels, letters)
    still = _beside(still, _panels(images.shape, panels, black=not letters)).quantize(32)
    data = {
        "letters": letters,
        "labels": [str(label) for label in labels],
        "shape": images.shape[-2:],
        "images": pack((255 * images).round()),
        "codes": [[round(value, 5) for value in code] for code in codes.tolist()],
        "bounds": bounds,
        "start": start,
        "dimensions": [right, up],
        "layers": pack_decoder(model.decoder, bounds),
    }
    description = f"Map of the codes of {len(images)} images, and the image decoded at its cursor. {text}"
    return LatentMap(data, _png(still, compress_level=9), description)


@torch.no_grad()
def interpolation_explorer(
    model: nn.Module, images: Tensor, labels: Sequence[str], start: Sequence[str] | None = None, path=torch.lerp
):
    """A slider that walks from the code of one image to the code of another.

    start: the labels of the first pair, by default the first and the second image. path: a function from two codes
    (latent_dim,) and the share of the way t in [0, 1] to a code; by default a straight line.
    """
    codes, letters = _codes(model, images), _are_letters(images)

    @torch.no_grad()
    def draw(first, second, t):
        panels, text = _decoded(model, path(codes[first], codes[second], t).unsqueeze(0), images, labels, letters)
        names = [f"{word} {labels[i]}" if letters else word for word, i in (("from", first), ("to", second))]
        panels = {names[0]: images[first], **panels, names[1]: images[second]}
        text = text if letters else f"From {labels[first]} to {labels[second]}. {text}"
        return _panels(images.shape, panels, 200 if letters else 160, black=not letters), text

    first, second = (labels.index(label) for label in start) if start else (0, 1)
    what = "letter" if letters else "image"
    controls = [
        _choice(f"from {what}", labels, first),
        _choice(f"to {what}", labels, second),
        widgets.FloatSlider(0.5, min=0, max=1, step=0.01, **_wide("t (share of the way)")),
    ]
    return _explorer(controls, draw)


@torch.no_grad()
def dimension_explorer(model: nn.Module, images: Tensor, labels: Sequence[str], start: int = 0, bound: float = 3.0):
    """A slider for each number of the code of a variational autoencoder, its KL divergence beside it.

    images (N, 1, H, W) with their labels; the dropdown sets all sliders to the mean code of one of them. The lines on
    the left show the mean codes of all images in each dimension. The sliders go from -bound to bound, the codes are
    cut there. Raises ValueError for another kind of model, and for a bound that is not > 0.
    """
    _check_variational(model)
    if not bound > 0:
        raise ValueError(f"bound: expected a number > 0, got {bound}")
    mu, logvar = model.encode(images)
    divergences = kl_divergence(mu, logvar).mean(dim=0)
    codes = mu.clamp(-bound, bound)
    sliders = [
        widgets.FloatSlider(
            float(codes[start, i]),
            min=-bound,
            max=bound,
            step=bound / 60,
            readout_format=".2f",
            **_wide(f"z{i + 1} (its KL: {divergences[i]:.2f} nats)"),
        )
        for i in range(codes.shape[1])
    ]
    background, letters = _code_lines(codes, divergences, bound), _are_letters(images)

    @torch.no_grad()
    def draw(*values):
        panels, text = _decoded(model, torch.tensor([values]), images, labels, letters)
        left = background.copy()
        for i, value in enumerate(values):
            _mark(left, *_place_on_line(i, value, bound), radius=5)
        panels = {"start": images[chooser.value], **panels}
        return _beside(left, _panels(images.shape, panels, 160, black=not letters)), text

    def go_to(change):
        for slider, value in zip(sliders, codes[change.new].tolist(), strict=True):
            slider.unobserve(explorer.update, names="value")  # one picture when all have moved, not one for each
            slider.value = value
            slider.observe(explorer.update, names="value")
        explorer.update()

    chooser = _choice("start from", labels, start)
    explorer = _explorer(sliders, draw)
    chooser.observe(go_to, names="value")
    explorer.children = (chooser, *explorer.children)
    return explorer


@torch.no_grad()
def model_explorer(
    models: Mapping[str, nn.Module],
    images: Tensor,
    labels: Sequence[str],
    name: str,
    start: int = 0,
    samples: int = 4,
    seed: int = 0,
):
    """A slider that chooses among trained variational autoencoders: a reconstruction, and samples from the prior.

    models: what the slider shows -> model; name: what the slider chooses, with its unit. images (N, 1, H, W) with their
    labels. seed: of the samples, the same numbers for all models. Raises ValueError for another kind of model, or none.
    """
    if not models:
        raise ValueError("models: expected at least one")
    outputs, drawn, texts, letters = {}, {}, {}, _are_letters(images)
    for key, model in models.items():  # computed once: the callback only draws
        _check_variational(model)
        logits, mu, logvar = model(images)
        outputs[key] = torch.sigmoid(logits)
        epsilon = torch.randn(samples, model.latent_dim, generator=torch.Generator().manual_seed(seed))
        drawn[key] = torch.sigmoid(model.decode(epsilon))
        divergences = kl_divergence(mu, logvar).mean(dim=0)
        error = (outputs[key] - images).square().mean()
        texts[key] = (
            f"{name} {key}: mean squared error of all images {error:.4f}, KL {divergences.sum():.2f} nats, "
            f"in each dimension {', '.join(f'{value:.2f}' for value in divergences.sort(descending=True).values)}"
        )

    def draw(index, key):
        panels = {"original": images[index], f"from mu, {key}": outputs[key][index]}
        panels |= {f"sample {i + 1}": sample for i, sample in enumerate(drawn[key])}
        return _panels(images.shape, panels, 120, black=not letters), f"{labels[index]}; {texts[key]}"

    controls = [_choice("image", labels, start), widgets.SelectionSlider(options=list(models), **_wide(name))]
    return _explorer(controls, draw)


def outlier_explorer(
    model: nn.Module, images: Tensor, labels: Sequence[str], threshold: float, start: str, seed: int = 0
):
    """A slider that flips more and more pixels of one image, with the outlier score of the result.

    images (N, 1, H, W) with values 0 and 1. threshold: a score above it is called an outlier. The pixels are flipped in
    a random order that stays the same until the button is pressed.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = images[0].numel()
    order = torch.randperm(pixels, generator=generator)

    @torch.no_grad()
    def draw(index, flips):
        image = images[index : index + 1].clone()
        image.view(-1)[order[:flips]] = 1 - image.view(-1)[order[:flips]]
        score = float(outlier_score(model, image))
        panels = {labels[index]: images[index], "flipped": image, "decoded": torch.sigmoid(model(image))}
        verdict = "an outlier" if score > threshold else "not an outlier"
        text = f"outlier score {score:.3f}, threshold {threshold:.3f}: {verdict}"
        return _beside(_panels(images.shape, panels), _gauge(score, threshold)), text

    def new_order(_):
        order.copy_(torch.randperm(pixels, generator=generator))
        explorer.update()

    letter = _choice("letter", labels, labels.index(start))
    flips = widgets.IntSlider(0, min=0, max=pixels, **_wide("flipped pixels (count)"))
    explorer = _explorer([letter, flips], draw)
    button = _button("flip other pixels")
    button.on_click(new_order)
    explorer.children = (letter, flips, button, *explorer.children[2:])
    return explorer


NOISE_KINDS = {"Gaussian (sigma)": noise.gaussian, "salt and pepper (p)": noise.salt_and_pepper}


def psnr_caption(pixels: Tensor, image: Tensor) -> str:
    """A caption for `noise_explorer`: the PSNR of one picture."""
    return f"{psnr(pixels, image).item():.1f} dB"


def noise_explorer(
    images: Tensor,
    labels: Sequence,
    denoisers: Mapping[str, Callable[[Tensor, float], Tensor]] | None = None,
    captions: Sequence[Callable[[Tensor, Tensor], str]] = (psnr_caption,),
    kinds: Mapping[str, Callable[..., Tensor]] = NOISE_KINDS,
    level: float = 0.5,
    most: float = 1.0,
    start: int = 0,
    seed: int = 0,
):
    """Controls for the image, the kind of noise and its level: original, noisy, and what each denoiser makes of it.

    images (N, 1, H, W) with one label each. denoisers: name -> function from noisy images (1, 1, H, W) and the level to
    pixel values. captions: functions (pixels, image) -> text, a line each, below every picture but the original.
    kinds: name -> function (images, level, generator=...). level, most: where the slider of the level starts and ends.
    The draw of the noise stays the same until the button is pressed: what changes is the level alone.
    """
    draw_seed = [seed]

    @torch.no_grad()
    def draw(index, kind, level):
        image = images[index : index + 1]
        noisy = kinds[kind](image, level, generator=torch.Generator().manual_seed(draw_seed[0]))
        outputs = {f"noisy, {level:.3f}": noisy} | {
            name: denoise(noisy, level) for name, denoise in (denoisers or {}).items()
        }
        panels = {f"original\n{labels[index]}" + "\n" * (len(captions) - 1): image}
        for name, pixels in outputs.items():
            pixels = pixels.reshape(image.shape)
            panels["\n".join([name, *(caption(pixels, image) for caption in captions)])] = pixels
        return _panels(image.shape, panels, height=168), f"{kind}, level {level:.3f}, draw {draw_seed[0] - seed + 1}"

    def new_draw(_):
        draw_seed[0] += 1
        explorer.update()

    names = list(kinds)
    chooser, kind = _chooser(labels, start), _choice("kind of noise", names, 0, names)
    slider = widgets.FloatSlider(
        level, min=0, max=most, step=most / 100, readout_format=".3f", **_wide("noise level (sigma or p)")
    )
    if len(names) > 1:
        controls, make = [chooser, kind, slider], draw
    else:
        controls, make = [chooser, slider], lambda index, level: draw(index, names[0], level)
    explorer = _explorer(controls, make)
    button = _button("new draw of the noise")
    button.on_click(new_draw)
    explorer.children = (*controls, button, *explorer.children[len(controls) :])
    return explorer


def error_caption(pixels: Tensor, image: Tensor) -> str:
    """A caption for `noise_explorer`: how many pixels are wrong once the picture is cut at 0.5."""
    return f"wrong pixels: {int(pixel_errors(pixels - 0.5, image))}"


def training_noise_explorer(
    networks: Mapping[str, nn.Module],
    images: Tensor,
    labels: Sequence[str],
    p: float = 0.1,
    start: int = 0,
    draws: int = 100,
    seed: int = 0,
):
    """Choose a network by the noise of its training, and the noise of the test: one letter, and the mean over many.

    networks: name of the training noise -> network. images (N, 1, H, W), clean, all of them are used for the mean.
    seed: of the test noise; take one with which no network was trained.
    """
    clean = images.repeat(draws, 1, 1, 1)

    @torch.no_grad()
    def draw(index, name, p):
        noisy = noise.salt_and_pepper(clean, p, torch.Generator().manual_seed(seed))
        logits = networks[name](noisy)
        errors = pixel_errors(logits, clean)
        pixels = torch.sigmoid(logits[index])
        panels = {
            "original": images[index],
            f"noisy, p = {p:.3f}": noisy[index],
            "decoded": pixels,
            "cut at 0.5": (pixels > 0.5).float(),
        }
        text = f"{draws} draws of all letters: {errors.float().mean():.2f} wrong pixels a letter, "
        return _panels(images.shape, panels, height=168), f"{text}{(errors == 0).float().mean():.1%} without a mistake"

    names = list(networks)
    controls = [
        _choice("letter", labels, start),
        _choice("noise in training", names, 0, names),
        widgets.FloatSlider(
            p, min=0, max=0.5, step=0.005, readout_format=".3f", **_wide("p of the test (probability)")
        ),
    ]
    return _explorer(controls, draw)


@torch.no_grad()
def direction_explorer(model: nn.Module, images: Tensor, labels: Sequence, directions: int = 8, start: int = 0):
    """Sliders that push the code of an image along a principal direction of all codes; the decoded image follows.

    The directions are those of principal component analysis of the codes of `images` (N, 1, H, W), the widest first;
    a step is counted in standard deviations of the codes along that direction.
    """
    codes = model.encode(images)
    _, sizes, axes = torch.linalg.svd(codes - codes.mean(dim=0), full_matrices=False)
    steps = axes * (sizes / (len(codes) - 1) ** 0.5).unsqueeze(1)  # one standard deviation in each direction

    @torch.no_grad()
    def draw(index, direction, amount):
        moved = codes[index] + amount * steps[direction - 1]
        pixels = torch.sigmoid(model.decode(torch.stack([codes[index], moved])))
        panels = {"original": images[index], "decoded": pixels[0], f"moved {amount:+.1f} sd": pixels[1]}
        share = float(sizes[direction - 1] ** 2 / sizes.square().sum())
        return _panels(images.shape, panels, height=168), (
            f"The image is a {labels[index]}. Direction {direction} has {share:.0%} of the variance of the codes."
        )

    controls = [
        _chooser(labels, start),
        widgets.IntSlider(1, min=1, max=min(directions, len(sizes)), **_wide("direction (number)")),
        widgets.FloatSlider(1.5, min=-3, max=3, step=0.1, **_wide("step (standard deviations)")),
    ]
    return _explorer(controls, draw)


class LiveCurve:
    """Shows the loss while `fit` trains: ``fit(..., on_epoch=LiveCurve(...))``. A new picture at most once a second.

    limits: known values of the loss, name -> value, drawn as lines.
    """

    def __init__(self, ylabel: str, limits: Mapping[str, float] | None = None):
        self.ylabel, self.limits, self.shown, self.handle = ylabel, limits or {}, 0.0, None

    def __call__(self, history) -> None:
        now = time.perf_counter()
        if not history.loss or (not history.seconds and now - self.shown < 1):
            return
        self.shown = now
        if self.handle is None:
            self.handle = display(self._draw(history), display_id=True)
        else:
            self.handle.update(self._draw(history))

    def _draw(self, history):
        figure = Figure(figsize=(6, 2.8), dpi=80, layout="constrained")  # not of pyplot: nothing to close
        curves = {"training": history.loss} | ({"validation": history.validation} if history.validation else {})
        epochs = range(1, len(history.loss) + 1)
        ax = plot_curves({k: (epochs, v) for k, v in curves.items()}, "epochs", self.ylabel, ax=figure.add_subplot())
        for i, (name, value) in enumerate(self.limits.items(), start=2):
            ax.axhline(value, color=COLOURS[i % 7], linestyle=DASHES[i % 7], label=name)
        ax.legend(fontsize=8)
        ax.set_title(f"epoch {len(history.loss)}: {history.loss[-1]:.4f}", fontsize=9)
        ax.xaxis.get_major_locator().set_params(integer=True)
        return figure


# ---- the parts that the explorers share ------------------------------------------------------------------------------


class Explorer(widgets.VBox):
    """Controls, the picture and a line of text, one below the other. `update` draws again.

    Where widgets can't be shown (a saved notebook, a page on the web) there is a still picture in its place.
    """

    update: Callable[[], None]

    def _repr_mimebundle_(self, **kwargs):
        picture = next(child for child in self.children if isinstance(child, widgets.Image))
        still = {
            "text/plain": "Run this cell to get the sliders.",
            "image/png": base64.b64encode(picture.value).decode(),
        }
        return super()._repr_mimebundle_(**kwargs) | still


def _codes(model, images):
    """The code of each image; the mean if the model gives a mean and a variance."""
    code = model.encode(images)
    return code[0] if isinstance(code, tuple) else code


def _check_variational(model):
    if not isinstance(model, VariationalAutoencoder):
        raise ValueError(f"expected a VariationalAutoencoder, got {type(model).__name__}")


def _are_letters(images):
    """Letters have pixels 0 and 1, ink on white paper; grey images are shown as light on black."""
    return bool(((images == 0) | (images == 1)).all())


def _decoded(model, code, images, labels, letters):
    """Panels of what a code (1, latent_dim) decodes to, and a line about the nearest of the images."""
    pixels = torch.sigmoid(model.decode(code))
    if letters:
        panels = {"decoded": pixels, "cut at 0.5": (pixels > 0.5).float()}
        return panels, _describe(*nearest(pixels, images), labels)
    distance, index = rms_distances(pixels, images).min(dim=1)
    name = labels[int(index)]
    text = f"The nearest image of the set is {name}, at a distance of {float(distance):.3f} (root mean square)."
    return {"decoded": pixels, "nearest of the set": images[int(index)]}, text


def _explorer(controls, draw):
    """Join controls and a function draw(*values) -> (PIL image, text) into an Explorer."""
    picture = widgets.Image(format="png", layout={"flex": "none"})  # one layout for its life
    text = widgets.Label()

    def update(_=None):
        image, text.value = draw(*(control.value for control in controls))
        picture.value = _png(image)
        picture.layout.width, picture.layout.height = f"{image.width}px", f"{image.height}px"

    update()
    for control in controls:
        control.observe(update, names="value")
    explorer = Explorer([*controls, picture, text])
    explorer.update = update
    return explorer


def _wide(description):
    return {"description": description, "style": {"description_width": "170px"}, "layout": {"width": "480px"}}


def _button(description):
    return widgets.Button(description=description, layout={"width": "max-content"})  # else a long text is cut


def _choice(description, labels, index, values=None):
    values = range(len(labels)) if values is None else values
    return widgets.Dropdown(
        options=list(zip(labels, values, strict=True)),
        value=values[index],
        description=description,
        style={"description_width": "170px"},
        layout={"width": "300px" if max(map(len, labels)) < 16 else "600px"},
    )


def _chooser(labels, start):
    """Which image: by name if the labels are names, else by number."""
    if isinstance(labels[0], str):
        return _choice("letter", labels, start)
    return widgets.IntSlider(start, min=0, max=len(labels) - 1, **_wide("image (number)"))


def _bounds(model, codes):
    """The range of each number of a code. That of a VAE has a width of at least 2, also where all codes are at 0."""
    least = 2.0 if isinstance(model, VariationalAutoencoder) else 0.1
    low, high = codes.min(dim=0).values.tolist(), codes.max(dim=0).values.tolist()
    return [_round_bounds(a, b, least) for a, b in zip(low, high, strict=True)]


def _round_bounds(low, high, least):
    """The range of a slider: (0, 1) for codes that lie in it, else the range of the codes and a little more."""
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    margin = max(0.15 * (high - low), (least - (high - low)) / 2)
    return math.floor(100 * (low - margin)) / 100, math.ceil(100 * (high + margin)) / 100


def _map(codes, images, labels, bounds, letters):
    """The map of the codes as a picture, and a function from a code to its place on it. Made once for each explorer."""
    figure = Figure(figsize=(MAP_SIDE / 80, MAP_SIDE / 80), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    if letters:
        ax = plot_codes(codes, labels, ax=figure.add_subplot())
    else:
        ax = plot_thumbnails(codes, images, ax=figure.add_subplot(), zoom=0.9)
    (a, b), (c, d) = bounds
    ax.set(xlim=(a - 0.08 * (b - a), b + 0.08 * (b - a)), ylim=(c - 0.08 * (d - c), d + 0.08 * (d - c)))
    canvas.draw()
    transform = ax.transData.frozen()

    def place(z1, z2):
        x, y = transform.transform((z1, z2))
        return x, MAP_SIDE - y

    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), place


def _mark(picture, x, y, radius=7):
    """A ring with a cross: black with a white edge, to be seen on any ground."""
    draw = ImageDraw.Draw(picture)
    for colour, width in ((MARK_EDGE, 5), (MARK, 2)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
        draw.line((x - radius - 6, y, x + radius + 6, y), fill=colour, width=width - 1)
        draw.line((x, y - radius - 6, x, y + radius + 6), fill=colour, width=width - 1)


LINE_LEFT, LINE_WIDTH, LINE_GAP = 100, 240, 34


def _code_lines(codes, divergences, bound):
    """A line for each dimension from -bound to bound, with its KL and a tick for the code of every image."""
    sheet = Image.new("RGB", (LINE_LEFT + LINE_WIDTH + 20, LINE_GAP * (codes.shape[1] + 1)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, values in enumerate(codes.T.tolist()):
        (left, y), (right, _) = (_place_on_line(i, end, bound) for end in (-bound, bound))
        pen.line((left, y, right, y), fill="grey")
        pen.text((left - 10, y), f"z{i + 1}, KL {divergences[i]:.2f}", fill="black", font=font, anchor="rm")
        for value in values:
            x, _ = _place_on_line(i, value, bound)
            pen.line((x, y - 6, x, y + 6), fill=COLOURS[1])
    for end in (-bound, bound):
        pen.text(_place_on_line(codes.shape[1] - 0.2, end, bound), f"{end:g}", fill="black", font=font, anchor="mm")
    return sheet


def _place_on_line(i, value, bound):
    return LINE_LEFT + LINE_WIDTH * (value + bound) / (2 * bound), LINE_GAP * (i + 0.5)


def _panels(shape, panels, height=200, black=False):
    """Images side by side, enlarged, a caption below each. shape: (N, 1, H, W); values 0 to 1.

    1 is black ink on white paper, or with `black` light on black.
    """
    scale = height // shape[-2]
    size = (scale * shape[-1], scale * shape[-2])
    lines = max(caption.count("\n") for caption in panels)
    sheet = Image.new("RGB", ((size[0] + 16) * len(panels), size[1] + 40 + 18 * lines), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, (caption, pixels) in enumerate(panels.items()):
        light = pixels.reshape(shape[-2:]).clamp(0, 1)
        grey = (255 * (light if black else 1 - light)).round().byte().numpy()
        left = i * (size[0] + 16) + 8
        sheet.paste(Image.fromarray(grey).resize(size, Image.Resampling.NEAREST), (left, 8))
        pen.rectangle((left - 1, 7, left + size[0], 8 + size[1]), outline="grey")
        pen.text((left + size[0] / 2, size[1] + 14), caption, fill="black", font=font, anchor="ma", align="center")
    return sheet


def _gauge(score, threshold, height=200, top=0.3):
    """An upright bar for a score, from 0 to `top`, with a line at the threshold."""
    sheet = Image.new("RGB", (150, height + 40), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    bottom = 8 + height
    score_y, threshold_y = (bottom - height * min(value, top) / top for value in (score, threshold))
    pen.rectangle((20, score_y, 60, bottom), fill="#D55E00" if score > threshold else "#0072B2")
    pen.rectangle((20, 8, 60, bottom), outline="grey")
    pen.line((12, threshold_y, 68, threshold_y), fill="black", width=2)
    pen.text((84, threshold_y), "threshold", fill="black", font=font, anchor="ld")
    for value, y in ((0, bottom), (top, 8)):
        pen.text((72, y), f"{value:g}", fill="black", font=font, anchor="ld" if value == 0 else "lm")
    pen.text((40, height + 14), "score", fill="black", font=font, anchor="ma")
    return sheet


def _beside(left, right):
    sheet = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    sheet.paste(left, (0, (sheet.height - left.height) // 2))
    sheet.paste(right, (left.width, (sheet.height - right.height) // 2))
    return sheet


def _describe(distance, index, labels):
    name, count = labels[int(index)], int(distance)
    if count == 0:
        return f"This is the letter {name}."
    return f"Not a letter of the set: the nearest one, {name}, differs in {count} pixel{'s' if count > 1 else ''}."


def _png(image, compress_level=1):
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=compress_level)
    return buffer.getvalue()
