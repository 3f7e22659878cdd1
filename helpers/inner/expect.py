"""How wrong arguments are refused: with what was expected, and what came."""


def expect(good, expected: str, got: object) -> None:
    """Raise ValueError unless `good`."""
    if not good:
        raise ValueError(f"{expected}, got {got}")


def expect_whole_numbers(**values) -> None:
    """Raise ValueError unless each value, or each in a list, is a whole number > 0."""
    for name, value in values.items():
        numbers = value if isinstance(value, list) else [value]
        good = all(type(number) is int and number > 0 for number in numbers)
        expect(good, f"{name}: expected whole numbers > 0", repr(value))
