"""Processing of texts: cleaning, tokenising, encoding, batches, word vectors. No TensorFlow."""
