"""What all callbacks of ours need: one base for both Lightnings, calls that leave no trace, processes, TensorBoard."""
