"""Helpers for the autoencoder practical: data, noise, models, training, evaluation, plotting, widgets, exercises.

Importing this package does no work: import the module that you need, for example ``from helpers import data``.
"""
