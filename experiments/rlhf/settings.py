"""How large the pipeline is: what decides the bits of its stages, and what the contenders are given."""

from dataclasses import dataclass

from algos.rlhf import best_of_n, dpo, grpo, ipo, ppo, reinforce, rloo
from envs.names import unknown
from experiments.lab.definition.experiment import Contender


@dataclass(frozen=True)
class Sizes:
    """The default takes two quiet cores about eleven minutes."""

    seed: int = 0  # of the split, the pairs and the training of the stages
    vocabulary: int = 512
    width: int = 128
    layers: int = 3
    heads: int = 4
    prompt: int = 24  # the most tokens of a prompt: a longer one loses its beginning
    length: int = 24  # L, the most tokens of an answer
    row: int = 128  # tokens of a packed row
    rows: int = 16  # of a supervised update
    updates: int = 2_400  # of supervised training, at most
    looks: int = 12  # at validation texts; two in a row without a gain end it
    learning_rate: float = 3e-3
    warm_up: int = 100  # updates in which it rises to that
    pairs: int = 64_000  # human comparisons, that the reward model learns from
    preferences: int = 16_000  # of these, that DPO and IPO learn from
    reward_length: int = 96  # tokens of a text that the reward model reads
    reward_pairs: int = 0  # of these, that a transformer learns from too; 0: n-grams are counted alone
    pairs_per_update: int = 32
    reward_learning_rate: float = 1e-3
    reward_dropout: float = 0.1
    smollm2_layers: int = 8  # of --model smollm2, that a reward model trains, below the one that is read; 0: none
    smollm2_epochs: int = 3  # of the texts, in that training
    held_out: int = 1_000  # sentences, that figures are reported on
    validation: int = 500
    gold: float = 0.5  # the share of the other sentences that the gold judge learns from, and nobody else
    reference_answers: int = 4_096  # of the policy before optimisation
    judged_answers: int = 256  # at each evaluation
    evaluations: int = 5
    steps: int = 184_320  # tokens that a contender may take: 120 updates of 64 answers
    seeds: int = 3


QUICK = Sizes(
    vocabulary=512, width=64, layers=2, length=16, updates=400, looks=4, pairs=32_000, smollm2_layers=0,
    reference_answers=2_048, judged_answers=128, evaluations=3, steps=40_960,
)  # fmt: skip

SHAPE = ("vocabulary", "width", "layers", "heads")  # sizes of a transformer from nothing alone

# What is otherwise where policies begin as a pretrained model, which knows English: gentler, and shorter. Not tuned.
PRETRAINED = {"updates": 240, "looks": 6, "learning_rate": 1e-4, "warm_up": 24}
PRETRAINED_QUICK = {"updates": 24, "looks": 2, "learning_rate": 1e-4, "warm_up": 3}
PRETRAINED_LEARNING_RATE = 2e-5  # of the methods

# (module, Config fields, HParams fields): 64 answers an update, as many tokens as 32 pairs have
METHODS = {
    "ppo": (ppo, {"num_epochs": 2, "num_minibatches": 2}, {"learning_rate": 5e-4, "kl_coef": 0.3}),
    "rloo": (rloo, {}, {"learning_rate": 5e-4, "kl_coef": 0.3}),
    "grpo": (grpo, {}, {"learning_rate": 5e-4, "kl_coef": 0.1}),
    "reinforce": (reinforce, {}, {"learning_rate": 5e-4, "kl_coef": 0.3}),
    "dpo": (dpo, {"batch_size": 32}, {"learning_rate": 5e-4, "beta": 0.1}),
    "ipo": (ipo, {"batch_size": 32}, {"learning_rate": 5e-4, "beta": 0.1}),
    "best_of_n": (best_of_n, {"num_prompts": 8, "n": 8}, {}),
}


def contender(name: str, steps: int, pretrained: bool = False) -> Contender:
    """Returns the method with its settings, schedules ending with the budget. pretrained: what its policy begins as. Raises
    ValueError for no method's name."""
    if name not in METHODS:
        raise ValueError(unknown("algorithm", name, list(METHODS)))
    module, config, hparams = METHODS[name]
    if pretrained and "learning_rate" in hparams:
        hparams = hparams | {"learning_rate": PRETRAINED_LEARNING_RATE}
    return Contender(name, module, module.Config(**config), module.HParams(total_steps=float(steps), **hparams))
