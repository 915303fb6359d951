"""Models under test: a folder here, a server with raw completions, or a closed endpoint by its Inspect name."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from derta.calls import TokenLimit
from derta.config.paths import PathOrId
from derta.config.strict import StrictModel
from derta.secrecy import is_secret_name, sayable
from derta.visible import visible

Server = Literal["vllm", "sglang", "llamacpp", "transformers", "other"]


class RequestSettings(StrictModel):
    """How a server is asked."""

    max_connections: int = Field(default=16, ge=1)
    """Requests in flight at once."""
    timeout: int = Field(default=300, ge=1)
    """Seconds for one whole answer; then it is asked for again."""
    max_attempts: int = Field(default=8, ge=1)
    """Calls for one answer: 429, 5xx, lost connections and broken answers are tried again, after the pause that
    the server asks for (Retry-After) or one that doubles."""
    max_minutes: float = Field(default=60, gt=0)
    """No further call for one answer is made so long after the first; a server that has answered nothing by then is
    asked no more."""


class EndpointSettings(StrictModel):
    """An OpenAI-compatible server with raw completions: vLLM, SGLang, llama.cpp server, `transformers serve`."""

    url: str
    """E.g. http://localhost:8000/v1"""
    model: str
    """The model's name on that server."""
    tokenizer: PathOrId
    """Folder or hub id of the served model's tokenizer: it renders the prompts, exactly as in training."""
    server: Server = "other"
    """Tells which extra settings the server understands; other: only those of OpenAI's completions."""
    send: Literal["auto", "ids", "text"] = "auto"
    """The prompt as token ids, or as a text that is checked to give these ids; auto: ids where a server takes
    them."""
    check_prompt: bool = True
    """Refuse an answer whose server counted another number of prompt tokens than were sent (e.g. two
    beginning-of-text tokens)."""
    api_key_env: str | None = None
    """Environment variable that holds the key, if the server wants one. Keys are never part of a recipe."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More settings of the server, sent with every request."""

    @field_validator("api_key_env")
    @classmethod
    def _named_like_a_key(cls, name: str | None) -> str | None:
        if name is not None and not is_secret_name(name):
            raise ValueError(
                "need the name of an environment variable that ends in _KEY or _TOKEN, not the key itself"
            )
        return name

    @property
    def sends(self) -> Literal["ids", "text"]:
        """What is sent."""
        if self.send == "auto":
            return "text" if self.server == "transformers" else "ids"
        return self.send

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str) -> str:
        return plain_url(url)


class InspectSettings(StrictModel):
    """A chat endpoint by its Inspect name. Its key is read from the provider's environment variable."""

    model: str
    """E.g. openai/gpt-4o or anthropic/claude-sonnet-4-0."""
    base_url: str | None = None
    model_args: dict[str, Any] = Field(default_factory=dict)
    """Settings of Inspect's provider."""
    send_temperature: bool = True
    """False where an endpoint refuses the setting (reasoning models do): it then answers at its own, and top_p is
    left out too."""
    token_limit: TokenLimit = "max_tokens"
    """The name under which the endpoint takes the most new tokens."""

    @field_validator("model")
    @classmethod
    def _has_provider(cls, model: str) -> str:
        provider, slash, name = model.partition("/")
        if not (provider and slash and name):
            raise ValueError(f"found {model!r}, need provider/model, e.g. openai/gpt-4o")
        if provider == "derta":
            raise ValueError(f"found {model!r}; a model computed here is named by `path`")
        return model

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        return None if url is None else plain_url(url)


class TargetModel(StrictModel):
    """A model under test: exactly one of path, endpoint and inspect."""

    name: str
    """Shown in tables; unique."""
    method: str
    """Training method, e.g. derta; shown in tables."""
    path: PathOrId | None = None
    """Local folder, adapter folder or hub id: computed here."""
    endpoint: EndpointSettings | None = None
    """A server with raw completions: all attacks but those that need the weights."""
    inspect: InspectSettings | None = None
    """A closed chat endpoint: attacks that need raw text, an open assistant turn or the weights do not apply."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of a model computed here."""
    requests: RequestSettings = RequestSettings()
    """Of a server."""

    @field_validator("name", "method")
    @classmethod
    def _shown(cls, name: str) -> str:
        if visible(name) != name or "\n" in name or not name.strip():
            raise ValueError(f"found {name!r}, need a name without control characters")
        return name

    @field_validator("inspect", mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_place(self) -> TargetModel:
        given = [name for name in ("path", "endpoint", "inspect") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"model {self.name!r}: need one of path, endpoint and inspect, found {found}")
        return self


def plain_url(url: str) -> str:
    """The address, if it is one without user and password.

    Raises:
        ValueError: it is not, or has them.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"found {sayable(url)!r}, need http://... or https://...")
    if parts.username or parts.password or parts.query:
        raise ValueError("an address must hold no user, password or query; keys come from the environment")
    return url.rstrip("/")
