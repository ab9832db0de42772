// Every check of the matrix with the official Node client. Usage: node openai_node.mjs BASE KEY OPEN

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { MESSAGES, MODEL, PARAMETERS, idle, run, valid, version } from "./checks.mjs";

const [base, key, openRequests] = process.argv.slice(2);
const client = new OpenAI({ baseURL: base, apiKey: key, maxRetries: 0 });
const ask = (more = {}) => ({ model: MODEL, messages: MESSAGES, max_tokens: 24, seed: 7, ...more });
const create = (more) => client.chat.completions.create(ask(more));
const tools = [
  { type: "function", function: { name: "weather", description: "The weather of a city", strict: true, parameters: PARAMETERS } },
  { type: "function", function: { name: "now", parameters: { type: "object", properties: {} } } },
];

async function collect(stream) {
  const list = [];
  for await (const chunk of stream) list.push(chunk);
  return list;
}

// callsOf returns the choice and checks that the stream helper comes to the same calls.
async function callsOf(more) {
  const request = { tools, max_tokens: 400, ...more };
  const one = (await create(request)).choices[0];
  const two = (await client.chat.completions.stream(ask(request)).finalChatCompletion()).choices[0];
  assert.equal(one.finish_reason, two.finish_reason);
  const calls = (one.message.tool_calls ?? []).map((c) => c.function);
  assert.deepEqual((two.message.tool_calls ?? []).map((c) => [c.function.name, c.function.arguments]), calls.map((c) => [c.name, c.arguments]));
  if (one.finish_reason !== "length") for (const c of calls) valid(c.name, JSON.parse(c.arguments));
  return [one, calls];
}

await run("openai-node", version("openai"), {
  async chat() {
    const c = await create();
    assert.equal(c.choices[0].message.role, "assistant");
    assert(c.choices[0].message.content && ["stop", "length"].includes(c.choices[0].finish_reason) && c.id && c.model === MODEL);
    assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
  },
  async stream() {
    const whole = (await create()).choices[0];
    const chunks = await collect(await create({ stream: true }));
    assert.equal(chunks.map((c) => c.choices[0].delta.content ?? "").join(""), whole.message.content);
    assert.equal(new Set(chunks.map((c) => c.id)).size, 1);
    assert.equal(await client.chat.completions.stream(ask()).finalContent(), whole.message.content);
  },
  async usage() {
    const { usage } = await create();
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    const chunks = await collect(await create({ stream: true, stream_options: { include_usage: true } }));
    const last = chunks.pop();
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.completion_tokens, usage.completion_tokens);
    assert(chunks.every((c) => c.usage === null));
  },
  async n() {
    assert.equal(new Set((await create({ n: 3 })).choices.map((c) => c.message.content)).size, 3);
    assert.equal((await client.chat.completions.stream(ask({ n: 3 })).finalChatCompletion()).choices.length, 3);
  },
  async logprobs() {
    const { content } = (await create({ logprobs: true, top_logprobs: 3 })).choices[0].logprobs;
    assert(content.length > 0 && content.every((e) => e.top_logprobs.length === 3));
  },
  async "tools: auto"() {
    const [one, calls] = await callsOf({ tool_choice: "auto" });
    assert(one.finish_reason === "length" || (one.finish_reason === "tool_calls") === calls.length > 0);
  },
  async "tools: required"() {
    const [one, calls] = await callsOf({ tool_choice: "required", parallel_tool_calls: false });
    assert.equal(one.finish_reason, "tool_calls");
    assert.equal(calls.length, 1);
    // The library's loop: it runs the function, sends the result back and stops with a text.
    let called = 0;
    const runner = client.chat.completions.runTools(
      ask({
        max_tokens: 400,
        tool_choice: { type: "function", function: { name: "now" } }, // the loop ends behind a forced call
        tools: [{ type: "function", function: { name: "now", description: "The time", parameters: { type: "object", properties: {} }, parse: JSON.parse, function: () => `called ${++called}` } }],
      }),
    );
    await runner.done();
    assert(called >= 1 && runner.messages.some((m) => m.role === "tool" && m.content === "called 1"), JSON.stringify(runner.messages));
    const answer = await create({ messages: [...MESSAGES, one.message, { role: "tool", tool_call_id: one.message.tool_calls[0].id, content: "21" }], tools, tool_choice: "none" });
    assert(answer.choices[0].message.content);
  },
  async "tools: named"() {
    const [one, calls] = await callsOf({ tool_choice: { type: "function", function: { name: "now" } } });
    assert.equal(one.finish_reason, "tool_calls");
    assert.deepEqual(calls.map((c) => c.name), ["now"]);
  },
  async "tools: none"() {
    const [one, calls] = await callsOf({ tool_choice: "none" });
    assert(calls.length === 0 && one.message.content);
  },
  async "JSON schema"() {
    const format = zodResponseFormat(z.object({ kind: z.enum(["a", "b"]), n: z.number().int() }), "answer");
    const c = await client.chat.completions.parse(ask({ max_tokens: 200, response_format: format }));
    assert(["a", "b"].includes(c.choices[0].message.parsed.kind) && Number.isInteger(c.choices[0].message.parsed.n));
  },
  async stop() {
    const text = (await create()).choices[0].message.content;
    const stop = text.slice(5, 8);
    const got = (await create({ stop: [stop] })).choices[0];
    assert.equal(got.message.content, text.slice(0, text.indexOf(stop)));
    assert.equal(got.finish_reason, "stop");
  },
  async errors() {
    const bad = [{ type: "function", function: { name: "f", parameters: { type: "object", not: {} } } }];
    for (const [more, kind, param] of [
      [{ temperature: 9 }, OpenAI.BadRequestError, "temperature"],
      [{ model: "gpt-5" }, OpenAI.NotFoundError, "model"],
      [{ tools: bad }, OpenAI.BadRequestError, "tools[0].function.parameters"],
    ])
      for (const stream of [false, true]) await assert.rejects(create({ ...more, stream }), (e) => e instanceof kind && e.param === param && !!e.code);
    const wrong = new OpenAI({ baseURL: base, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(wrong.models.list(), (e) => e instanceof OpenAI.AuthenticationError && e.code === "invalid_api_key");
  },
  async waiting() {
    const chunks = await collect(await create({ model: "slow", stream: true }));
    assert.equal(chunks.map((c) => c.choices[0].delta.content ?? "").join(""), (await create()).choices[0].message.content);
    const late = (e) => e instanceof OpenAI.APIError && e.code === "model_load_failed" && e.param === "model";
    await assert.rejects(async () => collect(await create({ model: "broken", stream: true })), late);
    await assert.rejects(client.chat.completions.stream(ask({ model: "broken" })).finalContent(), late);
  },
  async cancel() {
    const stream = await create({ stream: true, max_tokens: 3000, ignore_eos: true });
    for await (const _ of stream) break;
    stream.controller.abort();
    await idle(openRequests);
  },
});
