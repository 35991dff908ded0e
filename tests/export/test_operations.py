"""The operations in exported files, where some runtimes lack others."""

import keras
import pytest
from export.files import Row
from support.configurations import CONFIGURATIONS, built

# The converters warn about much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

# The GPU delegate of LiteRT has no EXPAND_DIMS, and in float16 it overflows in
# SUM. MAXIMUM with an infinite constant makes 8-bit maximum pooling inexact.
OPERATIONS = {
    "se_bias": "MEAN FULLY_CONNECTED FULLY_CONNECTED LOGISTIC RESHAPE MUL",
    "se_swish_hard_max": (
        "REDUCE_MAX FULLY_CONNECTED LOGISTIC MUL FULLY_CONNECTED ADD RELU6 "
        "MUL RESHAPE MUL"
    ),
    "linear": "MEAN FULLY_CONNECTED LOGISTIC RESHAPE MUL",
}


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_of_litert(name, tmp_path):
    inputs = keras.Input((4, 5, 8))
    outputs = built(*CONFIGURATIONS[name])(inputs)
    row = Row("tensorflow", "litert", "free")
    path = row.write(keras.Model(inputs, outputs), tmp_path)
    assert operations_of_litert(path) == OPERATIONS[name].split()


def operations_of_litert(path):
    """Names of the operations in a LiteRT file, in their order."""
    from ai_edge_litert.interpreter import Interpreter

    # No public function lists them.
    details = Interpreter(path)._get_ops_details()
    return [operation["op_name"] for operation in details]
