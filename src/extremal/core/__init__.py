"""The vocabulary that every other part speaks; imports nothing of ours."""
