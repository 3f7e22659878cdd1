"""environment.yml (for conda) asks for the same packages as pyproject.toml (for pip)."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch-cpu"}  # where conda has another name
ONLY_CONDA = {"python", "pip"}


def by_name(requirements):
    """Requirements such as "numpy>=2.0" as a dictionary from names to bounds."""
    requirements = map(Requirement, requirements)
    return {canonicalize_name(one.name): one.specifier for one in requirements}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def conda(environment):
    """The conda packages by name; `python` is written in another way and left out."""
    packages = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert len(packages) == len(set(packages))
    return by_name(entry for entry in packages if not re.match(r"python\b", entry))


def test_all_packages_come_from_conda_forge_and_pip_installs_only_the_practical(environment):
    assert environment["channels"] == ["conda-forge"]
    names = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert not any("::" in name for name in names)
    assert [entry for entry in environment["dependencies"] if entry not in names] == [
        {"pip": ["-e ."]}
    ]


def test_the_packages_and_their_bounds_are_the_same(project, conda):
    """All that pip installs must be there; what only the tests need may be there."""
    needed, tests = (
        {CONDA_NAMES.get(name, name): bounds for name, bounds in by_name(packages).items()}
        for packages in (project["dependencies"], project["optional-dependencies"]["test"])
    )
    found = {name: bounds for name, bounds in conda.items() if name not in ONLY_CONDA}
    assert found == {name: tests[name] for name in found if name in tests} | needed
    assert "pip" in conda


def test_python_has_an_exact_minor_version_that_is_allowed(environment, project):
    names = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (python,) = [name for name in names if name.startswith("python")]
    assert re.fullmatch(r"python=3\.\d+", python)
    assert python.removeprefix("python=") in SpecifierSet(project["requires-python"])


def test_ipykernel_stays_below_7(project, conda):
    for bounds in (by_name(project["dependencies"])["ipykernel"], conda["ipykernel"]):
        assert "<7" in [str(bound) for bound in bounds]
        assert "7.0" not in bounds and "6.31" in bounds
