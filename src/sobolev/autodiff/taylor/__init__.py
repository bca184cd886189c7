"""Taylor mode of any function: jets, their space, how they multiply, and the five operators made of them."""
