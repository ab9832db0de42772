"""Every check of the matrix with the official Python client. Usage: openai_python.py BASE KEY OPEN"""

import json
import sys
import time
import urllib.request

import openai

import checks
from checks import MODEL, SCHEMA, TOOLS, ask, check

base, key, open_requests = sys.argv[1:]
client = openai.OpenAI(base_url=base, api_key=key, max_retries=0)


def create(**more):
    return client.chat.completions.create(**ask(**more))


@check("chat")
def _():
    c = create()
    assert c.choices[0].message.role == "assistant" and c.choices[0].message.content, c
    assert c.choices[0].finish_reason in ("stop", "length") and c.id and c.created and c.model == MODEL, c
    assert client.models.retrieve(MODEL).id == MODEL


@check("stream")
def _():
    whole = create().choices[0]
    chunks = list(create(stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.message.content
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason and len({c.id for c in chunks}) == 1
    with client.chat.completions.stream(**ask()) as stream:
        assert [e.content for e in stream if e.type == "content.done"] == [whole.message.content]


@check("usage")
def _():
    u = create().usage
    assert u.total_tokens == u.prompt_tokens + u.completion_tokens and u.prompt_tokens > 0 and u.completion_tokens_details.reasoning_tokens == 0, u
    *chunks, last = create(stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and last.usage.completion_tokens == u.completion_tokens and all(c.usage is None for c in chunks)


@check("n")
def _():
    assert len({c.message.content for c in create(n=3).choices}) == 3
    assert {c.choices[0].index for c in create(n=3, stream=True)} == {0, 1, 2}


@check("logprobs")
def _():
    entries = create(logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert entries and all(len(e.top_logprobs) == 3 and e.logprob <= 0 for e in entries)


def calls_of(**more):
    """The calls of a whole answer, and those of the same as a stream."""
    whole = create(tools=TOOLS, max_tokens=400, **more)
    with client.chat.completions.stream(**ask(tools=TOOLS, max_tokens=400, **more)) as stream:
        streamed = stream.get_final_completion()
    one, two = whole.choices[0], streamed.choices[0]
    assert one.finish_reason == two.finish_reason and one.message.content == (two.message.content or None), (one, two)
    calls = [(c.function.name, c.function.arguments) for c in one.message.tool_calls or []]
    assert calls == [(c.function.name, c.function.arguments) for c in two.message.tool_calls or []]
    if one.finish_reason != "length":
        checks.valid(calls)
    return one, calls


@check("tools: auto")
def _():
    one, calls = calls_of(tool_choice="auto")
    assert (one.finish_reason == "tool_calls") == bool(calls) or one.finish_reason == "length"


@check("tools: required")
def _():
    one, calls = calls_of(tool_choice="required", parallel_tool_calls=False)
    assert one.finish_reason == "tool_calls" and len(calls) == 1
    answer = create(
        messages=[*ask()["messages"], one.message, {"role": "tool", "tool_call_id": one.message.tool_calls[0].id, "content": "21"}],
        tools=TOOLS, tool_choice="none",
    )
    assert answer.choices[0].message.content


@check("tools: named")
def _():
    one, calls = calls_of(tool_choice={"type": "function", "function": {"name": "now"}})
    assert one.finish_reason == "tool_calls" and [name for name, _ in calls] == ["now"]


@check("tools: none")
def _():
    one, calls = calls_of(tool_choice="none")
    assert not calls and one.message.content


@check("JSON schema")
def _():
    c = create(max_tokens=200, response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}})
    value = json.loads(c.choices[0].message.content)
    assert value["kind"] in ("a", "b") and isinstance(value["n"], int), value


@check("stop")
def _():
    text = create().choices[0].message.content
    stop = text[5:8]
    got = create(stop=[stop]).choices[0]
    assert got.message.content == text[: text.index(stop)] and got.finish_reason == "stop", (text, got)


@check("errors")
def _():
    for more, kind, param in (
        ({"temperature": 9}, openai.BadRequestError, "temperature"),
        ({"model": "gpt-5"}, openai.NotFoundError, "model"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "not": {}}}}]}, openai.BadRequestError, "tools[0].function.parameters"),
    ):
        for stream in (False, True):
            try:
                create(**more, stream=stream)
                raise AssertionError(f"{more} is accepted")
            except kind as e:
                assert e.param == param and e.code, e
    try:
        openai.OpenAI(base_url=base, api_key="wrong", max_retries=0).models.list()
        raise AssertionError("a wrong key is accepted")
    except openai.AuthenticationError as e:
        assert e.code == "invalid_api_key", e


@check("waiting")
def _():
    chunks = list(create(model="slow", stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == create().choices[0].message.content
    try:
        list(create(model="broken", stream=True))
        raise AssertionError("an error in the stream is not seen")
    except openai.APIError as e:
        assert e.code == "model_load_failed" and e.param == "model" and "can't be loaded" in e.message, e


@check("cancel")
def _():
    stream = create(stream=True, max_tokens=3000, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    for _ in range(500):
        with urllib.request.urlopen(open_requests) as r:
            if json.load(r) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("the answer goes on")


checks.run("openai-python", openai.__version__)
