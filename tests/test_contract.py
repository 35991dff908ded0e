"""Keras' own contract test for layers.

It is private to Keras and may move: it is used in this module alone.
"""

import pytest
from configurations import over_configurations, over_data_formats, shape_of
from keras.src import testing

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

INPUTS = {"1d": (7,), "2d": (4, 5), "3d": (2, 3, 4), "4d": (2, 1, 3, 2)}


def run_layer_test(*args, **kwargs):
    testing.TestCase("run_layer_test").run_layer_test(*args, **kwargs)


@over_data_formats
@over_configurations
@pytest.mark.parametrize("spatial", INPUTS.values(), ids=INPUTS.keys())
def test_run_layer_test(layer_class, arguments, data_format, spatial):
    shape = shape_of(2, spatial, 16, data_format)
    weights = 1 if layer_class.__name__.startswith("Efficient") else 2
    if arguments.get("use_bias"):
        weights = 4
    run_layer_test(
        layer_class,
        init_kwargs={**arguments, "data_format": data_format},
        input_shape=shape,
        expected_output_shape=shape,
        expected_output_dtype="float32",
        expected_num_trainable_weights=weights,
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=True,
    )


@over_configurations
@pytest.mark.parametrize(
    "losses", ["kernel_regularizer", "activity_regularizer"]
)
def test_run_layer_test_with_losses(layer_class, arguments, losses):
    kernels = 1 if layer_class.__name__.startswith("Efficient") else 2
    run_layer_test(
        layer_class,
        init_kwargs={**arguments, losses: "l2", "data_format": "channels_last"},
        input_shape=(2, 4, 5, 16),
        expected_output_shape=(2, 4, 5, 16),
        expected_num_losses=kernels if losses == "kernel_regularizer" else 1,
        supports_masking=True,
    )


@over_configurations
def test_run_layer_test_with_scores(layer_class, arguments):
    run_layer_test(
        layer_class,
        init_kwargs={**arguments, "data_format": "channels_last"},
        input_shape=(2, 4, 5, 16),
        call_kwargs={"return_attention_scores": True},
        expected_output_shape=((2, 4, 5, 16), (2, 16)),
        supports_masking=True,
        run_training_check=False,
    )
