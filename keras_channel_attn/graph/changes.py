"""What is to be different in the copy of a model, by calls of its graph."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from keras_channel_attn.graph.calls import Call, Graph
from keras_channel_attn.graph.operations import parameters_of_call
from keras_channel_attn.graph.tensors import IdentityMap, symbolic_tensors


@dataclasses.dataclass(frozen=True)
class Insertion:
    """A layer that is applied to a tensor, with a mask if there is one."""

    layer: Any
    mask: Any

    def output(self, tensor: Any, values: IdentityMap, path: str) -> Any:
        """What the layer computes from a tensor after the call of a path."""
        layer, mask = self.layer, self.mask
        args, kwargs = [tensor], {}
        if mask is not None:
            if mask not in values:
                raise ValueError(
                    f"The mask for the new layer '{layer.name}' after '{path}' "
                    "is computed from another new layer, whose mask is "
                    f"computed from '{path}'. Pass a mask that depends on the "
                    "inputs alone."
                )
            # A mask that is the second positional argument is not attached to
            # the output by Keras. The layers that follow get the masks they
            # had.
            if parameters_of_call(layer)[1:2] == ["mask"]:
                args.append(values[mask])
            else:
                kwargs["mask"] = values[mask]
        return outputs_of_new(layer, args, kwargs, [tensor], f"after '{path}'")


@dataclasses.dataclass(frozen=True)
class Replacement:
    """Another layer in the place of a call's own: see `Changes.replace`."""

    layer: Any
    inputs: Sequence[Any] | None
    prepare: Callable[[Any], None] | None
    extends: bool


class Changes:
    """What is to be different in the copy of a model."""

    def __init__(self) -> None:
        self.before: dict[Call, IdentityMap] = {}
        self.after: dict[Call, IdentityMap] = {}
        self.instead: dict[Call, Replacement | None] = {}
        self.configurations: dict[Any, dict[str, Any]] = {}
        self.values = IdentityMap()
        self.input_shapes = IdentityMap()
        # From operations to other names for their copies.
        self.names: dict[Any, str] = {}
        # From a layer to the dtype policy of its copy; `None` keeps its own.
        self.policy_of: Callable[[Any], Any] | None = None
        self._resized: list[Call] = []

    def insert_before(
        self, call: Call, tensor: Any, layer: Any, mask: Any = None
    ) -> None:
        """Apply a layer to one input of a call, for this call alone.

        The layer gets `mask`, a tensor of the same graph that is not computed
        from its input, unless it is `None`.
        """
        insertion = Insertion(layer, mask)
        self.before.setdefault(call, IdentityMap())[tensor] = insertion

    def insert_after(
        self, call: Call, tensor: Any, layer: Any, mask: Any = None
    ) -> None:
        """Apply a layer to an output of a call, for all who use it.

        The mask is as in `insert_before`.
        """
        insertion = Insertion(layer, mask)
        self.after.setdefault(call, IdentityMap())[tensor] = insertion

    def replace(
        self,
        call: Call,
        layer: Any,
        inputs: Sequence[Any] | None = None,
        prepare: Callable[[Any], None] | None = None,
        extends: bool = True,
    ) -> None:
        """Call another layer in the place of a call's own.

        Args:
            call: `Call` of the original.
            layer: New layer, or a callable with a `name` that applies several.
            inputs: List of tensors of the original to call it on. Defaults to
                `None`: the arguments of the call.
            prepare: Function that is called with the new layer once it is
                built, for its weights and flags. Defaults to `None`.
            extends: Boolean, whether the model becomes trainable because the
                layer is new. Defaults to `True`.
        """
        self.instead[call] = Replacement(layer, inputs, prepare, extends)

    def remove(self, call: Call) -> None:
        """Pass the first input of a call on, in place of its output."""
        self.instead[call] = None

    def resize(
        self, calls: Sequence[Call], configuration: dict[str, Any]
    ) -> None:
        """Make the layer or operation of some calls again in another size.

        The new values of its variables, if they have other shapes, are
        `values`: from each variable of the original to an array.

        Args:
            calls: List of all calls of one layer or operation.
            configuration: Dictionary, the entries of its configuration that
                are different.
        """
        self.configurations[calls[0].operation] = configuration
        self._resized += calls

    def ordered_calls(self, graph: Graph) -> list[Call]:
        """The calls of a graph, each mask before the new layer that takes it.

        The order is that of the graph otherwise.
        """
        masks: dict[Call, list[Any]] = {}
        for inserted in (self.before, self.after):
            for call, insertions in inserted.items():
                masks.setdefault(call, []).extend(
                    insertions[tensor].mask
                    for tensor in insertions
                    if insertions[tensor].mask is not None
                )
        ordered: dict[Call, None] = {}

        def place(call: Call) -> None:
            for mask in masks.pop(call, ()):
                source = graph.source(mask)
                if source is None or source in ordered:
                    continue
                tensors = [mask, *graph.upstream(mask)]
                needed = {graph.source(tensor) for tensor in tensors}
                for earlier in graph.calls:
                    if earlier in needed:
                        place(earlier)
            ordered.setdefault(call)

        for call in graph.calls:
            place(call)
        return list(ordered)

    def calls(self) -> list[Call]:
        """The calls that are not repeated as they are."""
        return [*self.before, *self.after, *self.instead, *self._resized]


def outputs_of_new(
    layer: Any, args: Any, kwargs: Any, expected: list[Any], place: str
) -> Any:
    """The outputs of a new layer, which must fit into the network."""
    kind = f"The new layer '{layer.name}' (of type {type(layer).__name__})"
    try:
        outputs = layer(*args, **kwargs)
    except Exception as error:
        shape = tuple(args[0].shape)
        raise ValueError(
            f"{kind} cannot be applied {place}, to a tensor of shape {shape}: "
            f"{error}"
        ) from error
    shapes = [
        [tuple(tensor.shape) for tensor in symbolic_tensors(tensors)]
        for tensors in (outputs, expected)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{kind} must keep the shape of its input {place}: the shapes of "
            f"its outputs must be {shapes[1]}, and are {shapes[0]}."
        )
    return outputs
