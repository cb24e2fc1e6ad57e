"""What to ask for next time, from what finished runs asked for and what they used."""
