"""Attention as people paste it: recognized in any spelling, mistakes named."""

import keras
import pytest
from support import snippets
from support.networks import assert_same, attention_of, randomize
from support.snippets import MISTAKES, SIMILAR, SNIPPETS, Snippet

from keras_channel_attn import (
    SqueezeExcite,
    attention_blocks,
    fuse_attention,
)
from keras_channel_attn.graph import graph_of
from keras_channel_attn.surgery.normal_operations import normal_values


def check_fused(snippet):
    model = randomize(snippet.model())
    (block,) = attention_blocks(model).blocks
    assert (block.layer, block.reason) == (snippet.expected, None)
    fused = fuse_attention(model)
    assert [layer.name for layer in fused.layers] == [
        "image",
        "before",
        *attention_of(fused),
        "after",
    ]
    assert_same(model, fused)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda x: x.source)
def test_snippets_are_fused(snippet):
    check_fused(snippet)


POOLINGS = [
    "GlobalAveragePooling2D()(x)",
    "GlobalAveragePooling2D(keepdims=True)(x)",
    "Reshape((1, 1, c))(GlobalAveragePooling2D()(x))",
    "ops.mean(x, axis=[1, 2], keepdims=True)",
    "ops.mean(ops.mean(x, 1), 1)",
    "ops.mean(x, (-3, -2))[:, None, None]",
    "AveragePooling2D((6, 6))(x)",
    "ops.average_pool(x, (6, 6), (1, 1))",
    "ops.mean(Reshape((36, c))(x), 1, keepdims=True)",
    "ops.mean(Permute((3, 1, 2))(x), (2, 3))",
    "Lambda(lambda a: ops.mean(a, axis=[1, 2]))(x)",
    "Flatten()(GlobalAveragePooling2D(keepdims=True)(x))",
    "GlobalAveragePooling2D()(inputs=x)",
]
MAPS = [
    'Dense(c, activation="sigmoid")(Dense(4, activation="relu")(z))',
    'Activation("sigmoid")(Dense(c)(ReLU()(Dense(4)(z))))',
    "ops.sigmoid(Dense(c)(ops.relu(Dense(4)(z))))",
    'EinsumDense("...a,ab->...b", c, bias_axes="b", activation="sigmoid")'
    '(EinsumDense("...a,ab->...b", 4, bias_axes="b", activation="relu")(z))',
    'Dense(c, activation="sigmoid")'
    "(Lambda(lambda a: ops.relu(a))(Dense(4)(z)))",
]
CONVOLUTIONS = [
    'Conv2D(c, 1, activation="sigmoid")(Conv2D(4, 1, activation="relu")(z))',
    'Conv1D(c, 1, activation="sigmoid")(Conv1D(4, 1, activation="relu")(z))',
]
PRODUCTS = [
    "Multiply()([x, g])",
    "Multiply()([g, x])",
    "x * Reshape((1, 1, c))(g)",
    "ops.multiply(Reshape((1, 1, -1))(g), x)",
    "Lambda(lambda a: a[0] * a[1])([x, Reshape((1, 1, c))(g)])",
    "Permute((3, 1, 2))(x) * Reshape((c, 1, 1))(g)",
]


def spellings():
    """Each spelling of a part, with others of the rest."""
    for i, pooling in enumerate(POOLINGS):
        yield pooling, MAPS[i % len(MAPS)], PRODUCTS[i % len(PRODUCTS)]
    yield POOLINGS[1], CONVOLUTIONS[0], PRODUCTS[0]
    yield "Reshape((1, c))(ops.mean(x, (1, 2)))", CONVOLUTIONS[1], PRODUCTS[1]


@pytest.mark.parametrize(
    ("pooling", "maps", "product"), [*spellings()], ids=lambda x: x
)
def test_spellings_of_squeeze_excite(pooling, maps, product):
    code = f"z = {pooling}; g = {maps}; y = {product}"
    expected = "SqueezeExcite(4, use_bias=True"
    is_first = product.startswith("Permute")
    expected += ", data_format='channels_first')" if is_first else ")"
    model = randomize(Snippet("", code, "").model())
    (block,) = attention_blocks(model).blocks
    assert (block.layer, block.reason) == (expected, None)
    assert_same(model, fuse_attention(model))


@pytest.mark.parametrize("snippet", MISTAKES, ids=lambda x: x.expected)
def test_mistakes_are_named(snippet):
    model = snippet.model()
    found = attention_blocks(model)
    reasons = [block.reason for block in found.blocks]
    assert any(x and f" {snippet.expected}" in x for x in reasons)
    if "shown" in snippet.code:
        assert any(x and x.startswith("'shown' ") for x in reasons)
        assert "not fused: 'shown' " in str(found)
    if not any(block.reason is None for block in found.blocks):
        with pytest.raises(ValueError, match="found no block"):
            fuse_attention(model)


@pytest.mark.parametrize("code", SIMILAR)
def test_what_is_similar_is_not_mentioned(code):
    model = Snippet("", code, "").model()
    found = attention_blocks(model)
    assert found.blocks == []
    assert str(found) == (
        f"{model.name}: no attention blocks that are written as layers"
    )


def test_axes_that_are_equal_by_chance_alone():
    """Height and channels have one size: the gates are those of rows."""
    code = (
        'g = Dense(h, activation="sigmoid")(Dense(4, activation="relu")'
        "(ops.mean(x, (2, 3)))); y = Multiply()([x, g])"
    )
    model = Snippet("", code, "", (16, 6, 16)).model()
    with pytest.raises(ValueError, match="along another axis"):
        fuse_attention(model)


CHANNELS = (
    "mlp = Sequential([Dense(2, 'relu'), Dense(c)]); "
    "a = x * ops.sigmoid(mlp(ops.mean(x, [1, 2], keepdims=True))"
    " + mlp(ops.max(x, [1, 2], keepdims=True))); "
    "p = ops.mean(a, -1, keepdims=True); q = ops.max(a, -1, keepdims=True); "
)


@pytest.mark.parametrize(
    "spatial",
    [
        "Conv2D(1, (3, 1), padding='same', use_bias=False)(z)",
        "Conv2D(1, 3, dilation_rate=2, padding='same', use_bias=False)(z)",
        "ops.swapaxes(Conv2D(1, 3, padding='same', use_bias=False)"
        "(ops.swapaxes(z, 1, 2)), 1, 2)",
        "Conv2D(1, 4, padding='same', use_bias=False)(z)",
    ],
)
def test_other_convolutions_of_positions(spatial):
    """The channels before them are fused, and they are not."""
    code = (
        f"{CHANNELS}z = ops.concatenate([p, q], -1); "
        f"y = a * ops.sigmoid({spatial})"
    )
    model = randomize(Snippet("", code, "").model())
    fused = fuse_attention(model)
    (layer,) = attention_of(fused).values()
    assert isinstance(layer, SqueezeExcite)
    assert_same(model, fused)


BLOCK = (
    "z = Dense(4, 'relu')(GlobalAveragePooling1D()(x)); "
    "y = Multiply()([x, Dense(c, 'sigmoid')(z)]); "
    "a = ops.mean(y, 1); b = ops.max(y, 1); "
)


@pytest.mark.parametrize(
    "code",
    [
        "y = Concatenate()([Dot(1)([a, b]), a])",
        "y = y / ops.reshape(ops.max(ops.abs(y)), (1, 1, 1))",
        "y = y / ops.expand_dims(ops.max(ops.abs(y)), 0)",
        "y = Dense(3)(ops.einsum('bpc,bpd', y, Dense(4)(y)))",
        "w = Dense(c, 'sigmoid')(y); "
        "y = Dense(3)(ops.average(y, axis=-1, weights=w))",
        "y = ops.max(ops.dot(y, Permute((2, 1))(y)), axis=2)",
    ],
)
def test_operations_whose_layout_is_unknown(code):
    """They are after a block, which is fused."""
    model = randomize(Snippet("", BLOCK + code, "", (8, 16)).model())
    graph = graph_of(model)
    values = normal_values(graph)
    for call in graph.calls:
        for tensor in call.outputs:
            assert len(values[tensor].layout) == len(tensor.shape)
    fused = fuse_attention(model)
    assert len(attention_of(fused)) == 1
    assert_same(model, fused)


ALONG_AXES = (
    "z = Dense(4, 'relu')({maps}); a, b = ops.split(z, 2, axis=1); "
    "a = Dense(c, 'sigmoid')(a); b = Dense(c, 'sigmoid')(b); y = x * {gates}"
)


@pytest.mark.parametrize(
    ("code", "shape"),
    [
        # A constant map.
        (
            CHANNELS
            + "z = ops.concatenate([p, ops.ones((2, 6, 6, 1)), q], -1);"
            "z = Conv2D(1, 3, padding='same', use_bias=False)(z);"
            "y = a * ops.sigmoid(z)",
            (6, 6, 16),
        ),
        # A normalization of rows.
        (
            CHANNELS + "z = ops.concatenate([p, q], -1);"
            "z = Conv2D(1, 3, padding='same', use_bias=False)(z);"
            "z = BatchNormalization(axis=1)(z); y = a * ops.sigmoid(z)",
            (6, 6, 16),
        ),
        # Gates along one axis twice.
        (
            ALONG_AXES.format(
                maps="ops.concatenate([ops.mean(x, 2), ops.mean(x, 2)], 1)",
                gates="a[:, :, None] * b[:, :, None]",
            ),
            (6, 6, 16),
        ),
        # Gates along two axes of three.
        (
            ALONG_AXES.format(
                maps="ops.concatenate("
                "[ops.mean(x, (2, 3)), ops.mean(x, (1, 3))], 1)",
                gates="a[:, :, None, None] * b[:, None, :, None]",
            ),
            (6, 6, 4, 16),
        ),
    ],
    ids=["constant", "rows", "twice", "two of three"],
)
def test_other_weights_than_those_of_one_layer(code, shape):
    model = randomize(Snippet("", code, "", shape).model())
    found = attention_blocks(model).blocks
    assert all(x.kind == "CBAM channels" or not x.layer for x in found)
    if any(x.reason is None for x in found):
        assert_same(model, fuse_attention(model))
    else:
        with pytest.raises(ValueError, match="found no block"):
            fuse_attention(model)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("renorm", True), ("synchronized", True), ("epsilon", 0)],
)
def test_other_normalizations(attribute, value):
    (snippet,) = (x for x in SNIPPETS if "lancelee98" in x.source)
    model = snippet.model()
    (layer,) = (
        x
        for x in model.layers
        if isinstance(x, keras.layers.BatchNormalization)
    )
    assert attention_blocks(model).blocks[0].reason is None
    setattr(layer, attribute, value)
    assert attention_blocks(model).blocks == []


def test_reading_changes_no_names():
    model = SNIPPETS[2].model()
    names = []
    for read in (lambda model: None, attention_blocks):
        keras.utils.clear_session(free_memory=False)
        keras.layers.Dense(1)
        read(model)
        names.append([keras.layers.Dense(1).name, keras.Input((1,)).name])
    assert names[0] == names[1]


def test_page():
    """Written by `python tests/support/snippets.py`."""
    page = snippets.PAGE.read_text()
    assert snippets.written(page) == page
    for snippet in (*SNIPPETS, *MISTAKES):
        assert snippets.lines(snippet.code) in page
