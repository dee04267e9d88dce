"""Run lives of clusters without addresses: `python -m zreg.testing.workloads.lan.lan_workload`."""

import sys

from zreg.testing.workloads.campaign import Campaign, campaign_parser
from zreg.testing.workloads.lan.lan_life import KINDS, LanLife


def main() -> int:
    """Run the lives of the seeds; return 0 if all promises were kept."""
    options = campaign_parser(__doc__, "1-200").parse_args()
    campaign = Campaign(
        KINDS,
        failures_max=options.failures,
        characters_max=options.characters,
        is_buggified=options.buggify,
    )
    return campaign.run(options.seeds, LanLife)


if __name__ == "__main__":
    sys.exit(main())
