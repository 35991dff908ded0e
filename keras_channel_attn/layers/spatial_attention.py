"""The base class of the layers that attend to positions, too."""

from typing import Any

import keras
from keras import ops

from keras_channel_attn._pooling import average
from keras_channel_attn._tensors import Tensor, position_products
from keras_channel_attn.layers.attention_layer import AttentionLayer
from keras_channel_attn.layers.torch_arrays import (
    TorchWeights,
    vector_from_torch,
)

# Those of torch.
NORMALIZATION_EPSILON = 1e-5
NORMALIZATION_MOMENTUM = 0.9


class SpatialAttention(AttentionLayer):
    """Base class of the layers whose output is not `x * gates of channels`.

        outputs, gates = attend(x, mask)

    A subclass implements `attend` and creates its weights in
    `build_excitation`. `attention_macs`, `expand` and `torch_weights` describe
    it to the functions that count, expand and load it.

    Call arguments:
        inputs, mask, return_attention_scores: As in `ChannelAttention`.
        return_spatial_scores: Boolean, whether a map `(batch, *spatial)` is
            returned as well, after the attention scores. Defaults to `False`.
        training: Boolean, for the normalization over the batch.
    """

    # The number of spatial axes, for a layer whose weights depend on it.
    spatial_rank: int | None = None

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
        return_spatial_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        inputs, mask = self._prepare(inputs, mask)
        outputs, gates = self.attend(inputs, mask, bool(training))
        results = [outputs]
        if return_attention_scores:
            results.append(self.channel_scores(gates))
        if return_spatial_scores:
            results.append(self.spatial_scores(gates))
        return tuple(results) if len(results) > 1 else outputs

    def attend(
        self, inputs: Tensor, mask: Tensor | None, training: bool
    ) -> tuple[Tensor, Any]:
        """The outputs, and what the scores are computed from."""
        raise NotImplementedError

    def channel_scores(self, gates: Any) -> Tensor:
        """Scores `(batch, channels)` from the second result of `attend`."""
        return gates[0]

    def spatial_scores(self, gates: Any) -> Tensor:
        """Scores `(batch, *spatial)` from the second result of `attend`."""
        return gates[1]

    def compute_output_spec(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
        return_spatial_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_inputs(inputs, mask)
        spatial = list(inputs.shape)
        channels = spatial.pop(self._channel_axis)
        shapes = [tuple(inputs.shape)]
        if return_attention_scores:
            shapes.append((inputs.shape[0], channels))
        if return_spatial_scores:
            shapes.append(tuple(spatial))
        outputs, *scores = (
            keras.KerasTensor(shape, dtype=self.compute_dtype)
            for shape in shapes
        )
        return (outputs, *scores) if scores else outputs

    def _check_inputs(self, inputs: Tensor, mask: Tensor | None) -> None:
        super()._check_inputs(inputs, mask)
        received = len(inputs.shape) - 2
        if self.spatial_rank is not None and received != self.spatial_rank:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} was built for "
                f"{self.spatial_rank} spatial axes, which its weights depend "
                f"on. Received: inputs of shape {tuple(inputs.shape)}, with "
                f"{received}. Use a new layer for them."
            )

    # Maps of one number for each position.

    def _position_logits(
        self, inputs: Tensor, kernel: Tensor, bias: Tensor | None
    ) -> Tensor:
        """A 1x1 convolution to one channel, without its channel axis."""
        kernel = ops.cast(self.effective_weight(kernel), inputs.dtype)
        logits = position_products(inputs, kernel, self.data_format)
        if bias is not None:
            bias = self.effective_weight(bias)
            logits = logits + ops.cast(bias, logits.dtype)
        return logits

    def _over_channels(self, scores: Tensor) -> Tensor:
        """A map with a channel axis, which broadcasts against the inputs."""
        return ops.expand_dims(scores, self._channel_axis)

    # Normalization over the batch.

    def _add_normalization(self, units: int, is_last: bool = False) -> None:
        """Create it, with scales of zero at an identity start if it is last."""
        scale = "zeros" if is_last and self.identity_start else "ones"
        self.gamma = self.add_effective_weight(
            name="gamma", shape=(units,), initializer=scale
        )
        self.beta = self.add_effective_weight(
            name="beta", shape=(units,), initializer="zeros"
        )
        self.moving_mean, self.moving_variance = (
            self.add_statistic(name, (units,), initializer)
            for name, initializer in (
                ("moving_mean", "zeros"),
                ("moving_variance", "ones"),
            )
        )

    def _normalize(
        self, features: Tensor, mask: Tensor | None, training: bool
    ) -> Tensor:
        """Normalize `(batch, positions, units)`; a mask has no last axis.

        `keras.layers.BatchNormalization` fails for a mask and one unit.
        """
        dtype = keras.backend.standardize_dtype(features.dtype)
        wide = "float64" if dtype == "float64" else "float32"
        features = ops.cast(features, wide)
        if training and self.trainable:
            axes, mask = (0, 1), None if mask is None else mask[..., None]
            mean = average(features, axes, mask)
            # One tensor, which is kept for the gradients of both its uses.
            centered = features - mean
            variance = average(centered**2, axes, mask)
            self._move(self.moving_mean, mean, features)
            self._move(self.moving_variance, variance, features)
        else:
            centered = features - ops.cast(self.moving_mean, wide)
            variance = ops.cast(self.moving_variance, wide)
        gamma, beta = (
            ops.cast(self.effective_weight(weight), wide)
            for weight in (self.gamma, self.beta)
        )
        scale = gamma * ops.rsqrt(variance + NORMALIZATION_EPSILON)
        return ops.cast(centered * scale + beta, dtype)

    def _move(self, statistic: Any, value: Tensor, features: Tensor) -> None:
        """Move the average of a statistic of the batches."""
        value = ops.cast(ops.stop_gradient(value), statistic.dtype)
        old = ops.convert_to_tensor(statistic)
        moved = (
            NORMALIZATION_MOMENTUM * old + (1 - NORMALIZATION_MOMENTUM) * value
        )
        # An empty batch has no mean: NaN would stay in the statistic.
        if features.shape[0] is None or features.shape[0] == 0:
            is_empty = ops.equal(ops.shape(features)[0], 0)
            moved = ops.where(is_empty, old, moved)
        statistic.assign(moved)

    def _torch_normalization(self, module: str) -> TorchWeights:
        """The weights of the normalization by the names of torch's module."""
        weights = {
            "weight": self.gamma,
            "bias": self.beta,
            "running_mean": self.moving_mean,
            "running_var": self.moving_variance,
        }
        return {
            f"{module}.{name}": (weight, vector_from_torch)
            for name, weight in weights.items()
        }

    # What a class knows of its `attend`.

    def attention_macs(self, spatial: tuple[int, ...], channels: int) -> int:
        """Multiply-adds of `attend` for one sample.

        Args:
            spatial: Tuple of integers, the sizes of the spatial axes.
            channels: Integer.
        """
        raise NotImplementedError

    def expand(self, expansion: Any, inputs: Any) -> Any:
        """Write `attend` with layers of Keras, for `expand_attention`.

        Args:
            expansion: `ExpandedAttention`, which creates the layers.
            inputs: Symbolic tensor.

        Returns:
            Symbolic tensor, the outputs.
        """
        raise NotImplementedError
