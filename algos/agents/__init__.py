"""Several players: what they earn, what each could gain, and methods that lead them to an equilibrium, on games that are known."""
