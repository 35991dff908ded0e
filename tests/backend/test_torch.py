"""What the torch backend promises beyond equal outputs."""

import pathlib
import warnings

import pytest
from keras import ops
from support.configurations import (
    built,
    over,
    over_configurations,
    over_configurations_and_formats,
    over_data_formats,
    shape_of,
)

from keras_channel_attn import (
    ConcurrentSqueezeExcite,
    ConvolutionalBlockAttention,
    CoordinateAttention,
    EfficientChannelAttention,
    GlobalContext,
    LinearSqueezeExcite,
    SqueezeExcite,
    SqueezeGate,
    backend,
)

pytestmark = pytest.mark.backend("torch")

WITH_WEIGHTS = {
    "se": (SqueezeExcite, {"reduction": 4}),
    "eca": (EfficientChannelAttention, {}),
    "eca_ns": (EfficientChannelAttention, {"shared_kernel": False}),
    "linear": (LinearSqueezeExcite, {}),
    "linear_groups": (LinearSqueezeExcite, {"groups": 2, "use_bias": True}),
    "linear_diagonal": (LinearSqueezeExcite, {"groups": 8}),
}
over_layers_with_weights = over(WITH_WEIGHTS)
over_layers = over({**WITH_WEIGHTS, "gate": (SqueezeGate, {})})


@over_layers
@over_data_formats
def test_keeps_one_tensor_of_full_size(
    rng, layer_class, arguments, data_format
):
    """For the backward pass: the input itself, and no copy of its size."""
    import torch

    shape = shape_of(4, (16, 16), 64, data_format)
    layer = built(layer_class, arguments, 64, data_format=data_format)
    x = ops.convert_to_tensor(rng.normal(size=shape), "float32")
    x.requires_grad_()
    kept = []

    def keep(tensor):
        if tensor.untyped_storage().nbytes() >= x.nbytes:
            kept.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    assert set(kept) == {x.data_ptr()}


@pytest.mark.parametrize(
    ("layer_class", "arguments", "expected"),
    [
        # The gated input; its mean and maximum as one tensor, the maximum
        # alone, the convolution's result, the gates.
        (
            ConvolutionalBlockAttention,
            {"batch_normalization": True},
            [256 * 64, 2 * 256, 256, 256, 256],
        ),
        # The gates.
        (ConcurrentSqueezeExcite, {}, [256]),
        # The input with one gate, the means along both axes, the gates, and
        # the bottleneck before and after its normalization.
        (
            CoordinateAttention,
            {"bottleneck_units": 4},
            [256 * 64, 32 * 64, 16 * 64, 16 * 64, 32 * 4, 32 * 4],
        ),
        # The weights of the positions.
        (GlobalContext, {"fuse": "scale"}, [256]),
    ],
    ids=["cbam", "scse", "coordinate", "context"],
)
def test_keeps_as_much_as_the_modules_of_timm(
    rng, layer_class, arguments, expected
):
    """Numbers of a sample in tensors larger than a descriptor."""
    import torch

    layer = built(layer_class, arguments, 64, data_format="channels_last")
    x = ops.convert_to_tensor(rng.normal(size=(3, 16, 16, 64)), "float32")
    x.requires_grad_()
    tensors = [x, *layer.parameters()]
    known = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            # The tensor too, so that no other one gets its address.
            kept[storage.data_ptr()] = storage.nbytes() // (4 * 3), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x, training=True)
    sizes = [size for size, _ in kept.values() if size > 64]
    assert sorted(sizes, reverse=True) == expected


over_ranks = pytest.mark.parametrize(
    "spatial", [(7,), (4, 5), (2, 3, 4)], ids=str
)


@over_ranks
def test_convolution_of_compiled_programs(rng, spatial):
    """That it is registered as torch wants it, and its gradient."""
    import torch

    from keras_channel_attn.backend import torch as backend_functions

    sizes = (2, *spatial, 2), (3,) * len(spatial) + (2, 1)
    inputs = [
        torch.tensor(rng.normal(size=size), requires_grad=True)
        for size in sizes
    ]
    function = backend_functions._opaque_convolution
    torch.library.opcheck(function, tuple(inputs))
    assert torch.autograd.gradcheck(function, inputs)


def test_the_compiler_sees_no_convolution(rng):
    """It would copy the inputs to a layout for convolutions."""
    import torch

    layer = built(ConvolutionalBlockAttention, {"reduction": 4})
    targets = []

    def read(graph, _):
        targets.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    x = ops.convert_to_tensor(rng.normal(size=(2, 4, 5, 8)), "float32")
    torch.compiler.reset()
    torch.compile(layer, fullgraph=True, backend=read)(x)
    found = [target for target in targets if "conv" in target]
    assert len(found) == 1
    assert "keras_channel_attn" in found[0]


@pytest.mark.parametrize(("size", "functions"), [(48, 0), (49, 2)])
def test_small_inputs_are_left_to_autograd(monkeypatch, rng, size, functions):
    """Two autograd functions take longer to call than they save."""
    from keras_channel_attn.backend import torch as backend_functions

    monkeypatch.setattr(backend_functions, "_SIZE_OF_LARGE_INPUTS", 49)
    x = ops.convert_to_tensor(rng.normal(size=(1, size, 1)), "float32")
    y = SqueezeGate()(x.requires_grad_())
    names = [function.name() for function in autograd_functions(y.grad_fn)]
    assert len([name for name in names if name.startswith("_")]) == functions


def autograd_functions(function):
    """The functions of a graph of autograd, each once."""
    found, waiting = set(), [function]
    while waiting:
        function = waiting.pop()
        if function is not None and function not in found:
            found.add(function)
            waiting += [previous for previous, _ in function.next_functions]
    return found


@over_layers
def test_gradient_penalty(rng, layer_class, arguments):
    """First and second order in one backward pass, as in a GAN's penalty."""
    import torch

    layer = built(layer_class, arguments, dtype="float64")
    x = ops.convert_to_tensor(rng.normal(size=(2, 3, 4, 8)), "float64")

    def penalty(x, attend):
        y = attend(x)
        (gradient,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        return (y**2).sum() + (gradient**2).sum()

    def plain(x):
        return x * layer._gates(x.mean((1, 2)))[:, None, None]

    results = []
    for attend in (layer, plain):
        leaf = x.clone().requires_grad_()
        (result,) = torch.autograd.grad(penalty(leaf, attend), leaf)
        results.append(result)
    torch.testing.assert_close(*results)


@over_layers
def test_scores_can_be_differentiated_too(rng, layer_class, arguments):
    import torch

    layer = built(layer_class, arguments, dtype="float64")
    x = ops.convert_to_tensor(rng.normal(size=(2, 3, 4, 8)), "float64")

    def function(x, part):
        return layer(x, return_attention_scores=True)[part]

    leaf = x.requires_grad_()
    for part in (0, 1):
        assert torch.autograd.gradcheck(lambda x, p=part: function(x, p), leaf)
    y, scores = layer(leaf, return_attention_scores=True)
    both = torch.autograd.grad(y.sum() + (scores**2).sum(), leaf)[0]
    y, scores = layer(leaf, return_attention_scores=True)
    first = torch.autograd.grad(y.sum(), leaf, retain_graph=True)[0]
    second = torch.autograd.grad((scores**2).sum(), leaf)[0]
    torch.testing.assert_close(both, first + second)


@over_layers
def test_backward_can_be_repeated(rng, layer_class, arguments):
    import torch

    layer = built(layer_class, arguments)
    x = ops.convert_to_tensor(rng.normal(size=(2, 3, 4, 8)), "float32")
    x.requires_grad_()
    y = layer(x)
    first, second = (
        torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for _ in range(2)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@over_configurations
def test_function_transforms(rng, layer_class, arguments):
    import torch

    layer = built(layer_class, arguments)
    x = ops.convert_to_tensor(rng.normal(size=(3, 2, 4, 8)), "float32")
    direction = ops.convert_to_tensor(rng.normal(size=x.shape), "float32")

    def loss(x):
        return (layer.call(x) ** 2).sum()

    gradient = torch.func.grad(loss)(x)
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(
        gradient, torch.autograd.grad(loss(leaf), leaf)[0]
    )
    each = torch.func.vmap(torch.func.grad(loss))(x[:, None])
    torch.testing.assert_close(each[:, 0], gradient)
    _, tangent = torch.func.jvp(loss, (x,), (direction,))
    torch.testing.assert_close(
        tangent, (gradient * direction).sum(), rtol=1e-4, atol=1e-4
    )


@over_layers
@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_second_derivatives_in_every_mode(rng, layer_class, arguments, gate):
    import torch

    layer = built(layer_class, arguments, gate_activation=gate, dtype="float64")
    x = ops.convert_to_tensor(rng.normal(size=(1, 2, 2, 8)), "float64")

    def loss(x):
        return (layer.call(x) ** 2).sum()

    reverse = torch.func.jacrev(torch.func.jacrev(loss))(x)
    for outer, inner in (("jacfwd", "jacrev"), ("jacfwd", "jacfwd")):
        other = getattr(torch.func, outer)(getattr(torch.func, inner)(loss))(x)
        torch.testing.assert_close(other, reverse)


def test_unhashable_activation(rng):
    class Scaled:
        __hash__ = None

        def __call__(self, x):
            return 2 * x

    x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
    assert SqueezeExcite(4, activation=Scaled())(x).shape == x.shape


@over_layers_with_weights
def test_input_that_needs_no_gradient(rng, layer_class, arguments):
    import torch

    layer = built(layer_class, arguments)
    x = ops.convert_to_tensor(rng.normal(size=(2, 3, 4, 8)), "float32")
    leaf = x.clone().requires_grad_()
    weights = [weight.value for weight in layer.weights]
    for without, with_input in zip(
        torch.autograd.grad(layer(x).sum(), weights),
        torch.autograd.grad(layer(leaf).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(without, with_input)


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("channel_convolution", (5, 1, 1), ("zeros",)),
        ("channel_convolution", (5, 1, 1), ("circular",)),
        ("channel_convolution", (5, 6), ("zeros",)),
        ("channel_convolution", (5, 6), ("circular",)),
        ("channel_convolution", (15, 6), ("circular",)),
        ("grouped_linear", (6, 6), ()),
        ("grouped_linear", (2, 6), ()),
        ("grouped_linear", (1, 6), ()),
    ],
    ids=str,
)
def test_excitation_in_forward_mode_too(rng, name, shape, arguments):
    """By descriptor and kernel, with dual numbers and without `torch.func`."""
    import torch

    excite = getattr(backend, name)
    inputs = [
        ops.convert_to_tensor(rng.normal(size=size), "float64").requires_grad_()
        for size in ((3, 6), shape)
    ]

    def function(descriptor, kernel):
        return excite(descriptor, kernel, *arguments)

    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(
        function, inputs, check_fwd_over_rev=True
    )


@over_configurations
@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_traces_hold_no_autograd_function(rng, layer_class, arguments):
    """Else two traces differ, which is an error, and no converter reads them.

    `torch.jit.trace` traces twice. OpenVINO's converter, and that of ONNX with
    a free batch size, start from such a trace.
    """
    import torch

    layer = built(layer_class, arguments)
    x = ops.convert_to_tensor(rng.normal(size=(2, 3, 4, 8)), "float32")
    x.requires_grad_()
    traced = torch.jit.trace(layer, x)
    assert "PythonOp" not in str(traced.inlined_graph)
    other = ops.convert_to_tensor(rng.normal(size=(5, 3, 4, 8)), "float32")
    torch.testing.assert_close(traced(other), layer(other))


@over_layers
def test_exported_programs_of_layers_that_are_trained(
    rng, layer_class, arguments
):
    import torch

    layer = built(layer_class, arguments)
    x = ops.convert_to_tensor(rng.normal(size=(2, 3, 4, 8)), "float32")
    x.requires_grad_()
    program = torch.export.export(layer, (x,), strict=False)
    assert all(
        node.op != "call_function" or "aten" in str(node.target)
        for node in program.graph.nodes
    )
    torch.testing.assert_close(program.module()(x), layer(x))


@over_configurations_and_formats
@pytest.mark.parametrize("with_mask", [False, True])
def test_a_trace_warns_of_no_line_of_this_package(
    rng, layer_class, arguments, data_format, with_mask
):
    """OpenVINO and ONNX files are made of traces, where sizes are tensors.

    Keras has such lines of its own.
    """
    import torch

    layer = built(layer_class, arguments, data_format=data_format)
    x = rng.normal(size=shape_of(2, (4, 5), 8, data_format))
    arguments = [torch.tensor(x, dtype=torch.float32)]
    if with_mask:
        arguments.append(torch.ones((2, 4, 5), dtype=torch.bool))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for has_gradients in (True, False):
            with torch.set_grad_enabled(has_gradients):
                torch.jit.trace(layer, tuple(arguments), check_trace=False)
    folder = str(pathlib.Path(backend.__file__).parents[1])
    places = {(warning.filename, warning.lineno) for warning in caught}
    assert not [place for place in places if place[0].startswith(folder)]
