"""What must hold of the explorers and maps of an open notebook. Each check raises
AssertionError."""

import re
from pathlib import Path


def check_kernel(kernel, moves: int = 500) -> None:
    """Every step of every slider, in the kernel alone; and what many moves leave behind."""
    problems = kernel.evaluate("walk.every_step()")
    assert not problems, "\n".join(problems)
    left = kernel.evaluate(f"walk.left_by({moves})")
    memory = left.pop("memory")
    assert left == {"widgets": 0, "comms": 0, "figures": 0}, (
        f"left by 3 times {moves} moves: {left}"
    )
    assert memory < 2**20, f"{moves} moves keep {memory} bytes"


def load_walk(kernel) -> None:
    """Have a kernel import `walk`."""
    kernel.stop_listening()
    folder = str(Path(__file__).resolve().parents[1])
    kernel.evaluate(f"__import__('sys').path.append({folder!r})")
    kernel.client.execute("import walk", silent=True, reply=True, timeout=60)


def check(notebook) -> None:
    problems = notebook.problems()
    assert not problems, "\n".join(problems)


def check_sliders(notebook, kernel) -> None:
    """Each slider in the browser: both ends, the middle, a key pressed and a key held."""
    kernel.evaluate("walk.watch_threads()")
    check(notebook)
    assert notebook.sliders(), "no sliders found"
    for slider in notebook.sliders():
        check_slider(notebook, slider)
    threads = kernel.evaluate("walk.threads()")
    assert threads == ["MainThread"], f"callbacks ran in other threads than the main one: {threads}"


def check_slider(notebook, slider) -> None:
    label = slider.label
    assert re.search(r"\w.*\(.+\)", label), f"a slider without a visible label and unit: {label!r}"
    slider.focus()
    pictures = []
    for place in "max", "min", "middle":
        slider.go(place)
        pictures.append(slider.picture())
        at = place == "middle" or slider.aria("now") == slider.aria(place)
        assert at, f"{label}: {place} not reached"
    check(notebook)
    assert None not in pictures, f"{label}: no picture beside it"
    assert len(set(pictures)) > 1, f"{label}: the same picture at both ends and in the middle"
    slider.go("min")
    for act in slider.tap, slider.hold:
        value = slider.aria("text")
        act("ArrowRight")
        slider.picture()
        assert slider.aria("text") != value or value == slider.aria("max"), (
            f"{label}: {act.__name__}"
        )
    assert slider.is_focused(), f"{label}: lost the focus"
    check(notebook)


def check_buttons_and_dropdowns(notebook) -> None:
    """Each once."""
    for button in notebook.panel.locator(".jp-OutputArea .jupyter-button:enabled").all():
        button.click()
        notebook.settle()
    for dropdown in notebook.panel.locator(".jp-OutputArea select:enabled").all():
        selected = dropdown.evaluate("d => d.selectedIndex")
        dropdown.select_option(index=0 if selected else 1)
        notebook.settle()
    check(notebook)


def check_maps(notebook) -> None:
    """Each instrument lives and moves with the keyboard."""
    for iframe in notebook.panel.locator(".instrument iframe").element_handles():
        iframe.scroll_into_view_if_needed()
        frame = iframe.content_frame()
        frame.wait_for_load_state()
        check(notebook)
        try_map(frame)
    check(notebook)


def try_map(frame) -> None:
    """What has the keys of an instrument, and what it says of itself, changes with a key."""
    frame.evaluate("ready")
    main = frame.locator("#map, #pad, #epoch, #frame").first
    main.focus()
    say = "e => e.ariaValueText + document.getElementById('where').textContent"
    before = main.evaluate(say)
    frame.page.keyboard.press("Shift+ArrowRight")
    assert main.evaluate(say) != before, "the instrument does not move"
