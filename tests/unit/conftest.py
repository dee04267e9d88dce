"""Properties are drawn the same way on every run, so that a red test is red for everybody."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "zreg",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("zreg")
