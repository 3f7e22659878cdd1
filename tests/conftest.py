"""Settings for all tests, and which of them run after each other on one worker."""

import nbval_in_lab
import pytest
import torch
from hypothesis import settings

# The same examples in every run, no files left behind, no limit on the time of one example.
settings.register_profile("practical", derandomize=True, database=None, deadline=None)
settings.load_profile("practical")

torch.set_num_threads(1)  # enough for tiny networks; two are much slower on a busy computer

LONGEST_FIRST = ["01_mnist_denoiser", "04_emoji_vae", "03_letter_denoiser", "02_letter_autoencoder"]


def pytest_configure(config):
    config.pluginmanager.register(nbval_in_lab)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """A group for each notebook: its cells, then its sliders in the browser. One for each file."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: (_place(_group(item)), item.path.suffix != ".ipynb"))


def _group(item):
    notebook = item.callspec.params.get("notebook") if hasattr(item, "callspec") else None
    if isinstance(notebook, str):  # the name of one, as in `browser/test_explorers.py`
        return notebook
    return item.path.relative_to(item.config.rootpath).with_suffix("").as_posix()


def _place(group):
    """Long groups first, so that no worker waits at the end."""
    name = group.removeprefix("notebooks/")
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
