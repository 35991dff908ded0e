"""Weight names of other publishers, translated to those of timm."""

import re
from collections.abc import Iterable

# SENet's Caffe networks as Cadene converted them to torch, and timm's older
# networks; ECANet; moskomule; and timm's EfficientNet for a module alone.
_RENAMINGS = (
    (r"^layer0\.(conv1|bn1)\.", r"\1."),
    (r"^last_linear\.", "fc."),
    (r"\.(se_module|eca)\.", ".se."),
    (r"(^|\.se\.)fc\.0\.", r"\1fc1."),
    (r"(^|\.se\.)fc\.2\.", r"\1fc2."),
    (r"(^|\.)conv_reduce\.", r"\1fc1."),
    (r"(^|\.)conv_expand\.", r"\1fc2."),
)
# The three convolutions at the start of Cadene's SENet-154.
_DEEP_STEM = {
    "layer0.conv1": "conv1.0",
    "layer0.bn1": "conv1.1",
    "layer0.conv2": "conv1.3",
    "layer0.bn2": "conv1.4",
    "layer0.conv3": "conv1.6",
    "layer0.bn3": "bn1",
}
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
    originals: dict[str, str] = {}
    for original, name in plain.items():
        if is_deep and name.startswith("layer0."):
            module, _, weight = name.rpartition(".")
            name = f"{_DEEP_STEM.get(module, module)}.{weight}"
        for pattern, replacement in _RENAMINGS:
            name = re.sub(pattern, replacement, name)
        if name in originals:
            raise ValueError(
                f"The checkpoint has two arrays for '{name}': "
                f"'{originals[name]}' and '{original}'."
            )
        originals[name] = original
    return originals


def are_of_caffe(names: Iterable[str]) -> bool:
    """Whether a checkpoint has the names of SENet's own Caffe networks."""
    return _CAFFE_NAMES.issubset(map(_without_wrapper, names))


def _without_wrapper(name: str) -> str:
    """A name without what training on several devices or compiling adds."""
    return re.sub(r"^(module\.|_orig_mod\.)+", "", name)
