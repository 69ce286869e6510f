"""Networks to run and to copy, one short file each: what people change first is a field.

python -m experiments.compare --algos ppo --network default "experiments.networks.torsos:actor_critic(layer_norm=true)"
"""
