"""TRL's side of `language`, in a virtual environment of its own: PPOTrainer on a random GPT-2 of the same size.

Policy, reference, reward model and value model are four networks there; the value model is trained too.
"""

import contextlib
import os
import tempfile
import time
import warnings
from importlib.metadata import version

import torch
import transformers
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer

VOCABULARY, ANSWERS, LENGTH, EPOCHS, MINIBATCHES = 1024, 64, 24, 2, 2
WARM = 1  # updates before the clock starts

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")  # of settings' names that change, one a round


class Clock(TrainerCallback):
    """Notes the processor's seconds at the end of each update."""

    def __init__(self):
        self.ends = []

    def on_step_end(self, args, state, control, **_):
        self.ends.append(time.process_time())


def tokenizer():
    pieces = {name: place for place, name in enumerate(["[pad]", "[begin]", "[end]"])}
    pieces |= {f"w{place}": place for place in range(3, VOCABULARY)}
    made = Tokenizer(models.WordLevel(pieces, unk_token="w3"))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[pad]", eos_token="[end]", bos_token="[begin]")


def network(kind, **more):
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=64, n_embd=128, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=2,
        pad_token_id=0, **more,
    )  # fmt: skip
    return kind(config)


def make_round(workload, times, _):
    """Returns a function that trains for so many updates and returns the processor's seconds of one."""

    def one_round():
        torch.manual_seed(0)
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            args = PPOConfig(
                output_dir=folder, per_device_train_batch_size=ANSWERS // MINIBATCHES,
                gradient_accumulation_steps=MINIBATCHES, num_mini_batches=MINIBATCHES, num_ppo_epochs=EPOCHS,
                total_episodes=ANSWERS * (WARM + times), response_length=LENGTH, local_rollout_forward_batch_size=ANSWERS,
                num_sample_generations=0, temperature=1.0, kl_coef=0.1, learning_rate=5e-4, stop_token="eos",
                report_to="none", use_cpu=True, bf16=False, save_strategy="no", logging_strategy="no", disable_tqdm=True,
            )  # fmt: skip
            prompts = Dataset.from_dict({"input_ids": [[1]] * (2 * ANSWERS)})
            trainer = PPOTrainer(
                args, tokenizer(), model=network(GPT2LMHeadModel), ref_model=network(GPT2LMHeadModel),
                reward_model=network(GPT2ForSequenceClassification, num_labels=1),
                value_model=network(GPT2ForSequenceClassification, num_labels=1), train_dataset=prompts,
                eval_dataset=prompts, callbacks=[clock],
            )  # fmt: skip
            with (
                open(os.devnull, "w", encoding="utf-8") as nowhere,
                contextlib.redirect_stdout(nowhere),
            ):  # its metrics of each update
                trainer.train()
        return (clock.ends[-1] - clock.ends[WARM - 1]) / times

    return one_round


def facts():
    parameters = sum(parameter.numel() for parameter in network(GPT2LMHeadModel).parameters())
    return {"trl": version("trl"), "transformers": version("transformers"), "torch": torch.__version__,
            "parameters": parameters}  # fmt: skip
