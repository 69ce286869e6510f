"""Portable runs have the same bits where AVX-512 is hidden from XLA and every library in it, and others do not.

No second processor: what its instructions compute is this one's. pytest -m slow -n 0 tests/experiments/test_portable.py
(two minutes).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.lab.machine import flags, hardware

SOURCE = Path(__file__).with_name("hidden_avx512.c")
RUN = """
import sys
from experiments.lab.machine import devices
devices.start(portable=sys.argv[1] == "portable")
from experiments import fingerprint
print(fingerprint.digest("a2c", "CartPole-v1", 8000))
"""


@pytest.mark.slow
def test_bits_of_portable_runs_do_not_belong_to_avx512_and_those_of_others_do(tmp_path):
    if not {"avx512f", "cpuid_fault"} <= {*hardware.told("flags").split()} or not shutil.which("cc"):
        pytest.skip("needs Linux, a C compiler and a processor with AVX-512 and CPUID faulting")
    library = tmp_path / "hidden.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    ours = (*flags.FROM_US, *flags.PRODUCTS)
    plain = {name: value for name, value in os.environ.items() if name not in ours}
    found = {}
    for kind in ("portable", "as it comes"):
        for hidden in ("", str(library)):  # what is compiled for one must not be kept for the other
            variables = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / f"{kind}{bool(hidden)}"), "LD_PRELOAD": hidden}
            command = [sys.executable, "-c", RUN, kind]
            done = subprocess.run(command, env=plain | variables, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            found[kind, bool(hidden)] = done.stdout
    assert found["portable", False] == found["portable", True]
    assert found["as it comes", False] != found["as it comes", True]
