"""Tables of values on finite models: planning, and learning from samples."""
