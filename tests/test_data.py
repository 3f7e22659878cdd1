"""The three data sets: what is in them, and what happens when a file is damaged or missing."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import re
import shutil
import socket
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import data

RAW = data.DATA_FOLDER / "MNIST" / "raw"
TEST_FILES = {  # file name: md5
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


# --- letters ---------------------------------------------------------------------------------------------------------


def test_letters_have_the_right_shape_and_values():
    images, names = data.load_letters()
    assert images.shape == (32, 1, 7, 5) and images.dtype == torch.float32
    assert set(images.unique().tolist()) == {0.0, 1.0}
    assert names == ("`", *"abcdefghijklmnopqrstuvwxyz{|}~", "DEL")


def test_letters_show_the_right_patterns():
    images, names = data.load_letters()
    a, last = images[names.index("a"), 0], images[names.index("DEL")]
    rows = [int("".join(str(int(pixel)) for pixel in row), base=2) for row in a]
    assert rows == [0x00, 0x0E, 0x01, 0x0D, 0x13, 0x13, 0x0D]
    assert (last == 1).all()


def test_letters_are_all_different_and_the_closest_pairs_are_known():
    images, names = data.load_letters()
    pairs = [
        (int((images[i] != images[j]).sum()), names[i] + names[j])
        for i, j in torch.combinations(torch.arange(32)).tolist()
    ]
    assert sorted(pairs)[:2] == [(2, "l|"), (3, "nr")]


def test_capitals_are_like_letters_but_none_is_one():
    images, names = data.load_capitals()
    assert images.shape == (36, 1, 7, 5) and images.dtype == torch.float32
    assert set(images.unique().tolist()) == {0.0, 1.0}
    assert names == (*"0123456789", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    everything = torch.cat([images, data.load_letters().images])
    assert len(everything.unique(dim=0)) == 36 + 32


def test_the_files_of_letters_and_capitals_cannot_be_mixed_up():
    with pytest.raises(ValueError, match=r"capitals\.txt: expected 32 letters, got 36"):
        data.load_letters(data.DATA_FOLDER / "capitals.txt")
    with pytest.raises(ValueError, match=r"letters\.txt: expected 36 letters, got 32"):
        data.load_capitals(data.DATA_FOLDER / "letters.txt")


ROW = "....."


@pytest.mark.parametrize(
    ("first", "last", "new", "expected"),
    [  # lines first to last (counted from 1) are replaced by `new`
        pytest.param(15, 15, ["...."], ["line 15", "'a', row 1", "5 characters", "'....'"], id="row too short"),
        pytest.param(16, 16, ["......"], ["line 16", "'a', row 2", "5 characters", "'......'"], id="row too long"),
        pytest.param(16, 16, [".#x#."], ["line 16", "'#' or '.'", "'.#x#.'"], id="wrong character"),
        pytest.param(21, 21, [], ["line 14", "'a' has 6 rows, expected 7"], id="too few rows"),
        pytest.param(21, 21, [ROW, ROW], ["line 14", "'a' has 8 rows, expected 7"], id="too many rows"),
        pytest.param(291, 291, [], ["line 284", "'DEL' has 6 rows, expected 7"], id="last letter too short"),
        pytest.param(284, 291, [], ["expected 32 letters, got 31"], id="31 letters"),
        pytest.param(283, 283, ["letter new", *[ROW] * 7], ["expected 32 letters, got 33"], id="33 letters"),
        pytest.param(14, 14, ["letter b"], ["line 23", "'b' comes twice", "different names"], id="name twice"),
        pytest.param(4, 4, [ROW], ["line 4", "'letter NAME'", repr(ROW)], id="pattern without a name"),
    ],
)
def test_damaged_letters_are_refused(tmp_path, first, last, new, expected):
    lines = (data.DATA_FOLDER / "letters.txt").read_text(encoding="utf-8").splitlines()
    lines[first - 1 : last] = new
    file = tmp_path / "letters.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        data.load_letters(file)
    for part in (str(file), *expected):
        assert part in str(error.value)


# --- emoji -----------------------------------------------------------------------------------------------------------


def test_emoji_have_the_right_shape_and_values():
    images, labels = data.load_emoji()
    assert images.shape == (56, 1, 20, 20) and images.dtype == torch.float32
    assert images.min() == 0 and images.max() == 1 and len(images.unique()) > 100  # grey values, not only 0 and 1
    assert len(labels) == len(set(labels)) == 56
    assert labels[0] == "GRINNING FACE"
    assert all(unicodedata.lookup(label) for label in labels)
    corners = images[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).all(dim=1).float().mean() > 0.9
    assert len(images.unique(dim=0)) == 56


@pytest.mark.parametrize("face", [0, 7, 8, 55])
def test_emoji_are_cut_out_of_the_sheet_row_by_row(face):
    with Image.open(data.DATA_FOLDER / "emoji.png") as sheet:
        left, top = face % 8 * 20, face // 8 * 20
        expected = np.asarray(sheet.crop((left, top, left + 20, top + 20))) / 255
    assert np.allclose(data.load_emoji().images[face, 0], expected, atol=1e-6)


@pytest.fixture
def emoji(tmp_path):
    """A copy of the sheet and of its list, to damage."""
    for name in ("emoji.png", "emoji.txt"):
        shutil.copy(data.DATA_FOLDER / name, tmp_path)
    return tmp_path / "emoji.png", tmp_path / "emoji.txt"


@pytest.mark.parametrize(
    ("change", "got"),
    [
        pytest.param(lambda sheet: sheet.crop((0, 0, 160, 120)), "160x120 of mode 'L'", id="too small"),
        pytest.param(lambda sheet: sheet.resize((320, 280)), "320x280 of mode 'L'", id="too large"),
        pytest.param(lambda sheet: sheet.convert("RGB"), "160x140 of mode 'RGB'", id="colours"),
        pytest.param(lambda sheet: sheet.convert("1"), "160x140 of mode '1'", id="black and white"),
    ],
)
def test_another_emoji_sheet_is_refused(emoji, change, got):
    sheet, _ = emoji
    with Image.open(sheet) as picture:
        changed = change(picture)
    changed.save(sheet)
    with pytest.raises(ValueError) as error:
        data.load_emoji(sheet)
    for part in (str(sheet), "160x140 pixels of mode 'L'", got):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda lines: lines[:-1], ["expected 56 faces, got 55"], id="one face fewer"),
        pytest.param(lambda lines: [*lines, "1F634 SLEEPING FACE"], ["expected 56 faces, got 57"], id="one face more"),
        pytest.param(
            lambda lines: [lines[0], "1F600 SLEEPING FACE", *lines[2:]],
            ["line 2", "'GRINNING FACE'", "'SLEEPING FACE'"],
            id="wrong name",
        ),
        pytest.param(
            lambda lines: [lines[0], "smile", *lines[2:]], ["line 2", "hexadecimal code", "'smile'"], id="no code"
        ),
    ],
)
def test_another_list_of_emoji_is_refused(emoji, change, expected):
    sheet, names = emoji
    lines = names.read_text(encoding="utf-8").splitlines()
    names.write_text("\n".join(change(lines)), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        data.load_emoji(sheet)
    for part in (str(names), *expected):
        assert part in str(error.value)


# --- MNIST: the content ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "counts", "first_labels", "mean"),
    [
        (True, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], [5, 0, 4, 1, 9], 0.1307),
        (False, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009], [7, 2, 1, 0, 4], 0.1325),
    ],
)
def test_mnist_has_the_published_content(train, counts, first_labels, mean):
    images, labels = data.load_mnist(train=train)
    assert images.shape == (sum(counts), 1, 28, 28) and images.dtype == torch.float32
    assert images.min() == 0 and images.max() == 1
    assert images.mean().item() == pytest.approx(mean, abs=1e-4)
    assert labels.shape == (sum(counts),) and labels.dtype == torch.int64
    assert labels.bincount().tolist() == counts
    assert labels[:5].tolist() == first_labels


def test_mnist_pixels_are_those_of_the_file():
    content = gzip.decompress((RAW / "t10k-images-idx3-ubyte.gz").read_bytes())
    expected = np.frombuffer(content[-784:], dtype=np.uint8).reshape(28, 28) / 255
    assert np.allclose(data.load_mnist(train=False).images[-1, 0], expected, atol=1e-6)


# --- MNIST: files that are damaged, missing, read-only ---------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Local mirrors are asked directly, whatever the settings of this computer."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a folder and prints nothing."""

    def log_message(self, *args):
        pass


class CutsShort(Quiet):
    """Promises a whole file, sends a part, hangs up."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"only this")


@contextlib.contextmanager
def serve(folder, handler=Quiet):
    """A web server on this computer; gives its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def bad_mirror(kind, folder):
    """A mirror that is no use: `kind` says why."""
    if kind == "closed port":
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
        return
    folder.mkdir()
    if kind == "wrong content":
        for name in TEST_FILES:
            (folder / name).write_bytes(gzip.compress(b"something else"))
    with serve(folder, CutsShort if kind == "cuts short" else Quiet) as url:  # "not there": the folder is empty
        yield url


BAD_MIRRORS = ["closed port", "not there", "wrong content", "cuts short"]


def assert_complete(folder):
    """The folder holds the two files of the test set as published, and nothing else."""
    found = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    assert found == TEST_FILES


def copy_test_files(folder):
    folder.mkdir()
    for name in TEST_FILES:
        shutil.copy(RAW / name, folder)


@pytest.mark.parametrize("name", TEST_FILES)
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-100], id="cut short"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: gzip.compress(b"other"), id="another file"),
    ],
)
def test_damaged_mnist_file_is_refused_and_left_alone(tmp_path, name, damage):
    folder = tmp_path / "raw"
    copy_test_files(folder)
    damaged = damage((RAW / name).read_bytes())
    (folder / name).write_bytes(damaged)
    with serve(RAW) as url, pytest.raises(ValueError) as error:
        data.load_mnist(train=False, folder=folder, mirrors=[url])
    for part in (str(folder / name), "md5", TEST_FILES[name], hashlib.md5(damaged).hexdigest(), str(len(damaged))):
        assert part in str(error.value)
    assert (folder / name).read_bytes() == damaged
    assert sorted(file.name for file in folder.iterdir()) == sorted(TEST_FILES)


def test_missing_mnist_files_are_fetched(tmp_path):
    folder = tmp_path / "new" / "raw"
    with serve(RAW) as url:
        images, labels = data.load_mnist(train=False, folder=folder, mirrors=[url])
    assert_complete(folder)
    assert images.shape == (10000, 1, 28, 28) and labels.bincount()[0] == 980
    data.load_mnist(train=False, folder=folder, mirrors=[])  # the second time no mirror is needed


@pytest.mark.parametrize("kind", BAD_MIRRORS)
def test_the_next_mirror_is_tried(tmp_path, kind):
    with bad_mirror(kind, tmp_path / "bad") as bad, serve(RAW) as good:
        images, _ = data.load_mnist(train=False, folder=tmp_path / "raw", mirrors=[bad, good])
    assert_complete(tmp_path / "raw")
    assert len(images) == 10000


@pytest.mark.parametrize("kind", BAD_MIRRORS)
def test_without_a_good_mirror_the_error_says_what_to_do(tmp_path, kind):
    folder = tmp_path / "raw"
    with bad_mirror(kind, tmp_path / "bad") as bad, pytest.raises(FileNotFoundError) as error:
        data.load_mnist(train=False, folder=folder, mirrors=[bad])
    name = "t10k-images-idx3-ubyte.gz"
    for part in (bad + name, str(folder), TEST_FILES[name]):
        assert part in str(error.value)
    assert not folder.exists() or not list(folder.iterdir())


def test_mnist_is_read_from_a_read_only_folder(tmp_path):
    def state():
        files = [folder, *sorted(folder.iterdir())]
        return [(file.name, file.stat().st_size, file.stat().st_mtime_ns, file.stat().st_mode) for file in files]

    folder = tmp_path / "raw"
    copy_test_files(folder)
    folder.chmod(0o555)
    before = state()
    try:
        images, _ = data.load_mnist(train=False, folder=folder, mirrors=[])
        assert state() == before
    finally:
        folder.chmod(0o755)
    assert len(images) == 10000


def test_fetched_images_are_used_even_if_they_cannot_be_kept(tmp_path, monkeypatch):
    def refuse(file, content):
        raise PermissionError(f"{file}: read-only")

    monkeypatch.setattr(data, "write_atomically", refuse)
    with serve(RAW) as url:
        images, _ = data.load_mnist(train=False, folder=tmp_path / "raw", mirrors=[url])
    assert torch.equal(images, data.load_mnist(train=False).images)
    assert not list(tmp_path.rglob("*.gz"))


def test_nothing_uses_the_network_when_the_files_are_there(tmp_path, monkeypatch):
    class NetworkUsed(Exception):
        pass

    def refuse(*args, **kwargs):
        raise NetworkUsed

    data.load_mnist(train=False)  # imports what it needs
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data.load_letters()
    data.load_emoji()
    data.load_mnist(train=False)
    with pytest.raises(NetworkUsed):  # the trap works
        data.load_mnist(train=False, folder=tmp_path / "raw", mirrors=["http://127.0.0.1:9/"])


def test_four_may_fetch_at_the_same_time(tmp_path):
    """The mirror answers the first file only when all four ask for it, so they all write it at the same time."""
    together = threading.Barrier(4)

    class WaitsForAll(Quiet):
        def do_GET(self):
            if "images" in self.path:
                together.wait(timeout=120)
            super().do_GET()

    folder = tmp_path / "raw"
    with serve(RAW, WaitsForAll) as url, ThreadPoolExecutor(4) as pool:
        fetch = functools.partial(data.load_mnist, train=False, folder=folder, mirrors=[url])
        fetched = [job.result() for job in [pool.submit(fetch) for _ in range(4)]]
    assert [(len(images), int(labels.sum())) for images, labels in fetched] == [(10000, 44434)] * 4
    assert_complete(folder)


# --- Fashion-MNIST: its files are not here ---------------------------------------------------------------------------

CLOTHES_MD5 = "bef4ecab320f06d8554ea6380940ec79"  # of the test images as published; the names are those of MNIST


@pytest.mark.parametrize("kind", BAD_MIRRORS)
@pytest.mark.parametrize(("train", "stem"), [(False, "t10k"), (True, "train")])
def test_without_a_mirror_the_first_line_names_the_missing_file_of_clothes(tmp_path, kind, train, stem):
    folder, name = tmp_path / "raw", f"{stem}-images-idx3-ubyte.gz"
    with bad_mirror(kind, tmp_path / "bad") as bad, pytest.raises(FileNotFoundError) as error:
        data.load_fashion_mnist(train=train, folder=folder, mirrors=[bad])
    assert str(error.value).splitlines()[0] == f"The file {name} is missing and could not be fetched:"
    for part in (bad + name, str(folder), "Get it from another computer"):
        assert part in str(error.value)
    assert not folder.exists() or not list(folder.iterdir())


def test_by_default_the_test_images_of_clothes_are_meant(tmp_path):
    with pytest.raises(FileNotFoundError, match="The file t10k-images") as error:
        data.load_fashion_mnist(folder=tmp_path / "raw", mirrors=[(tmp_path / "nowhere").as_uri() + "/"])
    assert CLOTHES_MD5 in str(error.value)


def test_digits_are_not_taken_for_clothes(tmp_path):
    """The files of MNIST have the same names."""
    folder = tmp_path / "raw"
    copy_test_files(folder)
    with pytest.raises(ValueError, match="not the published file") as error:
        data.load_fashion_mnist(folder=folder, mirrors=[])
    for part in (str(folder), CLOTHES_MD5, TEST_FILES["t10k-images-idx3-ubyte.gz"]):
        assert part in str(error.value)
    assert_complete(folder)  # left alone
    with serve(RAW) as url, pytest.raises(FileNotFoundError, match="sent a file with md5"):
        data.load_fashion_mnist(folder=tmp_path / "new", mirrors=[url])


def test_files_of_clothes_are_fetched_and_read_like_those_of_mnist(tmp_path, monkeypatch):
    """The published files are not here; the digits, under their own checksums, stand in for them."""
    from torchvision.datasets import FashionMNIST

    monkeypatch.setattr(FashionMNIST, "resources", list(TEST_FILES.items()))
    with serve(RAW) as url:
        images, labels = data.load_fashion_mnist(folder=tmp_path / "raw", mirrors=[url])
    expected = data.load_mnist(train=False)
    assert torch.equal(images, expected.images) and torch.equal(labels, expected.labels)
    assert_complete(tmp_path / "raw")


# --- all data --------------------------------------------------------------------------------------------------------


def test_a_mark_at_the_start_and_indented_comments_do_no_harm(tmp_path):
    file = tmp_path / "letters.txt"
    text = (data.DATA_FOLDER / "letters.txt").read_text(encoding="utf-8")
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("letter b", "  ; my own\nletter b").replace("\n", "\r\n").encode())
    assert torch.equal(data.load_letters(file).images, data.load_letters().images)


def test_the_readme_gives_the_checksums_of_the_files():
    readme = (data.DATA_FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\S+)` \| `([0-9a-f]{32})` \|$", readme, flags=re.MULTILINE)
    assert len(listed) == 8
    for name, md5 in listed:
        assert hashlib.md5((data.DATA_FOLDER / name).read_bytes()).hexdigest() == md5, name
