"""Helpers for the autoencoder practical. Importing this package does no work.

Import the module that you need, for example ``from helpers import data``. To read, in order: data,
noise, losses, models, stack, training, evaluation, plotting, widgets. `page` holds instruments of
the notebooks' pages, `checks` the checks of the exercises.
"""
