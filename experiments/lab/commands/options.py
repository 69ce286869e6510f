"""The options that every command which runs an experiment takes. Imports no jax: --help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from experiments.lab.commands.cli import count, said, span


@dataclass(frozen=True)
class Options:
    """What may be changed from the command line. What is left out stays as the experiment has it."""

    seeds: Annotated[span("--seeds") | None, said("the experiment's own", "N|A..B")] = None
    """Seeds: N for 0 to N - 1, 10..19 for a part of them. With --resume: runs those of them that the folder lacks."""
    steps: Annotated[count("--steps") | None, said("the experiment's own", "N")] = None
    """Environment steps each algorithm may take under each seed."""
    only: Annotated[tuple[str, ...], said("all")] = ()
    """Run these contenders alone."""
    set: Annotated[tuple[str, ...], said("none")] = ()
    """Settings, as CONTENDER.FIELD=VALUE (ppo.learning_rate=1e-3); `all` stands for every contender that has the field."""
    network: Annotated[tuple[str, ...], said("the algorithm's own")] = ()
    """Networks: `default`, and functions of your own as FILE.py:FUNCTION or "FILE.py:FUNCTION(FIELD=VALUE)".
    They take (env) or (env, config).
    Every contender runs once with each; CONTENDER=FILE.py:FUNCTION is for that one alone."""
    sweep: Annotated[tuple[str, ...], said("none")] = ()
    """Settings to sweep: CONTENDER.FIELD=A,B,C is a grid, "CONTENDER.FIELD=LOW..HIGH*N" (in quotes) N log-uniform draws.
    Several of one contender are combined: grids with all else, draws into N points together.
    The best point of each sweep is run again under fresh seeds, in the folder `best` of the run folder."""
    out: Annotated[Path | None, said("runs/<time>-<environments>", "DIR")] = None
    """The run folder; must be new or empty."""
    resume: Annotated[Path | None, said("none", "DIR")] = None
    """Go on with the run in this folder. Takes no other options but --trust and --seeds: its settings are in its manifest."""
    trust: bool = False
    """With --resume: run the code that the folder keeps, though another user or another machine made it."""
    evaluations: Annotated[count("--evaluations") | None, said("the experiment's own", "N")] = None
    """How often each seed is evaluated, evenly spaced."""
    eval_episodes: Annotated[count("--eval-episodes") | None, said("the experiment's own", "N")] = None
    """Whole episodes with the greedy policy at each evaluation."""
    width: Annotated[count("--width") | None, said("1 on CPU, 32 on an accelerator", "N")] = None
    """Trials vmapped into one block. Part of what decides a seed's bits."""
    trials: Annotated[Literal["map", "vmap"] | None, said("map on CPU, vmap on an accelerator", "{map,vmap}")] = None
    """map: blocks of one trial, whose bits depend on nothing beside it.
    vmap: blocks of 5 on CPU, of 32 on an accelerator, however many seeds there are."""
    judge: Annotated[str | None, said("the experiment's own", "NAME")] = None
    """What ranks the contenders, or FILE.py:FUNCTION of your own that returns a Judge.
    evaluation_return: of whole episodes with the greedy policy. exact_return: computed, for finite models; gamma 0.99.
    nash_conv: computed, for games that are known. value_rms: of methods that predict; gamma 1."""
    margin: Annotated[tuple[str, ...], said("none")] = ()
    """A difference in what ranks that is too small to matter, as 20: a verdict may then be "no difference larger than 20".
    Several environments: ENVIRONMENT=20 each."""
    portable: bool = False
    """Ask XLA for bits that belong to no kind of x86 processor: code for one of them alone, no approximation of one maker's own.
    Slower; docs/hardware.md says where it was seen to hold."""
    tensorboard: bool = False
    """Write TensorBoard event files too, in DIR/tensorboard: a run a seed, and their mean (needs: pip install tensorboardX)."""
