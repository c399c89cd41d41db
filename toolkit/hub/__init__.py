"""The Hugging Face Hub: publish and pull datasets, publish models."""
