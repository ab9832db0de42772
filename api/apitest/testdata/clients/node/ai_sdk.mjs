// Every check of the matrix with the Vercel AI SDK. Usage: node ai_sdk.mjs BASE KEY OPEN

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { MODEL, PARAMETERS, SCHEMA, idle, run, valid, version } from "./checks.mjs";

const [base, key, openRequests] = process.argv.slice(2);
const provider = (apiKey) => createOpenAICompatible({ name: "aquifer", baseURL: base, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const ask = (more = {}) => ({ model: provider(key)(MODEL), system: "Be brief.", prompt: "Hello", maxOutputTokens: 24, seed: 7, maxRetries: 0, ...more });
const tools = {
  weather: tool({ description: "The weather of a city", inputSchema: jsonSchema(PARAMETERS) }),
  now: tool({ description: "The time", inputSchema: jsonSchema({ type: "object", properties: {}, additionalProperties: false }) }),
};
const raw = (more) => ({ providerOptions: { aquifer: more } });

async function callsOf(more) {
  const request = () => ask({ tools, maxOutputTokens: 400, ...more });
  const one = await generateText(request());
  const two = streamText(request());
  await two.consumeStream();
  const calls = one.toolCalls.map((c) => [c.toolName, c.input]);
  if (one.finishReason !== "length") {
    assert.deepEqual((await two.toolCalls).map((c) => [c.toolName, c.input]), calls);
    for (const [name, input] of calls) valid(name, input);
  }
  return [one, calls];
}

await run("Vercel AI SDK", version("ai"), {
  async chat() {
    const r = await generateText(ask());
    assert(r.text && ["stop", "length"].includes(r.finishReason) && r.response.modelId === MODEL);
  },
  async stream() {
    const r = streamText(ask());
    let text = "";
    for await (const part of r.textStream) text += part;
    assert.equal(text, (await generateText(ask())).text);
  },
  async usage() {
    const { usage } = await generateText(ask());
    assert(usage.inputTokens > 0 && usage.outputTokens > 0 && usage.totalTokens === usage.inputTokens + usage.outputTokens, JSON.stringify(usage));
    assert.equal((await streamText(ask()).usage).outputTokens, usage.outputTokens);
  },
  async n() {
    // What the SDK is told to add it sends, and takes the first choice.
    assert.equal((await generateText(ask(raw({ n: 3 })))).text, (await generateText(ask())).text);
    return "first choice only";
  },
  async logprobs() {
    const r = await generateText(ask({ ...raw({ logprobs: true, top_logprobs: 3 }), include: { responseBody: true } }));
    const entries = r.response.body.choices[0].logprobs.content;
    assert(entries.length > 0 && entries.every((e) => e.top_logprobs.length === 3));
  },
  async "tools: auto"() {
    await callsOf({ toolChoice: "auto" });
  },
  async "tools: required"() {
    const [one, calls] = await callsOf({ toolChoice: "required", ...raw({ parallel_tool_calls: false }) });
    assert.equal(one.finishReason, "tool-calls");
    assert.equal(calls.length, 1);
    // The SDK's loop over steps: it runs the function and sends the result back.
    let called = 0;
    const r = await generateText(
      ask({
        maxOutputTokens: 400, stopWhen: stepCountIs(2), toolChoice: "required", ...raw({ parallel_tool_calls: false }),
        tools: { now: tool({ inputSchema: jsonSchema({ type: "object", properties: {}, additionalProperties: false }), execute: async () => `called ${++called}` }) },
      }),
    );
    assert.equal(r.steps.length, 2);
    assert(called >= 1);
  },
  async "tools: named"() {
    const [, calls] = await callsOf({ toolChoice: { type: "tool", toolName: "now" } });
    assert.deepEqual(calls.map(([name]) => name), ["now"]);
  },
  async "tools: none"() {
    const [one, calls] = await callsOf({ toolChoice: "none" });
    assert(calls.length === 0 && one.text);
  },
  async "JSON schema"() {
    const { output } = await generateText(ask({ maxOutputTokens: 200, output: Output.object({ schema: jsonSchema(SCHEMA) }) }));
    assert(["a", "b"].includes(output.kind) && Number.isInteger(output.n), JSON.stringify(output));
  },
  async stop() {
    const { text } = await generateText(ask());
    const stop = text.slice(5, 8);
    const r = await generateText(ask({ stopSequences: [stop] }));
    assert.equal(r.text, text.slice(0, text.indexOf(stop)));
    assert.equal(r.finishReason, "stop");
  },
  async errors() {
    const status = (want, param) => (e) => e.statusCode === want && (!param || JSON.parse(e.responseBody).error.param === param) && !!e.message;
    await assert.rejects(generateText(ask({ temperature: 9 })), status(400, "temperature"));
    await assert.rejects(generateText(ask({ model: provider(key)("gpt-5") })), status(404, "model"));
    await assert.rejects(generateText(ask({ model: provider("wrong")(MODEL) })), status(401));
    let seen;
    await streamText(ask({ temperature: 9, onError: ({ error }) => (seen = error) })).consumeStream();
    assert(status(400, "temperature")(seen), String(seen));
  },
  async waiting() {
    let text = "";
    for await (const part of streamText(ask({ model: provider(key)("slow") })).textStream) text += part;
    assert.equal(text, (await generateText(ask())).text);
    let seen;
    await streamText(ask({ model: provider(key)("broken"), onError: ({ error }) => (seen = error) })).consumeStream();
    assert(String(seen?.message ?? seen).includes("can't be loaded"), String(seen));
  },
  async cancel() {
    const abort = new AbortController();
    const r = streamText(ask({ maxOutputTokens: 3000, abortSignal: abort.signal, ...raw({ ignore_eos: true }) }));
    for await (const _ of r.textStream) abort.abort();
    await idle(openRequests);
  },
});
