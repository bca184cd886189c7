"""LightningModules that learn a function, or the solution of a differential equation."""
