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
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

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
