"""Export a model: GGUF and a Modelfile."""
