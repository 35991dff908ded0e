"""Compiled, vectorized and exported by the backend's own tools."""

import numpy as np
import pytest
from keras import ops
from support.configurations import (
    CONFIGURATIONS,
    built,
    over,
    over_alternating_formats,
    over_configurations,
    over_configurations_and_formats,
    over_those_with_weights,
    shape_of,
)


def close(actual, expected):
    np.testing.assert_allclose(
        ops.convert_to_numpy(actual),
        ops.convert_to_numpy(expected),
        rtol=1e-5,
        atol=1e-6,
    )


def sample(rng, data_format="channels_last", batch=3):
    shape = shape_of(batch, (4, 5), 8, data_format)
    x = ops.convert_to_tensor(rng.normal(size=shape).astype("float32"))
    return x, ops.convert_to_tensor(rng.random((batch, 4, 5)) < 0.7)


@pytest.mark.backend("jax")
@over_configurations_and_formats
def test_jax_jit(rng, layer_class, arguments, data_format):
    import jax

    layer = built(layer_class, arguments, data_format=data_format)
    x, mask = sample(rng, data_format)
    compiled = jax.jit(lambda x, mask=None: layer(x, mask=mask))
    close(compiled(x), layer(x))
    close(compiled(x, mask), layer(x, mask=mask))


@pytest.mark.backend("jax")
@over_configurations_and_formats
def test_jax_vmap(rng, layer_class, arguments, data_format):
    import jax

    layer = built(layer_class, arguments, data_format=data_format)
    x, mask = sample(rng, data_format, batch=6)
    stacked = x.reshape(2, 3, *x.shape[1:])
    masks = mask.reshape(2, 3, *mask.shape[1:])
    close(jax.vmap(layer)(stacked), layer(x).reshape(stacked.shape))
    masked = jax.vmap(lambda x, mask: layer(x, mask=mask))(stacked, masks)
    close(masked, layer(x, mask=mask).reshape(stacked.shape))


@pytest.mark.backend("jax")
@over_those_with_weights
def test_jax_gradients_for_each_sample(rng, layer_class, arguments):
    import jax

    layer = built(layer_class, arguments)
    x, _ = sample(rng)
    weights = [weight.value for weight in layer.trainable_weights]
    state = [weight.value for weight in layer.non_trainable_weights]

    def loss(weights, x):
        return layer.stateless_call(weights, state, x)[0].sum()

    each = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(weights, x[:, None])
    for index in range(len(x)):
        alone = jax.grad(loss)(weights, x[index : index + 1])
        for stacked, expected in zip(each, alone, strict=True):
            np.testing.assert_allclose(
                stacked[index], expected, rtol=1e-4, atol=1e-4
            )


@pytest.mark.backend("tensorflow")
@over_configurations_and_formats
@pytest.mark.parametrize("jit_compile", [False, True])
def test_tensorflow_function(
    rng, layer_class, arguments, data_format, jit_compile
):
    import tensorflow as tf

    layer = built(layer_class, arguments, data_format=data_format)
    x, mask = sample(rng, data_format)
    compiled = tf.function(layer, jit_compile=jit_compile)
    close(compiled(x), layer(x))
    close(compiled(x, mask=mask), layer(x, mask=mask))


@pytest.mark.backend("tensorflow")
@over_configurations
@pytest.mark.parametrize("jit_compile", [False, True])
def test_tensorflow_function_of_unknown_sizes(
    rng, layer_class, arguments, jit_compile
):
    import tensorflow as tf

    layer = built(layer_class, arguments)
    signature = [
        tf.TensorSpec((None, None, None, 8), "float32"),
        tf.TensorSpec((None, None, None), "bool"),
    ]
    compiled = tf.function(
        lambda x, mask: layer(x, mask=mask),
        input_signature=signature,
        jit_compile=jit_compile,
    )
    for batch in (3, 1):
        x, mask = sample(rng, batch=batch)
        close(compiled(x, mask), layer(x, mask=mask))


@pytest.mark.backend("tensorflow")
@over_configurations
def test_tensorflow_function_on_an_empty_batch(layer_class, arguments):
    import tensorflow as tf

    layer = built(layer_class, arguments)
    signature = [tf.TensorSpec((None, None, None, 8), "float32")]
    compiled = tf.function(layer.call, input_signature=signature)
    assert compiled(tf.zeros((0, 4, 5, 8))).shape == (0, 4, 5, 8)


# Each compilation takes seconds: not the whole table.
FEW = {
    name: CONFIGURATIONS[name]
    for name in (
        "se_divisor_avg_max",
        "se_identity",
        "eca_circular_avg_max",
        "eca",
        "se_cbam",
        "eca_ns",
        "linear_groups_bias_identity",
        "gate",
    )
}


@pytest.mark.backend("torch")
@over_alternating_formats(FEW)
# torch's own, while it traces Keras.
@pytest.mark.filterwarnings("ignore:Dynamo detected a call:UserWarning")
def test_torch_compile_without_a_graph_break(
    rng, layer_class, arguments, data_format
):
    import torch

    layer = built(layer_class, arguments, data_format=data_format)
    x, mask = sample(rng, data_format)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    close(compiled(x), layer(x))
    close(compiled(x, mask=mask), layer(x, mask=mask))
    leaves = [x.requires_grad_(), *layer.parameters()]
    expected = torch.autograd.grad((layer(x) ** 2).sum(), leaves)
    actual = torch.autograd.grad((compiled(x) ** 2).sum(), leaves)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.backend("torch")
@over_configurations
@pytest.mark.filterwarnings("ignore:Dynamo detected a call:UserWarning")
def test_torch_compile_with_images_of_several_sizes(
    rng, layer_class, arguments
):
    """From the second size on, torch compiles for unknown sizes."""
    import torch

    layer = built(layer_class, {**arguments, "data_format": "channels_last"})
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for size in (4, 7, 5):
        shape = (2, size, size + 1, 8)
        x = torch.tensor(rng.normal(size=shape), dtype=torch.float32)
        close(compiled(x), layer(x))


@pytest.mark.backend("torch")
@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@over_configurations
def test_torch_trace_can_be_saved(rng, tmp_path, layer_class, arguments):
    """The format that OpenVINO and older runtimes read."""
    import torch

    layer = built(layer_class, arguments)
    x, _ = sample(rng)
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(layer, x), tmp_path / "layer.pt")
        close(torch.jit.load(tmp_path / "layer.pt")(x), layer(x))


@pytest.mark.backend("torch")
@pytest.mark.filterwarnings("ignore:Dynamo detected a call:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@over(FEW)
def test_torch_compile_around_derivatives(rng, layer_class, arguments):
    """Second derivatives and per-sample gradients, compiled."""
    import torch

    layer = built(layer_class, arguments)
    x, _ = sample(rng)

    def loss(x):
        return (layer.call(x) ** 2).sum()

    def penalty(x):
        return (torch.func.grad(loss)(x) ** 2).sum()

    def each(x):
        return torch.func.vmap(torch.func.grad(loss))(x[:, None])

    torch.compiler.reset()
    for function in (torch.func.grad(penalty), each):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(
            compiled(x), function(x), rtol=1e-4, atol=1e-5
        )


@pytest.mark.backend("torch")
@over(FEW)
@pytest.mark.filterwarnings("ignore:Dynamo detected a call:UserWarning")
def test_torch_compiles_once(rng, layer_class, arguments):
    """Some functions of `keras.ops` count their calls, which torch notices."""
    import torch

    layer = built(layer_class, arguments)
    x, mask = sample(rng)
    # Keras' first call leaves a trace in its global state, which is seen too.
    expected, masked = layer(x), layer(x, mask=mask)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    compiled(x)
    compiled(x, mask=mask)
    with torch.compiler.set_stance("fail_on_recompile"):
        close(compiled(x), expected)
        close(compiled(x, mask=mask), masked)


@pytest.mark.backend("torch")
@pytest.mark.needs("compiler")
@pytest.mark.filterwarnings("ignore:Dynamo detected a call:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@over(
    {
        name: CONFIGURATIONS[name]
        for name in (
            "se_bias",
            "eca",
            "eca_ns_circular_cbam",
            "linear_groups_bias_identity",
        )
    }
)
def test_torch_compile_with_the_default_compiler(rng, layer_class, arguments):
    import torch

    layer = built(layer_class, arguments)
    x, _ = sample(rng)
    torch.compiler.reset()
    close(torch.compile(layer, fullgraph=True)(x), layer(x))


@pytest.mark.slow
@pytest.mark.backend("torch")
@pytest.mark.needs("compiler")
@pytest.mark.filterwarnings("ignore:Dynamo detected a call:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@over({name: CONFIGURATIONS[name] for name in ("cbam", "cbam_normalized")})
def test_default_compiler_in_training_with_images_of_several_sizes(
    rng, layer_class, arguments
):
    """Tensors that are kept for the gradient must not be views."""
    import torch

    layer = built(layer_class, {**arguments, "data_format": "channels_last"})
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True)
    for size in (4, 7, 5):
        shape = (2, size, size + 1, 8)
        x = torch.tensor(rng.normal(size=shape), dtype=torch.float32)
        weights = [weight.value for weight in layer.trainable_weights]
        leaves = [x.requires_grad_(), *weights]
        expected, actual = (
            torch.autograd.grad((call(x) ** 2).sum(), leaves)
            for call in (layer, compiled)
        )
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.backend("torch")
@over_configurations_and_formats
def test_torch_export(rng, layer_class, arguments, data_format):
    import torch

    layer = built(layer_class, arguments, data_format=data_format)
    x, mask = sample(rng, data_format)
    program = torch.export.export(layer, (x,)).module()
    close(program(x), layer(x))
    masked = torch.export.export(layer, (x,), {"mask": mask}).module()
    close(masked(x, mask=mask), layer(x, mask=mask))


@pytest.mark.backend("torch")
@over_configurations
def test_torch_export_of_unknown_sizes(rng, layer_class, arguments):
    import torch

    layer = built(layer_class, arguments)
    x, _ = sample(rng)
    auto = torch.export.Dim.AUTO
    program = torch.export.export(
        layer, (x,), dynamic_shapes=(({0: auto, 1: auto, 2: auto},),)
    ).module()
    other = ops.convert_to_tensor(rng.normal(size=(2, 7, 3, 8)), "float32")
    close(program(other), layer(other))
