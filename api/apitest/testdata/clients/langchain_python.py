"""Every check of the matrix with LangChain's OpenAI model. Usage: langchain_python.py BASE KEY OPEN"""

import importlib.metadata
import json
import sys
import time
import urllib.request

import openai
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

import checks
from checks import MODEL, SCHEMA, TOOLS, check

base, key, open_requests = sys.argv[1:]
QUESTION = [SystemMessage("Be brief."), HumanMessage("Hello")]


def chat(**more):
    more = {"max_tokens": 24, "seed": 7, **more}
    return ChatOpenAI(base_url=base, api_key=key, model=MODEL, max_retries=0, **more)


@check("chat")
def _():
    m = chat().invoke(QUESTION)
    assert m.content and m.response_metadata["finish_reason"] in ("stop", "length") and m.response_metadata["model_name"] == MODEL, m


@check("stream")
def _():
    whole, merged = chat().invoke(QUESTION), None
    for chunk in chat().stream(QUESTION):
        merged = chunk if merged is None else merged + chunk
    assert merged.content == whole.content and merged.response_metadata["finish_reason"] == whole.response_metadata["finish_reason"]


@check("usage")
def _():
    u = chat().invoke(QUESTION).usage_metadata
    assert u["total_tokens"] == u["input_tokens"] + u["output_tokens"] and u["input_tokens"] > 0, u
    assert [c.usage_metadata for c in chat(stream_usage=True).stream(QUESTION) if c.usage_metadata][-1]["output_tokens"] == u["output_tokens"]


@check("n")
def _():
    (answers,) = chat(n=3).generate([QUESTION]).generations
    assert len({a.text for a in answers}) == 3


@check("logprobs")
def _():
    entries = chat(logprobs=True, top_logprobs=3).invoke(QUESTION).response_metadata["logprobs"]["content"]
    assert entries and all(len(e["top_logprobs"]) == 3 for e in entries)


def calls_of(choice, **more):
    model = chat(max_tokens=400).bind_tools(TOOLS, tool_choice=choice, **more)
    whole, merged = model.invoke(QUESTION), None
    for chunk in model.stream(QUESTION):
        merged = chunk if merged is None else merged + chunk
    calls = [(c["name"], c["args"]) for c in whole.tool_calls]
    if whole.response_metadata["finish_reason"] != "length":
        assert [(c["name"], c["args"]) for c in merged.tool_calls] == calls, (whole, merged)
        checks.valid(calls)
    return whole, calls


@check("tools: auto")
def _():
    calls_of("auto")


@check("tools: required")
def _():
    m, calls = calls_of("required", parallel_tool_calls=False)
    assert len(calls) == 1
    assert chat().bind_tools(TOOLS, tool_choice="none").invoke([*QUESTION, m, ToolMessage("21", tool_call_id=m.tool_calls[0]["id"])]).content


@check("tools: named")
def _():
    assert [name for name, _ in calls_of("now")[1]] == ["now"]


@check("tools: none")
def _():
    m, calls = calls_of("none")
    assert not calls and m.content


@check("JSON schema")
def _():
    schema = {"title": "answer", "description": "An answer.", **SCHEMA}
    value = chat(max_tokens=200).with_structured_output(schema, method="json_schema", strict=True).invoke(QUESTION)
    assert value["kind"] in ("a", "b") and isinstance(value["n"], int), value


@check("stop")
def _():
    text = chat().invoke(QUESTION).content
    stop = text[5:8]
    assert chat().invoke(QUESTION, stop=[stop]).content == text[: text.index(stop)]


@check("errors")
def _():
    for more, kind, param in (({"temperature": 9}, openai.BadRequestError, "temperature"), ({"model": "gpt-5"}, openai.NotFoundError, "model")):
        for ask in (lambda m: m.invoke(QUESTION), lambda m: list(m.stream(QUESTION))):
            try:
                ask(ChatOpenAI(**{"base_url": base, "api_key": key, "model": MODEL, "max_retries": 0, **more}))
                raise AssertionError(f"{more} is accepted")
            except kind as e:
                assert e.param == param, e
    try:
        ChatOpenAI(base_url=base, api_key="wrong", model=MODEL, max_retries=0).invoke(QUESTION)
        raise AssertionError("a wrong key is accepted")
    except openai.AuthenticationError as e:
        assert e.code == "invalid_api_key", e


@check("waiting")
def _():
    slow = ChatOpenAI(base_url=base, api_key=key, model="slow", max_retries=0, max_tokens=24, seed=7)
    assert "".join(c.content for c in slow.stream(QUESTION)) == chat().invoke(QUESTION).content
    try:
        list(ChatOpenAI(base_url=base, api_key=key, model="broken", max_retries=0).stream(QUESTION))
        raise AssertionError("an error in the stream is not seen")
    except openai.APIError as e:
        assert e.code == "model_load_failed" and e.param == "model", e


@check("cancel")
def _():
    stream = chat(max_tokens=3000, extra_body={"ignore_eos": True}).stream(QUESTION)
    next(stream)
    stream.close()
    for _ in range(500):
        with urllib.request.urlopen(open_requests) as r:
            if json.load(r) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("the answer goes on")


checks.run("LangChain", importlib.metadata.version("langchain-openai"))
