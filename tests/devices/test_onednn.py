"""oneDNN's kernels are asked for before TensorFlow is imported, unless somebody has decided already."""

import json
import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import recipes
assert "tensorflow" not in sys.modules
from recipes.devices.environment import environment
print(json.dumps(environment()["onednn"]))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is for x86 processors here")
@pytest.mark.parametrize(("decided", "used"), [(None, "1"), ("0", "0")])
def test_onednn_is_on_unless_the_user_has_turned_it_off(decided, used):
    here = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    here |= {"TF_ENABLE_ONEDNN_OPTS": decided} if decided else {}
    answer = subprocess.run([sys.executable, "-c", SCRIPT], env=here, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout.splitlines()[-1]) == used
