"""The model card: what was trained on what, how, with what result and within what limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from derta.methods import METHODS
from derta.methods.contract import describe

PAPER = "https://arxiv.org/abs/2407.09121"
LIMITS = """- Refusals were learned from the triples named above, in their language and kinds of harm; others are
  untested.
- A result holds for the attacks, the judge and the number of questions beside it. An attack that is not listed was
  not tried, and a rate of 0 of n leaves the interval printed with it.
- The weights are open: further tuning can remove what was learned. This model is one layer of protection, not all.
- Refusing more can mean refusing too much: see over_refusal and the capability scores, if there are any."""


def model_card(manifest: dict[str, Any], *, is_adapter: bool, cells: list[dict[str, Any]]) -> str:
    """README.md of an exported model. manifest: the training run's; cells: those of a results.json."""
    config = manifest["config"]
    method = method_described(manifest)
    base = (
        Path(config["model"]["path"]).name if _is_local(config["model"]["path"]) else config["model"]["path"]
    )
    head = [f"library_name: {'peft' if is_adapter else 'transformers'}", "pipeline_tag: text-generation"]
    if not _is_local(config["model"]["path"]):
        head.append(f"base_model: {base}")
    head.append("tags: [safety, refusal, derta]")
    parts = [
        "---\n" + "\n".join(head) + "\n---",
        f"# {base}, tuned with `{method['name']}`",
        f"{method['what']} ([paper]({PAPER})). Made by derta {manifest['code']['derta']}"
        + (f" (commit {manifest['code']['commit'][:12]})." if manifest["code"].get("commit") else "."),
        f"## Use\n\n{_use(base, is_adapter=is_adapter)}",
        f"## Data\n\n{_data(manifest)}",
        f"## Training\n\n{_training(manifest)}",
        f"## Results\n\n{_results(cells)}",
        f"## Limits\n\n{LIMITS}",
    ]
    return "\n\n".join(parts) + "\n"


def method_described(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a training run's manifest says of its method; of a run by an older version, what derta knows of it."""
    if "method" in manifest:
        return dict(manifest["method"])
    return describe(METHODS[manifest["config"]["method"]])


def _own_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Numbers among the settings that are the method's own."""
    chosen = config["method"]
    settings = config.get(chosen) if isinstance(chosen, str) and chosen in METHODS else chosen["settings"]
    of_own = isinstance(chosen, dict) or METHODS[chosen].settings is not None
    return {k: v for k, v in (settings or {}).items() if of_own and isinstance(v, int | float)}


def _is_local(path: str) -> bool:
    return Path(path).exists() or path.startswith((".", "/", "~"))


def _use(base: str, *, is_adapter: bool) -> str:
    template = "The tokenizer and the chat template that it was trained with lie beside it."
    if not is_adapter:
        return f"`AutoModelForCausalLM.from_pretrained(FOLDER)`. {template}"
    return (
        f"An adapter on top of `{base}`: `AutoModelForCausalLM.from_pretrained(FOLDER)` loads both, where "
        f"`base_model_name_or_path` in adapter_config.json names a place that has the base model. {template}"
    )


def _data(manifest: dict[str, Any]) -> str:
    rows = manifest["rows"]
    lines = ["| rows | used | given |", "|---|---|---|"]
    lines += [f"| {kind} | {rows['used'].get(kind, 0)} | {count} |" for kind, count in rows["given"].items()]
    for title in ("dropped", "cut"):
        lines += [f"| {title}: {_cell(reason)} | {count} | |" for reason, count in rows[title].items()]
    lines += ["", "| file | SHA-256 |", "|---|---|"]
    lines += [f"| {_cell(Path(path).name)} | `{digest}` |" for path, digest in manifest["inputs"].items()]
    return "\n".join(lines)


def _training(manifest: dict[str, Any]) -> str:
    config = manifest["config"]
    lora = config.get("lora")
    facts: dict[str, Any] = {
        "tuning": f"LoRA, r {lora['r']}, alpha {lora['alpha']}, dropout {lora['dropout']}"
        if lora
        else "full",
        "rows per step": config["batch"]["rows"],
        "steps": manifest["steps"],
        "longest row (tokens)": config["max_length"],
        "seed": config["seed"],
        "chat template (SHA-256)": manifest["template_hash"],
    }
    if "refusal_token" in manifest:
        token = manifest["refusal_token"]
        facts["refusal token"] = f"id {token['start']} ({config['refusal']['text']!r}), rule {token['rule']}"
    method = method_described(manifest)
    if "prefix" in method["uses"]:
        facts["prefix length k"] = config["prefix"]["k"]
    if "harmful" in method["uses"]:
        facts["RTO positions kept"] = f"{config['rto']['keep_rate']:.0%}"
    facts |= {f"{method['title']} {name}": value for name, value in _own_settings(config).items()}
    facts |= {f"needs at generation: {name}": value for name, value in method["decoding"].items()}
    facts |= config["training"]
    facts |= {
        f"{name} version": version for name, version in manifest["libraries"].items() if name != "inspect-ai"
    }
    return "\n".join(
        ["| setting | value |", "|---|---|", *(f"| {k} | {_cell(v)} |" for k, v in facts.items())]
    )


def _results(cells: list[dict[str, Any]]) -> str:
    if not cells:
        return "None were given. Measure them with `derta evaluate` before you rely on this model."
    names = ("metric", "attack", "judge", "value", "95 % interval", "n", "without verdict")
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for cell in cells:
        interval = "" if cell.get("low") is None else f"{cell['low']:.3f} to {cell['high']:.3f}"
        value = "" if cell.get("value") is None else f"{cell['value']:.3f}"
        what = " | ".join(_cell(cell.get(name) or "") for name in names[:3])
        lines.append(f"| {what} | {value} | {interval} | {cell['n']} | {cell.get('unknown', 0)} |")
        if cell["metric"] == "over_refusal" and not _has_helpfulness(cells, cell):
            lines.append(f"| helpfulness | {_cell(cell.get('attack') or '')} | | not measured | | 0 | |")
    return "\n".join(lines)


def _has_helpfulness(cells: list[dict[str, Any]], refused: dict[str, Any]) -> bool:
    """Whether the answers to the questions of an over-refusal cell were also read for what they are worth."""
    where = ("model", "method", "attack")
    return any(
        cell["metric"] == "helpfulness" and all(cell.get(name) == refused.get(name) for name in where)
        for cell in cells
    )


def _cell(value: Any) -> str:
    """One line that can't break a Markdown table."""
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
