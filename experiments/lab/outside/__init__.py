"""What comes from outside: users' losses, found in their files, tried before anything compiles, faults told by line."""
