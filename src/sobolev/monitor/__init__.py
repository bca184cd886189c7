"""`DerivativeMonitor`: how good the derivatives of a network are while it trains, and whether they can be trusted."""
