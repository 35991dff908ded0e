"""Keras' own contract test for layers.

It is private to Keras and may move: it is used in this module alone.
"""

import pytest
from keras.src import testing
from support.configurations import (
    over_configurations,
    over_data_formats,
    over_those_with_weights,
    shape_of,
)

from keras_channel_attn import (
    EfficientChannelAttention,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

KERNELS = {
    SqueezeExcite: 2,
    EfficientChannelAttention: 1,
    LinearSqueezeExcite: 1,
    SqueezeGate: 0,
}
INPUTS = {"1d": (7,), "2d": (4, 5), "3d": (2, 3, 4), "4d": (2, 1, 3, 2)}


def run_layer_test(*args, **kwargs):
    testing.TestCase("run_layer_test").run_layer_test(*args, **kwargs)


@over_data_formats
@over_configurations
@pytest.mark.parametrize("spatial", INPUTS.values(), ids=INPUTS.keys())
def test_run_layer_test(layer_class, arguments, data_format, spatial):
    shape = shape_of(2, spatial, 16, data_format)
    weights = KERNELS[layer_class]
    if arguments.get("use_bias"):
        weights *= 2
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


def run_layer_test_with_losses(layer_class, arguments, losses):
    run_layer_test(
        layer_class,
        init_kwargs={**arguments, "data_format": "channels_last"},
        input_shape=(2, 4, 5, 16),
        expected_output_shape=(2, 4, 5, 16),
        expected_num_losses=losses,
        supports_masking=True,
    )


@over_those_with_weights
def test_run_layer_test_with_regularized_kernels(layer_class, arguments):
    arguments = {**arguments, "kernel_regularizer": "l2"}
    run_layer_test_with_losses(layer_class, arguments, KERNELS[layer_class])


@over_configurations
def test_run_layer_test_with_regularized_outputs(layer_class, arguments):
    arguments = {**arguments, "activity_regularizer": "l2"}
    run_layer_test_with_losses(layer_class, arguments, 1)


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
