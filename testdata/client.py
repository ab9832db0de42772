"""Asks the server twice, whole and streamed, with the official client; prints one line for each answer."""
import sys

from openai import OpenAI

base, question = sys.argv[1:]
client = OpenAI(base_url=base, api_key="none", max_retries=0)
model = client.models.list().data[0].id
request = dict(model=model, temperature=0, max_tokens=32, messages=[{"role": "user", "content": question}])

whole = client.chat.completions.create(**request)
assert whole.choices[0].finish_reason == "length", whole
assert whole.usage.completion_tokens == 32, whole
print(repr(whole.choices[0].message.content)[1:-1])

text = ""
for chunk in client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **request):
    if chunk.choices:
        text += chunk.choices[0].delta.content or ""
    else:
        assert chunk.usage.completion_tokens == 32, chunk
print(repr(text)[1:-1])
