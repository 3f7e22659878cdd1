"""Helpers for the autoencoder practical. Importing this package does no work.

To read, in order: data, noise, losses, models, stack, training, evaluation, plotting, widgets. Not
to be read: `page` (instruments of the notebooks' pages), `checks` (of the exercises), `inner` (what
works behind the modules, such as the gradients of a stack by hand, for speed).
"""

import os

# Read once, when torch is loaded. PyTorch's threads (GNU OpenMP, on Linux) wait for each other by
# turning round and round; on a busy computer that can take ten times as long as the work.
# So they turn briefly, then sleep.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
