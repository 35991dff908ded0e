"""Where residual branches end, in every way that networks write them."""

import keras
import pytest
from keras import layers, ops
from support.networks import (
    attention_of,
    backbone,
    blocks,
    convolution,
    image,
    predictions,
    randomize,
    residual,
    sample,
)

from keras_channel_attn import (
    SqueezeExcite,
    attention_sites,
    insert_attention,
)


def branch(x, prefix="", **arguments):
    x = convolution(prefix + "1", activation="relu", **arguments)(x)
    return convolution(prefix + "2")(x)


def identity(x):
    return layers.Add()([x, branch(x)])


def identity_last(x):
    return layers.Add()([branch(x), x])


def one_convolution(x):
    return layers.Add()([x, convolution("2")(x)])


def no_convolution(x):
    return layers.Add()([x, layers.Activation("tanh", name="2")(x)])


def normalized(x):
    y = layers.BatchNormalization(name="2_norm")(branch(x))
    return layers.Add()([x, y])


def dropped(x):
    return layers.Add()([layers.Dropout(0.5, name="drop")(branch(x)), x])


def projection(x):
    return layers.Add()([convolution("s", 1)(x), branch(x)])


def normalized_projection(x):
    shortcut = layers.BatchNormalization()(convolution("s", 1)(x))
    y = layers.BatchNormalization(name="2_norm")(branch(x))
    return layers.Add()([y, shortcut])


def pooled(x):
    shortcut = layers.MaxPooling2D(2)(x)
    return layers.Add()([branch(x, strides=2), shortcut])


def pooled_projection(x):
    shortcut = convolution("s", 1)(layers.AveragePooling2D(2)(x))
    return layers.Add()([shortcut, branch(x, strides=2)])


def pre_activation(x):
    x = layers.ReLU()(x)
    return layers.Add()([convolution("s", 1)(x), branch(x)])


def separable(x):
    y = layers.SeparableConv2D(8, 3, padding="same", name="1")(x)
    y = layers.SeparableConv2D(8, 3, padding="same", name="2")(y)
    return layers.Add()([convolution("s", 1)(x), y])


def three_way(x):
    return layers.Add()([branch(x, "a"), x, branch(x, "b")])


def three_way_in_two_additions(x):
    x = convolution("before", 1)(x)
    return (x + branch(x, "a")) + branch(x, "b")


def reparameterized(x):
    """As RepVGG: the shortcut is a normalization."""
    x = convolution("before", 1)(x)
    shortcut = layers.BatchNormalization()(x)
    return shortcut + convolution("a")(x) + convolution("b")(x)


def three_way_projection(x):
    shortcut = convolution("s", 1)(x)
    return layers.Add()([branch(x, "a"), shortcut, branch(x, "b")])


def branches_that_begin_in_each_other(x):
    return layers.Add()([x, convolution("a")(x), branch(convolution("b")(x))])


def two_in_a_row(x):
    x = layers.Add()([x, branch(x, "a")])
    return layers.Add()([x, branch(x, "b")])


def operator(x):
    return x + branch(x)


def operation(x):
    return ops.add(branch(x), x)


def operation_at_the_end(x):
    return x + ops.relu(branch(x))


def functional_form(x):
    return layers.add([x, branch(x)])


def nested(x):
    return backbone()(x)


def nested_branch(x):
    inputs = image("inner_image")
    return layers.Add()([x, keras.Model(inputs, branch(inputs), name="m")(x)])


class Scaled(layers.Layer):
    """As Inception-ResNet has it in Keras: one list, a factor."""

    def __init__(self, factors=(1.0, 0.2), **kwargs):
        super().__init__(**kwargs)
        self.factors = factors

    def call(self, inputs):
        first, second = self.factors
        return ops.add(
            ops.multiply(inputs[0], first), ops.multiply(inputs[1], second)
        )

    def compute_output_shape(self, input_shape):
        return input_shape[0]


class StochasticDepth(layers.Layer):
    """A trained factor for the branch, which is left out at random."""

    def build(self, shortcut_shape, branch_shape):
        self.factor = self.add_weight(shape=(8,), name="factor")

    def call(self, shortcut, branch, training=False):
        if training:
            return shortcut
        return ops.add(shortcut, ops.multiply(self.factor, branch))

    def compute_output_shape(self, shortcut_shape, branch_shape):
        return shortcut_shape


class Gated(layers.Layer):
    def call(self, inputs):
        return ops.multiply(inputs[0], ops.sigmoid(inputs[1]))

    def compute_output_shape(self, input_shape):
        return input_shape[0]


class Ordered(layers.Layer):
    """Raises an error when it is called on arrays."""

    def call(self, inputs):
        if not isinstance(inputs[0], keras.KerasTensor):
            raise RuntimeError("unexpected")
        return ops.add(*inputs)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def scaled(x):
    return Scaled()([x, branch(x)])


def scaled_first(x):
    return Scaled((0.2, 1.0))([branch(x), x])


def scaled_projection(x):
    return Scaled()([convolution("s", 1)(x), branch(x)])


def scaled_in_half_precision(x):
    return Scaled(dtype="mixed_float16")([x, branch(x)])


def scaled_by_a_lambda(x):
    add = layers.Lambda(
        lambda inputs: inputs[0] + 0.2 * inputs[1],
        output_shape=lambda shapes: shapes[0],
    )
    return add([x, branch(x)])


def stochastic_depth(x):
    return StochasticDepth()(x, branch(x))


SITES = {
    identity: ["2"],
    identity_last: ["2"],
    one_convolution: ["2"],
    normalized: ["2_norm"],
    dropped: ["drop"],
    projection: ["2"],
    normalized_projection: ["2_norm"],
    pooled: ["2"],
    pooled_projection: ["2"],
    pre_activation: ["2"],
    separable: ["2"],
    three_way: ["a2", "b2"],
    three_way_in_two_additions: ["a2", "b2"],
    reparameterized: ["a", "b"],
    three_way_projection: ["a2", "b2"],
    branches_that_begin_in_each_other: ["a", "2"],
    two_in_a_row: ["a2", "b2"],
    operator: ["2"],
    operation: ["2"],
    operation_at_the_end: ["relu"],
    functional_form: ["2"],
    nested: ["backbone/a_2", "backbone/b_2"],
    nested_branch: ["m"],
    scaled: ["2"],
    scaled_first: ["2"],
    scaled_projection: ["2"],
    scaled_in_half_precision: ["2"],
    scaled_by_a_lambda: ["2"],
    stochastic_depth: ["2"],
}


@pytest.mark.parametrize(("build", "expected"), SITES.items())
def test_branches_end_at(build, expected):
    x = image()
    assert attention_sites(keras.Model(x, build(x))) == expected


def symmetric(x):
    return layers.Add()([convolution("a")(x), convolution("b")(x)])


def symmetric_and_deep(x):
    return layers.Add()([branch(x, "a"), branch(x, "b")])


def doubled(x):
    x = convolution("a")(x)
    return layers.Add()([x, x])


def with_a_number(x):
    return convolution("a")(x) + 1


def broadcast(x):
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Add()([x, convolution("a", 1)(y)])


def other(kind):
    def build(x):
        return kind()([x, branch(x)])

    build.__name__ = kind.__name__
    return build


def joined_by_operation(x):
    return x * branch(x)


def broken(x):
    return Ordered()([x, branch(x)])


@pytest.mark.parametrize(
    "build",
    [
        no_convolution,
        symmetric,
        symmetric_and_deep,
        doubled,
        with_a_number,
        broadcast,
        joined_by_operation,
        broken,
        other(layers.Subtract),
        other(layers.Multiply),
        other(layers.Average),
        other(layers.Maximum),
        other(layers.Concatenate),
        other(Gated),
    ],
)
def test_no_residual_branch(build):
    x = image()
    with pytest.raises(ValueError, match="no residual branches"):
        attention_sites(keras.Model(x, build(x)))


class Weighted(layers.Layer):
    def call(self, inputs):
        return inputs[0] + 0.5 * inputs[1]

    def compute_output_shape(self, shapes):
        return shapes[0]


class First(Weighted):
    def call(self, inputs):
        return inputs[0]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_layer_that_adds_is_known_by_what_it_does(dtype):
    x = image()
    y = Weighted(dtype=dtype)([x, convolution("c")(x)])
    y = First(dtype=dtype)([y, convolution("d")(y)])
    assert attention_sites(keras.Model(x, y)) == ["c"]


def test_additions_without_spatial_axes_are_passed_over():
    x = image()
    y = layers.GlobalAveragePooling2D()(x + convolution("c")(x))
    model = keras.Model(x, y + layers.Dense(8, name="d")(y))
    assert attention_sites(model) == ["c"]


def test_a_sum_of_two_inputs_has_no_residual_branch():
    left, right = image("left"), image("right")
    y = layers.Add()([branch(left), right])
    with pytest.raises(ValueError, match="no residual branches"):
        attention_sites(keras.Model([left, right], y))


def test_an_input_that_is_added_too_is_no_branch():
    left, right = image("left"), image("right")
    y = layers.Add()([left, branch(right), right])
    assert attention_sites(keras.Model([left, right], y)) == ["2"]


def test_unknown_spatial_sizes():
    x = keras.Input((None, None, 8))
    assert attention_sites(keras.Model(x, scaled(x))) == ["2"]


def test_a_custom_addition_that_runs_in_channels_first():
    keras.config.set_image_data_format("channels_first")
    x = image()
    model = keras.Model(x, Scaled()([x, branch(x)]))
    assert attention_sites(model) == ["2"]


@pytest.mark.parametrize("build", [identity, projection, three_way, scaled])
def test_the_shortcut_and_other_consumers_see_the_plain_tensor(build):
    """Attention on the edge between a branch's end and its addition."""
    x = image()
    y = build(x)
    plain = randomize(keras.Model(x, y))
    seen = keras.Model(x, [plain.get_layer(n).output for n in SITES[build]])
    both = keras.Model(x, [y, *seen.outputs])
    copy = insert_attention(both, SqueezeExcite(reduction=2))
    array = sample(both)
    attended = [
        copy.get_layer(f"{name}_squeeze_excite") for name in SITES[build]
    ]
    assert len(attended) == len(attention_of(copy))
    before, after = predictions(both, array), predictions(copy, array)
    factor = 0.2 if build is scaled else 1.0
    expected = before[0] + factor * sum(
        ops.convert_to_numpy(layer(end)) - end
        for layer, end in zip(attended, before[1:], strict=True)
    )
    assert abs(after[0] - before[0]).max() > 1e-2
    assert abs(after[0] - expected).max() < 1e-4
    for one, other in zip(before[1:], after[1:], strict=True):
        assert abs(one - other).max() < 1e-5


def test_the_next_block_sees_the_sum():
    """The end of one block is the shortcut of the next: attended once."""
    x = image()
    model = keras.Model(x, blocks(blocks(x, "first_"), "second_"))
    assert attention_sites(model) == [
        f"{block}_{end}"
        for block in ("first", "second")
        for end in ("a_2", "b_2")
    ]


def test_a_branch_within_a_branch():
    x = image()
    y = branch(x, "outer")
    y = layers.Add(name="inner_add")([y, branch(y, "inner")])
    model = keras.Model(x, layers.Add(name="outer_add")([x, y]))
    assert attention_sites(model) == ["inner2", "inner_add"]


def test_detection_calls_no_layer_of_the_original_again():
    model = residual()
    before = len(model.get_layer("a_add")._inbound_nodes)
    attention_sites(model)
    assert len(model.get_layer("a_add")._inbound_nodes) == before


def test_detection_adds_no_loss_to_the_original():
    class Penalized(Weighted):
        def call(self, inputs):
            self.add_loss(ops.sum(inputs[1]))
            return super().call(inputs)

    x = image()
    model = keras.Model(x, Penalized()([x, convolution("c")(x)]))
    model(sample(model))
    before = [float(ops.convert_to_numpy(loss)) for loss in model.losses]
    assert attention_sites(model) == ["c"]
    after = [float(ops.convert_to_numpy(loss)) for loss in model.losses]
    assert len(before) == 1
    assert after == before


# That of Keras: a convolution drops the mask.
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("place", ["nowhere", "norms", "products", "both"])
@pytest.mark.parametrize("computed", [False, True])
def test_masks_in_a_projection(place, computed):
    """Mask that a layer takes, or that a tensor is multiplied by."""
    signal = keras.Input((None, 8))
    given = keras.Input((None,), dtype="bool")
    mask = ops.any(ops.not_equal(signal, 0), axis=-1) if computed else given
    mask = mask[:, ::2]
    is_given = place != "nowhere" and not computed
    inputs = [signal, given] if is_given else signal

    def normalized(x, name):
        taken = {"mask": mask} if place in ("norms", "both") else {}
        x = layers.BatchNormalization(name=name)(x, **taken)
        if place in ("products", "both"):
            positions = ops.cast(ops.expand_dims(mask, -1), x.dtype)
            x = layers.Multiply(name=f"{name}_masked")([x, positions])
        return x

    shortcut = layers.Conv1D(8, 1, strides=2)(signal)
    x = layers.Conv1D(8, 3, strides=2, padding="same")(signal)
    x = layers.Conv1D(8, 3, padding="same")(normalized(x, "first"))
    outputs = layers.Add()(
        [normalized(x, "second"), normalized(shortcut, "shortcut")]
    )
    model = keras.Model(inputs, outputs)
    end = "second_masked" if place in ("products", "both") else "second"
    assert attention_sites(model) == [end]
