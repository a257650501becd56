"""Language models: layers of transformers, encoders, decoders with a cache of keys and values, text that they write."""
