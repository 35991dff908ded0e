"""The names of the networks and of their checkpoints."""

import fnmatch
import re
from collections.abc import Iterable
from typing import Any

from keras_channel_attn.arguments import boolean
from keras_channel_attn.models.checkpoints import checkpoint_rows
from keras_channel_attn.models.timm import timm_networks


def list_models(
    pattern: str | Iterable[str] | None = None, pretrained: bool | None = None
) -> list[str]:
    """The names that `from_timm` knows, sorted.

    Args:
        pattern: String with the wildcards of `fnmatch`, such as `"se*50*"`, or
            a list of them. A pattern without a tag fits all tags. Defaults to
            `None`: all names.
        pretrained: Boolean. If `True`, the names of the checkpoints are
            returned, each with its tag: `"seresnet50.ra2_in1k"`. Defaults to
            `None`, as `False`: the names of the networks.

    Returns:
        List of strings. Numbers in names are sorted by value.

    Raises:
        TypeError: If `pattern` is neither a string nor a list of strings, or
            `pretrained` is no boolean.

    Examples:

    >>> list_models("legacy_seresnet*")
    ['legacy_seresnet18', 'legacy_seresnet34', 'legacy_seresnet50',
     'legacy_seresnet101', 'legacy_seresnet152']
    >>> list_models("ecaresnet101d", pretrained=True)
    ['ecaresnet101d.miil_in1k']
    """
    if pretrained is not None:
        pretrained = boolean("pretrained", pretrained)
    names = list(checkpoint_rows() if pretrained else timm_networks())
    if pattern is not None:
        names = _names_like(names, pattern)
    return sorted(names, key=_natural_order)


def _names_like(names: list[str], pattern: Any) -> list[str]:
    is_list = isinstance(pattern, Iterable) and not isinstance(pattern, str)
    patterns = list(pattern) if is_list else [pattern]
    if not all(isinstance(item, str) for item in patterns):
        raise TypeError(
            "`pattern` must be a string, such as 'seresnet*', or a list of "
            f"strings. Received: pattern={pattern!r}."
        )
    # Names without a tag match the pattern itself.
    patterns += [f"{item}.*" for item in patterns if "." not in item]
    return [
        name
        for name in names
        if any(fnmatch.fnmatchcase(name, item) for item in patterns)
    ]


def _natural_order(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"(\d+)", name)
    ]
