"""Test vectors for definitions of knowledge distillation, and a check of any Python function against them."""
