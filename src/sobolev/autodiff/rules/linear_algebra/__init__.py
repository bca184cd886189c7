"""Products of matrices, factorisations, systems, spectra, Fourier transforms."""
