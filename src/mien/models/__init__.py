"""Networks: from a recipe's model section to a torch module that maps (B, C, S, S) to logits (B, K)."""
