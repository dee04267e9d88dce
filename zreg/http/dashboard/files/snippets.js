// Code to copy for one service, with names as each language has to quote them. Pure.

import { servicePath, queryOf } from "./api.js";
import { bare } from "./format.js";
import { unusualParts } from "./routes.js";

/** Return {title, text} for Python, asyncio, the shell and curl. */
export function snippetsOf(service, address, origin) {
  const url = `zreg://${bare(address)}`;
  const named = quoted(service.data_id);
  const more = Object.entries(unusualParts(service))
    .map(([name, value]) => `, ${name}=${quoted(value)}`)
    .join("");
  return [
    { title: "Python", text: python(url, named + more) },
    { title: "Python, asyncio", text: asyncio(url, named + more) },
    { title: "curl", text: curl(service, origin) },
    { title: "Shell", text: shell(service, url) },
  ];
}

/** Return a text as one word of a POSIX shell. */
export function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// A string of JSON is one of Python too.
function quoted(text) {
  return JSON.stringify(text);
}

function python(url, name) {
  return `import zreg

client = zreg.Client(${quoted(url)})
service = client.service(${name}).wait_up(timeout_seconds=30)
endpoint = service.pick()
print(endpoint)`;
}

function asyncio(url, name) {
  return `import asyncio

import zreg


async def main() -> None:
    async with zreg.AsyncClient(${quoted(url)}) as client:
        service = await client.service(${name}).wait_up(timeout_seconds=30)
        print(service.pick())


asyncio.run(main())`;
}

function curl(service, origin) {
  const path = `${origin}/${servicePath(service.data_id)}${queryOf(unusualParts(service))}`;
  return `curl ${shellWord(path)}`;
}

function shell(service, url) {
  const options = Object.entries({
    group: unusualParts(service).group,
    "instance-id": unusualParts(service).instance_id,
  })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` --${name} ${shellWord(value)}`)
    .join("");
  const word = shellWord(service.data_id);
  return `zreg get ${word}${options} --url ${url}\nzreg subscribe ${word}${options} --url ${url}`;
}
