import re


def test_trains_saves_and_loads(run_example, tmp_path):
    done = run_example("functional_model.py")
    assert done.returncode == 0, done.stderr
    accuracy = re.search(r"Accuracy on 450 test images: (\S+)%", done.stdout)
    assert float(accuracy[1]) > 90
    assert "The loaded model makes the same predictions." in done.stdout
    assert list(tmp_path.iterdir()) == []
