"""Writing a file: whole or not at all."""

import os
import sys
import threading

import pytest

from helpers.files import write_atomically


def test_a_new_file_in_a_new_folder(tmp_path):
    file = tmp_path / "a" / "b" / "file.bin"
    write_atomically(file, b"content")
    assert file.read_bytes() == b"content"
    assert [entry.name for entry in file.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("new", [b"", b"short", b"longer than before"])
def test_an_old_file_is_replaced_whole(tmp_path, new):
    file = tmp_path / "file.bin"
    file.write_bytes(b"old content")
    write_atomically(str(file), new)
    assert file.read_bytes() == new
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("step", ["chmod", "replace"])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [None, b"old content"])
def test_after_a_failure_everything_is_as_before(tmp_path, monkeypatch, step, error, old):
    def fail(*args):
        raise error

    file = tmp_path / "file.bin"
    if old is not None:
        file.write_bytes(old)
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        write_atomically(file, b"new content")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == ({"file.bin": old} if old else {})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that somebody is reading")
def test_many_writers_and_a_reader_never_see_half_a_file(tmp_path):
    file = tmp_path / "file.bin"
    contents = [bytes([i]) * 1_000_000 for i in range(4)]
    write_atomically(file, contents[0])

    def write(content):
        for _ in range(20):
            write_atomically(file, content)

    writers = [threading.Thread(target=write, args=[content]) for content in contents]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(file.read_bytes())
    seen.add(file.read_bytes())
    for writer in writers:
        writer.join()
    assert seen <= set(contents)
    assert list(tmp_path.iterdir()) == [file]
