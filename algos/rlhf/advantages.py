"""What an action was worth more than expected, one function a method: (batch, hparams, group) -> (advantage, value target),
both [B, L]. `batch.reward` [B, L] holds the score on the last token, and the divergence from the reference on every one
where that is a reward. `group`: how many answers there are to a prompt; they are neighbours in the batch.
"""

import jax
import jax.numpy as jnp

from algos.core import losses, returns


def gae(batch, hparams, group: int):
    """Returns generalised advantages (arXiv 1506.02438, eq. 16), by the project's own function of time-major arrays."""
    columns = (batch.reward, batch.terminated, batch.truncated, batch.value, batch.next_value)
    advantage = returns.gae(*(x.T for x in columns), hparams.gamma, hparams.gae_lambda).T
    return _masked(advantage, batch), _masked(advantage + batch.value, batch)


def baseline(batch, hparams, group: int):
    """Returns G_t - V(s_t), the reward that is still to come less the learned value (Williams 1992)."""
    following = to_come(batch)
    return _masked(following - batch.value, batch), following


def leave_one_out(batch, hparams, group: int):
    """Returns R_i - mean_{j != i} R_j = k / (k - 1) (R_i - mean_j R_j) over a prompt's k answers (arXiv 2402.14740, eq. 6)."""
    require_group(group, "leave_one_out")
    centred = _centred(_grouped(batch, group))
    return _to_tokens(group / (group - 1.0) * centred, batch), to_come(batch)


def group_normalised(batch, hparams, group: int):
    """Returns (R_i - mean_j R_j) / sd_j R_j, the population's deviation (GRPO, arXiv 2402.03300, section 4.1.2); 0 where all
    the group's are one number."""
    require_group(group, "group_normalised")
    rewards = _grouped(batch, group)
    return _to_tokens(jax.vmap(losses.normalize)(rewards, jnp.ones_like(rewards)), batch), to_come(batch)


def group_centred(batch, hparams, group: int):
    """Returns R_i - mean_j R_j: without the division, which weighs prompts by how alike their answers are (arXiv 2503.20783,
    eq. 3)."""
    require_group(group, "group_centred")
    return _to_tokens(_centred(_grouped(batch, group)), batch), to_come(batch)


def to_come(batch):
    """Returns sum_{s >= t} r_s, [B, L]: nothing is discounted, 0 after the end."""
    rewards = (batch.reward.T, batch.terminated.T, batch.truncated.T)
    return _masked(returns.reward_to_go(*rewards, 1.0).T, batch)


def require_group(group: int, name: str) -> None:
    """Raises ValueError for a group that has nothing to be compared with."""
    if group < 2:
        raise ValueError(f"{name} compares the answers to one prompt: group must be 2 or more, not {group}")


def _grouped(batch, group):
    """Returns the answers' whole rewards, [B / group, group]."""
    return jnp.sum(batch.reward, axis=1, where=batch.mask > 0).reshape(-1, group)


def _centred(rewards):
    return rewards - jnp.mean(rewards, axis=1, keepdims=True)


def _to_tokens(of_answers, batch):
    """Returns one number an answer, in groups, as one a token, [B, L]."""
    return _masked(jnp.broadcast_to(of_answers.reshape(-1, 1), batch.mask.shape), batch)


def _masked(x, batch):
    return jnp.where(batch.mask > 0, x, 0.0)


def targets_by(advantage, group: int):
    """Returns (batch, hparams) -> the batch with the advantage of its answers, and what their values are learned from."""

    def targets(batch, hparams):
        worth, target = advantage(batch, hparams, group)
        return batch.replace(advantage=worth, value_target=target)

    return targets
