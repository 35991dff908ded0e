"""Symbolic tensors: found in arguments, replaced there, used as keys."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras


class IdentityMap:
    """Dictionary whose keys are tensors or variables, compared by identity.

    They overload comparison operators, so that they cannot be the keys of an
    ordinary dictionary safely.
    """

    def __init__(
        self, tensors: Iterable[Any] = (), values: Iterable[Any] = ()
    ) -> None:
        # The tensor is stored too: an `id` is unique only while it exists.
        self._entries: dict[int, tuple[Any, Any]] = {}
        self.update(tensors, values)

    def __setitem__(self, tensor: Any, value: Any) -> None:
        self._entries[id(tensor)] = tensor, value

    def __getitem__(self, tensor: Any) -> Any:
        return self._entries[id(tensor)][1]

    def __contains__(self, tensor: Any) -> bool:
        return id(tensor) in self._entries

    def __iter__(self) -> Iterator[Any]:
        return iter([tensor for tensor, _ in self._entries.values()])

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, tensor: Any, default: Any = None) -> Any:
        return self._entries.get(id(tensor), (None, default))[1]

    def update(self, tensors: Iterable[Any], values: Iterable[Any]) -> None:
        """Set a value for each of several tensors."""
        for tensor, value in zip(tensors, values, strict=True):
            self[tensor] = value

    def setdefault(self, tensor: Any, value: Any) -> Any:
        return self._entries.setdefault(id(tensor), (tensor, value))[1]


def symbolic_tensors(structure: Any) -> list[Any]:
    """The symbolic tensors in a nested structure, in order."""
    return [
        leaf
        for leaf in keras.tree.flatten(structure)
        if isinstance(leaf, keras.KerasTensor)
    ]


def replace_tensors(structure: Any, replacements: IdentityMap) -> Any:
    """The structure with each tensor in `replacements` replaced."""
    return keras.tree.map_structure(
        lambda leaf: replacements.get(leaf, leaf), structure
    )


def is_boolean(tensor: Any) -> bool:
    """Whether a tensor has the dtype of masks."""
    return keras.backend.standardize_dtype(tensor.dtype) == "bool"
