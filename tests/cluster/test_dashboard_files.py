"""The files of the dashboard as a session serves them: types, tags, security headers, bounds."""

import asyncio
from pathlib import Path

import pytest
from http_cluster import http_cluster

from zreg.http.dashboard.dashboard_pages import INDEX, load_files

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml; charset=utf-8",
}


def test_each_file_has_its_type_its_tag_and_the_policy(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            paths = {"/": INDEX} | {f"/dashboard/{name}": name for name in load_files()}
            for path, name in paths.items():
                answered = await cluster.ask("GET", path)
                assert answered.status == 200
                assert answered.body == load_files()[name].body
                assert answered.headers["content-type"] == TYPES[name.rpartition(".")[2]]
                assert answered.headers["x-content-type-options"] == "nosniff"
                assert answered.headers["cache-control"] == "no-cache"
                policy = answered.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answered.headers["etag"] == f'"{load_files()[name].tag}"'

    asyncio.run(run())


@pytest.mark.parametrize("given", ['"{tag}"', 'W/"{tag}"', '"other", "{tag}"', "*"])
def test_a_browser_that_has_a_file_gets_no_second_copy(given: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            tag = load_files()["app.js"].tag
            headers = {"If-None-Match": given.replace("{tag}", tag)}
            answered = await cluster.ask("GET", "/dashboard/app.js", headers=headers)
            assert (answered.status, answered.body) == (304, b"")
            assert answered.headers["etag"] == f'"{tag}"'
            assert answered.headers["cache-control"] == "no-cache"
            stale = {"If-None-Match": '"0123"'}
            assert (await cluster.ask("GET", "/dashboard/app.js", headers=stale)).status == 200

    asyncio.run(run())


def test_nothing_but_the_files_is_served_and_nothing_is_changed(tmp_path: Path) -> None:
    async def run() -> None:
        async with http_cluster(tmp_path, data_count=1, session_count=1) as cluster:
            for path in (
                "/dashboard",
                "/dashboard/",
                "/dashboard/other.js",
                "/dashboard/../dashboard_pages.py",
                "/dashboard/..%2fdashboard_pages.py",
                "/dashboard/%2e%2e/app.js",
                "/dashboard/app.js/",
            ):
                answered = await cluster.ask("GET", path)
                assert answered.status == 404, path
            answered = await cluster.ask("HEAD", "/")
            assert (answered.status, answered.body) == (200, b"")
            assert int(answered.headers["content-length"]) == len(load_files()[INDEX].body)
            assert (await cluster.ask("POST", "/")).status == 405

    asyncio.run(run())
