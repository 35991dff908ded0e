"""The base class of the layers with one gate for each channel."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_channel_attn._tensors import Tensor
from keras_channel_attn.arguments import one_of
from keras_channel_attn.backend import attend
from keras_channel_attn.layers.attention_layer import AttentionLayer
from keras_channel_attn.ops import squeeze

_PACKAGE = __name__.partition(".")[0] + "."
_POOLINGS = ("avg", "max", "avg_max_mean", "avg_max_separate")
# The names in files of earlier versions, which differed in one character.
_EARLIER_POOLINGS = {"avg_max": "avg_max_mean", "avg+max": "avg_max_separate"}
# The arguments of CBAM's channel half where it is a class of this name.
_ARGUMENTS_OF_CBAM = ("ratio", "reduction", "reduction_ratio", "in_planes")


class ChannelAttention(AttentionLayer):
    """Base class of the channel attention layers.

        y = x * gate(excite(squeeze(x)))

    There is one gate for each channel of each sample. A subclass implements
    `excite`, and creates the weights for it in `build_excitation`. This class
    does everything else: data formats, masks, dtypes, shapes, attention scores
    and the configuration. `squeeze` may be replaced by other statistics than
    the pooled ones. `excitation_macs`, `expand_excitation` and `torch_weights`
    describe `excite` to the functions that count, expand and load it.

    `attention_layers` finds the layers of this class in a model.

    Args:
        gate_activation: Name or callable, the activation that maps the result
            of `excite` to the gates. Defaults to `"sigmoid"`.
        pooling: How the spatial positions are pooled: `"avg"`, `"max"`,
            `"avg_max_mean"`, which is the mean of both, or
            `"avg_max_separate"`, which applies `excite` to each of both and
            adds the two results before the gate, as in
            [CBAM](https://arxiv.org/abs/1807.06521). Defaults to `"avg"`.
        identity_start: Boolean. If `True`, the layer returns its input
            unchanged until it is trained. For this, `excite` must return zero
            at the start, which is checked when the layer is built, and the
            gates are divided by `gate(0)`. For a sigmoid
            `gate(0)` is 0.5, so the gates are between 0 and 2. The output is
            exactly the input for `sigmoid` and `hard_sigmoid`, with every
            dtype, if no number overflows. Defaults to `False`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: `keras.config.image_data_format()` at construction.
        learning_rate_multiplier: Number above zero, or `"auto"`, for a class
            that creates all of its weights with `add_effective_weight` and
            reads them with `effective_weight`. The layer stores each weight
            divided by it and computes with the product, the effective weight,
            as [StyleGAN](https://arxiv.org/abs/1812.04948) does with its
            equalized learning rate. Outputs before training are the same for
            every value. In a step of Adam the change of an effective weight is
            multiplied by it, in a step of SGD by its square. Initializers,
            regularizers, constraints and saved files use effective weights. The
            weight decay of an optimizer, `get_weights` and `set_weights` use
            stored weights. Defaults to `"auto"`: with an identity start the
            class attribute `automatic_multiplier`, else 1. The attribute is 32
            for `EfficientChannelAttention`, 8 for the other layers with
            weights, and 1 for a class that does not set it.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`, `dtype`.

    Call arguments:
        inputs: Tensor of rank 3 or more. Integers are cast to the compute
            dtype.
        mask: Boolean tensor `(batch, *spatial)`. Positions that are `False`
            are excluded from pooling: their values have no effect on the
            gates. The gates are applied to all positions. If the inputs carry a
            Keras mask, Keras passes it to this argument. The mask is attached
            to the outputs, as Keras does, except with
            `data_format="channels_first"`: the layers of Keras expect the
            channels of masked tensors on the last axis.
        return_attention_scores: Boolean. If `True`, the gates are returned as
            well. Defaults to `False`.

    Input shape:
        `(batch, *spatial, channels)` or, with
        `data_format="channels_first"`, `(batch, channels, *spatial)`, with one
        or more spatial axes. All dimensions except `channels` may be `None`.

    Output shape:
        The same as the input shape. With `return_attention_scores=True`, a
        tuple of two shapes: the input shape and `(batch, channels)`.

    Raises:
        TypeError, ValueError: If an argument has a wrong type or value, or if
            `identity_start=True` and `gate_activation` is zero at zero (`tanh`,
            `relu`) or not elementwise (`softmax`). On a call, if `excite` is
            not zero at an identity start, if `learning_rate_multiplier` is not
            1 and the layer has no weights or others than those of
            `add_effective_weight`, if the rank of the input is below 3, if a
            spatial axis has size 0, if the number of channels is unknown or has
            changed since the layer was built, if the mask has a wrong shape, or
            if `excite` returns another shape than `(batch, channels)`.

    Examples:

    >>> class Contrast(ChannelAttention):
    ...     "Gates from the difference to the mean over all channels."
    ...     def excite(self, descriptor):
    ...         mean = keras.ops.mean(descriptor, axis=-1, keepdims=True)
    ...         return descriptor - mean
    >>> Contrast()(np.ones((1, 4, 4, 8))).shape == (1, 4, 4, 8)
    True
    """

    def __init__(
        self,
        gate_activation: Any = "sigmoid",
        pooling: str = "avg",
        identity_start: bool = False,
        data_format: str | None = None,
        learning_rate_multiplier: float | str = "auto",
        **kwargs: Any,
    ) -> None:
        if type(self) is ChannelAttention:
            _refuse_arguments_of_cbam(kwargs)
        super().__init__(
            gate_activation,
            identity_start,
            data_format,
            learning_rate_multiplier,
            **kwargs,
        )
        self.pooling = one_of("pooling", pooling, _POOLINGS)

    def build(self, input_shape: Sequence[int | None]) -> None:
        super().build(input_shape)
        # Those of the package start at zero. Running them here would make JAX
        # compile functions that nothing else needs.
        if self.identity_start and not self.__module__.startswith(_PACKAGE):
            self._check_start(input_shape)

    def squeeze(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        """Compute the descriptor, by default with `pooling`.

        A subclass may return other statistics of each sample.
        `keras_channel_attn.ops.squeeze` returns means over the positions in the
        mask, and `add_spatial_axes` of the same module shapes them for a
        difference to the inputs, for any rank and data format.

        Args:
            inputs: Floating-point tensor of rank 3 or more.
            mask: Boolean tensor `(batch, *spatial)`: the positions that count.
                Defaults to `None`: all positions.

        Returns:
            Tensor `(batch, features)`, which `excite` receives; or a tuple of
            these: `excite` is called on each, and the results are added.
        """
        return squeeze(inputs, self.data_format, self.pooling, mask)

    def excite(self, descriptor: Tensor) -> Tensor:
        """Compute the logits of the gates. Subclasses implement it.

        It is called once for each descriptor, so twice with
        `pooling="avg_max_separate"`.

        Args:
            descriptor: Tensor `(batch, channels)`, the pooled input, or what
                `squeeze` of a subclass returns.

        Returns:
            Tensor `(batch, channels)`, to which the gate is applied.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not implement `excite`."
        )

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        inputs, mask = self._prepare(inputs, mask)
        # The backends fuse the poolings that they know by name.
        pooling = self.pooling if self._pools() else self.squeeze
        outputs, scores = attend(
            inputs, self._gates, self.data_format, pooling, mask
        )
        return (outputs, scores) if return_attention_scores else outputs

    def constant_terms(self, scores: Any) -> tuple[Any, Any] | None:
        # A subclass may compute anything from the scores.
        if type(self).call is not ChannelAttention.call:
            return None
        return scores, np.zeros_like(scores)

    def _check_start(self, input_shape: Sequence[int | None]) -> None:
        """Raise an error if `excite` is not zero before training."""
        # Pooling needs no more than one position; other statistics may.
        size = 1 if self._pools() else None
        shape: list[Any] = [size or known or 4 for known in input_shape]
        shape[0], shape[self._channel_axis] = 1, self._channels
        values = np.random.default_rng(0).normal(size=shape)
        try:
            inputs = ops.convert_to_tensor(values, self.variable_dtype)
            logits = [
                ops.convert_to_numpy(ops.cast(self.excite(tensor), "float32"))
                for tensor in keras.tree.flatten(self.squeeze(inputs))
            ]
        except Exception:
            # While a graph is traced, tensors have no values. An error of
            # `excite` itself is raised by the call.
            return
        largest = max(np.abs(array).max() for array in logits)
        if largest != 0:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: `identity_start=True` "
                "needs an `excite` that returns zero before training, so that "
                "the outputs are the inputs. Received: a new layer whose "
                f"`excite` returns up to {largest:.3g}. In `build_excitation`, "
                'create the last weight of `excite` with initializer="zeros" '
                "if `self.identity_start`, or pass identity_start=False."
            )

    def _pools(self) -> bool:
        """Whether the descriptor is what `pooling` says."""
        return type(self).squeeze is ChannelAttention.squeeze

    def compute_output_spec(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        self._check_inputs(inputs, mask)
        outputs = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        shape = (inputs.shape[0], inputs.shape[self._channel_axis])
        return outputs, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pooling": self.pooling,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ChannelAttention":
        if config.get("pooling") in _EARLIER_POOLINGS:
            pooling = _EARLIER_POOLINGS[config["pooling"]]
            config = {**config, "pooling": pooling}
        return super().from_config(config)


def _refuse_arguments_of_cbam(arguments: dict[str, Any]) -> None:
    """Raise an error that names the layers which other code calls so."""
    names = [name for name in _ARGUMENTS_OF_CBAM if name in arguments]
    if names:
        raise ValueError(
            "`ChannelAttention` is the base class of the channel attention "
            f"layers, and has no argument `{names[0]}`. Received: "
            f"{names[0]}={arguments[names[0]]!r}. The channel half of CBAM is "
            '`SqueezeExcite(reduction=..., pooling="avg_max_separate")`, and '
            "the whole of it is `ConvolutionalBlockAttention(reduction=...)`."
        )
