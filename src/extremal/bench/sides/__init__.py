"""What runs in the peers' own Pythons: one script a peer. Nothing here imports Extremal; nothing but `start` imports the peer."""
