"""Sliders. An explorer is made of ordinary ipywidgets: controls, one picture, a line of text.

`explorer(controls, draw)`, see `inner.explorer`, calls your function after every move. Those made
here draw random numbers with generators of their own: a slider never changes a training.
Images are (N, 1, H, W) in [0, 1] and have N names, `labels`. Wrong arguments raise ValueError.
"""

import torch
from torch import Tensor

from helpers import noise
from helpers.evaluation import psnr
from helpers.inner.expect import expect
from helpers.inner.explorer import Explorer
from helpers.inner.live_curve import LiveCurve
from helpers.losses import kl_divergence
from helpers.models import VariationalAutoencoder
from helpers.page import pictures
from helpers.page.controls import button, choice, image_choice, name_slider, slider
from helpers.page.pictures import beside, panels

__all__ = ["LiveCurve", "beside", "name_slider", "panels"]  # for explorers of the notebooks
explorer = Explorer


def psnr_caption(pixels: Tensor, image: Tensor) -> str:
    """A caption for `noise_explorer`: the PSNR of one picture."""
    return f"{psnr(pixels, image).item():.1f} dB"


KINDS = {"Gaussian (sigma)": noise.gaussian, "salt and pepper (p)": noise.salt_and_pepper}


def noise_explorer(
    images, labels, denoisers=None, captions=None, kinds=KINDS, level=0.5, start=0, seed=0
) -> Explorer:
    """Choose an image, the kind of noise and its level: original, noisy, and what denoisers make.

    denoisers: name -> function from noisy images (1, 1, H, W) and the level to pixel values.
    captions: functions (pixels, image) -> text, below every picture but the original; by default
    `psnr_caption`.
    kinds: name -> function (images, level, generator=...). level: where its slider starts.
    start: index of an image. The noise, from `seed`, stays until the button is pressed.
    """
    pictures.check_images(images, labels)
    names, captions = list(kinds), [psnr_caption] if captions is None else captions

    def draw(index, kind, level, draws):
        image, generator = images[index : index + 1], torch.Generator().manual_seed(seed + draws)
        noisy = kinds[names[kind]](image, level, generator=generator)
        outputs = {f"noisy, {level:.3f}": noisy}
        for name, denoise in (denoisers or {}).items():
            outputs[name] = denoise(noisy.clone(), level).reshape(image.shape)
        shown = {f"original\n{labels[index]}" + "\n" * (len(captions) - 1): image}
        for name, pixels in outputs.items():
            shown["\n".join([name, *(caption(pixels, image) for caption in captions)])] = pixels
        return panels(shown, 168), f"{names[kind]}, level {level:.3f}, draw {draws + 1}"

    which, again = image_choice(labels, start), button("new draw of the noise")
    name = names[0] if len(names) == 1 else "noise level (sigma or p)"
    how_much = slider(name, 0, 1.0, level, 0.01, digits=3)
    if len(names) == 1:
        return explorer([which, how_much, again], lambda i, *values: draw(i, 0, *values))
    return explorer([which, choice("kind of noise", names), how_much, again], draw)


def interpolation_explorer(model, images, labels, start) -> Explorer:
    """A slider that walks straight from the code of one image to that of another.

    start: their names.
    """
    codes, paper = pictures.codes_of(model, images, labels), pictures.paper_of(images)
    expect({*start} <= {*labels}, "start: expected two of the labels", start)
    letters = pictures.are_letters(images)

    def draw(first, second, t):
        code = torch.lerp(codes[first], codes[second], t).unsqueeze(0)
        shown, text = pictures.decoded(model, code, images, labels)
        ends = [f"from {labels[first]}", f"to {labels[second]}"] if letters else ["from", "to"]
        shown = {ends[0]: images[first], **shown, ends[1]: images[second]}
        text = text if letters else f"From {labels[first]} to {labels[second]}. {text}"
        return panels(shown, 200 if letters else 160, paper), text

    what, (first, second) = "letter" if letters else "image", map(list(labels).index, start)
    ends = choice(f"from {what}", labels, first), choice(f"to {what}", labels, second)
    return explorer([*ends, slider("t (share of the way)", 0, 1, 0.5, 0.01)], draw)


def dimension_explorer(model: VariationalAutoencoder, images, labels) -> Explorer:
    """A slider from -3 to 3 for each number of the code, with its KL divergence.

    The list sets all sliders to the mean code of an image. The lines on the left show those of all.
    """
    good, kind = isinstance(model, VariationalAutoencoder), type(model).__name__
    expect(good, "expected a VariationalAutoencoder", kind)
    codes, paper = pictures.codes_of(model, images, labels).clamp(-3, 3), pictures.paper_of(images)
    with torch.no_grad():
        divergences = kl_divergence(*model.encode(images)).mean(dim=0)
    background, place = pictures.code_lines(codes, divergences, 3)

    def draw(index, *values):
        shown, text = pictures.decoded(model, torch.tensor([values]), images, labels)
        left = pictures.marked(background, [place(i, z) for i, z in enumerate(values)], radius=5)
        return beside(left, panels({"start": images[index], **shown}, 160, paper)), text

    def go_to(change):
        result.paused = True  # one picture when all have moved, not one for each
        for one, value in zip(sliders, codes[change.new].tolist(), strict=True):
            one.value = value
        result.paused = False

    sliders = [
        slider(f"z{i + 1} (its KL: {nats:.2f} nats)", -3.0, 3.0, float(codes[0, i]), 0.05)
        for i, nats in enumerate(divergences)
    ]
    chooser = choice("start from", labels)
    chooser.observe(go_to, names="value")
    result = explorer([chooser, *sliders], draw)
    return result
