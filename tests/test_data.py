"""The data sets: what is in them, and what happens when a file is damaged or missing."""

import gzip
import hashlib
import http.client
import io
import shutil
import socket
import subprocess
import sys
import unicodedata
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError
from torchvision.datasets import MNIST

from helpers import data

ROOT, FOLDER = Path(__file__).resolve().parent.parent, data.DATA_FOLDER
RAW = FOLDER / "MNIST" / "raw"
TEST_FILES = {  # file name: md5
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the small files, to damage; that of MNIST is empty."""
    for name in ("letters.txt", "capitals.txt", "emoji.png", "emoji.txt"):
        shutil.copy(FOLDER / name, tmp_path)
    monkeypatch.setattr(data, "DATA_FOLDER", tmp_path)
    return tmp_path


# ---- letters and emoji -------------------------------------------------------------------------


def test_letters_are_the_known_patterns():
    images, names = data.load_letters()
    assert images.shape == (32, 1, 7, 5) and images.dtype == torch.float32
    assert names == ("`", *"abcdefghijklmnopqrstuvwxyz{|}~", "DEL")
    a, last = images[names.index("a"), 0], images[names.index("DEL")]
    rows = [int("".join(str(int(pixel)) for pixel in row), base=2) for row in a]
    assert rows == [0x00, 0x0E, 0x01, 0x0D, 0x13, 0x13, 0x0D]
    assert (last == 1).all() and set(images.unique().tolist()) == {0.0, 1.0}
    pairs = torch.combinations(torch.arange(32)).tolist()
    distances = [(int((images[i] != images[j]).sum()), names[i] + names[j]) for i, j in pairs]
    assert sorted(distances)[:2] == [(2, "l|"), (3, "nr")]


def test_capitals_are_like_letters_but_none_is_one():
    images, names = data.load_capitals()
    assert images.shape == (36, 1, 7, 5) and images.dtype == torch.float32
    assert names == (*"0123456789", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert len(torch.cat([images, data.load_letters().images]).unique(dim=0)) == 36 + 32


ROW = "....."


@pytest.mark.parametrize(
    ("first", "last", "new", "expected"),
    [  # lines first to last (counted from 1) are replaced by `new`
        pytest.param(15, 15, ["...."], "line 15: .* 5 times .*'....'", id="row too short"),
        pytest.param(16, 16, ["......"], "line 16: .* 5 times", id="row too long"),
        pytest.param(16, 16, [".#x#."], "line 16: .*'#' or '.', got '.#x#.'", id="character"),
        pytest.param(21, 21, [], "'a': expected 7 rows, got 6", id="too few rows"),
        pytest.param(21, 21, [ROW, ROW], "'a': expected 7 rows, got 8", id="too many rows"),
        pytest.param(291, 291, [], "'DEL': expected 7 rows, got 6", id="last letter too short"),
        pytest.param(284, 291, [], "expected 32 letters, got 31", id="31 letters"),
        pytest.param(283, 283, ["letter new", *[ROW] * 7], "32 letters, got 33", id="33 letters"),
        pytest.param(
            14, 14, ["letter b"], "line 23: expected a new name, got 'b' again", id="name twice"
        ),
        pytest.param(4, 4, [ROW], "line 4: expected 'letter NAME'", id="pattern without a name"),
    ],
)
def test_damaged_letters_are_refused(folder, first, last, new, expected):
    lines = (folder / "letters.txt").read_text(encoding="utf-8").splitlines()
    lines[first - 1 : last] = new
    (folder / "letters.txt").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"letters\.txt.*{expected}"):
        data.load_letters()
    data.load_capitals()


def test_letters_saved_by_an_editor_of_windows_are_the_same(folder):
    before = data.load_letters()
    text = (folder / "letters.txt").read_text(encoding="utf-8")
    (folder / "letters.txt").write_bytes(("\ufeff" + text.replace("\n", "\r\n\r\n")).encode())
    after = data.load_letters()
    assert torch.equal(after.images, before.images) and after.labels == before.labels


def test_emoji_are_cut_out_of_the_sheet_row_by_row():
    images, labels = data.load_emoji()
    assert images.shape == (56, 1, 20, 20) and images.dtype == torch.float32
    assert images.min() == 0 and images.max() == 1 and len(images.unique()) > 100
    assert len(labels) == len(set(labels)) == 56 and labels[0] == "GRINNING FACE"
    codes = [line.split()[0] for line in (FOLDER / "emoji.txt").read_text().splitlines()[-56:]]
    assert [f"{ord(unicodedata.lookup(label)):X}" for label in labels] == codes
    with Image.open(FOLDER / "emoji.png") as sheet:
        for face in (0, 7, 8, 55):
            left, top = face % 8 * 20, face // 8 * 20
            expected = np.asarray(sheet.crop((left, top, left + 20, top + 20))) / 255
            assert np.allclose(images[face, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda sheet: sheet.crop((0, 0, 160, 120)), r"\(160, 120\), 'L'"),
        (lambda sheet: sheet.crop((0, 0, 140, 140)), r"\(140, 140\), 'L'"),
        (lambda sheet: sheet.convert("RGB"), r"\(160, 140\), 'RGB'"),
    ],
)
def test_another_emoji_sheet_is_refused(folder, change, got):
    with Image.open(folder / "emoji.png") as picture:
        changed = change(picture)
    changed.save(folder / "emoji.png")
    with pytest.raises(ValueError, match=rf"emoji: expected .*got \(56, {got}\)"):
        data.load_emoji()


def test_another_list_of_emoji_and_a_file_that_is_no_picture_are_refused(folder):
    lines = (folder / "emoji.txt").read_text(encoding="utf-8").splitlines()
    (folder / "emoji.txt").write_text("\n".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"got \(55, "):
        data.load_emoji()
    (folder / "emoji.png").write_bytes(b"no picture")
    with pytest.raises(UnidentifiedImageError, match=r"emoji\.png"):
        data.load_emoji()


# ---- MNIST -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "counts", "first_labels", "mean"),
    [
        (True, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], [5, 0, 4, 1], 0.1307),
        (False, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009], [7, 2, 1, 0], 0.1325),
    ],
)
def test_mnist_has_the_published_content(train, counts, first_labels, mean):
    images, labels = data.load_mnist(train)
    assert images.shape == (sum(counts), 1, 28, 28) and images.dtype == torch.float32
    assert images.min() == 0 and images.max() == 1
    assert images.mean().item() == pytest.approx(mean, abs=1e-4)
    assert labels.bincount().tolist() == counts and labels.dtype == torch.int64
    assert labels[:4].tolist() == first_labels
    name = f"{'train' if train else 't10k'}-images-idx3-ubyte.gz"
    content = gzip.decompress((RAW / name).read_bytes())
    last = np.frombuffer(content[-784:], dtype=np.uint8).reshape(28, 28) / 255
    assert np.allclose(images[-1, 0], last, atol=1e-6)


class HangsUp(io.BytesIO):
    """Promises a whole file, sends a part."""

    def read(self):
        raise http.client.IncompleteRead(b"only this", 5000)


@pytest.mark.parametrize("kind", ["not there", "wrong content", "hangs up"])
def test_a_missing_file_is_fetched_from_the_next_mirror_that_has_it(
    folder, tmp_path, monkeypatch, kind
):
    raw, bad, fetch = folder / "MNIST" / "raw", tmp_path / "bad", urllib.request.urlopen
    bad.mkdir()
    if kind == "wrong content":
        for name in TEST_FILES:
            (bad / name).write_bytes(gzip.compress(b"something else"))
    if kind == "hangs up":
        hang_up = lambda url, timeout: HangsUp() if "bad" in url else fetch(url, timeout=timeout)  # noqa: E731
        monkeypatch.setattr(urllib.request, "urlopen", hang_up)
    mirrors = [f"{bad.as_uri()}/"]
    monkeypatch.setattr(MNIST, "mirrors", mirrors)
    with pytest.raises(FileNotFoundError) as error:
        data.load_mnist(train=False)
    message = str(error.value)
    assert str(raw) in message and mirrors[0] in message and "\n" not in message
    assert not raw.exists()
    mirrors.append(f"{RAW.as_uri()}/")
    assert len(data.load_mnist(train=False).images) == 10000
    found = {f.name: hashlib.md5(f.read_bytes()).hexdigest() for f in raw.iterdir()}
    assert found == TEST_FILES  # and nothing else
    mirrors.clear()
    data.load_mnist(train=False)  # the second time no mirror is needed


@pytest.mark.parametrize("name", TEST_FILES)
@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b""])
def test_damaged_mnist_file_is_refused_and_left_alone(folder, name, damage):
    raw = folder / "MNIST" / "raw"
    shutil.copytree(RAW, raw)
    damaged = damage((raw / name).read_bytes())
    (raw / name).write_bytes(damaged)
    with pytest.raises(
        ValueError, match=f"{name} is damaged.*: expected md5 {TEST_FILES[name]}, got"
    ):
        data.load_mnist(train=False)
    assert (raw / name).read_bytes() == damaged


def test_fetched_images_are_used_even_if_they_cannot_be_kept(folder, monkeypatch):
    (folder / "MNIST").write_text("a file where the folder should be")
    monkeypatch.setattr(MNIST, "mirrors", [f"{RAW.as_uri()}/"])
    assert len(data.load_mnist(train=False).images) == 10000


def test_nothing_uses_the_internet_when_the_files_are_there(monkeypatch):
    class InternetUsed(Exception):
        pass

    def refuse(*args, **kwargs):
        raise InternetUsed

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data.load_letters(), data.load_emoji(), data.load_mnist(train=False)
    monkeypatch.setattr(data, "DATA_FOLDER", Path("nowhere"))
    with pytest.raises(InternetUsed):  # the trap works
        data.load_mnist(train=False)


def test_an_installed_package_has_the_data_and_imports_scipy_only_where_it_is_used(tmp_path):
    """Not editable, as a worker on another computer has it; here without the training images."""
    source, target = tmp_path / "source", tmp_path / "target"
    left_out = shutil.ignore_patterns("__pycache__", "train-*")
    for name in ("helpers", "data"):
        shutil.copytree(ROOT / name, source / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", target]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, source], check=True)
    shutil.rmtree(source)
    code = f"""
import sys
from helpers import data, evaluation, page, training
assert "scipy" not in sys.modules and str(data.DATA_FOLDER).startswith({str(target)!r})
loaded = data.load_letters(), data.load_emoji(), data.load_mnist(train=False)
import pathlib, helpers.checks.emoji_vae
assert pathlib.Path(page.__file__).with_name("engine.js").exists()
print(*(len(images) for images, _ in loaded))
"""
    run = [sys.executable, "-c", code]
    result = subprocess.run(run, env={"PYTHONPATH": f"{target}"}, cwd=tmp_path, capture_output=True)
    assert result.stdout.split() == [b"32", b"56", b"10000"], result.stderr.decode()
