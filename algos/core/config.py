"""Checks of a configuration, made before anything compiles."""


def require(config, *names: str) -> None:
    """Raises ValueError for the first of the named fields that is not a positive integer, or a tuple of them."""
    for name in names:
        value = getattr(config, name)
        sizes = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f"{name} must be positive integers, not {value!r}" if isinstance(value, tuple)
                             else f"{name} must be a positive integer, not {value!r}")  # fmt: skip
