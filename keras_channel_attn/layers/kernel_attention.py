"""What the mechanisms that have a kernel share."""

import keras

from keras_channel_attn.arguments import resolved
from keras_channel_attn.layers.channel_attention import ChannelAttention


class KernelAttention(ChannelAttention):
    """Channel attention whose weights are kernels.

    It keeps how all kernels of a layer are made, and makes them.
    """

    def __init__(
        self,
        gate_activation,
        pooling,
        identity_start,
        data_format,
        kernel_initializer,
        kernel_regularizer,
        kernel_constraint,
        **kwargs,
    ):
        super().__init__(
            gate_activation, pooling, identity_start, data_format, **kwargs
        )
        self.kernel_initializer = resolved(
            "kernel_initializer", kernel_initializer, keras.initializers.get
        )
        self.kernel_regularizer = resolved(
            "kernel_regularizer", kernel_regularizer, keras.regularizers.get
        )
        self.kernel_constraint = resolved(
            "kernel_constraint", kernel_constraint, keras.constraints.get
        )

    def _add_kernel(self, name, shape, initializer):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def get_config(self):
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
