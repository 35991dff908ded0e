"""How people write attention, as code: what the tests fuse is what
docs/snippets.md shows.

python tests/support/snippets.py     # writes the tables into the page
"""

import pathlib
import re
from typing import NamedTuple

import keras
from keras import layers, ops

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "snippets.md"


class Snippet(NamedTuple):
    """Code that computes `y` from `x` with `c` channels.

    `expected` is the layer that equals it, or what the report says of it.
    """

    source: str
    code: str
    expected: str
    shape: tuple = (6, 6, 16)

    def model(self):
        """A network with the block between two activations."""
        x = keras.Input(self.shape, name="image")
        before = layers.Activation("tanh", name="before")(x)
        y = run(self.code, x=before)
        return keras.Model(x, layers.Activation("tanh", name="after")(y))


def run(code, **tensors):
    """What code computes from a tensor, with the names that people import."""
    x = tensors["x"]
    names = {
        **vars(layers),
        "ops": ops,
        "keras": keras,
        "Sequential": keras.Sequential,
        "c": x.shape[-1],
        "h": x.shape[1],
        "w": x.shape[-2],
        **tensors,
    }
    exec(code, names)
    return names["y"]


SIGNAL, VOLUME, FIRST = (8, 16), (3, 4, 2, 16), (16, 6, 6)

SE = [
    Snippet(
        "titu1994, keras-squeeze-excite-network",
        'z = Reshape((1, 1, c))(GlobalAveragePooling2D()(x)); y = multiply([x, Dense(c, activation="sigmoid", use_bias=False)(Dense(c // 4, activation="relu", use_bias=False)(z))])',
        "SqueezeExcite(4)",
    ),
    Snippet(
        "qubvel, efficientnet",
        'z = Reshape((1, 1, c))(GlobalAveragePooling2D()(x)); y = multiply([x, Conv2D(c, 1, activation="sigmoid")(Conv2D(4, 1, activation="swish")(z))])',
        "SqueezeExcite(4, use_bias=True, activation='silu')",
    ),
    Snippet(
        "qubvel, classification_models and segmentation_models",
        'z = Lambda(lambda a: ops.mean(a, axis=[1, 2], keepdims=True))(x); y = Multiply()([x, Activation("sigmoid")(Conv2D(c, 1)(Activation("relu")(Conv2D(2, 1)(z))))])',
        "SqueezeExcite(8, use_bias=True)",
    ),
    Snippet(
        "leondgarse, keras_cv_attention_models",
        'z = Dense(8)(ops.mean(x, [1, 2])); g = Activation("sigmoid")(Dense(c)(Activation("relu")(z))); y = Multiply()([x, ops.reshape(g, [-1, 1, 1, c])])',
        "SqueezeExcite(2, use_bias=True)",
    ),
    Snippet(
        "keras.applications, MobileNetV3",
        "z = ReLU()(Conv2D(4, 1)(GlobalAveragePooling2D(keepdims=True)(x))); y = Multiply()([x, ReLU(6.0)(Conv2D(c, 1)(z) + 3.0) * (1.0 / 6.0)])",
        "SqueezeExcite(4, use_bias=True, gate_activation='hard_sigmoid')",
    ),
    Snippet(
        "keras.io, MIRNet",
        'z = ops.reshape(GlobalAveragePooling2D()(x), (-1, 1, 1, c)); y = x * Conv2D(c, 1, activation="sigmoid")(Conv2D(2, 1, activation="relu")(z))',
        "SqueezeExcite(8, use_bias=True)",
    ),
    Snippet(
        "MLSTM-FCN, signals",
        'z = Reshape((1, c))(GlobalAveragePooling1D()(x)); y = multiply([x, Dense(c, activation="sigmoid", use_bias=False)(Dense(1, activation="relu", use_bias=False)(z))])',
        "SqueezeExcite(16)",
        SIGNAL,
    ),
    Snippet(
        "RCAN",
        'z = GlobalAveragePooling2D()(x)[:, None, None, :]; y = x * Conv2D(c, 1, activation="sigmoid")(Conv2D(4, 1, activation="relu")(z))',
        "SqueezeExcite(4, use_bias=True)",
    ),
    Snippet(
        "one map alone: eSE, SE-Var3",
        'y = x * Conv2D(c, 1, activation="hard_sigmoid")(GlobalAveragePooling2D(keepdims=True)(x))',
        "LinearSqueezeExcite(use_bias=True, gate_activation='hard_sigmoid')",
    ),
    Snippet(
        "no map: SE-Var1",
        "y = Lambda(lambda a: a * ops.sigmoid(ops.mean(a, [1, 2], keepdims=True)))(x)",
        "SqueezeGate()",
    ),
]
ECA = [
    Snippet(
        "bubbliiiing, yolov4-tiny-keras",
        'z = Reshape((-1, 1))(GlobalAveragePooling2D()(x)); g = Activation("sigmoid")(Conv1D(1, 3, padding="same", use_bias=False)(z)); y = multiply([x, Reshape((1, 1, -1))(g)])',
        "EfficientChannelAttention(3)",
    ),
    Snippet(
        "leondgarse, keras_cv_attention_models",
        'z = ops.expand_dims(ops.pad(ops.mean(x, [1, 2]), [[0, 0], [1, 1]]), -1); g = ops.squeeze(Conv1D(1, 3, use_bias=False)(z), -1); y = Multiply()([x, Activation("sigmoid")(g)[:, None, None]])',
        "EfficientChannelAttention(3)",
    ),
]
CBAM = [
    Snippet(
        "kobiso, CBAM-keras: channels",
        'one, two = Dense(2, activation="relu"), Dense(c); y = multiply([x, Activation("sigmoid")(Add()([two(one(Reshape((1, 1, c))(GlobalAveragePooling2D()(x)))), two(one(Reshape((1, 1, c))(GlobalMaxPooling2D()(x))))]))])',
        "SqueezeExcite(8, use_bias=True, pooling='avg_max_separate')",
    ),
    Snippet(
        "the same with a nested model",
        'mlp = Sequential([Dense(2, activation="relu"), Dense(c)]); y = x * ops.sigmoid(mlp(ops.max(x, [1, 2], keepdims=True)) + mlp(ops.mean(x, [1, 2], keepdims=True)))',
        "SqueezeExcite(8, use_bias=True, pooling='avg_max_separate')",
    ),
    Snippet(
        "one second map, after the sum",
        'one = Dense(2, activation="relu"); z = one(GlobalAveragePooling2D()(x)) + one(GlobalMaxPooling2D()(x)); y = Multiply()([x, Dense(c, activation="sigmoid")(z)])',
        "SqueezeExcite(8, use_bias=True, pooling='avg_max_separate')",
    ),
]
_MEANS = "ops.concatenate([ops.mean(x, 2, keepdims=True), ops.transpose(ops.mean(x, 1, keepdims=True), [0, 2, 1, 3])], axis=1)"
_HALVES = "a, b = ops.split(z, [h], axis=1); b = ops.transpose(b, [0, 2, 1, 3])"
_CONTEXT = "s = Softmax(axis=1)(Reshape((h * w, 1))(Conv2D(1, 1)(x)))"
POSITIONS = [
    Snippet(
        "kobiso, CBAM-keras: the whole",
        'one, two = Dense(2, activation="relu"), Dense(c); a = multiply([x, ops.sigmoid(two(one(GlobalAveragePooling2D(keepdims=True)(x))) + two(one(GlobalMaxPooling2D(keepdims=True)(x))))]); z = Concatenate(axis=3)([Lambda(lambda t: ops.mean(t, 3, keepdims=True))(a), Lambda(lambda t: ops.max(t, 3, keepdims=True))(a)]); y = multiply([a, Conv2D(1, 7, padding="same", activation="sigmoid", use_bias=False)(z)])',
        "ConvolutionalBlockAttention(8, use_bias=True)",
    ),
    Snippet(
        "the same with the maximum first, and a small kernel",
        'mlp = Sequential([Dense(2, activation="relu"), Dense(c)]); a = x * ops.sigmoid(mlp(ops.mean(x, [1, 2], keepdims=True)) + mlp(ops.max(x, [1, 2], keepdims=True))); z = ops.concatenate([ops.max(a, -1, keepdims=True), ops.mean(a, -1, keepdims=True)], -1); y = a * Conv2D(1, 3, padding="same", activation="sigmoid", use_bias=False)(z)',
        "ConvolutionalBlockAttention(8, kernel_size=3, use_bias=True)",
    ),
    Snippet(
        "titu1994, sSE",
        'y = multiply([x, Conv2D(1, 1, activation="sigmoid", use_bias=False)(x)])',
        "ConcurrentSqueezeExcite(combination='spatial')",
    ),
    Snippet(
        "titu1994, scSE",
        'g = Dense(c, activation="sigmoid")(Dense(2, activation="relu")(GlobalAveragePooling2D()(x))); s = Conv2D(1, 1, activation="sigmoid")(x); y = add([Multiply()([x, g]), Multiply()([s, x])])',
        "ConcurrentSqueezeExcite(8, use_bias=True)",
    ),
    Snippet(
        "the same with the maximum",
        'g = Dense(c, activation="sigmoid")(Dense(2, activation="relu")(GlobalAveragePooling1D()(x))); s = Conv1D(1, 1, activation="sigmoid", use_bias=False)(x); y = Maximum()([x * g[:, None], x * s])',
        "ConcurrentSqueezeExcite(8, use_bias=True, combination='max')",
        SIGNAL,
    ),
    Snippet(
        "lancelee98, CoordAttention_keras, without the frozen normalization",
        f'z = BatchNormalization()(Conv2D(8, 1)({_MEANS})); z = z * (ops.relu6(z + 3) / 6); {_HALVES}; y = x * Conv2D(c, 1, activation="sigmoid")(a) * Conv2D(c, 1, activation="sigmoid")(b)',
        "CoordinateAttention(bottleneck_units=8, use_bias=True)",
        (6, 4, 16),
    ),
    Snippet(
        "the same without a normalization, by indices",
        f'z = Conv2D(8, 1, activation="relu", use_bias=False)({_MEANS}); a, b = z[:, :h], Permute((2, 1, 3))(z[:, h:]); y = Multiply()([x, Conv2D(c, 1, activation="sigmoid", use_bias=False)(a), Conv2D(c, 1, activation="sigmoid", use_bias=False)(b)])',
        "CoordinateAttention(bottleneck_units=8, batch_normalization=False, activation='relu')",
        (6, 4, 16),
    ),
    Snippet(
        "titu1994, keras-global-context-networks",
        f'{_CONTEXT}; z = Reshape((1, 1, c))(dot([Reshape((h * w, c))(x), s], axes=1)); z = GroupNormalization(groups=1)(Conv2D(2, 1)(z)); y = add([x, Conv2D(c, 1)(Activation("relu")(z))])',
        "GlobalContext(8)",
    ),
    Snippet(
        "the same with a product of matrices and gates",
        f'{_CONTEXT}; z = ops.matmul(ops.transpose(s, [0, 2, 1]), Reshape((-1, c))(x)); z = ops.relu(LayerNormalization()(Dense(2)(z))); y = x * Reshape((1, 1, c))(Dense(c, activation="sigmoid")(z))',
        "GlobalContext(8, fuse='scale')",
    ),
]
SNIPPETS = [*SE, *ECA, *CBAM, *POSITIONS]

_MLP = 'one, two = Dense(2, activation="relu"), Dense(c)'
_SE = 'Dense(c, activation="sigmoid")(Dense(2, activation="relu")({}))'
_SPATIAL = "ops.concatenate([ops.mean(x, -1, keepdims=True), ops.max(x, -1, keepdims=True)], -1)"
# What is shown of each is the beginning of the reason.
MISTAKES = [
    Snippet(
        "use `GlobalMaxPooling2D` for the second",
        f'{_MLP}; y = Multiply()([x, ops.sigmoid(two(one(GlobalAveragePooling2D()(x))) + two(one(GlobalAveragePooling2D(name="shown")(x))))])',
        "pools the average once more, where the maximum should be",
    ),
    Snippet(
        "call the same two layers for both",
        'y = Multiply()([x, ops.sigmoid(Dense(c)(Dense(2, activation="relu")(GlobalAveragePooling2D()(x))) + Dense(c, name="shown")(Dense(2, activation="relu")(GlobalMaxPooling2D()(x))))])',
        "has weights of its own",
    ),
    Snippet(
        "no activation in the second map",
        'one, two = Dense(2, activation="relu"), Dense(c, activation="sigmoid"); y = Multiply(name="gated")([x, Activation("sigmoid", name="shown")(two(one(GlobalAveragePooling2D()(x))) + two(one(GlobalMaxPooling2D()(x))))])',
        "applies a sigmoid to sigmoids",
    ),
    Snippet(
        "add first, then the sigmoid",
        'one, two = Dense(2, activation="relu"), Dense(c, activation="sigmoid", name="shown"); y = Multiply()([x, two(one(GlobalAveragePooling2D()(x))) + two(one(GlobalMaxPooling2D()(x)))])',
        "applies the sigmoid before the sum",
    ),
    Snippet(
        "apply a sigmoid",
        f'y = x * Conv2D(1, 7, padding="same", name="shown")({_SPATIAL})',
        "makes gates of positions without a sigmoid",
    ),
    Snippet(
        "compute it from `a`",
        f'g = {_SE.format("GlobalAveragePooling2D(keepdims=True)(x)")}; a = x * g; s = Conv2D(1, 7, padding="same", activation="sigmoid", name="shown")({_SPATIAL}); y = a * s',
        "is computed from the input",
    ),
    Snippet(
        "a layer normalization, or none: no layer of this library equals it",
        f'{_CONTEXT}; z = Reshape((1, 1, c))(dot([Reshape((h * w, c))(x), s], axes=1)); z = BatchNormalization(name="shown")(Conv2D(2, 1)(z)); y = add([x, Conv2D(c, 1)(Activation("relu")(z))])',
        "normalizes over the batch",
    ),
    Snippet(
        "add the two products",
        f'g = {_SE.format("GlobalAveragePooling2D(keepdims=True)(x)")}; y = Multiply(name="shown")([x * g, x * Conv2D(1, 1, activation="sigmoid")(x)])',
        "multiplies the input by itself",
    ),
    Snippet(
        "use a sigmoid",
        f'y = x * Conv2D(1, 7, padding="same", activation="softmax", name="shown")({_SPATIAL})',
        "is a softmax of a single number",
    ),
    Snippet(
        "use a sigmoid",
        'y = Multiply()([x, Dense(c, activation="softmax", name="shown")(Dense(2, activation="relu")(GlobalAveragePooling2D()(x)))])',
        "is a softmax, where a sigmoid should be",
    ),
    Snippet(
        "use a sigmoid",
        'y = x * PReLU(name="shown")(Dense(c)(Dense(2, activation="relu")(GlobalAveragePooling2D(keepdims=True)(x))))',
        "is no sigmoid",
    ),
    Snippet(
        "use a sigmoid",
        'y = x * Dense(c, activation="relu", name="shown")(Dense(2, activation="relu")(GlobalAveragePooling2D(keepdims=True)(x)))',
        "makes the gates with `relu`, not with a sigmoid",
    ),
    Snippet(
        "gate the tensor that is pooled",
        f'z = GlobalAveragePooling2D(keepdims=True, name="shown")(Conv2D(c, 1)(x)); y = x * {_SE.format("z")}',
        "pools another tensor",
    ),
    Snippet(
        "pool first",
        'y = x * Dense(c, activation="sigmoid", name="shown")(Dense(2, activation="relu")(x))',
        "gates each position on its own",
    ),
    Snippet(
        "multiply",
        f'y = Add(name="shown")([x, {_SE.format("GlobalAveragePooling2D(keepdims=True)(x)")}])',
        "adds to the input",
    ),
    Snippet(
        "`padding='valid'`, or a global pooling",
        'z = AveragePooling2D(6, strides=1, padding="same", name="shown")(x); y = x * Conv2D(c, 1, activation="sigmoid")(z)',
        "pools locally",
    ),
    Snippet(
        "one filter",
        'y = x * Conv2D(c, 1, activation="sigmoid", name="shown")(x)',
        "has a filter for each channel",
    ),
    Snippet(
        "reshape the gates to `(1, 1, c)`",
        'g = Conv1D(1, 3, padding="same", use_bias=False)(GlobalAveragePooling2D()(x)[:, :, None]); y = Multiply(name="shown")([x, g])',
        "multiplies along another axis",
        (6, 16, 16),
    ),
    Snippet(
        "reshape the gates to `(1, c)`",
        'g = Reshape((1, 1, c))(Dense(c, activation="sigmoid")(GlobalAveragePooling1D()(x))); y = Multiply(name="shown")([x, g])',
        "multiplies by gates that have more axes",
        SIGNAL,
    ),
    Snippet(
        "multiply the input by the gates",
        'g = Dense(c, activation="sigmoid")(GlobalAveragePooling2D(keepdims=True)(x)); y = Multiply(name="shown")([g, g]); y = Conv2D(c, 1)(x) + y',
        "multiplies the gates by themselves",
    ),
    Snippet(
        "make the layers before the function",
        'f = lambda a: a * Dense(c, activation="sigmoid")(ops.mean(a, [1, 2], keepdims=True)); y = Lambda(f, name="shown")(x)',
        "computes with weights that are neither trained nor saved",
    ),
]


# Something else, of which nothing is said.
SIMILAR = [
    # Gated linear unit.
    'y = Dense(c)(x) * Dense(c, activation="sigmoid")(x)',
    # Gates from a signal of the decoder.
    'q = Activation("relu")(Conv2D(4, 1)(x) + Conv2D(4, 1)(Conv2D(c, 3, padding="same")(x))); y = x * Conv2D(1, 1, activation="sigmoid")(q)',
    # Pixel attention.
    'y = x * Conv2D(1, 1, activation="sigmoid")(Conv2D(4, 1, activation="relu")(x))',
    # A normalization between the maps.
    'z = BatchNormalization()(Conv2D(4, 1)(GlobalAveragePooling2D(keepdims=True)(x))); y = x * Conv2D(c, 1, activation="sigmoid")(ops.relu(z))',
    # Both poolings in one vector.
    'z = Concatenate()([GlobalAveragePooling2D()(x), GlobalMaxPooling2D()(x)]); y = Multiply()([x, Dense(c, activation="sigmoid")(z)])',
    # Attention to steps.
    "y = x * Softmax(axis=1)(Dense(1)(x))",
    # Swish.
    "y = x * ops.sigmoid(x)",
]


def lines(code):
    """Code in the cell of a table."""
    return "<br>".join(f"`{line}`" for line in code.split("; "))


def parts():
    """Dictionary from the name of a part of the page to its text."""
    known = "\n".join(
        f"| {source} | {lines(code)} | `{layer}` |"
        for source, code, layer, _ in SNIPPETS
    )
    wrong = "\n".join(
        f"| {reason} | {lines(code)} | {repair} |"
        for repair, code, reason, _ in MISTAKES
    )
    return {
        "snippets": f"\n| source | `y`, from `x` with `c` channels | layer |\n|---|---|---|\n{known}\n",
        "mistakes": f"\n| the layer `shown` ... | code | repair |\n|---|---|---|\n{wrong}\n",
    }


def written(page):
    """The page with the tables of today."""
    for part, text in parts().items():
        start = f"<!-- {part}: written by tests/support/snippets.py -->"
        page = re.sub(
            f"{re.escape(start)}.*?<!-- end -->",
            lambda _, whole=f"{start}{text}<!-- end -->": whole,
            page,
            flags=re.DOTALL,
        )
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
