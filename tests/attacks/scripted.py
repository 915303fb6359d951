"""An Inspect model that answers from a function: no network, every call kept."""

import inspect

from inspect_ai.model import GenerateConfig, ModelAPI, ModelOutput, ModelUsage, get_model, modelapi


@modelapi(name="scripted")
class ScriptedModel(ModelAPI):
    """reply: (messages, config) -> text, or raises; may be a coroutine function."""

    def __init__(self, model_name, base_url=None, api_key=None, config=GenerateConfig(), reply=None):  # noqa: B008
        super().__init__(model_name, base_url, api_key, [], config)
        self.reply = reply
        self.calls = []

    async def generate(self, input, tools, tool_choice, config):
        self.calls.append((input, config))
        text = self.reply(input, config)
        if inspect.isawaitable(text):
            text = await text
        output = ModelOutput.from_content(self.model_name, text)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output


def scripted(reply):
    """A model and its calls."""
    model = get_model("scripted/model", memoize=False, reply=reply)
    return model, model.api.calls
