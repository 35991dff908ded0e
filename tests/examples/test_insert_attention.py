"""Sites, pictures where they can be drawn, and a message where not."""

import importlib.util
import shutil
from functools import partial

import pytest
from matplotlib.image import imread

SCRIPT = "insert_attention.py"
CAN_DRAW = importlib.util.find_spec("pydot") and shutil.which("dot")


@pytest.fixture
def run(run_example):
    return partial(run_example, SCRIPT)


def sites_of(done):
    return [
        line.strip() for line in done.stdout.splitlines() if line[:2] == "  "
    ]


def check_pictures(done, folder):
    found = sorted(path.name for path in folder.iterdir())
    if not CAN_DRAW:
        assert "No pictures: You must install pydot" in done.stdout
        assert found == []
        return
    assert found == ["MobileNetV2_after.png", "MobileNetV2_before.png"]
    after, before = (imread(folder / name) for name in found)
    # Two more layers, one below the other.
    assert after.shape[0] > before.shape[0] + 50


def test_residual_branches(run, tmp_path):
    done = run("MobileNetV2", "--until", "block_5_add")
    assert done.returncode == 0, done.stderr
    sites = sites_of(done)
    assert len(sites) == 10
    assert sites[:2] == ["block_2_project_BN", "block_4_project_BN"]
    assert "mobilenetv2_1.00_224 has 10 sites" in done.stdout
    assert "Largest change of a prediction: 0.0\n" in done.stdout
    check_pictures(done, tmp_path / "outputs")


def test_patterns(run, tmp_path):
    done = run(
        *("MobileNet", "--where", "conv_pw_1_relu", "conv_dw_1?_relu"),
        *("--attention", "ECA", "--until", "conv_pw_1_relu"),
        *("--output", tmp_path / "new" / "folder"),
    )
    assert done.returncode == 0, done.stderr
    assert sites_of(done) == [
        "conv_pw_1_relu",
        "conv_dw_10_relu",
        "conv_dw_11_relu",
        "conv_dw_12_relu",
        "conv_dw_13_relu",
    ]
    # Kernel sizes 3 for 64 channels, 5 for 512 and 1024.
    assert "4,253,864, and 23 of the attention" in done.stdout


@pytest.mark.skipif(bool(CAN_DRAW), reason="pydot and Graphviz are here")
def test_no_graphviz_is_no_error(run):
    done = run("MobileNetV2")
    assert done.returncode == 0, done.stderr
    assert "No pictures: You must install" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ResNet"], "no network 'ResNet', but ['ConvNeXtBase',"),
        (["resnet"], "no network 'resnet', but ['ConvNeXtBase',"),
        (["MobileNet"], "has no residual branches"),
        (["MobileNet", "--where", "absent"], "is true for no layer"),
        (["MobileNet", "--where", "predictions"], "No attention can follow"),
        (["MobileNet", "--until", "conv_1"], "Near it: ['conv"),
        (["MobileNet", "--attention", "CBAM"], "invalid choice: 'CBAM'"),
        ([], "the following arguments are required: name"),
    ],
)
def test_refusals(run, tmp_path, arguments, message):
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{SCRIPT}: error: " in done.stderr
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
