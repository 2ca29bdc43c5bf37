"""What the CUDA kernels share, and recorded steps."""
