"""Settings for all tests, and which of them run after each other on one worker."""

import re

import nbval_in_lab
import torch
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# The same examples in every run, no files left behind, no limit on the time of one example.
settings.register_profile("practical", derandomize=True, database=None, deadline=None)
settings.load_profile("practical")

torch.set_num_threads(1)  # enough for tiny networks; two are much slower on a busy computer

LONGEST_FIRST = ["01_mnist_denoiser", "04_emoji_vae", "03_letter_denoiser", "02_letter_autoencoder"]


def pytest_configure(config):
    config.pluginmanager.register(nbval_in_lab)


def pytest_xdist_make_scheduler(config, log):
    class OneGroupAtATime(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _group(nodeid)

    return OneGroupAtATime(config, log)


def pytest_collection_modifyitems(items):
    """Long groups first, so that no worker waits at the end; a notebook, then its sliders."""

    def place(item):
        name = _group(item.nodeid).removeprefix("notebooks/")
        where = LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
        return where, item.path.suffix != ".ipynb"

    items.sort(key=place)


def _group(nodeid):
    """What runs on one worker: a notebook's cells and what is tested of it, or a file of tests."""
    notebook = re.search(r"notebooks/(solutions/)?\w+", nodeid)
    return notebook[0] if notebook else nodeid.partition("::")[0]
