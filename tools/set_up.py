"""Install the practical into the Python that runs this (`make` calls it in .venv).

    python tools/set_up.py [index]

On Linux pip takes the build of PyTorch for graphics cards, several gigabytes. A computer without an
NVIDIA card gets the much smaller build for processors, from PyTorch's own index, where that can be
reached. What was chosen, and why, is said in one line.
"""

import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SECONDS = 10  # to wait for an answer of the index
PROBE = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout={}).close()"


def has_nvidia_card() -> bool:
    return Path("/proc/driver/nvidia").exists() or shutil.which("nvidia-smi") is not None


def answers(index: str, seconds: float = SECONDS) -> bool:
    """Whether the index has a page for torch. In a process of its own: names may not resolve."""
    command = [sys.executable, "-c", PROBE.format(seconds), f"{index}/torch/"]
    try:
        return subprocess.run(command, timeout=2 * seconds, capture_output=True).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def install_cpu_build(index: str, seconds: float = SECONDS) -> str:
    """Install torch and torchvision from the index if that is wanted; what was done, and why."""
    if platform.system() != "Linux":
        return "PyTorch: the usual build, which is small on this system."
    if has_nvidia_card():
        return "PyTorch: the usual build, because there is an NVIDIA card."
    if not answers(index, seconds):
        return f"PyTorch: the usual build, because {index} does not answer."
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [name for name in project["dependencies"] if name.startswith("torch")]
    limits = ["--timeout", str(seconds), "--retries", "1", "--index-url", index]
    if _pip(*limits, *wanted).returncode:
        return f"PyTorch: the usual build, because the one of {index} can't be installed."
    return f"PyTorch: the small build for processors, from {index}."


def _pip(*arguments):
    return subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments])


if __name__ == "__main__":
    print(install_cpu_build(*sys.argv[1:] or [CPU_INDEX]), flush=True)
    sys.exit(_pip("--editable", str(ROOT)).returncode)
