"""Policies for others: a folder in the Hugging Face Hub's layout with a model card, and the way to the Hub and back."""
