"""What experiments are made with: experiments as plain data, what runs them, what judges and shows their results."""
