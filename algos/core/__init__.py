"""The parts of algorithms: types, networks, distributions, rollouts, returns, losses, replay, optimisers, curvature."""
