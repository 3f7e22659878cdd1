"""Marking runs a notebook, says what the checks said, and goes on where a cell stops."""

import mark
import nbformat
from nbformat.v4 import new_code_cell, new_notebook


def test_what_the_checks_say_and_where_it_stopped(tmp_path):
    cells = [
        "from helpers.checks.mnist_denoiser import check_psnr",
        "from helpers.evaluation import psnr\ncheck_psnr(psnr)",
        "1 / 0",
        "check_psnr(lambda pixels, images: ...)",
    ]
    path = tmp_path / "handed_in.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    right, stopped, missing = mark.said(path)
    assert right == "Exercise 1: right." and missing.startswith("Exercise 1: not yet")
    assert stopped == "cell 2 stopped: ZeroDivisionError: division by zero"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]  # nothing is left behind
