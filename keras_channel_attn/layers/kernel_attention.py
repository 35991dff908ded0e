"""The base class of the layers that have a kernel."""

from typing import Any

import keras

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import keras_object
from keras_channel_attn.layers.channel_attention import ChannelAttention


class KernelAttention(ChannelAttention):
    """Channel attention with kernels.

    It stores the initializer, regularizer and constraint of the kernels, and
    creates the kernels.
    """

    def __init__(
        self,
        gate_activation: Any,
        pooling: str,
        identity_start: bool,
        data_format: str | None,
        kernel_initializer: Any,
        kernel_regularizer: Any,
        kernel_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            gate_activation, pooling, identity_start, data_format, **kwargs
        )
        self.kernel_initializer = keras_object(
            "kernel_initializer", kernel_initializer, keras.initializers.get
        )
        self.kernel_regularizer = keras_object(
            "kernel_regularizer", kernel_regularizer, keras.regularizers.get
        )
        self.kernel_constraint = keras_object(
            "kernel_constraint", kernel_constraint, keras.constraints.get
        )

    def _add_kernel(
        self, name: str, shape: tuple[int, ...], initializer: Any
    ) -> Tensor:
        try:
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                regularizer=self.kernel_regularizer,
                constraint=self.kernel_constraint,
            )
        except ValueError as error:
            if not _is_partitioned_model():
                raise
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: `{name}` of shape "
                f"{shape} cannot be placed as the LayoutMap of ModelParallel "
                f"says. Each partitioned axis must be divisible by the size of "
                f"its mesh axis, and each path must match one key at most. "
                f"Choose another width of the bottleneck (`divisor` or "
                f"`bottleneck_units` of SqueezeExcite), or change the keys "
                f"that match '{self.name}/{name}'. Received: {error}"
            ) from error

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "kernel_constraint": keras.constraints.serialize(
                self.kernel_constraint
            ),
        }


def _is_partitioned_model() -> bool:
    distribution = keras.distribution.distribution()
    return isinstance(distribution, keras.distribution.ModelParallel)
