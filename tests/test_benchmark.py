"""The README shows the numbers of tools/benchmarks/results.json, and nothing else."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import benchmark

RESULTS = json.loads(benchmark.RESULTS.read_text(encoding="utf-8"))
TEXT = benchmark.README.read_text(encoding="utf-8")


def test_the_readme_has_the_numbers_of_the_last_benchmark():
    assert benchmark.with_section(TEXT, RESULTS) == TEXT, "run python tools/benchmarks/benchmark.py --readme"
    for name in benchmark.FIGURES:
        assert (benchmark.ROOT / ".github" / name).read_bytes().startswith(b"\x89PNG")


def test_every_part_was_measured():
    assert set(RESULTS) == {"computer", *benchmark.PARTS}
    for part in benchmark.PARTS:
        assert len(list(benchmark.LINES[part](RESULTS[part]))) >= 1


def test_another_number_is_noticed():
    other = json.loads(json.dumps(RESULTS))
    other["letters"]["plain"] *= 2
    assert benchmark.with_section(TEXT, other) != TEXT


@pytest.mark.parametrize("text", ["no marks", benchmark.END, f"{benchmark.BEGIN} {benchmark.BEGIN} {benchmark.END}"])
def test_a_readme_without_marks_is_refused(text):
    with pytest.raises(ValueError, match="expected the marks"):
        benchmark.with_section(text, RESULTS)


def test_a_number_that_was_not_measured_is_not_shown():
    without = {part: numbers for part, numbers in RESULTS.items() if part not in ("mnist", "classroom")}
    without["letters"] = RESULTS["letters"] | {"jax": None}
    text = benchmark.section(without)
    assert "JAX, one" not in text and "MNIST" not in text and "students" not in text and "seconds.png" not in text
    assert "cost.png" in text and "letters: 64 networks" in text


def test_what_was_claimed_of_the_letters():
    """Ratios measured side by side in one run."""
    letters = RESULTS["letters"]
    at_64 = letters["batched"][letters["seeds"].index(64)]
    assert letters["plain"] / at_64 >= 12
    assert letters["numpy"] / at_64 >= 100
    assert letters["batched"] == sorted(letters["batched"], reverse=True)
    if letters["jax"]:  # where JAX was installed
        assert at_64 <= 1.5 * letters["jax"][letters["seeds"].index(64)]


def test_what_was_claimed_of_the_notebooks():
    notebooks = RESULTS["notebooks"]
    assert all(one["megabytes"] < (3072 if name.startswith("01") else 2048) for name, one in notebooks.items())
    assert RESULTS["imports"]["helpers"] <= 1.2 * RESULTS["imports"]["usual"]
