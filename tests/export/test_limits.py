"""What Keras itself cannot export: a plain model fails too.

If one of these tests fails, Keras has learned it, and the row moves from
`LIMITS` to `ROWS`.
"""

import keras
import numpy as np
import pytest
from export.files import FORMATS, LIMITS, ROWS, rows_of_this_backend
from keras import layers

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


def plain_model():
    return keras.Sequential(
        [
            keras.Input((4, 5, 8)),
            layers.Conv2D(8, 1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )


@pytest.mark.parametrize("row", rows_of_this_backend(LIMITS), ids=str)
def test_plain_model_fails_too(row, tmp_path):
    model, x = plain_model(), np.zeros((3, 4, 5, 8), "float32")
    model(x)
    with pytest.raises(Exception, match=LIMITS[row]):
        row.read(row.write(model, tmp_path))(x)


def test_each_format_is_in_the_tables():
    backend = keras.config.backend()
    rows = [*ROWS, *LIMITS]
    listed = {row.format for row in rows if row.backend == backend}
    assert listed == set(FORMATS)
