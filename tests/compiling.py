"""How programs of tests are compiled."""

from experiments.lab.machine import flags

# Programs of tests are small and run a few times: at level 0 and without fusion emitters they compile in half the time. For a flag
# that it lacks XLA ends the process, and pytest shows no word.
QUICK = "--xla_backend_optimization_level=0" + "".join(f" --{name}=false" for name in flags.NO_EMITTERS)
# Options of one program, where what is true for commands is not quite so without the emitters.
AS_COMMANDS = dict.fromkeys(flags.NO_EMITTERS, True)
