"""Writing arrays into a file of the format safetensors.

A file begins with the number of bytes of its header, in eight bytes. The header
is JSON: for each name the dtype, the shape, and where the bytes of the array
begin and end after the header.
"""

import contextlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

_ENDING = ".safetensors"
# The names of the dtypes that checkpoints of torch need: weights and counters.
_DTYPES = {"float32": "F32", "int64": "I64"}
# What readers of torch's files look for.
_METADATA = {"format": "pt"}


def path_of_new_file(path: Any) -> pathlib.Path:
    """The path of a file that can be written, or an error that says why not."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"`path` must be the path of a file that ends in '{_ENDING}'. "
            f"Received: path={path!r} (of type {type(path).__name__})."
        )
    path = pathlib.Path(path).expanduser()
    if path.suffix != _ENDING:
        raise ValueError(
            f"`path` must end in '{_ENDING}', the format of the file. "
            f"Received: path={str(path)!r}."
        )
    if path.is_dir():
        raise IsADirectoryError(
            f"'{path}' is a folder. Pass the path of a file in it, such as "
            f"'{path / 'model.safetensors'}'."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder '{path.parent}'. Create it first."
        )
    return path


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays of float32 and int64, which replace a file that exists.

    After an error there is no new file, and one that existed is unchanged.
    """
    # Eight bytes first, so that every array begins at a multiple of its size.
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": _METADATA}
    end = 0
    for name in names:
        array = arrays[name]
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with _whole_file(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in names:
            array = arrays[name]
            little_endian = array.astype(array.dtype.newbyteorder("<"))
            file.write(little_endian.tobytes())


@contextlib.contextmanager
def _whole_file(path: pathlib.Path) -> Iterator[BinaryIO]:
    """A new file in the same folder, moved to its place at the end."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if not isinstance(error, OSError):
            raise
        # With the path that the user knows.
        raise type(error)(error.errno, error.strerror, str(path)) from error
