"""What user programs run: `api` on top, `runtime` beneath it, and `core` with the decisions."""
