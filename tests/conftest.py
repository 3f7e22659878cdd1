"""Settings for all tests."""

import torch
from hypothesis import settings

# The same examples in every run, no files left behind, no limit on the time of one example.
settings.register_profile("practical", derandomize=True, database=None, deadline=None)
settings.load_profile("practical")

torch.set_num_threads(1)  # enough for tiny networks; two threads are much slower on a busy computer
