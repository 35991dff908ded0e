"""The maths, in whichever form is fastest on the backend that is running.

`keras_channel_attn.ops` says what is computed, and computes what has no faster
form here. `tests/backend` holds every other form to it. docs/performance.md
says what is gained.
"""

import keras

from keras_channel_attn.ops import (
    activate,
    attend,
    bottleneck,
    grouped_linear,
)

if keras.config.backend() == "torch":
    from keras_channel_attn.backend.torch import (
        activate,
        attend,
        bottleneck,
        channel_convolution,
        grouped_linear,
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
]
