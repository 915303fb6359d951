"""Many token sequences as one packed line in which common prefixes stand once.

    sequences   a b c d e        line   [a b c][d e][x y][p q r]
                a b c x y        nodes   0      1    2    3
                p q r            parent  -      0    0    -

A token attends to its own node up to itself and to all tokens of the nodes above: exactly what it sees in its
own sequence. Positions count along the path from the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import eq

MIN_SHARED = 16  # tokens; a node costs an attention call a layer, so shorter runs are simply repeated


@dataclass(frozen=True)
class Node:
    """A run of tokens of the line.

    start, end: its place in the line. above: (start, end) of the nodes on the path from the root, in order.
    """

    start: int
    end: int
    above: tuple[tuple[int, int], ...]

    @property
    def depth(self) -> int:
        """Tokens on the path before this node; its first token has this position."""
        return sum(end - start for start, end in self.above)

    @property
    def path(self) -> tuple[tuple[int, int], ...]:
        """The nodes above and this one."""
        return (*self.above, (self.start, self.end))


@dataclass(frozen=True)
class TokenTree:
    """ids, position_ids: the line. places: for each sequence, the line's index of each of its tokens."""

    ids: list[int]
    position_ids: list[int]
    nodes: list[Node]
    places: list[list[int]]


def build_tree(sequences: Sequence[Sequence[int]], *, min_shared: int = MIN_SHARED) -> TokenTree:
    """The tree of some sequences, none of them empty; equal ones share all their places."""
    order = sorted(range(len(sequences)), key=lambda index: tuple(sequences[index]))
    tree = TokenTree([], [], [], [[] for _ in sequences])
    open_groups: list[tuple[list[int], int, tuple[tuple[int, int], ...]]] = [(order, 0, ())]
    while open_groups:  # a stack instead of recursion: a chain of prefixes may be deep
        group, start, above = open_groups.pop()
        first, last = sequences[group[0]], sequences[group[-1]]
        shared = common_prefix(first, last)  # of all: the group is sorted
        is_leaf = shared == len(last)
        if is_leaf or shared - start >= min_shared:
            above = _add_node(tree, first[start:shared], above)
            start = shared
        if is_leaf:
            place = [token for begin, end in above for token in range(begin, end)]
            for index in group:
                tree.places[index] = list(place)
            continue
        members = groupby(group, key=lambda index: sequences[index][shared : shared + 1])
        open_groups += reversed([(list(member), start, above) for _, member in members])
    return tree


def split_by_tokens(sequences: Sequence[Sequence[int]], most: int) -> list[list[int]]:
    """Indices of the sequences in groups whose trees hold about `most` tokens; neighbours in order share most."""
    order = sorted(range(len(sequences)), key=lambda index: tuple(sequences[index]))
    groups: list[list[int]] = []
    used = 0
    for index in order:
        new = len(sequences[index])
        if groups:
            new -= common_prefix(sequences[groups[-1][-1]], sequences[index])
        if not groups or used + new > most:
            groups.append([])
            used, new = 0, len(sequences[index])
        groups[-1].append(index)
        used += new
    return groups


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their start."""
    return sum(1 for _ in takewhile(bool, map(eq, first, second)))


def _add_node(
    tree: TokenTree, ids: Sequence[int], above: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, int], ...]:
    """Append a run below `above`; returns its path. An empty run is no node."""
    if not ids:
        return above
    node = Node(len(tree.ids), len(tree.ids) + len(ids), above)
    tree.ids.extend(ids)
    tree.position_ids.extend(range(node.depth, node.depth + len(ids)))
    tree.nodes.append(node)
    return node.path
