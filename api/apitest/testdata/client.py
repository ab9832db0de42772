"""Drives the scripted server of clients_test.go with the official Python client: client.py BASE_URL KEY."""
import asyncio
import sys

import openai

base, key = sys.argv[1:]
client = openai.OpenAI(base_url=base, api_key=key, max_retries=0)
ANSWER = 'Grüße 😀\n"done"'
checks = 0


def check(ok, what):
    global checks
    checks += 1
    if not ok:
        sys.exit(f"check {checks} failed: {what}")


def ask(content, **more):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    return client.chat.completions.create(model="org/tiny", messages=messages, **more)


r = ask("hello", temperature=0.5, top_p=0.9, seed=7, max_tokens=33, stop=["a"], user="me", extra_body={"top_k": 5, "min_p": 0.1})
check(r.choices[0].message.content == ANSWER and r.choices[0].message.role == "assistant", r)
check(r.choices[0].finish_reason == "stop" and r.usage.total_tokens == 12 and r.object == "chat.completion", r)
check(r.choices[0].message.refusal is None and r.choices[0].logprobs is None and r.system_fingerprint, r)
check(ask("length").choices[0].finish_reason == "length", "length")

chunks = list(ask("hello", stream=True, stream_options={"include_usage": True}))
check("".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == ANSWER, chunks)
check(len({(c.id, c.created) for c in chunks}) == 1, chunks)
check(chunks[0].choices[0].delta.role == "assistant" and chunks[0].choices[0].delta.content == "", chunks[0])
check(chunks[-2].choices[0].finish_reason == "stop", chunks[-2])
check(chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 12, chunks[-1])
check(all(c.usage is None for c in chunks[:-1]), chunks)

r = ask("hello", n=3, logprobs=True, top_logprobs=2, logit_bias={"5": -100}, extra_body={"typical_p": 0.9, "dry_multiplier": 0.8})
check([(c.index, c.message.content) for c in r.choices] == [(i, ANSWER) for i in range(3)], r)
check(all(c.logprobs.content == [] for c in r.choices), r)
texts = ["", "", ""]
for c in ask("hello", n=3, stream=True):
    texts[c.choices[0].index] += c.choices[0].delta.content or ""
check(texts == [ANSWER] * 3, texts)

chunks = list(ask("slow", stream=True))
check("".join(c.choices[0].delta.content or "" for c in chunks) == "slow answer", chunks)

messages = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
with client.chat.completions.stream(model="org/tiny", messages=messages) as stream:
    final = stream.get_final_completion()
check(final.choices[0].message.content == ANSWER, final)

got = ""
try:
    for c in ask("fails", stream=True):
        got += c.choices[0].delta.content or ""
    check(False, "no error in the stream")
except openai.APIError as e:
    check(got == "part" and "internal" in e.message, e)

for c in ask("for ever", stream=True):
    break  # and leave

models = client.models.list().data
check([m.id for m in models] == ["org/tiny"] and models[0].owned_by and models[0].created == 1700000000, models)
check(client.models.retrieve("org/tiny").id == "org/tiny", "retrieve")

for kind, code, param, call in [
    (openai.BadRequestError, "invalid_value", "tools[0].function.name", lambda: ask("x", tools=[{"type": "function", "function": {"name": "a b"}}])),
    (openai.BadRequestError, "invalid_value", "n", lambda: ask("x", n=129)),
    (openai.BadRequestError, "invalid_value", "response_format.json_schema.name", lambda: ask("x", response_format={"type": "json_schema", "json_schema": {"schema": {}}})),
    (openai.BadRequestError, "invalid_value", "temperature", lambda: ask("x", temperature=9)),
    (openai.BadRequestError, "unknown_parameter", "num_ctx", lambda: ask("x", extra_body={"num_ctx": 5})),
    (openai.BadRequestError, "context_length_exceeded", "messages", lambda: ask("too long", stream=True)),
    (openai.BadRequestError, "invalid_messages", "messages", lambda: ask("template")),
    (openai.RateLimitError, "rate_limit_exceeded", None, lambda: ask("busy")),
    (openai.NotFoundError, "model_not_found", "model", lambda: client.models.retrieve("gpt-5")),
    (openai.AuthenticationError, "invalid_api_key", None, lambda: client.with_options(api_key="wrong").models.list()),
]:
    try:
        call()
        check(False, f"no {code}")
    except kind as e:
        check(e.code == code and e.param == param and e.message and e.type, (code, e.body))
try:
    ask("too long")
except openai.BadRequestError as e:
    check(e.body["n_prompt_tokens"] == 5000 and e.body["n_ctx"] == 4096 and "5000" in e.message and "4096" in e.message, e.body)


async def many():
    c = openai.AsyncOpenAI(base_url=base, api_key=key)
    one = lambda: c.chat.completions.create(model="org/tiny", messages=[{"role": "user", "content": "hello"}])
    return await asyncio.gather(*(one() for _ in range(20)))


check(all(r.choices[0].message.content == ANSWER for r in asyncio.run(many())), "many")
print(f"{checks} checks")
