"""What a run writes as it goes, beside its curves, so that a kill loses nothing and TensorBoard can watch."""
