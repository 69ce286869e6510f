"""What every command shares: its options, how bad input is told, how it ends at a signal."""
