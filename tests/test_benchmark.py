"""`make benchmark` writes what was measured to docs/results.md and between marks of the README."""

import json
import re

import benchmark
import pytest

RESULTS = json.loads(benchmark.RESULTS.read_text(encoding="utf-8"))


def test_the_section_is_made_anew_and_the_rest_stays():
    old = f"before\n{benchmark.BEGIN}\nold numbers\n{benchmark.END}\nafter"
    new = benchmark.with_section(old, RESULTS)
    assert new == f"before\n{benchmark.section(RESULTS)}\nafter"
    assert benchmark.with_section(new, RESULTS) == new
    changed = RESULTS | {"letters": RESULTS["letters"] | {"numpy": 123_456, "perfect": 0.123}}
    assert "NumPy 123456 µs" in benchmark.page(changed)
    assert "12% without a wrong pixel" in benchmark.with_section(new, changed)


@pytest.mark.parametrize(
    "text", ["no marks", benchmark.END, f"{benchmark.BEGIN} {benchmark.BEGIN} {benchmark.END}"]
)
def test_a_readme_without_marks_is_refused(text):
    with pytest.raises(ValueError, match="expected the marks"):
        benchmark.with_section(text, RESULTS)


def test_a_number_that_was_not_measured_is_not_shown():
    without = {part: RESULTS[part] for part in RESULTS if part not in ("mnist", "classroom")}
    cost = {kind: RESULTS["letters"]["cost"][kind] for kind in ("some", "all")}
    results = without | {"letters": RESULTS["letters"] | {"cost": cost}}
    text, lines = benchmark.page(results), benchmark.section(results)
    assert "JAX" not in lines and "MNIST" not in lines and "letters: 64 networks" in lines
    assert not re.search("JAX, one|MNIST|students|seconds.png", text)
    assert "cost.png" in text and "letters: 64 networks" in text
