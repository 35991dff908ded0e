"""Multiply-adds of each kind of layer and operation, from shapes alone.

Convolutions, dense maps and products of matrices are counted. Biases,
activations, normalizations, pooling, and products with gates or scales are not.
"""

import collections
import math
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_channel_attn.analysis.shapes import (
    Shape,
    ShapedCall,
    shaped_calls,
)
from keras_channel_attn.graph import (
    graph_of,
    inner_layers,
    is_from_keras,
    matrix_count,
    snake_name,
)
from keras_channel_attn.graph.copying import build_as, copy_of
from keras_channel_attn.graph.keras_internals import argument, keep_names
from keras_channel_attn.graph.random_state import keep_random_state
from keras_channel_attn.graph.rebuilding import copy_of_model
from keras_channel_attn.layers import (
    AttentionLayer,
    ChannelAttention,
    SpatialAttention,
)

_layers = keras.layers


def multiply_adds(call: ShapedCall) -> int | None:
    """Multiply-adds of a call.

    Returns:
        Integer, or `None` where they are unknown: for a layer that is not
        counted, and for operations whose number of products depends on the
        algorithm or on a function that they run.
    """
    operation = call.operation
    if not isinstance(operation, _layers.Layer):
        return _of_operation(call)
    if not is_counted(operation):
        return None
    known = _known_class(operation)
    if known is not None:
        return _LAYERS[known](call)
    if isinstance(operation, ChannelAttention):
        return _channel_attention(call)
    if isinstance(operation, SpatialAttention):
        return _spatial_attention(call)
    return 0  # Vectors scale or shift, as in ConvNeXt's `LayerScale`.


def is_counted(layer: Any) -> bool:
    """Whether the multiply-adds of a layer follow from its class."""
    if isinstance(layer, AttentionLayer) or _known_class(layer):
        return True
    return (
        is_from_keras(type(layer).call)
        and not isinstance(layer, _COMPOSED)
        and not matrix_count(layer)
    )


def _of_operation(call: ShapedCall) -> int | None:
    operation = call.operation
    count = _OPERATIONS.get(snake_name(operation))
    if count:
        return count(call)
    is_elementwise = is_from_keras(type(operation))
    if type(operation).__name__ in _UNCOUNTED_OPERATIONS or not is_elementwise:
        return None
    return 0


def _known_class(layer: Any) -> Any:
    """The class in the table whose computation a layer has not replaced."""
    kinds = (kind for kind in type(layer).__mro__ if kind in _LAYERS)
    kind: Any = next(kinds, None)
    return kind if kind and type(layer).call is kind.call else None


def _none(call: ShapedCall) -> int:
    return 0


# Convolutions.

_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def _kernels(call: ShapedCall) -> list[Shape]:
    """Shapes of the weights of a layer, or of the inputs of an operation."""
    operation = call.operation
    if not isinstance(operation, _layers.Layer):
        return call.inputs[1:]
    return [
        tuple(getattr(operation, name).shape)
        for name in _KERNELS
        if hasattr(operation, name)
    ]


def _convolution(call: ShapedCall) -> int:
    # The kernel has an input axis of one group.
    return math.prod(_kernels(call)[0][:-1]) * math.prod(call.outputs[0])


def _depthwise(call: ShapedCall) -> int:
    return math.prod(_kernels(call)[0][:-2]) * math.prod(call.outputs[0])


def _separable(call: ShapedCall) -> int:
    depthwise, pointwise = _kernels(call)[:2]
    positions = math.prod(call.outputs[0]) // pointwise[-1]
    return positions * (math.prod(depthwise) + math.prod(pointwise))


def _transposed(call: ShapedCall) -> int:
    return math.prod(_kernels(call)[0][:-1]) * math.prod(call.inputs[0])


# Dense maps.


def _matrix_product(call: ShapedCall) -> int:
    if not all(call.inputs[:2]):
        return 0  # A scalar scales.
    return math.prod(call.outputs[0]) * call.inputs[0][-1]


def _einsum_dense(call: ShapedCall) -> int | None:
    layer = call.operation
    kernel = tuple(layer.kernel.shape)
    return _einsum(layer.equation, [call.inputs[0], kernel], call.outputs[0])


def _reversible_embedding(call: ShapedCall) -> int:
    # Reversed, it maps each vector to logits of all entries.
    is_reversed = len(call.outputs[0]) == len(call.inputs[0])
    return _matrix_product(call) if is_reversed else 0


def _einsum(equation: str, inputs: list[Shape], output: Shape) -> int | None:
    """Multiply-adds of a product of two tensors, which sums over some axes."""
    if len(inputs) == 1:
        return 0
    if len(inputs) > 2:
        return None  # It depends on the order of the products.
    terms, _, result = equation.replace(" ", "").partition("->")
    first, second = terms.split(",")
    if not result:
        labels = collections.Counter(first + second)
        result = "".join(x for x in labels if labels[x] == 1)
    summed = (set(first) & set(second)) - set(result) - {"."}
    sizes = {
        **_label_sizes(first, inputs[0]),
        **_label_sizes(second, inputs[1]),
    }
    if not summed:
        return 0
    return math.prod(output) * math.prod(sizes[label] for label in summed)


def _label_sizes(term: str, shape: Shape) -> dict[str, int]:
    before, _, after = term.partition("...")
    sizes = dict(zip(before, shape, strict=False))
    if after:
        sizes.update(zip(after, shape[-len(after) :], strict=True))
    return sizes


# Attention over positions.


def _multi_head_attention(call: ShapedCall) -> int:
    layer = call.operation
    heads = layer.num_heads, layer.num_heads
    sizes = layer.key_dim, layer.value_dim
    return _projected_attention(call, heads, sizes, layer.attention_axes)


def _grouped_query_attention(call: ShapedCall) -> int:
    layer = call.operation
    heads = layer.num_query_heads, layer.num_key_value_heads
    sizes = layer.head_dim, layer.head_dim
    total = _projected_attention(call, heads, sizes, axes=(1,))
    if getattr(layer, "use_gate", False):
        query = call.argument("query") or ()
        total += math.prod(query) * layer.num_query_heads * layer.head_dim
    return total


def _projected_attention(
    call: ShapedCall,
    heads: tuple[int, int],
    sizes: tuple[int, int],
    axes: tuple[int, ...],
) -> int:
    """Projections of query, key, value and output, and the two products."""
    query = call.argument("query") or ()
    value = call.argument("value") or ()
    key = call.argument("key") or value
    (query_heads, key_heads), (key_size, value_size) = heads, sizes
    queries = math.prod(query[:-1])
    attended = math.prod(key[axis] for axis in axes)
    return (
        math.prod(query) * query_heads * key_size
        + math.prod(key) * key_heads * key_size
        + math.prod(value) * key_heads * value_size
        + queries * attended * query_heads * (key_size + value_size)
        + queries * query_heads * value_size * call.outputs[0][-1]
    )


def _attention(call: ShapedCall) -> int:
    layer, (query, value) = call.operation, call.inputs[:2]
    # Other scores are a sum of tanh, not a product of matrices.
    is_product = layer.score_mode == "dot" and not isinstance(
        layer, _layers.AdditiveAttention
    )
    size = value[-1] + (query[-1] if is_product else 0)
    return math.prod(query[:-1]) * value[1] * size


# Recurrent layers: the two maps of the cell, once for each step.

_CELLS = (_layers.SimpleRNNCell, _layers.GRUCell, _layers.LSTMCell)


def _recurrent(call: ShapedCall) -> int | None:
    cell = call.operation.cell
    cells = getattr(cell, "cells", [cell])
    if len(call.inputs[0]) != 3 or any(type(x) not in _CELLS for x in cells):
        return None
    batch, steps, _ = call.inputs[0]
    return batch * steps * sum(map(_cell_size, cells))


def _cell_size(cell: Any) -> int:
    return math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape)


def _convolutional_lstm(call: ShapedCall) -> int:
    cell = call.operation.cell
    positions = math.prod(call.outputs[0]) // cell.filters
    if not call.operation.return_sequences:
        positions *= call.inputs[0][1]
    return positions * _cell_size(cell)


def total(counts: Iterable[int | None]) -> int | None:
    """The sum, or `None` if one of the counts is unknown."""
    found = [*counts]
    return None if None in found else sum(x for x in found if x)


# Attention over channels, and over positions.


def reason_of_unknown(layer: AttentionLayer) -> str:
    """Why the multiply-adds of an attention layer are unknown."""
    method, by = ("excite", "excitation_macs")
    if isinstance(layer, SpatialAttention):
        method, by = ("attend", "attention_macs")
    return (
        f"the products in `{method}` of {type(layer).__name__} are unknown; "
        f"write its method `{by}`"
    )


def _spatial_attention(call: ShapedCall) -> int | None:
    layer, (batch, *shape) = call.operation, call.inputs[0]
    if not layer.is_described("attend", by="attention_macs"):
        return None
    axis = 0 if layer.data_format == "channels_first" else -1
    channels = shape.pop(axis)
    count: int = layer.attention_macs(tuple(shape), channels)
    return batch * count


def _channel_attention(call: ShapedCall) -> int | None:
    """Multiply-adds of `excite`. What `squeeze` does is pooling."""
    layer, shape = call.operation, call.inputs[0]
    count = total(_excitation(layer, size) for size in _features(layer, shape))
    return None if count is None else shape[0] * count


def _features(layer: Any, shape: Shape) -> list[int]:
    """The size of each descriptor that `squeeze` returns."""
    if type(layer).squeeze is ChannelAttention.squeeze:
        channels = shape[1 if layer.data_format == "channels_first" else -1]
        return [channels] * (1 + (layer.pooling == "avg_max_separate"))
    with keep_names():
        squeeze = keras.layers.Lambda(layer.squeeze, dtype=layer.compute_dtype)
    outputs = squeeze.compute_output_spec(keras.KerasTensor(shape))
    return [output.shape[-1] for output in keras.tree.flatten(outputs)]


def _excitation(layer: Any, features: int) -> int | None:
    """Multiply-adds of `excite` for one sample, `None` if unknown."""
    if layer.is_described("excite", by="excitation_macs"):
        count: int | None = layer.excitation_macs(features)
        if count is not None:
            return count
    with keep_names(), keep_random_state():
        descriptor = keras.Input(
            (features,), batch_size=1, dtype=layer.compute_dtype
        )
        try:
            outputs = _without_own_layers(layer).excite(descriptor)
            model = keras.Model(descriptor, outputs)
        except Exception:
            # It cannot be copied, or calls functions of a backend, which take
            # no symbolic tensors.
            return None if layer.weights else 0
    calls = shaped_calls(graph_of(model), [(1, features)])
    return total(map(multiply_adds, calls))


def _without_own_layers(layer: Any) -> Any:
    """A layer whose calls may be recorded: a copy if it holds layers."""
    if len([*inner_layers(layer)]) == 1:
        return layer
    return build_as(layer, copy_of(layer, copy_of_model))


# Operations of `keras.ops`.


def _contraction(call: ShapedCall, batch: int = 1) -> int:
    """Of two tensors: their sizes tell what is summed."""
    sizes = math.prod(math.prod(shape) for shape in call.inputs[:2])
    output = math.prod(call.outputs[0])
    return output * math.isqrt(sizes // (output * batch))


def _batched_contraction(call: ShapedCall) -> int:
    return _contraction(call, batch=call.inputs[0][0])


def _einsum_operation(call: ShapedCall) -> int | None:
    return _einsum(
        argument(call.operation, "subscripts"), call.inputs, call.outputs[0]
    )


def _correlation(call: ShapedCall) -> int:
    """Of two signals: of each output with the shorter one."""
    (first,), (second,) = call.inputs[:2]
    if argument(call.operation, "mode") == "full":
        return first * second
    return call.outputs[0][0] * min(first, second)


def _attention_operation(call: ShapedCall) -> int:
    query, key = call.inputs[:2]
    return 2 * math.prod(query) * key[1]


_Count = Callable[[ShapedCall], int | None]

_LAYERS: dict[Any, _Count] = {
    _layers.Conv1D: _convolution,
    _layers.Conv2D: _convolution,
    _layers.Conv3D: _convolution,
    _layers.DepthwiseConv1D: _depthwise,
    _layers.DepthwiseConv2D: _depthwise,
    _layers.SeparableConv1D: _separable,
    _layers.SeparableConv2D: _separable,
    _layers.Conv1DTranspose: _transposed,
    _layers.Conv2DTranspose: _transposed,
    _layers.Conv3DTranspose: _transposed,
    _layers.Dense: _matrix_product,
    _layers.EinsumDense: _einsum_dense,
    _layers.Embedding: _none,
    _layers.Dot: _batched_contraction,
    _layers.MultiHeadAttention: _multi_head_attention,
    _layers.GroupQueryAttention: _grouped_query_attention,
    _layers.AdditiveAttention: _attention,
    _layers.Attention: _attention,
    _layers.RNN: _recurrent,
    _layers.SimpleRNN: _recurrent,
    _layers.GRU: _recurrent,
    _layers.LSTM: _recurrent,
    _layers.ConvLSTM1D: _convolutional_lstm,
    _layers.ConvLSTM2D: _convolutional_lstm,
    _layers.ConvLSTM3D: _convolutional_lstm,
    _layers.LayerNormalization: _none,
    _layers.RMSNormalization: _none,
    _layers.Normalization: _none,
    _layers.PReLU: _none,
}
if hasattr(_layers, "ReversibleEmbedding"):  # Keras 3.13 and later.
    _LAYERS[_layers.ReversibleEmbedding] = _reversible_embedding

# By the names of the functions in `keras.ops`.
_OPERATIONS: dict[str, _Count] = {
    "matmul": _matrix_product,
    "dot": _matrix_product,
    "inner": _matrix_product,
    "vdot": _contraction,
    "tensordot": _contraction,
    "einsum": _einsum_operation,
    "conv": _convolution,
    "depthwise_conv": _depthwise,
    "separable_conv": _separable,
    "conv_transpose": _transposed,
    "correlate": _correlation,
    "dot_product_attention": _attention_operation,
}
# Layers of Keras that run other layers, functions, or products of matrices.
_COMPOSED = (
    _layers.Wrapper,
    _layers.Pipeline,
    _layers.Lambda,
    _layers.MelSpectrogram,
    _layers.TorchModuleWrapper,
    _layers.JaxLayer,
    _layers.FlaxLayer,
    _layers.TFSMLayer,
)
# Classes of operations with products whose number the shapes do not tell.
_UNCOUNTED_OPERATIONS = {
    *("FFT", "FFT2", "IFFT2", "RFFT", "IRFFT", "STFT", "ISTFT"),
    *("Cholesky", "CholeskyInverse", "LuFactor", "Qr", "SVD", "Eig", "Eigh"),
    *("Inv", "Pinv", "Solve", "SolveTriangular", "Lstsq", "MatrixRank"),
    *("Det", "Logdet", "Slogdet", "Corrcoef"),
    *("GaussianBlur", "SobelEdges", "SSIM"),
    *("Map", "VectorizedMap", "Scan", "AssociativeScan", "JVP"),
    *("Cond", "Switch", "ForiLoop", "WhileLoop"),
}
