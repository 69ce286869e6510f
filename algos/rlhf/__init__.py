"""Language policies: models, sampling, rewards, and the methods that optimise them."""
