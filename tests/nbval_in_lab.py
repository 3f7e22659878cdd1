"""nbval on kernels that a JupyterLab owns, so that the browser finds each notebook as nbval left
it.

And what nbval lets pass: stack traces and warnings in cells whose output is not compared.
"""

import re

import nbval.kernel
import pytest
from lab import NOTEBOOKS, the_lab
from nbval.plugin import IPyNbCell, IPyNbFile

_start_new_kernel, _setup = nbval.kernel.start_new_kernel, IPyNbFile.setup


def _setup_in_lab(file):
    """Solutions have no sliders: they keep kernels of their own, which end with them."""

    def start(**options):
        if file.path.parent != NOTEBOOKS:
            return _start_new_kernel(**options)
        options["stderr"].close()  # the server knows where to write
        kernel = the_lab().kernel(f"notebooks/{file.path.name}")
        return kernel, kernel.client

    nbval.kernel.start_new_kernel = start
    _setup(file)


IPyNbFile.setup = _setup_in_lab


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    yield
    if isinstance(item, IPyNbCell):
        for output in item.test_outputs:
            text = output.get("text", "") if output.output_type == "stream" else ""
            if re.search(r"Traceback|Warning:|Exception ignored", text):
                item.raise_cell_error(f"a stack trace or a warning:\n{text}")
