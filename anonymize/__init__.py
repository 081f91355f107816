"""Replace the people in films and pictures by generated ones."""
