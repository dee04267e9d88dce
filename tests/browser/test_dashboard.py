"""The dashboard in a browser: each page, live changes, lost nodes, hostile names, phone."""

import json
import re
import signal
import urllib.request
from typing import Any

import pytest
from conftest import PHONE, Open
from page_checks import low_contrasts, overflow, unnamed_parts
from playwright.sync_api import expect

import zreg
from zreg.testing.processes import RunningCluster, run_zreg, wait_until

PAGES = {
    "overview": ("#/", "Overview"),
    "services": ("#/services", "Services"),
    "service": ("#/service/orders", "orders"),
    "cluster": ("#/cluster", "Cluster"),
    "find": ("#/find?ip=10.0.0.1", "Find by IP"),
    "settings": ("#/settings", "Settings"),
}
SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'


def json_of(cluster: RunningCluster, path: str) -> dict[str, Any]:
    """Return what the first session answers."""
    url = cluster.nodes["session-1"].http_url(path)
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 -- http of loopback
        body: dict[str, Any] = json.load(response)
    return body


def milliseconds_shown(seconds: float) -> str:
    """Return a time as the page shows it."""
    return f"{1000 * seconds:.1f} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"


def publish_orders(client: zreg.Client) -> list[zreg.Publication]:
    """Publish what the pages of `PAGES` show."""
    endpoints = [
        zreg.Endpoint(f"10.0.0.{n}", 8080, weight=50, version="1.4", tags={"blue"}) for n in (1, 2)
    ]
    publications = [
        client.publish("orders", endpoint, attributes={"owner": "shop"}) for endpoint in endpoints
    ]
    for publication in publications:
        publication.wait_registered(timeout_seconds=30)
    return publications


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_each_page_is_readable_and_its_parts_have_names(
    colours: str, cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    publish_orders(client)
    client.subscribe("orders").wait_for(min_count=2, timeout_seconds=30)
    watched = watch(cluster, color_scheme=colours)
    for name, (address, heading) in PAGES.items():
        page = watched.open(address)
        expect(page.locator("h1")).to_have_text(heading)
        expect(page.locator("main")).not_to_contain_text("not up to date")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", background)[0]) < 128) is (colours == "dark")
        assert low_contrasts(page) == [], name
        assert unnamed_parts(page) == [], name
        assert overflow(page) == [], name


def test_the_overview_shows_what_the_cores_hold(
    cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    publish_orders(client)
    client.subscribe("orders").wait_for(min_count=2, timeout_seconds=30)
    page = watch(cluster).open()

    expect(page.locator(".headline")).to_have_text(
        "All is well: 1 session, 2 data and 1 meta nodes work."
    )
    expect(page.locator("#state")).to_have_text("All is well")
    held = json_of(cluster, "/v1/status")["statistics"]
    for name, value in {
        "Clients": held["clients"],
        "Registrations": held["publishers"],
        "Subscriptions": held["subscribers"],
        "Push lag": milliseconds_shown(held["push_lag_p50_seconds"]),
    }.items():
        figure = page.locator(".figure", has_text=re.compile(f"^{name}"))
        expect(figure.locator(".figure-value")).to_have_text(str(value))


def test_the_services_are_listed_filtered_and_paged(
    cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    publications = [client.publish(f"paged.{number:03}", "a:1") for number in range(70)]
    for publication in publications:
        publication.wait_registered(timeout_seconds=30)
    page = watch(cluster).open("#/services?filter=paged")
    rows = page.locator("tbody tr")

    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(20)
    expect(rows.last).to_contain_text("paged.069")
    page.get_by_role("link", name="Previous").click()
    expect(rows.first).to_contain_text("paged.000")
    page.get_by_label("Filter by name").fill("paged.01?")
    expect(rows).to_have_count(10)
    page.get_by_label("Filter by name").fill("nothing-like-it")
    expect(page.locator("main")).to_contain_text("No service has “nothing-like-it” in its name")
    assert page.evaluate("document.activeElement.id") == "filter"


def test_a_service_shows_its_instances_and_subscribers(
    cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    publish_orders(client)
    client.subscribe("orders").wait_for(min_count=2, timeout_seconds=30)
    page = watch(cluster).open("#/service/orders")
    instances = page.locator("section", has=page.get_by_role("heading", name="Instances"))

    expect(instances.locator("tbody tr")).to_have_count(2)
    for text in ("10.0.0.1:8080", "weight 50", "version 1.4", "blue", "owner=shop", "z1", "up"):
        expect(instances.locator("tbody")).to_contain_text(text)
    subscribers = page.locator("section", has=page.get_by_role("heading", name="Subscribers"))
    expect(subscribers.locator("tbody tr")).to_have_count(1)
    expect(subscribers).to_contain_text("checkout")
    expect(subscribers).to_contain_text("up to date")
    expect(page.locator(".code").first).to_contain_text('client.service("orders")')
    expect(page.locator(".code").nth(2)).to_contain_text("/v1/services/orders")


def test_a_change_is_seen_without_a_reload(
    cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    page = watch(cluster).page
    with page.expect_request("**/v1/watch?data_id=live"):
        page.goto(cluster.nodes["session-1"].http_url("/#/service/live"))
    page.evaluate("window.mark = 1")
    expect(page.locator("main")).to_contain_text("No program publishes under this name now")

    publication = client.publish("live", "10.0.0.7:80")
    expect(page.locator("tbody")).to_contain_text("10.0.0.7:80")
    publication.republish("10.0.0.7:81")
    expect(page.locator("tbody")).to_contain_text("10.0.0.7:81")
    publication.unpublish()
    expect(page.locator("main")).to_contain_text("No program publishes under this name now")
    expect(page.locator(".events .badge")).to_contain_text(["removed", "changed", "added"])
    assert page.evaluate("window.mark") == 1


def test_an_unhealthy_instance_shows_its_reason(
    cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    client.publish(
        "ailing",
        "10.0.0.7:80",
        health=lambda: "the disk is full",
        when_unhealthy=zreg.WhenUnhealthy.MARK,
    )
    page = watch(cluster).open("#/service/ailing")

    expect(page.locator(".reason")).to_have_text("the disk is full")
    expect(page.locator("tbody .badge").first).to_have_text("unhealthy")


def test_what_users_publish_stays_text(cluster: RunningCluster, watch: Open) -> None:
    page = watch(cluster).open("#/services")
    scripts = page.locator("script").count()
    with zreg.Client(cluster.url, app=IMAGE, zone=SCRIPT) as client:
        published = client.publish(
            SCRIPT, IMAGE, SCRIPT, group=SCRIPT, attributes={SCRIPT: IMAGE, "a": "javascript:1"}
        )
        published.wait_registered(timeout_seconds=30)
        client.subscribe(SCRIPT, group=SCRIPT).wait_for(min_count=1, timeout_seconds=30)

        page.get_by_role("link", name=SCRIPT, exact=True).click()
        expect(page.locator("h1")).to_have_text(SCRIPT)
        expect(page.locator(".values")).to_contain_text(IMAGE)
        expect(page.locator("td .tags").last).to_contain_text(f"{SCRIPT}={IMAGE}")
        expect(page.locator("tbody").last).to_contain_text(IMAGE)
        page.keyboard.press("/")
        page.keyboard.type("<script>")
        expect(page.locator("#results li").first).to_contain_text(SCRIPT)
        assert page.locator("script").count() == scripts
        assert page.locator("main img, #results img").count() == 0


def test_the_search_works_with_the_keyboard_alone(
    cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    for name in ("find.first", "find.second"):
        client.publish(name, "a:1").wait_registered(timeout_seconds=30)
    page = watch(cluster).open()
    field = page.locator("#search")

    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("find.")
    options = page.locator("#results [role=option]")
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(options.nth(1)).to_contain_text("find.second")
    page.keyboard.press("ArrowDown")
    expect(field).to_have_attribute("aria-activedescendant", "result-1")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("find.second")
    page.keyboard.press("/")
    page.keyboard.type("data-2")
    expect(options.first).to_contain_text("data-2")
    page.keyboard.press("Escape")
    expect(page.locator("#results")).to_be_hidden()


def test_the_menu_can_be_reached_by_tab_and_shows_the_focus(
    cluster: RunningCluster, watch: Open
) -> None:
    page = watch(cluster).open()
    reached = []
    for _ in range(11):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        if page.evaluate("document.activeElement.id") != "search":
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"

    assert reached[0] == "Skip to the content"
    assert {"Overview", "Services", "Cluster", "Find by IP", "Settings"} <= set(reached)


def test_each_page_fits_a_phone(cluster: RunningCluster, client: zreg.Client, watch: Open) -> None:
    publish_orders(client)
    long = zreg.Endpoint(".".join(["h" * 60] * 3), 80, metadata={"m" * 64: "v" * 200})
    client.publish("orders", long, "x" * 300).wait_registered(timeout_seconds=30)
    client.publish("s" * 256, "a:1").wait_registered(timeout_seconds=30)
    watched = watch(cluster, viewport=PHONE, has_touch=True, is_mobile=True)
    for name, (address, heading) in PAGES.items():
        page = watched.open(address)
        expect(page.locator("h1")).to_have_text(heading)
        assert overflow(page) == [], name
        box = page.locator("nav a").last.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= PHONE["height"], name


def test_the_choice_of_colours_stays(cluster: RunningCluster, watch: Open) -> None:
    page = watch(cluster, color_scheme="light").open()
    switch = page.locator("#theme")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)

    switch.click()
    assert page.evaluate(colour) == light
    switch.click()
    expect(switch).to_have_attribute("aria-label", "Colours: dark. Switch to system.")
    assert page.evaluate(colour) != light
    page.reload()
    assert page.evaluate(colour) != light
    switch.click()
    assert page.evaluate(colour) == light


def test_the_cluster_page_shows_nodes_shares_and_the_leader(
    cluster: RunningCluster, watch: Open
) -> None:
    page = watch(cluster).open("#/cluster")

    nodes = page.locator("section", has=page.get_by_role("heading", name="Nodes")).locator("tbody")
    expect(nodes.locator("tr")).to_have_count(4)
    for node in cluster.nodes.values():
        expect(nodes).to_contain_text(node.address)
    expect(page.locator(".ring .arc")).to_have_count(2)
    ring = json_of(cluster, "/v1/ring")
    for node in ring["nodes"]:
        percent = f"{100 * node['primary_buckets'] / ring['bucket_count']:.1f} %"
        expect(page.locator(".legend")).to_contain_text(f"{node['node_id']}{percent}")
    meta = page.locator("section", has=page.get_by_role("heading", name="Meta"))
    expect(meta).to_contain_text("leader meta-1")
    expect(meta).to_contain_text(f"term {json_of(cluster, '/v1/meta')['term']}")


def test_the_instances_of_a_machine_are_found_by_its_address(
    cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    for name, at in (("found.a", "10.7.0.1:80"), ("found.b", "10.7.0.1:81"), ("x", "10.7.0.2:80")):
        client.publish(name, zreg.Endpoint(at.split(":")[0], int(at.split(":")[1])), group="g")
        client.publish(f"{name}.text", at).wait_registered(timeout_seconds=30)
    page = watch(cluster).open("#/find")

    page.get_by_label("IP address or host name").fill("10.7.0.1")
    page.keyboard.press("Enter")
    services = page.locator("td:first-child a")
    expect(services).to_have_count(4)
    assert sorted(services.all_inner_texts()) == [
        "found.a",
        "found.a.text",
        "found.b",
        "found.b.text",
    ]
    page.keyboard.press("/")
    page.keyboard.type("10.7.0.2")
    expect(page.locator("#results li").first).to_contain_text("what is registered there")
    page.keyboard.press("Enter")
    expect(services).to_have_count(2)
    expect(page.get_by_label("IP address or host name")).to_have_value("10.7.0.2")
    page.get_by_role("link", name="x", exact=True).click()
    expect(page.locator("h1")).to_have_text("x")
    expect(page.locator(".heading")).to_contain_text("group g")
    page.goto(cluster.nodes["session-1"].http_url("/#/find?ip=10.9.9.9"))
    expect(page.locator("main")).to_contain_text("Nothing on 10.9.9.9")


def test_the_clients_of_a_machine_are_found_and_a_silent_node_is_named(
    cluster: RunningCluster, client: zreg.Client, watch: Open
) -> None:
    client.publish("found.there", "10.7.0.3:80").wait_registered(timeout_seconds=30)
    client.subscribe("found.there").wait_for(1, timeout_seconds=30)
    page = watch(cluster).open("#/find?ip=127.0.0.1")

    clients = page.get_by_role("table", name="Clients").locator("tbody")
    expect(clients).to_contain_text("connected")
    expect(clients.get_by_role("link", name="found.there")).to_be_visible()
    expect(page.locator(".banner")).to_have_count(0)
    cluster.stop("data-2")
    try:
        page.reload()
        expect(page.locator(".headline").first).to_have_text("What data-2 has is missing.")
    finally:
        cluster.cont("data-2")


def test_settings_are_shown(cluster: RunningCluster, watch: Open) -> None:
    done = run_zreg("settings", "set", "checkout.limit", IMAGE, f"--url={cluster.url}")
    assert done.returncode == 0, done.stderr
    page = watch(cluster).open("#/settings")

    expect(page.locator("tbody")).to_contain_text("checkout.limit")
    expect(page.locator("pre.value").first).to_have_text(IMAGE)


def test_an_unknown_page_says_so(cluster: RunningCluster, watch: Open) -> None:
    page = watch(cluster).page
    page.goto(cluster.nodes["session-1"].http_url("/#/nonsense%zz"))

    expect(page.locator(".headline")).to_have_text("There is no such page.")
    page.get_by_role("link", name="Go to the overview").click()
    expect(page.locator(".headline")).to_contain_text("All is well")


def test_a_killed_data_node_is_shown_and_its_return_too(
    own_cluster: RunningCluster, watch: Open
) -> None:
    watched = watch(own_cluster)
    page = watched.open()
    expect(page.locator("#state")).to_have_text("All is well")

    # Its events are asked for until the session knows that it is gone.
    watched.expected = re.compile("status of (404|503)")
    own_cluster.nodes["data-2"].signal(signal.SIGKILL)
    expect(page.locator("#state")).to_have_class("state warn")
    banner = page.locator(".banner.warn")
    expect(banner).to_contain_text("data-2 (data, ")
    expect(banner).to_contain_text("has been gone for")
    expect(banner).to_contain_text("zreg nodes dismiss data-2")
    lost = page.locator("section", has=page.get_by_role("heading", name="Nodes")).locator("tbody")
    expect(lost).to_contain_text("its process ended and nothing listens at its address")
    events = page.locator(".events li", has_text="data-2")
    expect(events.filter(has_text="member.departed").first).to_be_visible()

    page.locator("nav").get_by_role("link", name="Cluster").click()
    expect(page.locator(".ring .arc")).to_have_count(1)
    expect(page.locator(".legend")).to_contain_text("data-1100 %")
    expect(page.locator("tr", has_text="data-2")).to_contain_text("gone")
    own_cluster.restart("data-2")
    expect(page.locator(".ring .arc")).to_have_count(2)
    expect(page.locator("#state")).to_have_text("All is well")
    expect(page.locator("tr", has_text="data-2")).to_contain_text("working")


def test_a_session_that_ended_leaves_its_last_figures_under_a_warning(
    own_cluster: RunningCluster, watch: Open
) -> None:
    watched = watch(own_cluster)
    page = watched.open("#/services")
    watched.expected = re.compile("ERR_CONNECTION")
    session = own_cluster.nodes["session-1"]
    session.signal(signal.SIGKILL)
    wait_until(lambda: not session.is_alive, timeout_seconds=10)

    expect(page.locator(".banner.bad")).to_contain_text("This session does not answer")
    expect(page.locator("#state")).to_have_class("state bad")
    expect(page.locator("main")).to_have_class("stale")
