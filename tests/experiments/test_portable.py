"""Portable runs have the same bits where XLA and the libraries in it take the processor for another, and others do not.

No second processor: what is told differs (caches, maker, AVX-512), and what its instructions compute is this one's.
pytest -m slow -n 0 tests/experiments/test_portable.py (three minutes).
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.lab.machine import flags, hardware

SOURCE = Path(__file__).with_name("other_processor.c")
LIBRARY = "libjax_common.so"
# What CPUID is made to say, as other_processor.c reads it. 80000005 and 8000001d are where AMD's tell their caches, 4 Intel's.
FIRST_CACHE = (
    "80000005.* - - 180c0140 -; 8000001d.0 - 02c0003f 1f -; 4.0 - 02c0003f 1f -"  # 24 KiB: no known one has it
)
INTEL = (
    "0.* - 756e6547 6c65746e 49656e69; 1.* 000c06f2 - - -; 2.* 00feff01 f0 0 0; 4.0 04000121 02c0003f 3f 0;"
    "4.1 04000122 01c0003f 3f 0; 4.2 04000143 03c0003f 7ff 0; 4.3 04004163 0380003f 1bfff 4; 80000000.* 80000008 0 0 0;"
    "80000001.* 0 0 121 2c100800; 80000005.* 0 0 0 0; 80000006.* 0 0 08007040 0; 80000008.* - 0 0 0"
)  # family 6, model 207, with the instructions that this processor has
NO_AVX512 = "7.0 - ~dc230000 ~5842 ~03c0010c; 7.1 ~200030 - - -"  # nor AMX
LIES = {"first cache": FIRST_CACHE, "Intel": INTEL, "AVX-512": NO_AVX512}
RUN = """
import sys
from experiments.lab.machine import devices
devices.start(portable=sys.argv[1] == "portable")
from experiments import fingerprint
print(fingerprint.digest("reinforce", "CartPole-v1", 8000))
"""  # its products for weight gradients add up 1,000 numbers


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Returns the variables under which jaxlib is told what a processor is by CPUID_LIES."""
    if platform.machine() != "x86_64" or not all(map(shutil.which, ("cc", "objdump"))):
        pytest.skip("needs Linux on x86-64, a C compiler and objdump")
    import jaxlib

    library = tmp_path_factory.mktemp("other") / "other.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    command = ["objdump", "-d", "--no-show-raw-insn", Path(jaxlib.__file__).with_name(LIBRARY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listing:
        found = [line.partition(":")[0].strip() for line in listing.stdout if line.rstrip().endswith("\tcpuid")]
    assert found
    return {"LD_AUDIT": str(library), "CPUID_LIBRARY": LIBRARY, "CPUID_AT": ",".join(found)}


def digest(kind, variables, folder):
    plain = {name: value for name, value in os.environ.items() if name not in (*flags.FROM_US, *flags.PRODUCTS)}
    variables = variables | {
        "JAX_COMPILATION_CACHE_DIR": str(folder)
    }  # what is compiled for one is not kept for another
    command = [sys.executable, "-c", RUN, kind]
    done = subprocess.run(command, env=plain | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["portable", "as it comes"])
def test_bits_of_portable_runs_do_not_belong_to_what_a_processor_says_it_is_and_those_of_others_do(
    kind, other, tmp_path
):
    avx512 = "avx512f" in hardware.told("flags").split()
    unfit = {"AVX-512": not avx512, "Intel": hardware.told("vendor_id") != "AuthenticAMD"}  # nothing would differ
    lies = {name: lie for name, lie in LIES.items() if not unfit.get(name)}
    plain = digest(kind, {}, tmp_path / "plain")
    assert digest(kind, other | {"CPUID_LIES": ""}, tmp_path / "traps") == plain
    same = [name for name, lie in lies.items() if digest(kind, other | {"CPUID_LIES": lie}, tmp_path / name) == plain]
    assert same == (list(lies) if kind == "portable" else [])


PRODUCT = """
import sys
import jax
import numpy as np
from experiments.lab.machine import devices, flags
devices.start(portable=sys.argv[1] == "portable")
rng = np.random.default_rng(0)
x, g = (rng.standard_normal((1024, 64)).astype(np.float32) for _ in range(2))

def by_weights(x, g):  # what a layer's gradient is: no transpose is written, and XLA makes none
    return jax.grad(lambda w: jax.numpy.sum((x @ w) * g))(x[:64])

def product(x, g, function):
    return jax.jit(function).lower(x, g).compile(compiler_options=flags.options("cpu"))(x, g)

one, two = product(x, g, by_weights), product(np.stack([g, x]), np.stack([g, g]), jax.vmap(by_weights))

def in_parts(x, length):  # each part's sums one after another, by fused multiplication and addition: rounded once
    whole = 0
    for begin in range(0, len(x), length):
        total = np.zeros((64, 64), np.float32)
        for one, other in zip(x[begin : begin + length], g[begin : begin + length]):
            total = (total + one[:, None].astype(float) * other.astype(float)).astype(np.float32)
        whole = total + whole
    return whole

print(np.array_equal(one, in_parts(x, 512)), np.array_equal(two[1], one), np.array_equal(two[0], in_parts(g, 512)))
"""


def test_a_portable_runs_weight_gradients_are_added_up_in_parts_of_512():
    """Where the first cache is 48 KiB Eigen's parts are as long: it fails without the one form where they are not."""
    unfit = flags.unfit_processor(platform.machine(), hardware.told("flags"))
    if unfit:
        pytest.skip(unfit)
    plain = {name: value for name, value in os.environ.items() if name not in (*flags.FROM_US, *flags.PRODUCTS)}
    done = subprocess.run([sys.executable, "-c", PRODUCT, "portable"], env=plain, capture_output=True, text=True)
    assert done.stdout == "True True True\n", done.stderr
