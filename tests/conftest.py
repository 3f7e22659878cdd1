"""Settings for all tests."""

from hypothesis import settings

# The same examples in every run, no files left behind, no limit on the time of one example.
settings.register_profile("practical", derandomize=True, database=None, deadline=None)
settings.load_profile("practical")
