"""The layers of networks: normalisation, attention, convolution, recurrence."""
