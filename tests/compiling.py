"""How programs of tests are compiled."""

from importlib import metadata

EMITTERS = "xla_cpu_use_fusion_emitters"
# For a flag that it lacks XLA ends the process, and pytest shows no word.
KNOWN = metadata.version("jaxlib").startswith("0.10.")
# Programs of tests are small and run a few times: at level 0 and without fusion emitters they compile in half the time.
QUICK = "--xla_backend_optimization_level=0" + (f" --{EMITTERS}=false" if KNOWN else "")
# Options of one program, where what is true for commands is not quite so without the emitters.
AS_COMMANDS = {EMITTERS: True} if KNOWN else {}
