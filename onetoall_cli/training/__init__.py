"""Training: a small VAE, and the three stages of the paper's recipe.

Import the modules by name (`onetoall_cli.training.trainer`, `.vae`, `.runs`): most of them need torch.
"""
