"""Files of the format safetensors, written without its package."""

import errno
import os

import numpy as np
import pytest
from safetensors.numpy import load_file

from keras_channel_attn import models
from keras_channel_attn.models.safetensors_files import (
    path_of_new_file,
    write_arrays,
)

ARRAYS = {
    "vector": np.arange(3, dtype="float32"),
    "scalar": np.array(7),
    "without elements": np.zeros((0, 4), "float32"),
    'name "ü"': np.arange(24, dtype="float32").reshape(2, 3, 4),
    "transposed": np.arange(6, dtype="float32").reshape(2, 3).T,
    "of another machine": np.arange(5, dtype=">f4"),
}


def test_the_package_reads_what_was_written(tmp_path):
    path = tmp_path / "arrays.safetensors"
    write_arrays(path, ARRAYS)
    actual = load_file(path)
    assert actual.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(actual[name], array, strict=False)
        assert actual[name].shape == array.shape


def test_every_array_begins_at_a_multiple_of_its_size(tmp_path):
    """As readers that map the file into memory need it."""
    path = tmp_path / "arrays.safetensors"
    write_arrays(path, {"a": np.zeros(3, "float32"), "b": np.array(1)})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    assert content[8 + length :] == bytes([1] + 7 * [0]) + bytes(12)


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "arrays.safetensors"
    path.write_text("another file")
    write_arrays(path, ARRAYS)
    assert load_file(path).keys() == ARRAYS.keys()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            OSError,
            r"No space left.*arrays\.safetensors'$",
        ),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
    ids=["full disk", "interrupted"],
)
def test_whole_or_not_there(
    tmp_path, monkeypatch, exists, error, raised, message
):
    path = tmp_path / "arrays.safetensors"
    if exists:
        path.write_text("another file")

    def fail(descriptor):
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(raised, match=message):
        write_arrays(path, ARRAYS)
    assert [item.name for item in tmp_path.iterdir()] == exists * [path.name]
    assert not exists or path.read_text() == "another file"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    """The error names the path of the user."""

    def refuse(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError, match=r"/arrays\.safetensors'$"):
        write_arrays(tmp_path / "arrays.safetensors", ARRAYS)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (None, TypeError, "`path` must be the path of a file"),
        (b"model.safetensors", TypeError, "`path` must be the path of a file"),
        ("model.pth", ValueError, r"end in '\.safetensors'.*'model\.pth'"),
        ("model", ValueError, r"end in '\.safetensors'"),
        ("missing/x.safetensors", FileNotFoundError, "no folder 'missing'"),
        ("file/x.safetensors", FileNotFoundError, "no folder 'file'"),
        ("folder.safetensors", IsADirectoryError, "is a folder"),
    ],
)
def test_paths_that_are_refused(tmp_path, monkeypatch, path, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(error, match=message):
        path_of_new_file(path)


def test_the_path_is_looked_at_first(tmp_path):
    """Before a network is built that it is compared with."""
    with pytest.raises(ValueError, match="`path` must end"):
        models.save_torch_checkpoint(None, tmp_path / "model.pth")


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path = path_of_new_file("~/model.safetensors")
    assert path == tmp_path / "model.safetensors"
