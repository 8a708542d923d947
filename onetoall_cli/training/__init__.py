"""Training: the puppet world, the small VAE, and the three stages of the paper's recipe.

The modules are imported by name (`onetoall_cli.training.trainer`, `.vae`, `.puppets`): most of them need torch.
"""
