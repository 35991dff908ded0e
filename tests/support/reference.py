"""The formulas in NumPy and float64. Every backend is compared with them.

Written from the papers, with loops where a loop is easier to read. No code is
shared with the package.
"""

import math

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x):
    return np.clip(x + 3, 0, 6) / 6


def relu(x):
    return np.maximum(x, 0)


def swish(x):
    return x * sigmoid(x)


def hard_swish(x):
    return x * hard_sigmoid(x)


def channels_last(x, data_format):
    """`x` with its channels on the last axis."""
    return x if data_format == "channels_last" else np.moveaxis(x, 1, -1)


def standardized_kernel(kernel, gain, activation_gain=1, epsilon=1e-5):
    """That of a scaled standardized convolution: eq. 1 of arXiv 2101.08692."""
    result = np.zeros(kernel.shape)
    for channel in range(kernel.shape[-1]):
        weights = np.asarray(kernel[..., channel], "float64")
        scale = activation_gain * gain[channel] / math.sqrt(weights.size)
        deviation = math.sqrt(weights.var() + epsilon)
        result[..., channel] = scale * (weights - weights.mean()) / deviation
    return result


def convolution(x, kernel, bias=0, groups=1):
    """Without padding and strides, channels last."""
    height, width, inputs, filters = kernel.shape
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    y = np.zeros((len(x), rows, columns, filters))
    for channel in range(filters):
        start = channel // (filters // groups) * inputs
        for row in range(height):
            for column in range(width):
                part = x[:, row : row + rows, column : column + columns]
                part = part[..., start : start + inputs]
                y[..., channel] += part @ kernel[row, column, :, channel]
    return y + bias


def squeeze(x, data_format="channels_last", pooling="avg", mask=None):
    """One number per sample and channel, from the positions in the mask."""
    x = channels_last(np.asarray(x, "float64"), data_format)
    batch, channels = x.shape[0], x.shape[-1]
    positions = x.reshape(batch, -1, channels)
    if mask is None:
        kept = np.ones(positions.shape[:2], bool)
    else:
        kept = np.asarray(mask, bool).reshape(batch, -1)
    z = np.zeros((batch, channels))
    for sample in range(batch):
        valid = positions[sample][kept[sample]]
        if len(valid) == 0:
            continue
        average, maximum = valid.mean(axis=0), valid.max(axis=0)
        z[sample] = {
            "avg": average,
            "max": maximum,
            "avg_max_mean": (average + maximum) / 2,
        }[pooling]
    return z


def excited(excite, x, data_format="channels_last", pooling="avg", mask=None):
    """The gate's input. Two squeezes are excited and added: CBAM, eq. 2."""
    both = ("avg", "max")
    names = both if pooling == "avg_max_separate" else (pooling,)
    return sum(excite(squeeze(x, data_format, name, mask)) for name in names)


def bottleneck(z, weights, use_bias=False, activation=relu):
    """SENet, eq. 3: W2 act(W1 z + b1) + b2."""
    weights = [np.asarray(w, "float64") for w in weights]
    if use_bias:
        w1, b1, w2, b2 = weights
    else:
        (w1, w2), b1, b2 = weights, 0, 0
    return activation(z @ w1 + b1) @ w2 + b2


def channel_convolution(z, kernel, padding="zeros"):
    """ECA-Net, eq. 7: each channel sees k neighbors, tap by tap."""
    kernel = np.asarray(kernel, "float64").reshape(-1)
    size, channels = len(kernel), z.shape[1]
    out = np.zeros_like(z)
    for channel in range(channels):
        for tap in range(size):
            neighbor = channel + tap - size // 2
            if padding == "circular":
                neighbor %= channels
            if 0 <= neighbor < channels:
                out[:, channel] += kernel[tap] * z[:, neighbor]
    return out


def unshared_channel_convolution(z, kernel, padding="zeros"):
    """ECA-NS, ECA-Net's table 2: each channel has k taps of its own."""
    kernel = np.asarray(kernel, "float64")
    out = np.zeros_like(z)
    for channel in range(z.shape[1]):
        taps = kernel[:, channel]
        out[:, channel] = channel_convolution(z, taps, padding)[:, channel]
    return out


def grouped_linear(z, weights, groups=1):
    """ECA-Net, table 2: SE-Var3, SE-GC and SE-Var2, group by group."""
    kernel, *biases = (np.asarray(w, "float64") for w in weights)
    size = z.shape[1] // groups
    out = np.zeros_like(z)
    for group in range(groups):
        block = slice(group * size, (group + 1) * size)
        out[:, block] = z[:, block] @ kernel[:, block]
    return out + sum(biases)


def rescale(x, scores, data_format="channels_last"):
    """y = x * gate, the same gate at every position."""
    last = channels_last(np.asarray(x, "float64"), data_format)
    gates = scores.reshape(len(scores), *[1] * (last.ndim - 2), -1)
    y = last * gates
    return y if data_format == "channels_last" else np.moveaxis(y, -1, 1)


def normalized(x, gamma, beta, mean, variance, epsilon=1e-5):
    """Normalization with given statistics."""
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def position_means(x, mask=None):
    """CoordAttention, eq. 4 and 5: along each axis, means over the others.

    `x` is (*spatial, channels), one sample. Returns for each axis the means
    (size, channels), which are zero where all positions are masked.
    """
    rank = x.ndim - 1
    kept = np.ones(x.shape[:-1], bool) if mask is None else mask
    means = []
    for axis in range(rank):
        mean = np.zeros((x.shape[axis], x.shape[-1]))
        for index in range(x.shape[axis]):
            valid = np.take(x, index, axis)[np.take(kept, index, axis)]
            valid = valid.reshape(-1, x.shape[-1])
            if len(valid):
                mean[index] = valid.mean(axis=0)
        means.append(mean)
    return means


def spatial_convolution(maps, kernel):
    """A sum over windows, position by position, with zeros around the maps.

    `maps` is (*spatial, inputs), one sample; the kernel (*sizes, inputs, 1).
    """
    sizes, spatial = kernel.shape[:-2], maps.shape[:-1]
    widths = [(size // 2, size // 2) for size in sizes]
    padded = np.pad(maps, [*widths, (0, 0)])
    out = np.zeros(spatial)
    for place in np.ndindex(*spatial):
        window = tuple(
            slice(start, start + size)
            for start, size in zip(place, sizes, strict=True)
        )
        out[place] = (padded[window] * kernel[..., 0]).sum()
    return out


def softmax_pooling(x, kernel, bias=0, mask=None):
    """GCNet, eq. 2: means with weights that a softmax over positions gives."""
    z, maps = np.zeros((len(x), x.shape[-1])), np.zeros(x.shape[:-1])
    for sample, values in enumerate(x):
        kept = (
            np.ones(values.shape[:-1], bool) if mask is None else mask[sample]
        )
        logits = (values[kept] @ kernel)[:, 0] + bias
        weights = np.exp(logits - logits.max(initial=-np.inf))
        weights = weights / weights.sum()
        z[sample] = weights @ values[kept]
        maps[sample][kept] = weights
    return z, maps


def adaptive_kernel_size(channels, gamma=2, b=1):
    """ECA-Net, fig. 3, as its authors wrote it."""
    t = int(abs((math.log(channels, 2) + b) / gamma))
    return t if t % 2 else t + 1


def make_divisible(value, divisor, round_limit):
    """The rule of timm, torchvision and keras.applications."""
    new = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return new + divisor if new < round_limit * value else new
