"""Sessions move bytes in and out of containers: attach, exec. They are no operations: nothing of them is taken back."""
