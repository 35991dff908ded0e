"""Keras' own contract test for layers.

It is private to Keras and may move: only this module uses it.
"""

import pytest
from keras.src import testing
from support.configurations import (
    CONFIGURATIONS,
    built,
    over,
    over_configurations,
    over_data_formats,
    shape_of,
)

from keras_channel_attn import SqueezeExcite

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

INPUTS = {"1d": (7,), "2d": (4, 5), "3d": (2, 3, 4), "4d": (2, 1, 3, 2)}


ONE_OF_EACH = {
    name: CONFIGURATIONS[name]
    for name in (
        *("se_bias", "eca", "eca_ns", "linear", "gate"),
        *("cbam", "scse", "coordinate", "context"),
    )
}
over_one_of_each_mechanism = over(ONE_OF_EACH)


def run_layer_test(layer_class, arguments, shape=(2, 4, 5, 16), **expected):
    testing.TestCase("run_layer_test").run_layer_test(
        layer_class,
        init_kwargs={"data_format": "channels_last", **arguments},
        input_shape=shape,
        supports_masking=True,
        **{"expected_output_shape": shape, **expected},
    )


def run_whole_layer_test(layer_class, arguments, shape):
    layer = built(layer_class, arguments, rank=len(shape) - 2)
    run_layer_test(
        layer_class,
        arguments,
        shape,
        expected_output_dtype="float32",
        expected_num_trainable_weights=len(layer.trainable_weights),
        expected_num_non_trainable_weights=len(layer.non_trainable_weights),
        expected_num_seed_generators=0,
        expected_num_losses=0,
    )


@over_configurations
def test_every_configuration(layer_class, arguments):
    run_whole_layer_test(layer_class, arguments, (2, 4, 5, 16))


# No mechanism sees rank or data format: one stands for all. Each run compiles
# a training step.
@over_data_formats
@pytest.mark.parametrize("spatial", INPUTS.values(), ids=INPUTS.keys())
def test_every_rank_and_data_format(data_format, spatial):
    run_whole_layer_test(
        SqueezeExcite,
        {"data_format": data_format},
        shape_of(2, spatial, 16, data_format),
    )


@over({name: row for name, row in ONE_OF_EACH.items() if name != "gate"})
def test_regularized_kernels(layer_class, arguments):
    names = [weight.name for weight in built(layer_class, arguments).weights]
    arguments = {**arguments, "kernel_regularizer": "l2"}
    run_layer_test(
        layer_class,
        arguments,
        expected_num_losses=sum("kernel" in name for name in names),
    )


@over_one_of_each_mechanism
def test_regularized_outputs(layer_class, arguments):
    arguments = {**arguments, "activity_regularizer": "l2"}
    run_layer_test(layer_class, arguments, expected_num_losses=1)


@over_one_of_each_mechanism
def test_attention_scores(layer_class, arguments):
    run_layer_test(
        layer_class,
        arguments,
        call_kwargs={"return_attention_scores": True},
        expected_output_shape=((2, 4, 5, 16), (2, 16)),
        run_training_check=False,
    )
