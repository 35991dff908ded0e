"""Weight names of other publishers, translated to those of timm.

SENet's Caffe networks, as Cadene converted them to torch, and timm's older
networks have the names of Caffe. These are translated in both directions.
"""

import re
from collections.abc import Iterable

# From the names of Caffe's modules to those of ResNets.
_CAFFE = {"layer0.conv1": "conv1", "layer0.bn1": "bn1", "last_linear": "fc"}
# The same for SENet-154, which begins with three convolutions.
_DEEP_CAFFE = {
    "layer0.conv1": "conv1.0",
    "layer0.bn1": "conv1.1",
    "layer0.conv2": "conv1.3",
    "layer0.bn2": "conv1.4",
    "layer0.conv3": "conv1.6",
    "layer0.bn3": "bn1",
    "last_linear": "fc",
}
_CAFFE_ATTENTION, _ATTENTION = ".se_module.", ".se."
# ECANet; moskomule; and timm's EfficientNet for a module alone.
_RENAMINGS = (
    (r"\.eca\.", ".se."),
    (r"(^|\.se\.)fc\.0\.", r"\1fc1."),
    (r"(^|\.se\.)fc\.2\.", r"\1fc2."),
    (r"(^|\.)conv_reduce\.", r"\1fc1."),
    (r"(^|\.)conv_expand\.", r"\1fc2."),
)
_CAFFE_NAMES = {"last_linear.weight", "layer0.conv1.weight"}


def originals_by_timm_name(names: Iterable[str]) -> dict[str, str]:
    """Dictionary from timm's name of each weight to its name in a checkpoint.

    Counters of batches are left out: Keras has no weights for them.
    """
    plain = {
        name: _without_wrapper(name)
        for name in names
        if not name.endswith("num_batches_tracked")
    }
    is_deep = any(name.startswith("layer0.conv3.") for name in plain.values())
    modules = _DEEP_CAFFE if is_deep else _CAFFE
    originals: dict[str, str] = {}
    for original, name in plain.items():
        name = _with_module(name, modules)
        name = name.replace(_CAFFE_ATTENTION, _ATTENTION)
        for pattern, replacement in _RENAMINGS:
            name = re.sub(pattern, replacement, name)
        if name in originals:
            raise ValueError(
                f"The checkpoint has two arrays for '{name}': "
                f"'{originals[name]}' and '{original}'."
            )
        originals[name] = original
    return originals


def caffe_names(names: Iterable[str]) -> dict[str, str]:
    """Dictionary from names in ResNets to those in networks of Caffe."""
    names = list(names)
    is_deep = any(name.startswith("conv1.6.") for name in names)
    pairs = (_DEEP_CAFFE if is_deep else _CAFFE).items()
    modules = {module: caffe for caffe, module in pairs}
    return {
        name: _with_module(name, modules).replace(_ATTENTION, _CAFFE_ATTENTION)
        for name in names
    }


def _with_module(name: str, modules: dict[str, str]) -> str:
    """The name of a weight with another name of its module, if it has one."""
    module, dot, weight = name.rpartition(".")
    return f"{modules.get(module, module)}{dot}{weight}"


def are_of_caffe(names: Iterable[str]) -> bool:
    """Whether a checkpoint has the names of SENet's own Caffe networks."""
    return _CAFFE_NAMES.issubset(map(_without_wrapper, names))


def _without_wrapper(name: str) -> str:
    """A name without what training on several devices or compiling adds."""
    return re.sub(r"^(module\.|_orig_mod\.)+", "", name)
