"""Language models: the layers of transformers, decoders with a cache of keys and values, and text that they write."""
