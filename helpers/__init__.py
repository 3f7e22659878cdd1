"""Helpers for the autoencoder practical: data, noise, models, training, evaluation, plotting, widgets, exercises.

Import the module that you need, for example ``from helpers import data``, and before torch: see below.
"""

import os

# Read once, when torch is loaded. PyTorch's threads (GNU OpenMP, on Linux) wait for each other by turning round and
# round; on a busy computer that can take ten times as long as the work. So they turn briefly, then sleep.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
