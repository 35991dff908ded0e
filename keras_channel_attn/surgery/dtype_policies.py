"""Networks that compute in another precision."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_channel_attn.graph import Changes, graph_of, inner_layers, rebuild


def with_dtype_policy(model: Any, policy: Any) -> Any:
    """A copy of a network whose layers have another dtype policy.

    `keras.models.clone_model` with a `clone_function` does not reach the layers
    of nested models. Here all layers get the policy: those of nested models,
    those in wrappers, and the models themselves. The copy has the weights of
    the original, in the variable dtype of the policy. Everything else is kept
    as `insert_attention` keeps it. The result is not compiled.

    The inputs keep their dtypes, except that a half-precision input of a
    sequential model gets the new compute dtype if the first layer computed in
    its dtype. Layers that do not compute in floating-point numbers keep their
    policies. A cast that is an operation of `keras.ops` stays as it is.

    Args:
        model: Functional or sequential model of Keras, built.
        policy: Name of a dtype policy, such as `"float32"`, `"mixed_float16"`
            or `"mixed_bfloat16"`; a `keras.DTypePolicy`; or a callable that
            takes a layer and returns one of these, or `None`: the layer keeps
            its own.

    Returns:
        A model: see `insert_attention`.

    Raises:
        TypeError: If an argument is not one of the above.
        ValueError: If the model has no graph or is not built; if the policy is
            unknown or one of quantized layers; if a layer is quantized, for
            which its policy cannot change; if the model cannot be copied: see
            `insert_attention`.

    Warns:
        UserWarning: If an attribute of the model is not carried over.

    Examples:

    >>> x = keras.Input((32, 32, 8))
    >>> conv = keras.layers.Conv2D(8, 3, dtype="mixed_float16", name="conv")
    >>> model = keras.Model(x, conv(x))
    >>> with_dtype_policy(model, "float32").output.dtype
    'float32'
    """
    graph = graph_of(model)
    policy_of = _new_policies(policy)
    # All layers are asked before any is copied.
    for operation in graph.operations().values():
        if isinstance(operation, keras.layers.Layer):
            for _, layer in inner_layers(operation):
                policy_of(layer)
    changes = Changes()
    changes.policy_of = policy_of
    return rebuild(graph, changes)


def _new_policies(policy: Any) -> Callable[[Any], Any]:
    """From a layer to its new policy, or `None` if it keeps its own.

    A callable of the user is asked once for each layer.
    """
    is_asked = callable(policy) and not isinstance(policy, type)
    if not is_asked:
        policy = _standardize_policy(policy)

    @functools.cache
    def new_policy(layer: Any) -> Any:
        own = getattr(layer, "dtype_policy", None)
        if own is None or isinstance(layer, keras.layers.InputLayer):
            return None
        new = policy(layer) if is_asked else policy
        if new is None:
            return None
        if own.quantization_mode is not None:
            raise ValueError(
                f"The layer '{layer.name}' is quantized ({own.name}): its "
                "weights are integers, and its policy cannot change. Pass a "
                "callable that returns None for it, or the model as it was "
                "before `quantize`."
            )
        if not keras.backend.is_float_dtype(own.compute_dtype):
            return None
        return _standardize_policy(new)

    return new_policy


def _standardize_policy(policy: Any) -> Any:
    is_map = isinstance(policy, keras.dtype_policies.DTypePolicyMap)
    if is_map or not isinstance(policy, (str, keras.DTypePolicy)):
        raise TypeError(
            "`policy` must be the name of a dtype policy, a "
            "`keras.DTypePolicy`, or a callable that takes a layer and returns "
            f"one of these or None. Received: policy={policy!r} (of type "
            f"{type(policy).__name__})."
        )
    try:
        found = keras.dtype_policies.get(policy)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`policy` must be a dtype policy of Keras, such as 'float32', "
            f"'mixed_float16' or 'mixed_bfloat16'. Received: policy={policy!r}."
        ) from error
    is_float = keras.backend.is_float_dtype(found.compute_dtype or "int8")
    if found.quantization_mode is not None or not is_float:
        raise ValueError(
            "`policy` must be a policy of floating-point numbers, such as "
            "'float32', 'mixed_float16' or 'mixed_bfloat16'. Received: "
            f"policy={policy!r}. `model.quantize` quantizes layers."
        )
    return found
