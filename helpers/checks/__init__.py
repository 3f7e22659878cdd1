"""`holds` lists what is true; the checks behind the exercises, one file a notebook.

Each check prints one line: not yet, a hint, or right. No answer stops the notebook, changes its
images or its random numbers.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

NOT_YET = "not yet. Replace the ... by your own code and run the cell again."


class Reply(Exception):
    """What a check has to say, where it ends early."""


def exercise(number: int) -> Callable:
    """Makes a check of a function that returns a text, or raises it as a `Reply`."""

    def make(check):
        @functools.wraps(check)
        def run(*answers):
            dtype = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
            try:
                with torch.random.fork_rng(devices=[]):
                    text = check(*answers)
            except Reply as reply:
                text = str(reply)
            finally:
                torch.set_default_dtype(dtype)
            print(f"Exercise {number}: {text}")

        return run

    return make


@contextmanager
def caught(what: str):
    """Whatever the student's code raises becomes a `Reply`; an interrupt stays one."""
    try:
        yield
    except Reply:
        raise
    except (Exception, SystemExit) as error:
        try:
            text = f"{error}".partition("\n")[0]
        except Exception:  # the text of an error may fail, too
            text = "(its text can't be shown)"
        raise Reply(f"{what} stopped with {type(error).__name__}: {text}") from error


def holds(statements: Mapping[str, object]) -> None:
    """Print `✓ statement` for each that is true, else `✗` and that it does not hold here.

    statements: text -> a truth value, or a tensor of them that must all be true.
    """
    for statement, true in statements.items():
        if bool(torch.as_tensor(true).all()):
            print(f"✓ {statement}")
        else:
            print(f"✗ {statement}: with your settings this does not hold")


def call(function: Callable, *arguments, shape=None) -> Tensor:
    """The student's answer as float32 (of this shape). It gets copies: it may change them."""
    copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
    copies = [copy.deepcopy(a) if isinstance(a, nn.Module) else a for a in copies]
    with caught("your function"):
        answer = function(*copies)
        if is_missing(answer):
            raise Reply(NOT_YET)
        if not isinstance(answer, Tensor):
            raise Reply(f"hint: return a tensor; yours returned {type(answer).__name__}.")
        if shape is not None and answer.shape != shape:
            expected, got = tuple(shape), tuple(answer.shape)
            raise Reply(f"hint: expected a tensor of shape {expected}; yours has {got}.")
        return answer.detach().to_dense().float()


def call_with_seeds(function: Callable, *arguments, shape) -> list[Tensor]:
    """The answers with a generator as the last argument, with the seeds 0, 0 and 1."""
    seeds = (torch.Generator().manual_seed(seed) for seed in (0, 0, 1))
    return [call(function, *arguments, generator, shape=shape) for generator in seeds]


def is_missing(*values) -> bool:
    return any(value is None or value is ... for value in values)


def settings_of(answer) -> dict:
    """The student's settings as a new dictionary."""
    if is_missing(answer):
        raise Reply(NOT_YET)
    if not isinstance(answer, dict):
        kind = type(answer).__name__
        raise Reply(f"hint: give the settings as a dictionary, {{...}}; yours is a {kind}.")
    if any(value is ... for value in answer.values()):
        raise Reply(NOT_YET)
    return dict(answer)


def close(first: Tensor, second: Tensor, atol: float = 1e-3) -> bool:
    """Equal, but for rounding."""
    return torch.allclose(first, second, atol=atol)


def is_normal(values: Tensor) -> bool:
    """Whether as many values lie beyond 2 standard deviations as of normal numbers: 4.6 %."""
    return 0.034 < float((values.abs() > 2).float().mean()) < 0.057
