"""The client of user programs: `api` on top, `runtime` beneath it, `core` with the decisions."""
