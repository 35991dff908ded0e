"""What a layer returned, held to gates from the reference."""

import numpy as np
from keras import ops

from support import reference


def assert_gated(returned, x, gates, data_format):
    """`returned` is `(x * gates, gates)`."""
    y, scores = returned
    np.testing.assert_allclose(
        ops.convert_to_numpy(scores), gates, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(y),
        reference.rescale(x, gates, data_format),
        rtol=1e-5,
        atol=1e-6,
    )
