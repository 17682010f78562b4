"""Training and verification data sets: reading, checking and making them."""
