"""The maths, in the form that is fastest on the current backend.

`keras_channel_attn.ops` is the specification, and is used where no faster form
is known. `tests/backend` compares every other form with it. The measurements
are in docs/performance.md.
"""

import keras

from keras_channel_attn.ops import (
    activate,
    attend,
    bottleneck,
    grouped_linear,
    spatial_convolution,
)

if keras.config.backend() == "torch":
    from keras_channel_attn.backend.torch import (
        activate,
        attend,
        bottleneck,
        channel_convolution,
        grouped_linear,
        spatial_convolution,
    )
elif keras.config.backend() in ("tensorflow", "jax"):
    from keras_channel_attn.backend.convolution import (
        channel_convolution,
    )
else:
    from keras_channel_attn.ops import (
        channel_convolution,
    )

__all__ = [
    "activate",
    "attend",
    "bottleneck",
    "channel_convolution",
    "grouped_linear",
    "spatial_convolution",
]
