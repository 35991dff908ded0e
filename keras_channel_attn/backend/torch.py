"""Channel attention in torch's own words.

Two things are gained. Called eagerly, each function of `keras.ops` takes
several times as long as the function of torch behind it, which is what counts
for small tensors. And autograd makes four tensors of full size to go back
through `x * gate(excite(mean(x)))`; two are enough:

    ds = sum(g * x)                 over the spatial axes
    dx = g * s + dz / positions     one fused multiply-add

`dz` is known only after autograd has gone through `excite`. So there are two
nodes, and the first one forms all of `dx`: `_Rescale` hands it `g` and `s`, as
the "gradients" of two outputs of `_Squeeze` that hold no memory and are used
for nothing else.
"""

import keras
import torch

from keras_channel_attn import ops as attention_ops


def attend(inputs, gates, data_format, pooling="avg", mask=None):
    """What `keras_channel_attn.ops.attend` does."""
    if pooling != "avg" or mask is not None:
        return attention_ops.attend(inputs, gates, data_format, pooling, mask)
    axes = attention_ops.spatial_axes(inputs, data_format)
    differentiated = inputs.requires_grad and torch.is_grad_enabled()
    # A compiler finds the two tensors by itself.
    if torch.compiler.is_compiling() or not differentiated:
        scores = gates(inputs.mean(axes))
        return inputs * _expand(scores, axes), scores
    descriptor, gradient, factor = _Squeeze.apply(inputs, axes)
    scores = gates(descriptor)
    return _Rescale.apply(inputs, scores, axes, gradient, factor), scores


class _Squeeze(torch.autograd.Function):
    """The mean over the spatial axes, and what forms the whole gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(inputs, axes):
        descriptor = inputs.mean(axes)
        nothing = inputs.new_empty(())
        return (
            descriptor,
            nothing.expand_as(inputs),
            nothing.expand_as(descriptor),
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        tensor, ctx.axes = inputs
        ctx.shape = tensor.shape
        ctx.positions = tensor.numel() // max(1, output[0].numel())
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, grad_descriptor, gradient, scores):
        grad = None
        if grad_descriptor is not None:
            grad = _expand(grad_descriptor / max(1, ctx.positions), ctx.axes)
        if gradient is None:
            return None if grad is None else grad.expand(ctx.shape), None
        scores = _expand(scores, ctx.axes)
        if grad is None:
            return gradient * scores, None
        return torch.addcmul(grad, gradient, scores), None

    @staticmethod
    def jvp(ctx, tangent, _):
        nothing = tangent.new_zeros(())
        descriptor = tangent.mean(ctx.axes)
        return (
            descriptor,
            nothing.expand_as(tangent),
            nothing.expand_as(descriptor),
        )


class _Rescale(torch.autograd.Function):
    """The product with the scores; its input's gradient is left to above."""

    generate_vmap_rule = True

    @staticmethod
    def forward(inputs, scores, axes, gradient, factor):
        return inputs * _expand(scores, axes)

    @staticmethod
    def setup_context(ctx, inputs, output):
        tensor, scores, ctx.axes, _, _ = inputs
        ctx.save_for_backward(tensor, scores)
        ctx.save_for_forward(tensor, scores)

    @staticmethod
    def backward(ctx, gradient):
        inputs, scores = ctx.saved_tensors
        grad_scores = (gradient * inputs).sum(ctx.axes)
        return None, grad_scores, None, gradient, scores

    @staticmethod
    def jvp(ctx, tangent, scores_tangent, *_):
        inputs, scores = ctx.saved_tensors
        result = tangent * _expand(scores, ctx.axes)
        if scores_tangent is not None:
            result = result + inputs * _expand(scores_tangent, ctx.axes)
        return result


def _expand(scores, axes):
    for axis in axes:
        scores = scores.unsqueeze(axis)
    return scores


def _hard_sigmoid(tensor):
    # torch's own has no second derivative.
    return torch.nn.functional.relu6(tensor + 3) / 6


# Keras' own activations take several times as long as torch's.
_ACTIVATIONS = (
    (keras.activations.relu, torch.relu),
    (keras.activations.sigmoid, torch.sigmoid),
    (keras.activations.silu, torch.nn.functional.silu),
    (keras.activations.hard_sigmoid, _hard_sigmoid),
)


def activate(activation, tensor):
    """What `keras_channel_attn.ops.activate` does."""
    for known, native in _ACTIVATIONS:
        if activation is known:
            return native(tensor)
    return activation(tensor).to(tensor.dtype)


def bottleneck(
    descriptor,
    reduce_kernel,
    reduce_bias,
    expand_kernel,
    expand_bias,
    activation,
):
    """What `keras_channel_attn.ops.bottleneck` does."""
    hidden = _affine(descriptor, reduce_kernel, reduce_bias)
    hidden = activate(activation, hidden)
    return _affine(hidden, expand_kernel, expand_bias)


def _affine(tensor, kernel, bias):
    kernel = _value(kernel, tensor)
    if bias is None:
        return tensor @ kernel
    return torch.addmm(_value(bias, tensor), tensor, kernel)


def grouped_linear(descriptor, kernel, bias=None):
    """What `keras_channel_attn.ops.grouped_linear` does."""
    size, channels = kernel.shape
    if size == channels:
        return _affine(descriptor, kernel, bias)
    kernel = _value(kernel, descriptor)
    if bias is not None:
        bias = _value(bias, descriptor)
    if size == 1:
        if bias is None:
            return descriptor * kernel
        return torch.addcmul(bias, descriptor, kernel)
    # (groups, batch, size) times (groups, size, size).
    parts, blocks = (
        one.unflatten(1, (-1, size)).transpose(0, 1)
        for one in (descriptor, kernel)
    )
    if bias is None:
        logits = torch.bmm(parts, blocks)
    else:
        logits = torch.baddbmm(bias.reshape(-1, 1, size), parts, blocks)
    return logits.transpose(0, 1).flatten(1)


def channel_convolution(descriptor, kernel, padding="zeros"):
    """What `keras_channel_attn.ops.channel_convolution` does."""
    kernel = _value(kernel, descriptor)
    if _compiled_alone():
        return _CompiledConvolution.apply(descriptor, kernel, padding)
    convolve = _shared_convolution if kernel.ndim == 3 else _own_convolution
    return convolve(descriptor, kernel, padding)


def _shared_convolution(descriptor, kernel, padding):
    padded = _pad_channels(descriptor, kernel, padding)
    # torch takes no empty image, what it traces is to serve any batch, and on a
    # GPU it convolves float32 in 19 bits unless it is told not to.
    if (
        torch.compiler.is_compiling()
        or not descriptor.is_cpu
        or descriptor.shape[0] == 0
    ):
        return attention_ops.shifted_sum(padded, kernel, descriptor.shape[1])
    # As an image of one channel, (batch, channels) pixels large: a convolution
    # of many samples with one channel is several times slower.
    return torch.nn.functional.conv2d(
        padded[None, None], kernel.reshape(1, 1, 1, -1)
    )[0, 0]


def _own_convolution(descriptor, kernel, padding):
    """With taps of its own for each channel."""
    # `torch.func` vectorizes windows, but not their second derivative.
    if torch.compiler.is_compiling() or _transformed():
        padded = _pad_channels(descriptor, kernel, padding)
        return attention_ops.shifted_sum(padded, kernel, descriptor.shape[1])
    differentiated = torch.is_grad_enabled() and (
        descriptor.requires_grad or kernel.requires_grad
    )
    # A trace can be saved only if it holds torch's own functions.
    if not differentiated or torch.jit.is_tracing():
        return (_windows(descriptor, kernel, padding) * kernel.T).sum(-1)
    return _OwnConvolution.apply(descriptor, kernel, padding)


class _OwnConvolution(torch.autograd.Function):
    """Sums over windows of the channels, which are views of one tensor.

    Automatically, the gradient of the windows becomes a tensor as large as all
    of them, which is then added up at their places.
    """

    @staticmethod
    def forward(ctx, descriptor, kernel, padding):
        ctx.save_for_backward(descriptor, kernel)
        ctx.save_for_forward(descriptor, kernel)
        ctx.padding = padding
        windows = _windows(descriptor, kernel, padding)
        return (windows * kernel.T).sum(-1)

    @staticmethod
    def backward(ctx, gradient):
        descriptor, kernel = ctx.saved_tensors
        spread = _windows(gradient, kernel, ctx.padding)
        taps = _taps_backwards(kernel, ctx.padding)
        windows = _windows(descriptor, kernel, ctx.padding)
        return (
            (spread * taps.T).sum(-1),
            (gradient[..., None] * windows).sum(0).T,
            None,
        )

    @staticmethod
    def jvp(ctx, tangent, kernel_tangent, _):
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

    The compiler would rather compute them again at each spatial position, as
    part of the pass over the whole tensor, which takes up to twice as long.
    """

    @staticmethod
    def forward(ctx, descriptor, kernel, padding):
        ctx.save_for_backward(descriptor, kernel)
        ctx.padding = padding
        padded = _pad_channels(descriptor, kernel, padding)
        return _stored(
            attention_ops.shifted_sum(padded, kernel, descriptor.shape[1])
        )

    @staticmethod
    def backward(ctx, gradient):
        descriptor, kernel = ctx.saved_tensors
        gradient = _stored(gradient)
        channels = descriptor.shape[1]
        padded = _pad_channels(descriptor, kernel, ctx.padding)
        spread = _pad_channels(gradient, kernel, ctx.padding)
        shared = kernel.ndim == 3
        taps = (
            kernel.flip(0) if shared else _taps_backwards(kernel, ctx.padding)
        )
        # In 16 bits the sums over all samples and channels could overflow.
        sums = [
            (gradient * padded[:, tap : tap + channels])
            .sum(
                dim=None if shared else 0,
                dtype=torch.promote_types(kernel.dtype, torch.float32),
            )
            .to(kernel.dtype)
            for tap in range(kernel.shape[0])
        ]
        grad = attention_ops.shifted_sum(spread, taps, channels)
        return _stored(grad), torch.stack(sums).reshape(kernel.shape), None


def _compiled_alone():
    """Whether torch compiles for itself, and nothing inside `torch.func`.

    What is exported should hold torch's plain functions; and a gradient written
    by hand, compiled inside `torch.func`, has a wrong second derivative.
    """
    if not torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return False
    return not _transformed()


def _transformed():
    # Not public: without it the portable form serves.
    transformed = getattr(torch._C, "_are_functorch_transforms_active", None)
    return transformed is None or transformed()


def _stored(tensor):
    # torch's compiler writes into memory whatever is seen through strides.
    return tensor.as_strided(tensor.shape, tensor.stride())


def _pad_channels(descriptor, kernel, padding):
    before = kernel.shape[0] // 2
    if padding == "circular":
        return attention_ops.pad_channels(descriptor, before, padding)
    # `keras.ops.pad` counts its calls, and is compiled anew at each of them.
    return torch.nn.functional.pad(descriptor, (before, before))


def _windows(descriptor, kernel, padding):
    """View of `(batch, channels, k)`: each channel with its neighbours."""
    padded = _pad_channels(descriptor, kernel, padding)
    return padded.unfold(1, kernel.shape[0], 1)


def _taps_backwards(kernel, padding):
    """What came from a neighbour went through that neighbour's own taps."""
    windows = _windows(kernel.flip(0), kernel, padding)
    return windows.diagonal(dim1=0, dim2=2).T


def _value(weight, like):
    if isinstance(weight, keras.Variable):
        weight = weight.value
    return weight if weight.dtype == like.dtype else weight.to(like.dtype)
