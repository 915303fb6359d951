"""A guard: which openings count, the rule, its calibration; saved as a small file beside the model.

MODEL/guard/guard.json   in a folder of its own, so that the model's fingerprint stays what it was
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from derta.errors import ModelError
from derta.files import read_small, write_json
from derta.guard.rule import Rule, RuleName, Watch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from derta.encode.chat import ChatRenderer

GUARD_FILE = Path("guard/guard.json")
REPLY = "Sorry, I can't help with that."
Fraction = Annotated[float, Field(ge=0, le=1)]
Id = Annotated[int, Field(ge=0)]


class Calibrated(BaseModel):
    """What the limit was set on. model, template, benign: SHA-256 of the model's files, template and data file.

    false_stop_rate: the rate that was named; false_stops of n answers were stopped, with a 95 % interval.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    model: str
    template: str
    benign: str
    false_stop_rate: Fraction
    n: int = Field(ge=1)
    false_stops: int = Field(ge=0)
    low: Fraction
    high: Fraction


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    rule: RuleName
    limit: float
    drift: float
    openings: list[str] = Field(min_length=1)
    ids: list[Id] = Field(min_length=1)
    end_ids: list[Id] = Field(min_length=1)
    reply: str
    reply_ids: list[Id]
    calibrated: Calibrated


@dataclass(frozen=True)
class Guard:
    """ids: what says "refuse" at any step. reply: the answer's end where the rule fires (its ids in reply_ids).

    end_ids: at which an answer ends, the template's own first.
    """

    rule: Rule
    openings: tuple[str, ...]
    ids: tuple[int, ...]
    end_ids: tuple[int, ...]
    reply: str
    reply_ids: tuple[int, ...]
    calibrated: Calibrated

    @classmethod
    def load(cls, model: str | Path, *, file: Path | None = None, check: bool = True) -> Guard:
        """The guard that `derta guard calibrate` left beside a model.

        file: where else it lies. check: that the model's files are those it was calibrated on (they are hashed).

        Raises:
            ModelError: no guard there, a damaged one, or one of another model.
        """
        path = file or Path(model) / GUARD_FILE
        if not path.is_file():
            raise ModelError(f"{path}: no guard there; make one: derta guard calibrate {model} --benign FILE")
        try:
            found = _File.model_validate_json(read_small(path, "guard"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "file"
            raise ModelError(f"{path}: {where}: {first['msg']}; calibrate again") from None
        if check:
            from derta.models import fingerprint

            if fingerprint(str(model)) != found.calibrated.model:
                raise ModelError(
                    f"{path}: calibrated on another model than {model}, or its files changed since; calibrate again"
                )
        return cls(
            rule=Rule(found.rule, found.limit, found.drift),
            openings=tuple(found.openings),
            ids=tuple(found.ids),
            end_ids=tuple(found.end_ids),
            reply=found.reply,
            reply_ids=tuple(found.reply_ids),
            calibrated=found.calibrated,
        )

    def save(self, path: Path) -> None:
        """Write the small file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = asdict(self) | {"calibrated": self.calibrated.model_dump()}
        rule = values.pop("rule")
        write_json(path, {"rule": rule["name"], "limit": rule["limit"], "drift": rule["drift"]} | values)

    def watch(self) -> Watch:
        """A fresh watch over one answer."""
        return Watch(self.rule)

    def watching(self, model: PreTrainedModel) -> AbstractContextManager[dict[str, Any]]:
        """Watch one `generate` of a transformers model; what is given back goes into the call.

            with derta.Guard.load("my_model").watching(model) as guarded:
                ids = model.generate(**inputs, **guarded)

        Where the rule fires, the row says the reply and ends. `guarded["logits_processor"][0].watches` has each
        row's hazards and why it stopped.

        Raises:
            ModelError: (while generating) rows change places, as in beam search, or another call began.
        """
        from derta.guard.generation import watching

        return watching(self, model)


def reply_ids(renderer: ChatRenderer, reply: str) -> tuple[int, ...]:
    """The ids of a reply that breaks into running text: on a new line.

    Raises:
        TokenizerError: the reply merges with the text before it.
    """
    [ids] = renderer.running_ids([f"\n{reply}"], after="Step one")
    return tuple(ids)


def reply_after(said: str, reply: str) -> str:
    """How the reply goes on from what was said: alone, or on a line of its own."""
    return reply if not said.strip() else f"{said.rstrip()}\n{reply}"
