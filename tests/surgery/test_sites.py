"""Sites that are hard to detect, and layers that are no sites."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from support.copies import (
    LAST,
    array,
    assert_same_outputs,
    conv,
    identity_attention,
    image,
    numpy,
    with_attention,
)

from keras_channel_attn import (
    EfficientChannelAttention,
    SqueezeExcite,
    attention_sites,
    insert_attention,
)

FIRST = {"data_format": "channels_first"}


# Residual branches with a scale.


class Rezero(layers.Layer):
    def __init__(self, start=0.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, shapes):
        self.scale = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self.start)
        )

    def call(self, inputs):
        return inputs[0] + self.scale * inputs[1]

    def compute_output_shape(self, shapes):
        return shapes[0]

    def get_config(self):
        return {**super().get_config(), "start": self.start}


class LayerScale(Rezero):
    def build(self, shapes):
        self.scale = self.add_weight(
            shape=(shapes[0][-1],),
            initializer=keras.initializers.Constant(self.start),
        )


class Factor(Rezero):
    """The factor is no weight."""

    def build(self, shapes):
        self.scale = self.start


@pytest.mark.parametrize(
    "adding",
    [
        lambda: Rezero(),
        lambda: Rezero(1e-4),
        lambda: Rezero(1.0),
        lambda: LayerScale(0.0),
        lambda: LayerScale(1e-6),
        lambda: Factor(1e-4),
        lambda: Rezero(0.0, dtype="mixed_bfloat16"),
        lambda: Factor(1e-2, dtype="mixed_bfloat16"),
    ],
)
def test_the_scale_of_a_branch_does_not_matter(adding):
    x = image()
    model = keras.Model(x, adding()([x, conv("c")(x)]))
    assert attention_sites(model) == ["c"]


def test_a_site_before_training_is_one_after():
    x = image()
    model = keras.Model(x, Rezero(name="add")([x, conv("c")(x)]))
    assert attention_sites(model) == ["c"]
    model.get_layer("add").scale.assign(0.5)
    assert attention_sites(model) == ["c"]


class Counting(Rezero):
    """Notes the largest input that any of its copies has seen."""

    largest = 0

    def call(self, inputs):
        Counting.largest = max(
            Counting.largest, *(int(np.prod(x.shape[1:])) for x in inputs)
        )
        return super().call(inputs)


def test_layers_are_tried_out_at_a_small_size():
    x = keras.Input((1024, 1024, 32))
    y = layers.Conv2D(32, 1, name="c", **LAST)(x)
    model = keras.Model(x, Counting()([x, y]))
    Counting.largest = 0
    assert attention_sites(model) == ["c"]
    assert 0 < Counting.largest <= 2 * 2 * 32


class ForWholeImages(Rezero):
    """Takes images of the size that it was built for alone."""

    def call(self, inputs):
        ops.reshape(inputs[0], (-1, 6 * 6 * 8))
        return super().call(inputs)


def test_a_layer_that_takes_no_small_images():
    x = image()
    model = keras.Model(x, ForWholeImages()([x, conv("c")(x)]))
    assert attention_sites(model) == ["c"]


def test_layers_alike_are_tried_out_once():
    made = []

    class Noted(Rezero):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            made.append(self)

    x = y = image()
    for number in range(4):
        y = Noted()([y, conv(f"c{number}")(y)])
    model = keras.Model(x, y)
    made.clear()
    assert len(attention_sites(model)) == 4
    assert len(made) == 1


# Branches that end in one output of several.


class Split(layers.Layer):
    def call(self, x):
        return ops.split(x, 2, axis=-1)

    def compute_output_shape(self, shape):
        return [(*shape[:-1], shape[-1] // 2)] * 2


def split_by_a_layer(x):
    return Split(name="split")(conv("c", 16)(x))[1]


def split_by_an_operation(x):
    return ops.split(conv("c", 16)(x), 2, axis=-1)[1]


class WithState(layers.Layer):
    """A convolution that returns something else too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = conv("inside")

    def build(self, shape):
        self.conv.build(shape)

    def call(self, x):
        y = self.conv(x)
        return ops.mean(y, axis=(1, 2)), y

    def compute_output_shape(self, shape):
        return [(shape[0], 8), (*shape[:-1], 8)]

    def get_config(self):
        return layers.Layer.get_config(self)


def with_state(x):
    return WithState(name="split")(x)[1]


SPLITS = [split_by_a_layer, split_by_an_operation, with_state]


@pytest.mark.parametrize("branch", SPLITS)
def test_branches_that_end_in_one_output_of_several(branch):
    x = image()
    model = keras.Model(x, layers.Add()([x, branch(x)]))
    assert attention_sites(model) == ["split:1"]
    attention = SqueezeExcite(2, gate_activation="linear", **LAST)
    copies = [
        insert_attention(model, attention, where)
        for where in ("residual", ["split:1"])
    ]
    for copy in copies:
        assert "split_1_squeeze_excite" in [one.name for one in copy.layers]
        assert np.abs(numpy(copy(array())) - numpy(model(array()))).max() > 0.1
    assert_same_outputs(model, insert_attention(model, identity_attention()))


def test_names_of_outputs():
    x = image()
    first, second = Split(name="split")(conv("c", 16)(x))
    model = keras.Model(x, [ops.relu(first), ops.relu(second)])
    message = r"has 2 outputs.*\['split:0', 'split:1'\]"
    with pytest.raises(ValueError, match=message):
        with_attention(model, ["split"])
    with pytest.raises(ValueError, match="2 outputs, counted from 0"):
        with_attention(model, ["split:2"])
    with pytest.raises(ValueError, match="has no layer 'c:x'"):
        with_attention(model, ["c:x"])
    both = with_attention(model, ["split:0", "split:1"])
    assert len(both.weights) == 2 + 4
    assert_same_outputs(model, both)


def test_layers_with_several_outputs_of_keras():
    x = keras.Input((6, 8))
    y, scores = layers.MultiHeadAttention(2, 4, name="m")(
        x, x, return_attention_scores=True
    )
    z, state = layers.GRU(
        8, return_sequences=True, return_state=True, name="g"
    )(y)
    model = keras.Model(x, [ops.relu(z), scores, state])
    copy = with_attention(model, ["m:0", "g:0"])
    assert len(copy.weights) == len(model.weights) + 4
    assert_same_outputs(model, copy, array((2, 6, 8)))
    with pytest.raises(ValueError, match=r"'g:1'.*needs batch"):
        with_attention(model, ["g:1"])


# The axis of the channels.


def behind_concatenate(x):
    y = layers.Permute((1, 2, 3), name="unknown")(x)
    first = layers.ZeroPadding2D(0, **FIRST)(x)
    return layers.Concatenate(axis=1, name="site")([y, first])


def behind_time_distributed(x):
    y = layers.TimeDistributed(layers.AveragePooling1D(1, **FIRST))(x)
    return layers.ReLU(name="site")(y)


def behind_batch_normalization(x):
    return layers.BatchNormalization(axis=1, name="site")(x)


def behind_group_normalization(x):
    return layers.GroupNormalization(2, axis=1, name="site")(x)


@pytest.mark.parametrize(
    "network",
    [
        behind_concatenate,
        behind_batch_normalization,
        behind_group_normalization,
    ],
)
def test_channels_first_is_seen(network):
    x = keras.Input((8, 6, 6))
    model = keras.Model(x, network(x))
    with pytest.raises(ValueError, match="data_format='channels_first'"):
        insert_attention(model, SqueezeExcite(2, **LAST), ["site"])
    copy = insert_attention(
        model, SqueezeExcite(2, identity_start=True, **FIRST), ["site"]
    )
    assert_same_outputs(model, copy, array((2, 8, 6, 6)))


def test_channels_that_are_neither_the_first_nor_the_last_axis():
    x = keras.Input((5, 8, 6))
    model = keras.Model(x, behind_time_distributed(x))
    with pytest.raises(ValueError, match="are axis 2 of"):
        insert_attention(model, SqueezeExcite(2, **LAST), ["site"])


def test_an_unknown_axis_where_the_network_has_another_format():
    x = keras.Input((8, 6, 6))
    y = layers.ZeroPadding2D(1, **FIRST)(x)
    y = layers.Permute((1, 2, 3), name="site")(y)
    model = keras.Model(x, y)
    with pytest.raises(ValueError, match="is unknown"):
        insert_attention(model, SqueezeExcite(2, **LAST), ["site"])
    insert_attention(model, SqueezeExcite(2, **FIRST), ["site"])


def test_channels_first_is_seen_behind_a_nested_model():
    a, x = keras.Input((8, 6, 6)), keras.Input((8, 6, 6))
    first = layers.Conv2D(8, 1, name="c", **FIRST)
    branch = keras.Model(a, first(a), name="branch")
    model = keras.Model(x, x + branch(x))
    with pytest.raises(ValueError, match="data_format='channels_first'"):
        insert_attention(model, identity_attention())


# Transformers.


def tokens_with(branch):
    x = keras.Input((6, 8))
    y = layers.Conv1D(8, 3, padding="same", name="stem", **LAST)(x)
    y = layers.Add()([x, y])
    return keras.Model(x, layers.Add()([y, branch(y)]))


class OwnAttention(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        scores = ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))))
        return ops.matmul(scores, ops.matmul(x, self.kernel))

    def compute_output_shape(self, shape):
        return shape


def convolutional_attention(x):
    """As YOLO 10 to 12: a convolution, a product of two tensors, another."""
    y = layers.Conv1D(8, 1, **LAST)(x)
    scores = ops.softmax(ops.matmul(y, ops.transpose(y, (0, 2, 1))))
    return layers.Conv1D(8, 1, **LAST)(ops.matmul(scores, y))


def nested_attention(x):
    inputs = keras.Input((6, 8))
    return keras.Model(inputs, convolutional_attention(inputs))(x)


TRANSFORMERS = [
    lambda x: layers.MultiHeadAttention(2, 4)(x, x),
    lambda x: layers.Dense(8)(layers.Dense(16, "gelu")(x)),
    lambda x: OwnAttention()(x),
    convolutional_attention,
    nested_attention,
    lambda x: layers.EinsumDense("abc,cd->abd", (6, 8))(x),
]


@pytest.mark.parametrize("branch", TRANSFORMERS)
def test_branches_of_transformers_are_none(branch):
    """Only the convolution before it is."""
    assert attention_sites(tokens_with(branch)) == ["stem"]


def test_other_branches_are_reached_by_name():
    model = tokens_with(lambda x: layers.Dense(8, name="dense")(x))
    copy = with_attention(model, ["dense"])
    assert_same_outputs(model, copy, array((2, 6, 8)))


# Additions that end no block.


def end(x, name="end", channels=8):
    return layers.ReLU(name=name)(conv(name + "_conv", channels)(x))


def res2net(x, parts):
    """The parts of a tensor are added to each other's convolutions."""
    y, last = [], None
    for number, part in enumerate(parts(conv("in")(x))):
        last = part if last is None else layers.add([part, last])
        last = end(last, f"scale{number}", 2)
        y.append(last)
    return layers.Add()([end(layers.Concatenate()(y)), x])


def split_parts(x):
    return ops.split(x, 4, axis=-1)


def slices(x):
    return [x[..., start : start + 2] for start in range(0, 8, 2)]


def lambdas(x):
    return [
        layers.Lambda(lambda y, n=n: y[..., n : n + 2])(x)
        for n in range(0, 8, 2)
    ]


def activated_parts(x):
    return [ops.relu(part) for part in split_parts(x)]


def res2net_of(parts):
    return lambda x: res2net(x, parts)


def csp(x):
    """As the C2f of YOLOv8: the blocks inside have shortcuts."""
    first, second = ops.split(conv("in", 16)(x), 2, axis=-1)
    third = layers.Add()([second, end(second)])
    return conv("out")(layers.Concatenate()([first, second, third]))


def csp_of_convolutions(x):
    first, second = conv("left")(x), conv("right")(x)
    third = layers.Add()([second, end(second)])
    return conv("out")(layers.Concatenate()([first, third]))


def shuffled(x):
    """As ShuffleNetV2, with a shortcut around it."""
    left, right = ops.split(x, 2, axis=-1)
    y = layers.Concatenate()([left, end(right, "inner", 4)])
    y = layers.Reshape((6, 6, 2, 4))(y)
    y = layers.Reshape((6, 6, 8), name="end")(ops.swapaxes(y, -1, -2))
    return layers.Add()([x, y])


def gated(x):
    value, gate = ops.split(conv("c", 16)(x), 2, axis=-1)
    y = layers.Multiply(name="end")([value, ops.sigmoid(gate)])
    return layers.Add()([x, y])


def dual_path(x):
    """As the first block of DPN: a part of a projection is the shortcut."""
    y = conv("s", 12)(x)
    z = conv("c", 12)(end(x, "inner"))
    z = layers.Lambda(lambda t: t[..., :8], name="end")(z)
    return layers.Add()([y[..., :8], z])


def narrowed(x):
    """The shortcut leaves channels out, the branch is computed from all."""
    return layers.Add()([x[..., :4], end(x, channels=4)])


def block(x, name):
    return layers.ReLU()(layers.Add()([x, end(x, name)]))


def smaller(x, name):
    return layers.Conv2D(8, 3, 2, padding="same", name=name, **LAST)(x)


def larger(x, name):
    return layers.UpSampling2D(2, **LAST)(conv(name)(x))


def high_resolution(x):
    """As HRNet: two scales, which are added to each other three times."""
    high, low = x, smaller(x, "transition")
    for stage in "abc":
        high, low = block(high, f"{stage}_high"), block(low, f"{stage}_low")
        high, low = (
            layers.ReLU()(layers.add([high, larger(low, f"{stage}_up")])),
            layers.ReLU()(layers.add([low, smaller(high, f"{stage}_down")])),
        )
    return layers.Concatenate()([high, larger(low, "last")])


HIGH_RESOLUTION = [f"{s}_{scale}" for s in "abc" for scale in ("high", "low")]


def pyramid(x):
    """As a feature pyramid: lateral convolutions, and enlarged maps."""
    low = block(smaller(block(x, "first"), "s"), "second")
    return layers.Add()([conv("lateral")(x), larger(low, "top")])


def skips(x):
    """As LinkNet and the aggregation of DLA: no lateral convolutions."""
    low = smaller(x, "s")
    up = layers.Conv2DTranspose(8, 2, 2, padding="same", **LAST)
    return layers.Add()([x, up(low)])


def enlarging_block(x):
    """As the generators of BigGAN: both sides are enlarged."""
    y = end(end(layers.UpSampling2D(2, **LAST)(x), "inner"))
    return layers.Add()([y, larger(x, "s")])


TRUE_SITES = {
    "Res2Net, split": (res2net_of(split_parts), ["end"]),
    "Res2Net, slices": (res2net_of(slices), ["end"]),
    "Res2Net, Lambda": (res2net_of(lambdas), ["end"]),
    "Res2Net, activations": (res2net_of(activated_parts), ["end"]),
    "CSP": (csp, ["end"]),
    "CSP of convolutions": (csp_of_convolutions, ["end"]),
    "ShuffleNet": (shuffled, ["end"]),
    "GLU": (gated, ["end"]),
    "DPN": (dual_path, ["end"]),
    "fewer channels": (narrowed, ["end"]),
    "HRNet": (high_resolution, HIGH_RESOLUTION),
    "FPN": (pyramid, ["first", "second"]),
    "BigGAN": (enlarging_block, ["end"]),
}


@pytest.mark.parametrize("name", TRUE_SITES)
def test_only_the_ends_of_blocks_are_sites(name):
    network, expected = TRUE_SITES[name]
    x = image()
    sites = attention_sites(keras.Model(x, network(x)))
    assert sorted(sites) == sorted(expected)


def parts_added(x):
    first, second = ops.split(conv("c", 16)(x), 2, axis=-1)
    return first + conv("d")(second)


@pytest.mark.parametrize("network", [skips, parts_added])
def test_additions_that_are_no_ends_of_blocks(network):
    x = image()
    with pytest.raises(ValueError, match="no residual branches"):
        attention_sites(keras.Model(x, network(x)))


def test_parts_in_channels_first():
    x = keras.Input((8, 6, 6))
    y = layers.Conv2D(8, 1, **FIRST)(x)
    first, second = y[:, :4], y[:, 4:]
    y = layers.add([first, layers.Conv2D(4, 1, **FIRST)(second)])
    with pytest.raises(ValueError, match="no residual branches"):
        attention_sites(keras.Model(x, y))


@pytest.mark.parametrize(
    "where",
    [
        ["b", "a"],
        ("a", "b"),
        {"a", "b"},
        {"a": 1, "b": 2}.keys(),
        np.array(["a", "b"]),
        frozenset({"a", "b"}),
    ],
)
def test_collections_of_names(where):
    x = image()
    model = keras.Model(x, conv("b")(conv("a")(x)))
    assert attention_sites(model, where) == ["a", "b"]


# Layers that are called several times.


def shared_end(end):
    x = image()
    y = layers.Add()([x, end(conv("a")(x))])
    return keras.Model(x, layers.Add()([y, end(conv("b")(y))]))


def test_each_call_of_a_layer_without_weights_is_a_site():
    model = shared_end(layers.ReLU(name="relu"))
    assert attention_sites(model) == ["relu", "relu"]
    copy = insert_attention(model, identity_attention())
    names = [one.name for one in copy.layers]
    assert {"relu_squeeze_excite", "relu_squeeze_excite_1"} <= set(names)
    assert_same_outputs(model, copy)


def test_a_layer_with_weights_has_one_attention_layer():
    model = shared_end(layers.PReLU(name="prelu"))
    assert attention_sites(model) == ["prelu"]
    copy = insert_attention(model, EfficientChannelAttention(**LAST))
    assert len(copy.weights) == len(model.weights) + 1


def test_a_model_nested_twice_is_known_by_each_of_its_paths():
    x = image()
    shared = keras.Model(x, conv("c")(x), name="shared")
    around = []
    for name in ("first", "second"):
        y = image()
        around.append(keras.Model(y, shared(y), name=name))
    z = image()
    model = keras.Model(z, around[1](around[0](z)))
    for path in ("first/shared/c", "second/shared/c"):
        copy = with_attention(model, [path])
        inner = [copy.get_layer(name) for name in ("first", "second")]
        assert inner[0].get_layer("shared") is inner[1].get_layer("shared")
        assert_same_outputs(model, copy)
