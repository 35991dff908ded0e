"""Parameters and multiply-adds of a model, layer by layer."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import keras

from keras_channel_attn.analysis.attention_layers import attention_inside
from keras_channel_attn.analysis.counting import (
    multiply_adds,
    reason_of_unknown,
    total,
)
from keras_channel_attn.analysis.inner_calls import leaf_calls
from keras_channel_attn.analysis.input_shapes import input_shapes
from keras_channel_attn.analysis.keys import unique_keys
from keras_channel_attn.analysis.shapes import (
    Shape,
    ShapedCall,
    shaped_calls,
)
from keras_channel_attn.analysis.tables import (
    aligned_lines,
    data_frame,
    shorten,
)
from keras_channel_attn.graph import first_lines, graph_of, warn
from keras_channel_attn.layers import AttentionLayer

# How many uncounted layers a warning names.
_NAMED = 5
_CONVENTION = """\
MACs are the multiply-adds of convolutions, dense maps and products of matrices.
Biases, activations, normalization, pooling and products with gates are not
counted. FLOPs = 2 x MACs."""


@dataclasses.dataclass(frozen=True)
class LayerCosts:
    """What one call of a layer or operation costs for one sample.

    Attributes:
        path: String, the name of the layer, preceded by the names of the models
            around it. The second call of a layer has `":1"` after it.
        kind: String, the name of its class.
        output_shape: Tuple, with the batch axis; a list of tuples for several
            outputs.
        parameters: Integer, its weights. They are counted at the first call of
            a layer.
        macs: Integer, or `None` where they are unknown.
        is_attention: Boolean, whether it is a layer of `keras_channel_attn`,
            or a wrapper around one.
        attention_parameters: Integer, those of the channel attention in it.
        attention_macs: Integer, or `None` where they are unknown.
        reason: String, why `macs` is unknown; else empty.
    """

    path: str
    kind: str
    output_shape: Shape | list[Shape]
    parameters: int
    macs: int | None
    is_attention: bool
    attention_parameters: int = 0
    attention_macs: int | None = 0
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class ModelCosts:
    """What a model costs for one sample: see `model_costs`.

    Attributes:
        name: String, the name of the model.
        input_shapes: List of tuples, with the batch axis.
        parameters: Integer, all weights of the model.
        trainable_parameters: Integer.
        macs: Integer, multiply-adds, without those that are unknown.
        attention_parameters: Integer, those of the channel attention layers.
        attention_macs: Integer.
        layers: List of `LayerCosts`, one for each call, in the order of
            computation.
    """

    name: str
    input_shapes: list[Shape]
    parameters: int
    trainable_parameters: int
    macs: int
    attention_parameters: int
    attention_macs: int
    layers: list[LayerCosts]

    @property
    def flops(self) -> int:
        """Floating-point operations: a multiply-add is two."""
        return 2 * self.macs

    @property
    def uncounted(self) -> list[str]:
        """Paths of the calls whose multiply-adds are unknown."""
        return [layer.path for layer in self.layers if layer.macs is None]

    def to_dataframe(self) -> Any:
        """`layers` as a `pandas.DataFrame`, which needs pandas."""
        return data_frame(self.layers)

    def __str__(self) -> str:
        shapes = ", ".join(map(str, self.input_shapes))
        incomplete = "   (incomplete)" if self.uncounted else ""
        lines = [
            f"Costs of the model '{self.name}' for an input of shape {shapes}",
            *_CONVENTION.splitlines(),
            "",
            *_table(self.layers),
            f"Parameters: {self.parameters:,} "
            f"({self.trainable_parameters:,} trainable)",
            f"MACs: {self.macs:,}   FLOPs: {self.flops:,}{incomplete}",
        ]
        lines += [f"Not counted (?): {reason}" for reason in _reasons(self)]
        lines.append(
            f"Channel attention (*): {self.attention_parameters:,} parameters "
            f"({_share(self.attention_parameters, self.parameters)}), "
            f"{self._attention_macs()}"
        )
        return "\n".join(lines)

    def _attention_macs(self) -> str:
        if any(layer.attention_macs is None for layer in self.layers):
            return f"{self.attention_macs:,} MACs (incomplete)"
        share = _share(self.attention_macs, self.macs)
        return f"{self.attention_macs:,} MACs ({share})"


def model_costs(model: Any, input_shape: Any = None) -> ModelCosts:
    """The parameters and multiply-adds of a model for one sample.

    MACs are multiply-adds. Those of convolutions, dense maps and products of
    matrices are counted: the convention of fvcore and of torch's
    `FlopCounterMode`, which returns twice the number. Biases, activations,
    normalization, pooling and products with gates are not counted. Papers have
    other conventions: the "FLOPs" of most are MACs.

    A layer that is called several times is counted for each call, and its
    parameters once. The model is not called and not changed.

    Args:
        model: Functional or sequential model of Keras, built.
        input_shape: Tuple, the shape of the input without the batch axis, or
            an integer for an input with one axis; a list or dictionary of these
            for several inputs. Defaults to `None`: the shape that the model
            has. Where that contains `None`, this argument is needed.

    Returns:
        A `ModelCosts` with the attributes `parameters`, `trainable_parameters`,
        `macs`, `flops`, `attention_parameters`, `attention_macs`, and `layers`,
        a list with one entry for each call. Printed, it is a table. The method
        `to_dataframe()` returns the entries as a `pandas.DataFrame`.

    Raises:
        TypeError: If `model` is not a model of Keras, or `input_shape` contains
            no integers.
        ValueError: If the model has a `call` method of its own, is not built,
            or does not accept `input_shape`.

    Warns:
        UserWarning: If the model has a layer whose multiply-adds are unknown.

    Examples:

    >>> inputs = keras.Input((32, 32, 3))
    >>> x = keras.layers.Conv2D(16, 3, padding="same")(inputs)
    >>> model = keras.Model(inputs, SqueezeExcite(reduction=4)(x))
    >>> costs = model_costs(model)
    >>> costs.macs, costs.attention_macs  # 32 * 32 * 9 * 3 * 16 + 128
    (442496, 128)
    """
    graph = graph_of(model)
    shapes = input_shapes(model, input_shape)
    # A model with a fixed batch size is computed with it.
    batch = shapes[0][0]
    calls = shaped_calls(graph, shapes)
    paths = unique_keys(call.path for call in calls)
    counted: set[int] = set()
    rows = [
        _row(call, path, batch, counted)
        for call, path in zip(calls, paths, strict=True)
    ]
    costs = ModelCosts(
        name=model.name,
        input_shapes=shapes,
        parameters=_size(model.weights),
        trainable_parameters=_size(model.trainable_weights),
        macs=sum(row.macs or 0 for row in rows),
        attention_parameters=sum(row.attention_parameters for row in rows),
        attention_macs=sum(row.attention_macs or 0 for row in rows),
        layers=rows,
    )
    if costs.uncounted:
        reasons = first_lines(_reasons(costs), _NAMED, more=": `.uncounted`")
        warn(
            "The multiply-adds of these layers are unknown and not in the "
            f"sums:\n  {reasons}"
        )
    return costs


def _reasons(costs: ModelCosts) -> list[str]:
    """Lines that say which layers are not counted, and why."""
    return [f"{x.path}: {x.reason}" for x in costs.layers if x.macs is None]


def _row(
    call: ShapedCall, path: str, batch: int, counted: set[int]
) -> LayerCosts:
    """The costs of a call. Weights are entered in the set `counted`."""
    operation, outputs = call.operation, call.outputs
    new = [
        weight
        for weight in getattr(operation, "weights", ())
        if id(weight) not in counted
    ]
    counted.update(map(id, new))
    inside = attention_inside(operation)
    of_attention = {id(weight) for x in inside for weight in x.weights}
    counts = [(x, multiply_adds(x)) for x in leaf_calls(call)]
    macs = _for_one_sample(total(count for _, count in counts), batch)
    attention = total(
        count
        for leaf, count in counts
        if isinstance(leaf.operation, AttentionLayer)
    )
    # What is unknown may be that of the attention inside.
    is_unknown = macs is None and inside
    return LayerCosts(
        path=path,
        kind=type(operation).__name__,
        output_shape=outputs[0] if len(outputs) == 1 else outputs,
        parameters=_size(new),
        macs=macs,
        is_attention=_is_attention(operation),
        attention_parameters=_size(x for x in new if id(x) in of_attention),
        attention_macs=(
            None if is_unknown else _for_one_sample(attention, batch)
        ),
        reason=next(
            (_reason(leaf) for leaf, count in counts if count is None), ""
        ),
    )


def _reason(call: ShapedCall) -> str:
    """Why the multiply-adds of a call are unknown."""
    name = type(call.operation).__name__
    if isinstance(call.operation, AttentionLayer):
        return reason_of_unknown(call.operation)
    return call.problem or f"the shapes do not tell the products in {name}"


def _is_attention(operation: Any) -> bool:
    while isinstance(operation, keras.layers.Wrapper):
        operation = operation.layer
    return isinstance(operation, AttentionLayer)


def _size(weights: Iterable[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _for_one_sample(macs: int | None, batch: int) -> int | None:
    return None if macs is None else macs // batch


def _table(rows: list[LayerCosts]) -> list[str]:
    """Lines of text, not wider than 100 characters but for long paths."""
    cells = [("Layer", "Kind", "Output shape", "Parameters", "MACs")]
    for row in rows:
        mark = " *" if row.is_attention else ""
        cells.append(
            (
                row.path + mark,
                shorten(row.kind, 21),
                shorten(str(row.output_shape), 22),
                f"{row.parameters:,}",
                "?" if row.macs is None else f"{row.macs:,}",
            )
        )
    header, *lines = aligned_lines(cells, "<<<>>")
    rule = "-" * len(header)
    return [header, rule, *lines, rule]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "0%"
