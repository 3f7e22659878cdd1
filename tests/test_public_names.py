"""Nothing in `helpers` that nobody uses: public names and optional parameters, from the source.

A name or a parameter counts as used if a notebook, a solution, a tool or a page of the
documentation names or passes it. A name, but no parameter, may also serve another module.
"""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_FOR_READING = ("page", "checks")  # of these only what is called from outside counts
EXCEPTIONS = {
    "data.ImageSet": "what the loaders give: says what is in it",
    "training.History": "what `fit` gives: says what is in it",
    "models.VariationalAutoencoder(shape)": "as for the Autoencoder",
    "page.latent_map(dimensions)": "for teachers: the plane in which a map starts",
}


def modules():
    """The modules that are read, with their syntax trees."""
    files = [*(ROOT / "helpers").glob("*.py"), ROOT / "helpers" / "page" / "__init__.py"]
    for file in sorted(files):
        name = file.parent.name if file.stem == "__init__" else file.stem
        if name != "helpers":
            yield name, ast.parse(file.read_text(encoding="utf-8"))


def users():
    """The code of everything that uses helpers: cells, scripts, and code in pages of text."""
    for file in (ROOT / "notebooks").rglob("*.ipynb"):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            yield "".join(cell["source"]) if cell["cell_type"] == "code" else ""
    for file in (ROOT / "tools").rglob("*.py"):
        yield file.read_text(encoding="utf-8")
    for file in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        yield from re.findall(r"```python\n(.*?)```", file.read_text(encoding="utf-8"), re.S)
    for room in ("checks", "inner"):
        for file in (ROOT / "helpers" / room).glob("*.py"):
            yield file.read_text(encoding="utf-8")


def public(body):
    return [node for node in body if not getattr(node, "name", "_").startswith("_")]


def functions(tree):
    """Public functions, classes (by their __init__) and methods: name, as called, arguments."""
    for node in public(tree.body):
        if isinstance(node, ast.FunctionDef):
            yield node.name, node.args, 0
        for method in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                yield node.name, method.args, 1
            elif isinstance(method, ast.FunctionDef) and method in public(node.body):
                yield method.name, method.args, 1


def optional(arguments, skipped):
    """Optional parameters, with the place of those that may be passed without their name."""
    names = [argument.arg for argument in arguments.args][skipped:]
    first = len(names) - len(arguments.defaults)
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    places = {argument.arg: None for argument, default in keywords if default is not None}
    return {name: place for place, name in enumerate(names) if place >= first} | places


def names_and_calls(sources):
    """All names that are used, and for each called name the parameters that are passed."""
    used, passed, keywords = set(), {}, set()
    for source in sources:
        source = re.sub(r"(?m)^\s*[%!].*$", "", source)  # commands of the notebook
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Name | ast.Attribute):
                used.add(node.id if isinstance(node, ast.Name) else node.attr)
            if isinstance(node, ast.ImportFrom):
                used.update(alias.name for alias in node.names)
            if isinstance(node, ast.Dict):  # settings that are passed with **
                keywords.update(k.value for k in node.keys if isinstance(k, ast.Constant))
            if isinstance(node, ast.Call):
                calls = [(node.func, node.args)]
                if calls[0][1] and getattr(node.func, "id", "") == "partial":
                    calls.append((node.args[0], node.args[1:]))
                keywords.update(word.arg for word in node.keywords)
                for function, arguments in calls:
                    name = getattr(function, "id", getattr(function, "attr", None))
                    given = passed.setdefault(name, set())
                    given.update(word.arg for word in node.keywords)
                    given.update(range(len(arguments)))
    return used, passed, keywords


def unused():
    used, passed, keywords = names_and_calls(users())
    trees = dict(modules())
    for name, tree in trees.items():
        others = {key: other for key, other in trees.items() if key != name}
        inside = names_and_calls(ast.unparse(other) for other in others.values())[0]
        for node in public(tree.body):
            called = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if called and node.name not in used | inside and name not in NOT_FOR_READING:
                yield f"{name}.{node.name}"
        for function, arguments, skipped in functions(tree):
            given = passed.get(function, set())
            if name in NOT_FOR_READING and function not in used:
                continue
            for parameter, place in optional(arguments, skipped).items():
                # `fit` is mostly called with settings kept in a dictionary
                settings = keywords if function == "fit" else set()
                if not {parameter, place} & ((given | settings) - {None}):
                    yield f"{name}.{function}({parameter})"


def test_every_public_name_and_optional_parameter_is_used_or_an_exception_that_is_needed():
    assert sorted(unused()) == sorted(EXCEPTIONS)


def test_what_is_used_is_found():
    code = "a.f(1, x=2); partial(g, 3, y=4); h(**{'z': 5}); from m import n; i(*b)"
    used, passed, keywords = names_and_calls([code.replace("; ", "\n")])
    assert {"f", "g", "h", "n"} <= used
    assert passed["f"] == {0, "x"} and passed["g"] == {0, "y"} and {"x", "y", "z"} <= keywords
    tree = ast.parse("def f(a, b=1, *, c, d=2): 0\nclass C:\n def __init__(self, e, g=1): 0")
    (f, arguments, skipped), (c, method, of_self) = functions(tree)
    assert (f, optional(arguments, skipped)) == ("f", {"b": 1, "d": None})
    assert (c, optional(method, of_self)) == ("C", {"g": 1})
