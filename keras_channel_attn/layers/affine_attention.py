"""The base class of the layers that have kernels and biases."""

from typing import Any

import keras

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import boolean, keras_object
from keras_channel_attn.layers.kernel_attention import KernelAttention


class AffineAttention(KernelAttention):
    """Channel attention with kernels and biases.

    It stores the initializer, regularizer and constraint of the biases, and
    creates the biases.
    """

    def __init__(
        self,
        *args: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.use_bias = boolean("use_bias", use_bias)
        self.bias_initializer = keras_object(
            "bias_initializer", bias_initializer, keras.initializers.get
        )
        self.bias_regularizer = keras_object(
            "bias_regularizer", bias_regularizer, keras.regularizers.get
        )
        self.bias_constraint = keras_object(
            "bias_constraint", bias_constraint, keras.constraints.get
        )

    def _add_bias(
        self, name: str, units: int, initializer: Any
    ) -> Tensor | None:
        if not self.use_bias:
            return None
        return self.add_weight(
            name=name,
            shape=(units,),
            initializer=initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def get_config(self) -> dict[str, Any]:
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
