"""How fast a run is: its steps, the figures of merit that its program prints, how far it is."""
