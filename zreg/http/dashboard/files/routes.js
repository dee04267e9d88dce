// The addresses of the pages: everything after `#`, so that one file serves all of them. Pure.

const DEFAULTS = { group: "DEFAULT_GROUP", instance_id: "DEFAULT_INSTANCE_ID" };

/** Return {page, parts, query} of a hash such as `#/service/pay?group=test`. */
export function parseHash(hash) {
  const [path, search = ""] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const [page = "", ...parts] = path.split("/").map(decoded);
  return {
    page: page || "overview",
    parts,
    query: Object.fromEntries(new URLSearchParams(search)),
  };
}

/** Return the hash of a page; parameters that are empty are left out. */
export function hashOf(page, parts = [], query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const search = given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
  return `#/${[page, ...parts].map(encodeURIComponent).join("/")}${search}`;
}

/** Return the hash of a service's page, from the three parts of its name. */
export function hashOfService(service) {
  return hashOf("service", [service.data_id], unusualParts(service));
}

/** Return the parts of a name that are not the usual ones, as query parameters. */
export function unusualParts(service) {
  return Object.fromEntries(
    Object.entries(DEFAULTS)
      .map(([name, usual]) => [name, service[name] === usual ? "" : (service[name] ?? "")])
      .filter(([, value]) => value !== ""),
  );
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

// A reader may type anything after the `#`.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
