"""Channel attention with torch functions and custom gradients.

This is faster for two reasons. In eager mode each function of `keras.ops` takes
several times as long as the torch function that it calls; for small tensors
this overhead dominates. And autograd allocates four tensors of the input's size
in the backward pass of `x * gate(excite(mean(x)))`, where two are enough:

    ds = sum(g * x)                 over the spatial axes
    dx = g * s + dz / positions     one fused multiply-add

`dz` is known only after the backward pass of `excite`. Therefore there are two
autograd functions, and all of `dx` is computed in the backward pass of
`_Squeeze`. `_Rescale` passes `g` and `s` to it, as the "gradients" of two extra
outputs of `_Squeeze`. The extra outputs have no other use and take no memory:
each is a single number, expanded to the shape that it needs.
"""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import torch

from keras_channel_attn import ops as attention_ops
from keras_channel_attn._tensors import (
    Tensor,
    pad_channels,
    shifted_sum,
    spatial_axes,
)

# For smaller inputs autograd is faster: calling two autograd functions takes
# longer than what they save in the backward pass.
_SIZE_OF_LARGE_INPUTS = 2**20


def attend(
    inputs: Tensor,
    gates: Callable[..., Tensor],
    data_format: str,
    pooling: str | Callable[..., Any] = "avg",
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Same as `keras_channel_attn.ops.attend`."""
    if pooling != "avg" or mask is not None:
        return attention_ops.attend(inputs, gates, data_format, pooling, mask)
    axes = spatial_axes(inputs, data_format)
    needs_gradient = inputs.requires_grad and torch.is_grad_enabled()
    # The compiler needs only two tensors of the input's size without help.
    if (
        _is_traced()
        or not needs_gradient
        or inputs.numel() < _SIZE_OF_LARGE_INPUTS
    ):
        scores = gates(inputs.mean(axes))
        return inputs * _add_axes(scores, axes), scores
    descriptor, gradient_link, scores_link = _Squeeze.apply(inputs, axes)
    scores = gates(descriptor)
    outputs = _Rescale.apply(inputs, scores, axes, gradient_link, scores_link)
    return outputs, scores


class _Squeeze(torch.autograd.Function):
    """Mean over the spatial axes, with the whole gradient of the input.

    The second and the third output are the two extra outputs that the docstring
    of this module describes.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(inputs: Any, axes: Any) -> Any:
        descriptor = inputs.mean(axes)
        placeholder = inputs.new_empty(())
        return (
            descriptor,
            placeholder.expand_as(inputs),
            placeholder.expand_as(descriptor),
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
        tensor, ctx.axes = inputs
        ctx.shape = tensor.shape
        ctx.positions = tensor.numel() // max(1, output[0].numel())
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(
        ctx: Any, descriptor_gradient: Any, outputs_gradient: Any, scores: Any
    ) -> Any:
        mean_gradient = None
        if descriptor_gradient is not None:
            mean_gradient = _add_axes(
                descriptor_gradient / max(1, ctx.positions), ctx.axes
            )
        if outputs_gradient is None:
            if mean_gradient is None:
                return None, None
            return mean_gradient.expand(ctx.shape), None
        scores = _add_axes(scores, ctx.axes)
        if mean_gradient is None:
            return outputs_gradient * scores, None
        return torch.addcmul(mean_gradient, outputs_gradient, scores), None

    @staticmethod
    def jvp(ctx: Any, tangent: Any, _: Any) -> Any:
        placeholder = tangent.new_zeros(())
        descriptor = tangent.mean(ctx.axes)
        return (
            descriptor,
            placeholder.expand_as(tangent),
            placeholder.expand_as(descriptor),
        )


class _Rescale(torch.autograd.Function):
    """Product of the inputs and the scores.

    The backward pass computes the gradient of the scores. It leaves the
    gradient of the inputs to `_Squeeze`, and passes it what it needs.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        inputs: Any,
        scores: Any,
        axes: Any,
        gradient_link: Any,
        scores_link: Any,
    ) -> Any:
        return inputs * _add_axes(scores, axes)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
        tensor, scores, ctx.axes, _, _ = inputs
        ctx.save_for_backward(tensor, scores)
        ctx.save_for_forward(tensor, scores)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        inputs, scores = ctx.saved_tensors
        scores_gradient = (gradient * inputs).sum(ctx.axes)
        return None, scores_gradient, None, gradient, scores

    @staticmethod
    def jvp(ctx: Any, tangent: Any, scores_tangent: Any, *_: Any) -> Any:
        inputs, scores = ctx.saved_tensors
        result = tangent * _add_axes(scores, ctx.axes)
        if scores_tangent is not None:
            result = result + inputs * _add_axes(scores_tangent, ctx.axes)
        return result


def _add_axes(scores: Tensor, axes: tuple[int, ...]) -> Tensor:
    for axis in axes:
        scores = scores.unsqueeze(axis)
    return scores


def _hard_sigmoid(tensor: Tensor) -> Tensor:
    # torch's own `hardsigmoid` has no second derivative.
    return torch.nn.functional.relu6(tensor + 3) / 6


# Keras activations take several times as long as the torch functions.
_ACTIVATIONS = (
    (keras.activations.relu, torch.relu),
    (keras.activations.sigmoid, torch.sigmoid),
    (keras.activations.silu, torch.nn.functional.silu),
    (keras.activations.hard_sigmoid, _hard_sigmoid),
)


def activate(activation: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """Same as `keras_channel_attn.ops.activate`."""
    for keras_activation, torch_activation in _ACTIVATIONS:
        if activation is keras_activation:
            return torch_activation(tensor)
    return activation(tensor).to(tensor.dtype)


def bottleneck(
    descriptor: Tensor,
    reduce_kernel: Tensor,
    reduce_bias: Tensor | None,
    expand_kernel: Tensor,
    expand_bias: Tensor | None,
    activation: Callable[[Tensor], Tensor],
) -> Tensor:
    """Same as `keras_channel_attn.ops.bottleneck`."""
    hidden = _affine(descriptor, reduce_kernel, reduce_bias)
    hidden = activate(activation, hidden)
    return _affine(hidden, expand_kernel, expand_bias)


def _affine(tensor: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    kernel = _cast_weight(kernel, tensor.dtype)
    if bias is None:
        return tensor @ kernel
    return torch.addmm(_cast_weight(bias, tensor.dtype), tensor, kernel)


def grouped_linear(
    descriptor: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    kernel_shape: tuple[int, int] | None = None,
) -> Tensor:
    """Same as `keras_channel_attn.ops.grouped_linear`."""
    size, channels = kernel_shape or kernel.shape
    if size == channels:
        return _affine(descriptor, kernel, bias)
    kernel = _cast_weight(kernel, descriptor.dtype)
    if bias is not None:
        bias = _cast_weight(bias, descriptor.dtype)
    if size == 1:
        if bias is None:
            return descriptor * kernel
        return torch.addcmul(bias, descriptor, kernel)
    # (groups, batch, size) times (groups, size, size).
    parts, blocks = (
        tensor.unflatten(1, (-1, size)).transpose(0, 1)
        for tensor in (descriptor, kernel)
    )
    if bias is None:
        logits = torch.bmm(parts, blocks)
    else:
        logits = torch.baddbmm(bias.reshape(-1, 1, size), parts, blocks)
    return logits.transpose(0, 1).flatten(1)


def channel_convolution(
    descriptor: Tensor, kernel: Tensor, padding: str = "zeros"
) -> Tensor:
    """Same as `keras_channel_attn.ops.channel_convolution`."""
    kernel = _cast_weight(kernel, descriptor.dtype)
    if _is_plain_compilation():
        return _CompiledConvolution.apply(descriptor, kernel, padding)
    if kernel.ndim == 3:
        return _shared_convolution(descriptor, kernel, padding)
    return _per_channel_convolution(descriptor, kernel, padding)


def spatial_convolution(maps: list[Tensor], kernel: Tensor) -> Tensor:
    """Same as `keras_channel_attn.ops.spatial_convolution`."""
    kernel = _cast_weight(kernel, maps[0].dtype)
    # The maps are the last axis in memory: on a CPU the gradient takes a third
    # of the time that it takes with one map after the other.
    if _is_plain_compilation():
        # `torch.stack` is a view in a compiled program, which `torch.compile`
        # rejects for images of several sizes.
        features = torch.cat([part[..., None] for part in maps], -1)
        return _opaque_convolution(features, kernel)
    return _convolve(torch.stack(maps, -1), kernel)


def _convolve(features: Tensor, kernel: Tensor) -> Tensor:
    """Convolution of `(batch, *spatial, maps)` to `(batch, *spatial)`."""
    rank = kernel.ndim - 2
    convolve = getattr(torch.nn.functional, f"conv{rank}d")
    outputs = convolve(
        _maps_first(features),
        _torch_kernel(kernel),
        padding=[size // 2 for size in kernel.shape[:rank]],
    )
    return outputs[:, 0]


def _maps_first(features: Tensor) -> Tensor:
    # Files of ONNX know `permute` with positive axes, and no `movedim`.
    last = features.ndim - 1
    return features.permute(0, last, *range(1, last))


def _torch_kernel(kernel: Tensor) -> Tensor:
    # A view fails in the backward pass in float64 and 16 bits on a CPU.
    rank = kernel.ndim - 2
    return kernel.permute(rank + 1, rank, *range(rank)).contiguous()


@torch.library.custom_op(
    "keras_channel_attn::spatial_convolution", mutates_args=()
)
def _opaque_convolution(
    features: torch.Tensor, kernel: torch.Tensor
) -> torch.Tensor:
    """Convolution that the compiler does not look into.

    If it sees one, it stores axis 1 last in all tensors of rank 4 that the
    convolution is computed from: for channels on the last axis it copies the
    inputs of the layer to a layout in which a spatial axis is last. A training
    step then takes up to twice as long.
    """
    return _convolve(features, kernel)


@_opaque_convolution.register_fake
def _(features: Tensor, kernel: Tensor) -> Tensor:
    return features.new_empty(features.shape[:-1])


def _keep_for_gradient(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _gradient_of_convolution(ctx: Any, gradient: Tensor) -> Any:
    features, kernel = ctx.saved_tensors
    rank = kernel.ndim - 2
    features_gradient, kernel_gradient, _ = torch.ops.aten.convolution_backward(
        gradient[:, None],
        _maps_first(features),
        _torch_kernel(kernel),
        None,
        [1] * rank,
        [size // 2 for size in kernel.shape[:rank]],
        [1] * rank,
        False,
        [0] * rank,
        1,
        [True, True, False],
    )
    return (
        features_gradient.movedim(1, -1),
        kernel_gradient.movedim((0, 1), (-1, -2)),
    )


_opaque_convolution.register_autograd(
    _gradient_of_convolution, setup_context=_keep_for_gradient
)


def _shared_convolution(
    descriptor: Tensor, kernel: Tensor, padding: str
) -> Tensor:
    """Convolution with one kernel for all channels."""
    padded = _pad_for_kernel(descriptor, kernel, padding)
    # `conv2d` is used only where it works and is exact: it rejects an empty
    # batch, a traced function must accept every batch size, and on a GPU it
    # computes float32 in 19 bits by default. A trace warns about a size that
    # is compared.
    if (
        torch.compiler.is_compiling()
        or not descriptor.is_cpu
        or (not torch.jit.is_tracing() and descriptor.shape[0] == 0)
    ):
        return shifted_sum(padded, kernel, descriptor.shape[1])
    # One image of one channel with (batch, channels) pixels: a convolution of
    # many samples with one channel is several times slower.
    return torch.nn.functional.conv2d(
        padded[None, None], kernel.reshape(1, 1, 1, -1)
    )[0, 0]


def _per_channel_convolution(
    descriptor: Tensor, kernel: Tensor, padding: str
) -> Tensor:
    """Convolution with a separate kernel for each channel."""
    # `torch.func` cannot vectorize the second derivative of the windows, and
    # ONNX has no operation for them.
    if _is_traced() or _is_function_transform_active():
        padded = _pad_for_kernel(descriptor, kernel, padding)
        return shifted_sum(padded, kernel, descriptor.shape[1])
    needs_gradient = torch.is_grad_enabled() and (
        descriptor.requires_grad or kernel.requires_grad
    )
    if not needs_gradient:
        return (_windows(descriptor, kernel, padding) * kernel.T).sum(-1)
    return _PerChannelConvolution.apply(descriptor, kernel, padding)


class _PerChannelConvolution(torch.autograd.Function):
    """Sums over windows of the channels, which are views of one tensor.

    Autograd would allocate a gradient tensor as large as all windows together,
    and then add its elements at the positions that they came from.
    """

    @staticmethod
    def forward(ctx: Any, descriptor: Any, kernel: Any, padding: Any) -> Any:
        ctx.save_for_backward(descriptor, kernel)
        ctx.save_for_forward(descriptor, kernel)
        ctx.padding = padding
        windows = _windows(descriptor, kernel, padding)
        return (windows * kernel.T).sum(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        descriptor, kernel = ctx.saved_tensors
        gradient_windows = _windows(gradient, kernel, ctx.padding)
        taps = _transposed_taps(kernel, ctx.padding)
        windows = _windows(descriptor, kernel, ctx.padding)
        return (
            (gradient_windows * taps.T).sum(-1),
            (gradient[..., None] * windows).sum(0).T,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, tangent: Any, kernel_tangent: Any, _: Any) -> Any:
        descriptor, kernel = ctx.saved_tensors
        result = 0
        if tangent is not None:
            windows = _windows(tangent, kernel, ctx.padding)
            result = result + (windows * kernel.T).sum(-1)
        if kernel_tangent is not None:
            windows = _windows(descriptor, kernel, ctx.padding)
            result = result + (windows * kernel_tangent.T).sum(-1)
        return result


class _CompiledConvolution(torch.autograd.Function):
    """Shifted sums that are computed once for each channel of each sample.

    By default the compiler fuses them into the pass over the whole tensor and
    computes them again at each spatial position, which takes up to twice as
    long.
    """

    @staticmethod
    def forward(ctx: Any, descriptor: Any, kernel: Any, padding: Any) -> Any:
        ctx.save_for_backward(descriptor, kernel)
        ctx.padding = padding
        padded = _pad_for_kernel(descriptor, kernel, padding)
        return _materialize(shifted_sum(padded, kernel, descriptor.shape[1]))

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        descriptor, kernel = ctx.saved_tensors
        gradient = _materialize(gradient)
        channels = descriptor.shape[1]
        padded = _pad_for_kernel(descriptor, kernel, ctx.padding)
        padded_gradient = _pad_for_kernel(gradient, kernel, ctx.padding)
        shared = kernel.ndim == 3
        taps = (
            kernel.flip(0) if shared else _transposed_taps(kernel, ctx.padding)
        )
        # Sums over all samples and channels could overflow in 16 bits.
        sums = [
            (gradient * padded[:, tap : tap + channels])
            .sum(
                dim=None if shared else 0,
                dtype=torch.promote_types(kernel.dtype, torch.float32),
            )
            .to(kernel.dtype)
            for tap in range(kernel.shape[0])
        ]
        descriptor_gradient = shifted_sum(padded_gradient, taps, channels)
        kernel_gradient = torch.stack(sums).reshape(kernel.shape)
        return _materialize(descriptor_gradient), kernel_gradient, None


def _is_traced() -> bool:
    """Whether torch records the functions, to compile or to export them.

    A trace that contains a custom autograd function cannot be saved, and a
    second trace differs from it, which `torch.jit.trace` reports as an error.
    OpenVINO and the ONNX export with a free batch size use `torch.jit.trace`.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _is_plain_compilation() -> bool:
    """Whether torch compiles, without export and without `torch.func`.

    An exported program should contain only standard torch functions. A custom
    gradient that is compiled inside `torch.func` has a wrong second derivative.
    """
    if not torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return False
    return not _is_function_transform_active()


def _is_function_transform_active() -> bool:
    # This function of torch is not public. Where it does not exist, the answer
    # is `True`, which selects the portable form.
    is_active = getattr(torch._C, "_are_functorch_transforms_active", None)
    return is_active is None or is_active()


def _materialize(tensor: Tensor) -> Tensor:
    # torch's compiler writes a tensor to memory if it is read with strides.
    return tensor.as_strided(tensor.shape, tensor.stride())


def _pad_for_kernel(descriptor: Tensor, kernel: Tensor, padding: str) -> Tensor:
    width = kernel.shape[0] // 2
    if padding == "circular" and torch.jit.is_tracing():
        with warnings.catch_warnings():
            # Only sizes that the weights determine become constants.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            return pad_channels(descriptor, width, padding)
    if padding == "circular":
        return pad_channels(descriptor, width, padding)
    # `keras.ops.pad` counts its calls, so torch would recompile at each call.
    return torch.nn.functional.pad(descriptor, (width, width))


def _windows(descriptor: Tensor, kernel: Tensor, padding: str) -> Tensor:
    """View `(batch, channels, k)`: each channel with its neighbors."""
    padded = _pad_for_kernel(descriptor, kernel, padding)
    return padded.unfold(1, kernel.shape[0], 1)


def _transposed_taps(kernel: Tensor, padding: str) -> Tensor:
    """Kernel of the transposed convolution, which the input's gradient uses.

    Each output channel was computed with its own taps, so the taps of the
    neighbors are collected.
    """
    windows = _windows(kernel.flip(0), kernel, padding)
    return windows.diagonal(dim1=0, dim2=2).T


def _cast_weight(weight: Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(weight, keras.Variable):
        weight = weight.value
    return weight if weight.dtype == dtype else weight.to(dtype)
