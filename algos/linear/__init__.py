"""Linear function approximation: features, and the methods that learn a weight for each."""
