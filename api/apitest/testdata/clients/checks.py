"""What the Python clients of the matrix have in common: the requests, and the report as one JSON object a line."""

import json
import traceback

MODEL = "tiny"
SCHEMA = {
    "type": "object", "properties": {"kind": {"enum": ["a", "b"]}, "n": {"type": "integer"}}, "required": ["kind", "n"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "The weather of a city", "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
                       "required": ["city", "days"], "additionalProperties": False}}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
]


def ask(**more):
    """A request that is answered the same every time."""
    return {"model": MODEL, "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
            "max_tokens": 24, "seed": 7, **more}


def valid(calls):
    """Fails unless every call has the name of a tool and arguments that its schema accepts."""
    for name, arguments in calls:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        if name == "weather":
            assert set(arguments) == {"city", "days"} and len(arguments["city"]) <= 12 and 1 <= arguments["days"] <= 7, arguments
        else:
            assert name == "now" and arguments == {}, (name, arguments)


_checks = []


def check(name):
    def keep(f):
        _checks.append((name, f))
        return f

    return keep


def run(client, version):
    print(json.dumps({"client": client, "version": version}))
    for name, f in _checks:
        result = {"check": name, "ok": True}
        try:
            f()
        except BaseException:
            result = {"check": name, "ok": False, "error": traceback.format_exc()}
        print(json.dumps(result), flush=True)
