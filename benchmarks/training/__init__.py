"""Training beside peers: what one step of the same spiking network costs in each library."""
