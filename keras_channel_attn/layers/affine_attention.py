"""What the mechanisms that are made of affine maps share."""

import keras

from keras_channel_attn.arguments import boolean, resolved
from keras_channel_attn.layers.channel_attention import ChannelAttention


class AffineAttention(ChannelAttention):
    """Channel attention whose weights are kernels and biases of affine maps.

    It keeps how all kernels and all biases of a layer are made, and makes them.
    """

    def __init__(
        self,
        gate_activation,
        pooling,
        identity_start,
        data_format,
        use_bias,
        kernel_initializer,
        bias_initializer,
        kernel_regularizer,
        bias_regularizer,
        kernel_constraint,
        bias_constraint,
        **kwargs,
    ):
        super().__init__(
            gate_activation, pooling, identity_start, data_format, **kwargs
        )
        self.use_bias = boolean("use_bias", use_bias)
        self.kernel_initializer = resolved(
            "kernel_initializer", kernel_initializer, keras.initializers.get
        )
        self.bias_initializer = resolved(
            "bias_initializer", bias_initializer, keras.initializers.get
        )
        self.kernel_regularizer = resolved(
            "kernel_regularizer", kernel_regularizer, keras.regularizers.get
        )
        self.bias_regularizer = resolved(
            "bias_regularizer", bias_regularizer, keras.regularizers.get
        )
        self.kernel_constraint = resolved(
            "kernel_constraint", kernel_constraint, keras.constraints.get
        )
        self.bias_constraint = resolved(
            "bias_constraint", bias_constraint, keras.constraints.get
        )

    def _add_kernel(self, name, shape, initializer):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def _add_bias(self, name, units, initializer):
        if not self.use_bias:
            return None
        return self.add_weight(
            name=name,
            shape=(units,),
            initializer=initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "bias_initializer": keras.initializers.serialize(
                self.bias_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "bias_regularizer": keras.regularizers.serialize(
                self.bias_regularizer
            ),
            "kernel_constraint": keras.constraints.serialize(
                self.kernel_constraint
            ),
            "bias_constraint": keras.constraints.serialize(
                self.bias_constraint
            ),
        }
