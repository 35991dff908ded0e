"""What the mechanisms that are made of affine maps share."""

import keras

from keras_channel_attn.arguments import boolean, resolved
from keras_channel_attn.layers.kernel_attention import KernelAttention


class AffineAttention(KernelAttention):
    """Channel attention whose weights are kernels and biases of affine maps.

    It keeps how all biases of a layer are made, and makes them.
    """

    def __init__(
        self,
        *args,
        use_bias,
        bias_initializer,
        bias_regularizer,
        bias_constraint,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.use_bias = boolean("use_bias", use_bias)
        self.bias_initializer = resolved(
            "bias_initializer", bias_initializer, keras.initializers.get
        )
        self.bias_regularizer = resolved(
            "bias_regularizer", bias_regularizer, keras.regularizers.get
        )
        self.bias_constraint = resolved(
            "bias_constraint", bias_constraint, keras.constraints.get
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
            "bias_initializer": keras.initializers.serialize(
                self.bias_initializer
            ),
            "bias_regularizer": keras.regularizers.serialize(
                self.bias_regularizer
            ),
            "bias_constraint": keras.constraints.serialize(
                self.bias_constraint
            ),
        }
