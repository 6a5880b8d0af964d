"""Sentence patterns of generated text: one set each for training, validation and evaluation.

A text is a register prefix, an opening, a claim and, in two of the four registers, a closing. The
four registers and the shape of their closings follow the specification's generator. An opening
has a kind, and a claim names the kind of opening it can follow:

    area      says what the topic is or where it is used; the claim brings in the method
    problem   names the problem; the claim answers it with the method
    method    names the method; the claim says what it does

Placeholders: ``{t}`` topic, ``{d}`` definition, ``{m}`` method, ``{p}`` problem, ``{g}`` gain,
``{u}`` use, ``{c}`` situation, ``{e}`` evidence (their grammar: :mod:`.blocks`). The opening and
the claim of one text never fill the same placeholder.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EVALUATION", "REGISTERS", "TRAINING", "VALIDATION", "Pattern", "PatternSet"]

REGISTERS = ("技術解説", "研究背景", "概要", "詳細分析")


@dataclass(frozen=True)
class Pattern:
    """One sentence with placeholders. ``name`` is its identity in the groups of a document."""

    name: str
    kind: str
    text: str

    def slots(self) -> frozenset[str]:
        """Letters of the placeholders in the text."""
        return frozenset(self.text[i + 1] for i, char in enumerate(self.text) if char == "{")


@dataclass(frozen=True)
class PatternSet:
    """Openings, claims and closings of one side. The kind of a closing is its register."""

    openings: tuple[Pattern, ...]
    claims: tuple[Pattern, ...]
    closings: tuple[Pattern, ...]


def _read(side: str, role: str, text: str) -> tuple[Pattern, ...]:
    """Read ``kind: sentence`` lines."""
    lines = [line.split(":", 1) for line in text.strip().splitlines()]
    return tuple(
        Pattern(f"{side}/{role}/{number:02d}", kind.strip(), sentence.strip())
        for number, (kind, sentence) in enumerate(lines, start=1)
    )


def _pattern_set(side: str, openings: str, claims: str, closings: str) -> PatternSet:
    return PatternSet(
        _read(side, "opening", openings),
        _read(side, "claim", claims),
        _read(side, "closing", closings),
    )


TRAINING = _pattern_set(
    "training",
    openings="""
area: {t}は、{d}です。
area: {t}とは{d}であり、{u}に利用されています。
area: {d}として、{t}が広く知られています。
area: {t}は{u}に欠かせない技術です。
area: {u}では、{t}が重要な役割を担っています。
area: 近年、{t}は{u}への応用が進んでいます。
area: {u}への期待とともに、{t}への関心も高まっています。
problem: {t}では、{p}が大きな課題となります。
problem: {t}を実用化するうえで、{p}は避けて通れない問題です。
problem: {c}に限らず、{t}では{p}がしばしば見られます。
problem: {t}に取り組む際は、しばしば{p}が障害となります。
problem: {u}に{t}を適用すると、{p}が表面化することがあります。
problem: {t}の性能は、{p}によって損なわれる場合があります。
problem: {c}でも、{t}における{p}は無視できません。
method: {t}を支える仕組みの一つが{m}です。
method: {m}は、{t}において広く使われる技術です。
method: {t}の研究では、{m}が繰り返し取り上げられてきました。
method: {t}に{m}を取り入れる例が増えています。
method: {c}では、{t}に{m}を組み合わせることがあります。
method: {u}に{t}を用いる場合、{m}が有力な選択肢となります。
""",
    claims="""
area: {m}を取り入れると、{p}を抑えながら{g}を高められます。
area: 特に{m}は、{p}を防ぐ手段として注目されています。
area: {e}では、{m}が{g}の向上に寄与すると報告されています。
area: {c}でも、{m}を使えば{g}を保てます。
area: なかでも{m}によって、{g}が大きく改善されました。
area: {p}への対策としては、{m}が効果的です。
area: {e}からも、{m}の有無が{g}を左右することがわかります。
area: {p}を抑えるには、{m}を早い段階で検討すべきです。
problem: この課題に対しては、{m}を導入して{g}を高める方法が有力です。
problem: {m}はその影響を和らげ、{g}の向上につながります。
problem: {e}では、{m}がこの問題の緩和に役立つことが示されました。
problem: そこで{m}を採用し、{g}を確保する設計が一般的です。
problem: 解決策として{m}が提案され、{u}でも成果を上げています。
problem: {m}を適切に設定すれば、{c}でも{g}を維持できます。
problem: {e}によれば、{m}の導入後に{g}が改善しました。
method: これにより{p}が抑えられ、{g}が向上します。
method: その狙いは、{p}を抑えて{g}を引き上げることにあります。
method: {e}でも、{g}の改善に有効であることが確かめられています。
method: {p}が生じにくくなるため、{u}に適しています。
method: {g}を重視する{u}では、とりわけ効果を発揮します。
method: {c}でも{g}を損なわない点が利点です。
method: {p}を防ぐ効果は、{e}によって裏付けられています。
""",
    closings="""
概要: これらの技術は今後も発展が予想されます。
概要: 今後は{u}での活用も期待されます。
概要: {t}の適用範囲はさらに広がる見込みです。
概要: {u}への展開も始まっています。
概要: {t}を学ぶ際の基本となる考え方です。
詳細分析: 実用化に向けた課題も存在します。
詳細分析: ただし、{c}では追加の検証が必要です。
詳細分析: {m}の活用には経験も求められます。
詳細分析: {e}を重ねることが望まれます。
詳細分析: 一方で、導入費用との比較も欠かせません。
""",
)

EVALUATION = _pattern_set(
    "evaluation",
    openings="""
area: {t}という言葉は、{d}を表します。
area: {u}を手がける現場で、{t}の採用が相次いでいます。
area: {d}、それが{t}です。
area: {u}の担当者にとって、{t}は身近な存在になりました。
problem: {t}の難しさは、{p}が起こりうる点にあります。
problem: {p}をどう防ぐかは、{t}の長年の論点です。
problem: {c}だと、{t}には{p}がつきまといます。
problem: {u}で聞かれる{t}の悩みは、{p}です。
method: {t}の工夫として、まず{m}が挙げられます。
method: {m}は、{t}の歩みとともに磨かれてきました。
method: {u}向けの{t}には、{m}がしばしば加えられます。
method: {t}が{p}を乗り越える決め手は{m}です。
""",
    claims="""
area: {p}に備えたいなら、{m}から試すとよいでしょう。
area: {m}の登場で、{g}は一段と良くなりました。
area: {e}を見る限り、{m}は{g}に好ましい変化をもたらします。
area: {c}なら、{m}の出番です。
problem: {m}なら、{g}まで含めて改善が見込めます。
problem: {e}からは、{m}を入れると状況が好転する様子が読み取れます。
problem: 対処の要は{m}であり、効果は{g}にも及びます。
problem: {c}でこそ、{m}の働きが{g}を支えます。
method: {g}に良い影響があるのは、{p}に先回りして手を打てるからです。
method: {e}が物語るとおり、{g}の面で差が出ます。
method: {c}であっても、{p}に悩まされにくくなります。
method: {g}が伴うからこそ、{u}の関係者に選ばれています。
""",
    closings="""
概要: 次の目標は{u}での定着です。
概要: {t}は着実に根付きつつあります。
概要: 導入の輪は年々広がっています。
詳細分析: {c}の扱いは議論の途上です。
詳細分析: {m}への過信は禁物です。
詳細分析: 細部には議論の余地が残ります。
詳細分析: 費用の見積もりは別途必要です。
""",
)

VALIDATION = _pattern_set(
    "validation",
    openings="""
area: ひとことで言えば、{t}は{d}に当たります。
area: {u}に取り組む人々の間で、{t}が話題に上ります。
area: {d}を指して、{t}と呼びます。
area: {t}が活躍する場の一つに、{u}があります。
problem: {t}を使い始めると、まず{p}に突き当たります。
problem: {p}は、{t}の泣きどころとして知られています。
problem: {c}ほど、{t}では{p}が目立ちます。
problem: {u}に使う{t}では、{p}への対処が後回しにされがちです。
method: {t}の要所には、{m}が据えられています。
method: {m}の採用は、{t}にとって転機となりました。
method: {m}を添えた{t}は、{u}で頼りにされています。
method: {p}に悩む{t}の現場で、{m}が試されるようになりました。
""",
    claims="""
area: {m}を加えておくと、{p}の心配が減ります。
area: ここに{m}を組み合わせると、{g}に手応えが出ます。
area: {m}が{g}を押し上げることは、{e}で確認済みです。
area: {c}で使うには、{m}が頼みの綱になります。
problem: ここで効いてくるのが{m}で、{g}にも弾みがつきます。
problem: {e}の結果は、{m}がこの難点を軽くすることを伝えています。
problem: {m}の手を借りれば、{g}が持ち直します。
problem: たとえ{c}でも、{m}を欠かさなければ{g}は落ちません。
method: {p}を早めに食い止めるので、{g}が底上げされます。
method: {e}にも、{g}の伸びがはっきりと表れました。
method: {c}にあっても、{p}を招きにくいのが強みです。
method: {u}の担い手が求める{g}に、まっすぐ応えます。
""",
    closings="""
概要: {u}の姿も、これから変わっていくでしょう。
概要: {t}の裾野は、なお広がりそうです。
概要: 初めて学ぶ人にも入り口は開かれています。
詳細分析: {c}での振る舞いは、まだ調べ尽くされていません。
詳細分析: {m}だけで片付くとは限りません。
詳細分析: どこまで当てはまるかは、場面ごとに見極めが要ります。
詳細分析: 手間に見合うかどうかも問われます。
""",
)
