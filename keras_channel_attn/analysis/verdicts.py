"""What the numbers of an attention layer say about it, if they say it."""

from keras_channel_attn.analysis.output_changes import OutputChange

# A standard deviation of 32 numbers has a relative error of 13 %.
MINIMUM_SAMPLES = 32
# The outputs with this change have 99.75 % of their variance in common with
# those of the network: 1 - 0.05^2.
NEGLIGIBLE_CHANGE = 0.05

REMOVABLE = "no effect: can be removed"
CONSTANT = "constant: can be frozen"
DEPENDENT = "depends on the sample"
UNDECIDED = "undecided: needs more samples"
TOO_FEW = f"fewer than {MINIMUM_SAMPLES} samples"
UNKNOWN = "?"


def verdict(
    samples: int,
    if_constant: OutputChange | None,
    if_removed: OutputChange | None,
) -> str:
    """What can be said of an attention layer.

    A change is negligible, or is not, if it is so at two standard errors from
    its estimate.

    Args:
        samples: Integer, how many samples it was measured on.
        if_constant: `OutputChange` with constant gates, `None` if unknown.
        if_removed: `OutputChange` without the layer, `None` if unknown.
    """
    if samples < MINIMUM_SAMPLES:
        return TOO_FEW
    if if_removed is not None and if_removed.upper < NEGLIGIBLE_CHANGE:
        return REMOVABLE
    if if_constant is None:
        return UNKNOWN
    if if_constant.upper < NEGLIGIBLE_CHANGE:
        return CONSTANT
    return DEPENDENT if if_constant.lower > NEGLIGIBLE_CHANGE else UNDECIDED
