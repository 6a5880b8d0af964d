"""Records (a JSON line, a row of a Hub data set) to documents.

Three shapes are known: a text; a prompt with its completion, the loss on the completion only; and
messages, rendered through the tokenizer's chat template, the loss on the assistant's turns only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import DataError
from .document import Document, Segment
from .paragraphs import read_text

__all__ = ["RecordFields", "read_json_lines", "record_to_document"]


@dataclass(frozen=True)
class RecordFields:
    """Names of the fields to read; ``explicit`` where the user named the shape."""

    text: str = "text"
    prompt: str = "prompt"
    completion: str = "completion"
    messages: str = "messages"
    explicit: str | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any], where: str) -> RecordFields:
        """Read ``text_field``, ``prompt`` with ``completion``, or ``messages``."""
        known = {"text_field": "text", "prompt": "prompt", "completion": "completion"}
        names = {**known, "messages": "messages"}
        for key, value in options.items():
            if key not in names or not isinstance(value, str) or not value:
                raise DataError(
                    f"dataset {where}: {key}: {value!r} is not understood; "
                    "give text_field, prompt with completion, or messages, each a field name",
                    f"データ {where}: {key}: {value!r} は使えません。text_field、"
                    "prompt と completion、messages のいずれかに項目名を指定してください",
                )
        shapes = {"text" if key in ("text_field",) else key for key in options}
        shape = "prompt" if shapes == {"prompt", "completion"} else "".join(sorted(shapes))
        if shape not in ("", "text", "prompt", "messages"):
            raise DataError(
                f"dataset {where}: fields {sorted(options)} do not go together; "
                "give text_field, prompt with completion, or messages",
                f"データ {where}: 項目 {sorted(options)} は組み合わせられません。text_field、"
                "prompt と completion、messages のいずれかを指定してください",
            )
        return cls(**{names[key]: value for key, value in options.items()}, explicit=shape or None)

    def shape_of(self, record: Mapping[str, Any]) -> str | None:
        """``messages``, ``prompt`` or ``text``: the shape asked for, else the first present."""
        present = {
            "messages": self.messages in record,
            "prompt": self.prompt in record and self.completion in record,
            "text": self.text in record,
        }
        if self.explicit is not None:
            return self.explicit if present[self.explicit] else None
        return next((shape for shape, found in present.items() if found), None)


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``("file:line", record)``; :class:`DataError` for a line that is no JSON object."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, too
            reason = getattr(error, "msg", "a number or a nesting beyond all bounds")
            reason_ja = getattr(error, "msg", "桁数か入れ子が大きすぎます")
            raise DataError(
                f"{where}: not valid JSON ({reason}); fix or delete it",
                f"{where}: 正しい JSON ではありません ({reason_ja})。直すか、行を削除してください",
            ) from error
        if not isinstance(record, dict):
            raise DataError(
                f"{where}: a JSON object is needed, got {type(record).__name__}",
                f"{where}: JSON オブジェクトが必要です (現在の型: {type(record).__name__})",
            )
        yield where, record


def record_to_document(
    record: Mapping[str, Any], fields: RecordFields, where: str, source: str, tokenizer: Any
) -> Document | None:
    """Document of one record, or None if it has no text.

    ``where`` (``file:line``) goes into errors; the record's own group is made from its prompt,
    so that two answers to one prompt stay together, else from its text.
    """
    shape = fields.shape_of(record)
    if shape is None:
        raise DataError(
            f"{where}: no text, prompt with completion, or messages among fields "
            f"{sorted(record)}; name them in the configuration, as dataset: {{path, text_field}}",
            f"{where}: 項目 {sorted(record)} の中に text、prompt と completion、"
            "messages のどれもありません。設定の dataset: {path, text_field} で項目名を"
            "指定してください",
        )
    if shape == "messages":
        return _chat_document(record[fields.messages], where, source, tokenizer)
    if shape == "text":
        text = _string(record[fields.text], fields.text, where)
        return _document([Segment(text, True)], text, source) if text.strip() else None
    prompt, completion = record[fields.prompt], record[fields.completion]
    if isinstance(prompt, list) and isinstance(completion, list):
        return _chat_document([*prompt, *completion], where, source, tokenizer)
    prompt = _string(prompt, fields.prompt, where)
    completion = _string(completion, fields.completion, where)
    segments = [Segment(prompt, False), Segment(completion, True)]
    return _document(segments, prompt, source) if completion.strip() else None


def _document(
    segments: Sequence[Segment], identity: str, source: str, append_eos: bool = True
) -> Document:
    group = f"record:{sha256(identity.encode()).hexdigest()[:16]}"
    kept = tuple(segment for segment in segments if segment.text)
    return Document(kept, (group,), source, append_eos)


def _string(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(
            f"{where}: field {field!r} must be a text, got {type(value).__name__}",
            f"{where}: 項目 {field!r} は文字列でなければなりません (現在の型: "
            f"{type(value).__name__})",
        )
    return _checked(value, where)


def _checked(text: str, where: str) -> str:
    """The text, if UTF-8 can hold it: JSON can spell half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{where}: the text holds half a character (a lone surrogate)",
            f"{where}: テキストに半分だけの文字 (対になっていないサロゲート) があります",
        ) from None
    return text


def _chat_document(messages: Any, where: str, source: str, tokenizer: Any) -> Document:
    """Render the turns up to each answer: what an answer adds is trained, the rest is not."""
    _check_messages(messages, where)
    if tokenizer is None or not getattr(tokenizer, "chat_template", None):
        raise DataError(
            f"{where}: messages need a tokenizer with a chat template, and this model has none; "
            "use an instruction-tuned model, or data with prompt and completion",
            f"{where}: messages にはチャットテンプレートのあるトークナイザーが必要ですが、"
            "このモデルにはありません。指示調整済みのモデルか、"
            "prompt と completion の形のデータを使ってください",
        )
    segments: list[Segment] = []
    done = ""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, after = _render_turn(tokenizer, messages, index, where)
        if not (before.startswith(done) and after.startswith(before)):
            raise DataError(
                f"{where}: the chat template rewrites earlier turns, so answers cannot be told "
                "apart; use one answer per record, or prompt with completion",
                f"{where}: チャットテンプレートが前の発言を書き換えるため、"
                "答えの部分を区別できません。1レコードに答えを1つだけにするか、"
                "prompt と completion の形にしてください",
            )
        segments.append(Segment(before[len(done) :], False))
        segments.append(Segment(after[len(before) :], True))
        done = after
    asked = next((str(m["content"]) for m in messages if m["role"] == "user"), done)
    return _document(segments, asked, source, append_eos=False)


def _render_turn(
    tokenizer: Any, messages: Sequence[Any], index: int, where: str
) -> tuple[str, str]:
    """Text before the answer at ``index`` (with the template's own opening of it) and after it."""

    def render(stop: int, opening: bool) -> str:
        if stop == 0:
            return ""
        return str(
            tokenizer.apply_chat_template(
                list(messages[:stop]), tokenize=False, add_generation_prompt=opening
            )
        )

    try:
        after = render(index + 1, False)
        before = render(index, True)
        return (before if after.startswith(before) else render(index, False)), after
    except (
        Exception
    ) as error:  # a template is a program of the model's author: it may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{where}: the chat template refuses these messages ({reason})",
            f"{where}: チャットテンプレートがこの messages を受け付けません ({reason})",
        ) from error


def _check_messages(messages: Any, where: str) -> None:
    well_formed = isinstance(messages, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
        for m in messages
    )
    if not well_formed:
        raise DataError(
            f"{where}: messages must be a list of objects with role and content",
            f"{where}: messages は role と content を持つオブジェクトのリストにしてください",
        )
    for message in messages:
        _checked(message["content"], where)
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError(
            f"{where}: messages have no assistant turn, so there is nothing to learn",
            f"{where}: messages に assistant の発言がなく、学習する部分がありません",
        )
