"""How good and how fast the practical is, and how its cost grows (`make benchmark`).

    python tools/benchmarks/benchmark.py [part]...   by default all parts
    python tools/benchmarks/benchmark.py --saved     writes the pages again, from saved numbers

Each part runs in a process of its own and replaces its entry in tools/benchmarks/results.json. At
the end the table is printed, docs/results.md is written with its figures docs/cost.png and
docs/seconds.png, and so is what README.md says about it, between its two marks.
"""

import argparse
import io
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from matplotlib.figure import Figure

from helpers.plotting import plot_curves

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / folder) for folder in ("tools", "tests", "tests/browser")]
from files import write_atomically  # noqa: E402

RESULTS, README, PAGE = HERE / "results.json", ROOT / "README.md", ROOT / "docs" / "results.md"
BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
PARTS = {  # part: the script that measures it
    "letters": "letters.py",
    **dict.fromkeys(("mnist", "denoiser", "vae"), "networks.py"),
    **dict.fromkeys(("imports", "notebooks", "sliders", "classroom"), "practical.py"),
}


def measure(part: str):
    """The results of one part, from its last line of output."""
    run = subprocess.run(
        [sys.executable, PARTS[part], part], cwd=HERE, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(run.stdout.splitlines()[-1])[part]


def table(results: dict) -> str:
    """The results as a Markdown table: what was measured, the ratio, the numbers behind it."""
    rows = [
        line for part, lines in LINES.items() if part in results for line in lines(results[part])
    ]
    text = "\n".join(f"| {what} | {ratio} | {numbers} |" for what, ratio, numbers in rows)
    return f"| what | ratio | measured |\n|---|---|---|\n{text}"


def of_letters(r):
    cost, at_64 = r["cost"], r["networks"].index(64)
    ours = cost["some"][at_64]
    yield (
        "letters: 64 networks at once, a network and update",
        f"{r['plain'] / ours:.0f} times cheaper than a PyTorch loop",
        f"{ours:.1f} µs, the loss kept after every {r['record_every']}th update; "
        f"one network in a loop {r['plain']:.0f} µs",
    )
    yield (
        "against NumPy by hand, one update for each letter",
        f"{r['numpy'] / ours:.0f} times cheaper",
        f"NumPy {r['numpy']:.0f} µs for the 32 letters",
    )
    if "jax none" in cost:
        kinds = "some", "all", "jax all", "jax none"
        numbers = [
            f"{n}: {' / '.join(f'{cost[kind][i]:.1f}' for kind in kinds)}"
            for i, n in enumerate(r["networks"])
        ]
        ratios = [
            f"{mine / jax:.2f} ({n})"
            for n, mine, jax in zip(r["networks"], cost["some"], cost["jax none"], strict=True)
        ]
        yield (
            "against JAX, one `jit(vmap(scan))` that keeps no loss, without its time to compile",
            f"its cost times {', '.join(ratios)}",
            f"µs of ours with every {r['record_every']}th loss / with all / of JAX with all / "
            f"with none, at {'; '.join(numbers)}",
        )
    yield (
        "64 networks, the whole recipe of notebook 02",
        f"{r['perfect']:.0%} without a wrong pixel",
        f"{r['seconds_for_64']:.0f} s; training adds {r['added_memory'][at_64]:.0f} MB",
    )
    for kind, costs in r["growth"].items():
        first, *_, last = costs
        more = int(last) / int(first)
        yield (
            f"16 networks at once, more {kind}: a network and update",
            f"{costs[last] / costs[first]:.1f} times the cost for {more:.0f} times the {kind}",
            ", ".join(f"{n}: {cost:.1f} µs" for n, cost in costs.items()),
        )
    yield (
        "an update of 16 denoisers with 8 noisy copies, and of 4 emoji VAEs on two threads",
        f"{r['milliseconds']['denoisers']:.2f} ms and {r['milliseconds']['vaes']:.2f} ms",
        f"all in one stack, the loss kept after every {r['record_every']}th update",
    )


def of_mnist(r):
    used = min(r["gflops"])  # "16" where the processor has them in hardware, as in the notebook
    for name in ("dense", "U-Net"):
        n, last = r[name], r[name]["curve"][-1]
        yield (
            f"MNIST, {name}: an epoch",
            f"{n['usual'] / n['ours'][used]:.1f} times faster than the usual DataLoader loop",
            f"usual {n['usual']:.1f} s; "
            + "; ".join(
                f"ours with {bits} bits {n['ours'][bits]:.1f} s, its products alone "
                f"{n['products'][bits]:.1f} s at {speed} GFLOP/s"
                for bits, speed in r["gflops"].items()
            ),
        )
        yield (
            f"MNIST, {name}: after {last['seconds']:.0f} s of training",
            f"{last['psnr']:.1f} dB",
            f"test BCE {last['bce']:.4f}",
        )


def of_denoiser(r):
    ratios = r["ratio_to_bayes"]
    yield (
        "letter denoiser: wrong pixels against Bayes' rule, the limit",
        f"{min(ratios.values()):.2f} to {max(ratios.values()):.2f} times",
        f"p = 0.05, 0.10, 0.15; four networks in {r['seconds_for_4']:.0f} s",
    )


def of_vae(r):
    for d, stages in r.items():
        end = stages[-1]
        best = min(range(len(end["negative_elbo"])), key=lambda i: end["negative_elbo"][i])
        each = ", ".join(f"{share:.2f}" for share in end["share_of_pca"])
        yield (
            f"emoji VAE, d = {d}: error against PCA",
            f"{end['share_of_pca'][best]:.2f} of it (the best objective of four seeds)",
            f"-ELBO {end['negative_elbo'][best]:.2f} nats; all four {each}; {end['seconds']:.0f} s",
        )


def of_imports(r):
    yield (
        "import of all helpers",
        f"{r['helpers'] / r['usual']:.2f} times that of torch, matplotlib and ipywidgets",
        f"{r['helpers']:.1f} s; what is installed takes {r['installed_megabytes']} MB on disk, "
        f"{r['torch_megabytes']} of them PyTorch with its libraries; "
        f"torch alone {r['torch']:.1f} s; "
        f"an idle kernel takes {r['idle_kernel_megabytes']} MB",
    )


def of_notebooks(r):
    minutes, most = sum(n["minutes"] for n in r.values()), max(n["megabytes"] for n in r.values())
    each = ", ".join(
        f"{name[:2]}: {n['minutes']:.1f} min, {n['megabytes']} MB" for name, n in r.items()
    )
    yield (
        "all notebooks, one after the other",
        f"{minutes:.1f} min, at most {most / 1024:.1f} GiB",
        each,
    )


def of_sliders(r):
    yield (
        "a move of a slider, and in a map of the page",
        f"map {r['slider']['median'] / r['map']['median']:.1f} times faster",
        f"slider {r['slider']['median']} ms (95 % below {r['slider']['p95']}), "
        f"map {r['map']['median']} ms (95 % below {r['map']['p95']}); "
        f"{r['shown_of_40']} of 40 steps of a held key shown",
    )


def of_classroom(r):
    yield (
        "students who run notebook 02 at once on this computer",
        f"{r['4']['minutes'] / r['1']['minutes']:.1f} times the time for four",
        "; ".join(
            f"{n}: {one['minutes']:.1f} min, {one['megabytes']} MB each" for n, one in r.items()
        ),
    )


LINES = {
    "letters": of_letters,
    "mnist": of_mnist,
    "denoiser": of_denoiser,
    "vae": of_vae,
    "imports": of_imports,
    "notebooks": of_notebooks,
    "sliders": of_sliders,
    "classroom": of_classroom,
}


def page(results: dict) -> str:
    """docs/results.md."""
    computer = results["computer"]
    intro = (
        f"Written by `make benchmark`. Measured on {computer['cores']} cores, "
        f"{computer['system']}, PyTorch {computer['torch']}. JAX is compared where it is "
        'installed: `.venv/bin/pip install -e ".[benchmark]"`.'
    )
    pictures = "\n\n".join(f"![{text}]({n})" for n, (_, _, text) in drawable(results).items())
    return f"# How fast, and how good\n\n{intro}\n\n{table(results)}\n\n{pictures}\n"


def section(results: dict) -> str:
    """What README.md says: a line for some parts, as far as they have been measured."""
    lines = []
    for part, rows in {
        "letters": (0, 2, 3),
        "mnist": (3,),
        "denoiser": (0,),
        "notebooks": (0,),
    }.items():
        known = list(LINES[part](results[part])) if part in results else []
        lines += [
            f"- {what}: {ratio}" for what, ratio, _ in (known[i] for i in rows if i < len(known))
        ]
    return "\n".join([BEGIN, *lines, END])


def drawable(results: dict) -> dict:
    """The figures whose parts have been measured."""
    return {
        name: figure
        for name, figure in FIGURES.items()
        if all(part in results for part in figure[1])
    }


def marked(readme: str) -> tuple[str, str]:
    """What stands before and after the section. Raises ValueError if its marks are missing."""
    if (
        readme.count(BEGIN) != 1
        or readme.count(END) != 1
        or readme.index(END) < readme.index(BEGIN)
    ):
        raise ValueError(f"README.md: expected the marks {BEGIN} and {END}, once each")
    return readme[: readme.index(BEGIN)], readme[readme.index(END) + len(END) :]


def with_section(readme: str, results: dict) -> str:
    """The README with its section made anew."""
    before, after = marked(readme)
    return before + section(results) + after


def draw_cost(results: dict) -> Figure:
    """Cost of a letter network against how many are trained at once."""
    letters, figure = results["letters"], Figure(figsize=(6, 3.2), dpi=100, layout="constrained")
    counts, cost = letters["networks"], letters["cost"]
    curves = {"a stack (PyTorch)": (counts, cost["some"])}
    if "jax none" in cost:
        curves["JAX, no loss kept"] = (counts, cost["jax none"])
    curves["PyTorch loop, one after the other"] = (counts, [letters["plain"]] * len(counts))
    label, ax = "µs for a network and update", figure.add_subplot()
    plot_curves(curves, "networks", label, ax=ax, log=True)
    ax.set_xscale("log", base=2)
    ax.set_xticks(counts, counts)
    return figure


def draw_seconds(results: dict) -> Figure:
    """How good after how many seconds: the MNIST networks epoch by epoch, the VAEs stage by
    stage."""
    figure = Figure(figsize=(9, 5.6), dpi=100, layout="constrained")
    axes = figure.subplots(2, 2)

    def plot(ax, part, names, key, label):
        curves = {}
        for name, title in names.items():
            points = results[part][name]["curve"] if part == "mnist" else results[part][name]
            curves[title] = (
                [point["seconds"] for point in points],
                [point[key] for point in points],
            )
        plot_curves(curves, "seconds of training", label, ax=ax)

    networks = {"dense": "dense network", "U-Net": "U-Net"}
    plot(axes[0, 0], "mnist", networks, "bce", "MNIST: test BCE (nats)")
    plot(axes[0, 1], "mnist", networks, "psnr", "MNIST: test PSNR (dB)")
    codes = {d: f"d = {d}" for d in results["vae"]}
    plot(axes[1, 0], "vae", codes, "share_of_pca", "emoji VAE: MSE / MSE of PCA")
    plot(axes[1, 1], "vae", codes, "negative_elbo", "emoji VAE: $-$ELBO (nats)")
    return figure


FIGURES = {  # file in docs: what draws it, the parts that it needs, what it shows
    "cost.png": (
        draw_cost,
        ["letters"],
        "Cost of a letter network and update against the number of networks trained at once: it "
        "falls from one to 256 networks.",
    ),
    "seconds.png": (
        draw_seconds,
        ["mnist", "vae"],
        "Four curves against seconds of training: test BCE and PSNR of the MNIST networks, and "
        "error and -ELBO of the emoji VAEs with their bands over four seeds.",
    ),
}


def write(results):
    write_atomically(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    write_atomically(README, with_section(README.read_text(encoding="utf-8"), results).encode())
    write_atomically(PAGE, page(results).encode())
    for name, (draw, _, _) in drawable(results).items():
        file = io.BytesIO()
        draw(results).savefig(file, format="png")
        write_atomically(PAGE.parent / name, file.getvalue())


def has_chromium() -> bool:
    from page import chromium

    return chromium() is not None


def main():
    parser = argparse.ArgumentParser(
        description="Measure the practical, and write docs/results.md."
    )
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; by default all"
    )
    parser.add_argument(
        "--saved", action="store_true", help="measure nothing; write the pages from saved numbers"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"expected parts of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    marked(README.read_text(encoding="utf-8"))  # before half an hour of measuring, not after it
    if arguments.saved and not results:
        parser.error(f"{RESULTS.name} is missing: nothing has been measured")
    parts = arguments.parts or list(PARTS)
    if not arguments.saved:
        if "sliders" in parts and not has_chromium():
            parser.error(
                "sliders: expected a Chromium (see README, Tests), or the names of the other parts"
            )
        computer = {"cores": os.cpu_count(), "system": platform.system(), "torch": version("torch")}
        if results.get("computer") != computer:
            results = {"computer": computer}  # without what another one has measured
        for part in parts:
            print(part, "...", flush=True)
            results[part] = measure(part)
            write_atomically(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    write(results)
    print(table(results))


if __name__ == "__main__":
    main()
