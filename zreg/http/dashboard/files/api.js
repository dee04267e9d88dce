// What the session is asked. Every answer is JSON, and errors are problem+json with a `detail` that
// says what to do.

const TIMEOUT_MS = 5000;

/** The session answered with an error. */
export class Fault extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Return the JSON of a path such as `v1/status`; parameters that are empty are left out. */
export async function ask(path, parameters = {}, signal = undefined) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(path + queryOf(parameters), {
    headers: { Accept: "application/json" },
    cache: "no-store",
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
  });
  if (response.ok) return response.json();
  throw new Fault(response.status, await detailOf(response));
}

/** Return the path of one service, with its name escaped. */
export function servicePath(dataId, more = "") {
  return `v1/services/${encodeURIComponent(dataId)}${more}`;
}

/** Return why there is no answer, and what to do, for a reader of the page. */
export function reasonOf(error) {
  if (error instanceof Fault) return error.message;
  if (error.name === "TimeoutError") {
    return "This session did not answer within 5 s. Check the load of its machine.";
  }
  return "This session does not answer. Check that it runs, or open the page of another session.";
}

/** Return `?a=1&b=2`, or nothing. */
export function queryOf(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null);
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

async function detailOf(response) {
  try {
    return (await response.json()).detail ?? response.statusText;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}
