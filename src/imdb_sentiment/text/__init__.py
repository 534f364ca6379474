"""Texts and what becomes of them: cleaned, tokenised, encoded, in batches. No TensorFlow."""
