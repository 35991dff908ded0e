"""Sites, pictures where they can be drawn, and a message where not."""

from functools import partial

import pytest
from matplotlib.image import imread

SCRIPT = "insert_attention.py"


@pytest.fixture
def run(run_example):
    return partial(run_example, SCRIPT)


def sites_of(done):
    return [
        line.strip() for line in done.stdout.splitlines() if line[:2] == "  "
    ]


ARGUMENTS = ("MobileNetV2", "--until", "block_5_add")


def test_residual_branches(run, tmp_path):
    """Without Graphviz, whether it is installed or not."""
    done = run(*ARGUMENTS, PATH="")
    assert done.returncode == 0, done.stderr
    sites = sites_of(done)
    assert len(sites) == 10
    assert sites[:2] == ["block_2_project_BN", "block_4_project_BN"]
    assert "Largest difference of an output: 0.0\n" in done.stdout
    # What is missing is said in words of Keras, which change.
    assert "\nNo pictures: " in done.stdout
    assert list(tmp_path.rglob("*.png")) == []


@pytest.mark.needs("graphviz")
def test_pictures(run, tmp_path):
    done = run(*ARGUMENTS)
    assert done.returncode == 0, done.stderr
    after, before = (
        imread(path) for path in sorted((tmp_path / "outputs").iterdir())
    )
    # Two more layers, one below the other.
    assert after.shape[0] > before.shape[0] + 50


def test_patterns(run):
    done = run(
        *("MobileNet", "--where", "conv_pw_1_relu", "conv_dw_1?_relu"),
        *("--attention", "ECA", "--until", "conv_pw_1_relu"),
    )
    assert done.returncode == 0, done.stderr
    assert sites_of(done) == [
        "conv_pw_1_relu",
        *(f"conv_dw_{number}_relu" for number in (10, 11, 12, 13)),
    ]
    # Kernel sizes 3 for 64 channels, 5 for 512 and 1024.
    assert "Parameters: 4,253,864, attention: 23\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet"], "invalid choice: 'resnet'"),
        (["MobileNet"], "has no residual branches"),
        (["MobileNet", "--where", "absent"], "is true for no layer"),
        (["MobileNet", "--until", "conv_1"], "No such layer: conv_1"),
        (
            ["ResNet50", "--from", "conv5_block1_out", "--until", "conv1_conv"],
            "the outputs of conv5_block1_out alone do not give those of conv1",
        ),
    ],
)
def test_errors(run, tmp_path, arguments, message):
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
