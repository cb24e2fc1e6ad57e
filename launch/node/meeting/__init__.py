"""How ranks find each other: over MPI or Gloo, for Horovod, JAX, PyTorch and TensorFlow."""
