"""The library against its peers: the same data, sizes and method, each program in a Python of its own, turn by turn."""
