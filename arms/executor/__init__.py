"""What the executor may do and how it does it: commands by rule, scripts in a box, requests to named hosts."""
