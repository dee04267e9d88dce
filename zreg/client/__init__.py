"""What user programs run: `api` on top, `core` below, `node` joins the core to the reactor."""
