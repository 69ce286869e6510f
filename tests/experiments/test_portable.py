"""Portable runs have the same bits where AVX-512 is hidden from XLA and every library in it, and others do not.

No second processor: what its instructions compute is this one's. pytest -m slow -n 0 tests/experiments/test_portable.py
(two minutes).
"""

import os
import platform
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


PRODUCT = """
import sys
import jax
import numpy as np
from experiments.lab.machine import devices, flags
devices.start(portable=sys.argv[1] == "portable")
rng = np.random.default_rng(0)
x, g = (rng.standard_normal((1024, 64)).astype(np.float32) for _ in range(2))
product = jax.jit(lambda x, g: x.T @ g).lower(x, g).compile(compiler_options=flags.options("cpu"))

def in_parts(length):  # each part's sums one after another, by fused multiplication and addition: rounded once
    whole = 0
    for begin in range(0, len(x), length):
        total = np.zeros((64, 64), np.float32)
        for one, other in zip(x[begin : begin + length], g[begin : begin + length]):
            total = (total + one[:, None].astype(float) * other.astype(float)).astype(np.float32)
        whole = total + whole
    return whole

print(np.array_equal(product(x, g), in_parts(512)))
"""


def test_a_portable_runs_weight_gradients_are_added_up_in_parts_that_no_cache_decides():
    unfit = flags.unfit_processor(platform.machine(), hardware.told("flags"))
    if unfit:
        pytest.skip(unfit)
    plain = {name: value for name, value in os.environ.items() if name not in (*flags.FROM_US, *flags.PRODUCTS)}
    done = subprocess.run([sys.executable, "-c", PRODUCT, "portable"], env=plain, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
