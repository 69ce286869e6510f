"""What each metric of curves.csv means, in a sentence: the report shows it beside the metric's curve, docs/metrics.md lists it.

A metric that a user's own loss or judge records has none.
"""

OF_RUNS = {
    "evaluation_return": "undiscounted return of whole episodes with the greedy policy, their mean; ranks unless a judge does",
    "training_return": "undiscounted return of the episodes that ended since the last evaluation, their mean; they explore",
    "training_length": "steps of those episodes, their mean",
    "training_episodes": "how many episodes ended since the last evaluation; of REINFORCE, how many its loss used",
    "environment_faults": "rewards or observations of the environment that were not finite; a seed without any has no row",
}

OF_JUDGES = {
    "exact_return": "expected discounted return of the greedy policy from the start distribution, computed on the finite model",
    "stochastic_return": "the same of the policy that explores",
    "optimality_gap": "the best possible exact return less the one reached; 0 is optimal",
    "value_error_max": "largest |V − truth| over states; the truth is V*, or of methods that predict the policy's own value",
    "value_error_mean": "mean of |V − V*| over states",
    "value_rms": "root of the weighted mean of (V − V_pi)² over states; lower is better",
    "nash_conv": "what the players of a known game could gain by leaving the average policy one at a time, summed; lower is better",
    "nash_conv_average": "the same, where the method keeps an average",
    "nash_conv_current": "the same of the policy that explores, as it is now",
    "value_first": "what the first player earns where all play the policy of nash_conv",
    "gold_reward": "the mean human rating that the gold judge foretells of the policy's answers",
    "proxy_reward": "what a language policy is trained on, of the judged answers",
    "kl_to_reference": "KL(policy || reference) of a whole answer in nats, exact at each prefix; of best of n its bound",
    "fluency": "nats a character under a model of the gold part's texts; higher is better",
    "distinct_2": "share of different pairs of words among all pairs of the answers; low: they repeat themselves",
    "characters": "characters of an answer",
    "end_share": "share of judged answers that end within their budget of tokens",
}

OF_ALGORITHMS = {
    "loss": "what the optimiser goes down; where the data changes with the policy, its level says little about progress",
    "gradient_norm": "length of the gradient before clipping; TRPO: of the surrogate alone",
    "entropy": "entropy of the policy in nats; 0 is deterministic, ln A is uniform over A actions; a density's may be negative",
    "value_loss": "half the squared error of the value against its target; it grows with the returns themselves",
    "explained_variance": "1 − Var[target − V] / Var[target]: 1 a perfect critic, 0 no better than a constant, below 0 worse",
    "kl": "divergence of the updated policy from the one that collected the data, in nats; of language policies, of what was"
    " sampled from the reference, a whole answer",
    "kl_max": "the largest kl of an update since the last evaluation",
    "clip_fraction": "share of samples whose probability ratio lies outside 1 ± clip, where PPO's gradient may stop",
    "used_fraction": "share of steps that belong to episodes REINFORCE uses: those that began early enough to end in any case",
    "surrogate_improvement": "how much the surrogate E[ratio A] rose at the step that was taken; 0 where none was",
    "accepted_fraction": "share of the full trust-region step that the line search kept; 0: none was acceptable",
    "backtracks": "steps that the line search rejected",
    "cg_residual": "|g − A x|² / |g|² that conjugate gradients left; near 1: the direction is hardly the natural gradient",
    "q": "mean of the action values of the sampled states and actions; far above what can be earned: overestimation",
    "td_error": "mean absolute difference of Q from its target on the samples",
    "bellman_residual": "mean absolute difference of PGQL's Q~ from its one-step target on the replayed samples",
    "epsilon": "probability of a uniformly random action",
    "temperature": "MMD's and NeuRD's: what a nat of log-probability costs, in units of the payoff; it falls",
    "entropy_coef": "coefficient of the entropy bonus, where it is annealed",
    "average_loss": "NFSP's average policy: mean of −log probability of what the best responses did",
    "value_change": "largest change of an entry of the table, or of a weight, in one update",
}

OF_LANGUAGE = {
    "score": "reward of an answer, without any penalty",
    "reference_score": "reward of the answers that best of n chooses among, all of them",
    "kl_exact": "KL(policy || reference) summed over an answer's prefixes, over all tokens at each: never negative",
    "kl_coef": "coefficient of the KL penalty; it moves where it is adaptive",
    "kl_penalty": "the KL term where it stands in the loss, before its coefficient",
    "kl_bound": "bound of best of n on its divergence from the reference, log n − (n − 1) / n",
    "update_kl": "divergence of the updated policy from the one that wrote the answers",
    "answer_entropy": "entropy of the policy at a token of its answers, in nats; towards 0: it says one thing",
    "answer_length": "tokens of an answer, the end token counted",
    "end_rate": "share of answers that end within their budget of tokens",
    "first_ratio_gap_max": "largest |ratio − 1| at the first minibatch of an update: 0 but for rounding, else something is stale",
    "sampler_gap_max": "largest difference of a log-probability as sampled from the same recomputed: 0 but for rounding",
    "margin": "implicit reward of the chosen answer less that of the rejected one, DPO's and IPO's",
    "accuracy": "share of pairs in which the chosen answer has the higher implicit reward",
    "chosen_log_prob": "log-probability of the chosen answers; falling while the margin grows is DPO's usual way",
    "rejected_log_prob": "log-probability of the rejected answers",
}

OF_LOSSES = {
    "beta": "ppo_kl: the coefficient of its KL penalty, which adapts",
    "drift": "dpo_drift: the drift term that takes the place of the clip",
    "ratio_gap": "spo: mean |ratio − 1|, which its penalty holds near the clip",
    "weight": "importance_weighted: mean truncated importance weight",
    "surprise": "entropy_reinforce: mean discounted sum of −log pi over the rest of the episode, before the temperature",
    "bonus": "munchausen: what is added to the reward, alpha times the clipped log-policy",
    "spread": "quantile: highest less lowest quantile",
    "gap": "conservative: log-sum-exp of Q over actions less Q of the stored action, which alpha multiplies",
}

MEANINGS = OF_RUNS | OF_JUDGES | OF_ALGORITHMS | OF_LANGUAGE | OF_LOSSES
