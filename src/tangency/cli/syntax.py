"""The syntax of network strings: a text becomes a tree, not yet a network.

::

    chain    =  layer { layer }
    layer    =  name [ "(" [ argument { "," argument } ] ")" ]
    argument =  name "=" value  |  value  |  chain
    value    =  number  |  "sqrt(" number ")"  |  none  |  true  |  false
             |  "(" value { "," value } ")"  |  word
"""

import re
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(
    r"(?P<number>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<mark>[(),=])"
)
WORDS = {"none": None, "true": True, "false": False}


class SyntaxProblem(ValueError):
    """A network string that cannot be read; the message points at the place."""

    def __init__(self, text: str, at: int, problem: str) -> None:
        super().__init__(f"network: {problem}\n  {text}\n  {' ' * at}^")


@dataclass(frozen=True)
class Call:
    """A layer as it was written.

    Args:
        name: of the layer.
        args: its arguments: numbers, tuples, None, bools, or chains of ``Call``.
        kwargs: its named arguments.
        at: where the name stands in the text.
    """

    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    at: int = 0


def parse(text: str) -> list[Call]:
    """The chain that ``text`` describes.

    >>> [call.name for call in parse("conv(64, 3) relu")]
    ['conv', 'relu']
    """
    reader = _Reader(text)
    chain = reader.chain()
    if reader.kind:
        reader.fail(f"unexpected {reader.text!r}")
    return chain


class _Reader:
    """One pass over the tokens; ``text`` and ``kind`` are those of the current one."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = list(self._tokens())
        self.i = 0

    def _tokens(self) -> Any:
        at = 0
        while at < len(self.source):
            if self.source[at].isspace():
                at += 1
                continue
            match = TOKEN.match(self.source, at)
            if match is None:
                raise SyntaxProblem(
                    self.source, at, f"unexpected character {self.source[at]!r}"
                )
            yield match.lastgroup, match.group(), at
            at = match.end()
        yield "", "", at

    kind = property(lambda self: self.tokens[self.i][0])
    text = property(lambda self: self.tokens[self.i][1])
    at = property(lambda self: self.tokens[self.i][2])

    def fail(self, problem: str) -> None:
        raise SyntaxProblem(self.source, self.at, problem)

    def take(self, text: str) -> bool:
        """Step over ``text`` if it comes next."""
        if self.text != text:
            return False
        self.i += 1
        return True

    def expect(self, text: str) -> None:
        if not self.take(text):
            found = repr(self.text) if self.kind else "the end"
            self.fail(f"expected {text!r}, found {found}")

    def chain(self) -> list[Call]:
        if self.kind != "name":
            self.fail("expected the name of a layer")
        calls = []
        while self.kind == "name":
            calls.append(self.call())
        return calls

    def call(self) -> Call:
        call = Call(self.text, at=self.at)
        self.i += 1
        if self.take("(") and not self.take(")"):
            self.argument(call)
            while self.take(","):
                self.argument(call)
            self.expect(")")
        return call

    def argument(self, call: Call) -> None:
        if self.kind == "name" and self.tokens[self.i + 1][1] == "=":
            name = self.text
            if name in call.kwargs:
                self.fail(f"{name} is given twice")
            self.i += 2
            call.kwargs[name] = self.value()
        elif call.kwargs:
            self.fail("an argument without a name follows one with a name")
        else:
            call.args.append(self.value())

    def value(self) -> Any:
        if self.kind == "number":
            number = self.text
            self.i += 1
            return int(number) if re.fullmatch(r"[-+]?\d+", number) else float(number)
        if self.take("("):
            entries = [self.value()]
            while self.take(","):
                if self.text == ")":
                    break
                entries.append(self.value())
            self.expect(")")
            return tuple(entries)
        if self.kind != "name":
            self.fail("expected a number, a word or a layer")
        if self.text.lower() in WORDS:
            self.i += 1
            return WORDS[self.tokens[self.i - 1][1].lower()]
        if self.text.lower() == "sqrt":
            return self.root()
        return self.chain()

    def root(self) -> float:
        self.i += 1
        self.expect("(")
        if self.kind != "number" or float(self.text) < 0:
            self.fail("expected a number >= 0 under sqrt")
        root = float(self.text) ** 0.5
        self.i += 1
        self.expect(")")
        return root
