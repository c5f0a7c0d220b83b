"""Files of a store: whole or not there, whoever is killed."""

import os
import socket

import pytest

from tangency.kernels.matrix.files import created, sweep, written_whole


def test_a_file_is_whole_or_not_there(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with written_whole(tmp_path / "a") as file:
            file.write(b"half")
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with written_whole(tmp_path / "a") as file:
        file.write(b"all")
    assert (tmp_path / "a").read_bytes() == b"all"


def test_only_the_first_creates_a_file(tmp_path):
    assert created(tmp_path / "a", b"first") and not created(tmp_path / "a", b"second")
    assert [f.read_bytes() for f in tmp_path.iterdir()] == [b"first"]


def test_what_a_killed_process_left_is_swept(tmp_path):
    host = socket.gethostname().replace(".", "-")
    dead = tmp_path / f".ntk-0-0.npy.{host}.{2**22 + 1}.abcdef01.part"
    others = [
        tmp_path / f".ntk-0-0.npy.{host}.{os.getpid()}.abcdef01.part",
        tmp_path / ".ntk-0-0.npy.elsewhere.1.abcdef01.part",
    ]
    for file in (dead, *others):
        file.touch()
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)
