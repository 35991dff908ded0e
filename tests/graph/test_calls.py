"""The calls of a graph, read from a model."""

from support.networks import nested, residual

from keras_channel_attn.graph import graph_of


def test_calls_are_listed_in_the_order_of_computation():
    paths = [call.path for call in graph_of(nested()).all_calls()]
    inner = (
        *("shortcut", "a_1", "a_norm", "a_2", "a_add"),
        *("b_1", "b_2", "b_add"),
    )
    outer = ("backbone", "head_pool", "head")
    assert sorted(paths) == sorted([*outer, *(f"backbone/{n}" for n in inner)])
    for before, after in (
        ("backbone/a_1", "backbone/a_norm"),
        ("backbone/shortcut", "backbone/a_add"),
        ("backbone/a_2", "backbone/a_add"),
        ("backbone/a_add", "backbone/b_1"),
        ("backbone/b_add", "backbone"),
        ("backbone", "head_pool"),
        ("head_pool", "head"),
    ):
        assert paths.index(before) < paths.index(after)


def test_reading_a_graph_calls_no_layer():
    model = residual()
    nodes = {layer: len(layer._inbound_nodes) for layer in model.layers}
    list(graph_of(model).all_calls())
    assert nodes == {layer: len(layer._inbound_nodes) for layer in model.layers}
