"""Lightning callbacks: watch derivatives, write them, report them."""
