// What the clients of the matrix that run on Node have in common: the tools, and the report as one JSON object a line.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const MODEL = "tiny";
export const MESSAGES = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hello" },
];
export const SCHEMA = {
  type: "object",
  properties: { kind: { enum: ["a", "b"] }, n: { type: "integer" } },
  required: ["kind", "n"],
  additionalProperties: false,
};
export const PARAMETERS = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 }, days: { type: "integer", minimum: 1, maximum: 7 } },
  required: ["city", "days"],
  additionalProperties: false,
};

// valid throws unless arguments, parsed, are what the tool's schema accepts.
export function valid(name, args) {
  if (name === "weather") {
    assert.deepEqual(Object.keys(args).sort(), ["city", "days"]);
    assert(args.city.length <= 24 && args.days >= 1 && args.days <= 7, JSON.stringify(args)); // UTF-16 counts some characters twice
  } else {
    assert.equal(name, "now");
    assert.deepEqual(args, {});
  }
}

// idle waits until the server works on nothing.
export async function idle(openRequests) {
  for (let i = 0; i < 500; i++) {
    if ((await (await fetch(openRequests)).json()) === 0) return;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error("the answer goes on");
}

// version reads that of an installed package.
export function version(name) {
  return JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;
}

// run prints the result of each check; one that returns a text says that the client has no such thing.
export async function run(client, version, checks) {
  console.log(JSON.stringify({ client, version }));
  for (const [check, f] of Object.entries(checks)) {
    let result = { check, ok: true };
    try {
      const na = await f();
      if (na) result = { check, ok: true, na };
    } catch (e) {
      result = { check, ok: false, error: e.stack ?? String(e) };
    }
    console.log(JSON.stringify(result));
  }
}
