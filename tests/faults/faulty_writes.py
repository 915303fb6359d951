"""Injected disk trouble: the N-th call that writes fails, in one of several ways."""

import builtins
import errno
import io
import os
from contextlib import ExitStack
from unittest import mock

import safetensors.torch
import transformers.modeling_utils
from safetensors import SafetensorError

import derta.training.checkpoints.checkpoint
import derta.training.checkpoints.saving

KINDS = ("no space", "i/o error", "read-only", "short write")
NUMBERS = {
    "no space": errno.ENOSPC,
    "i/o error": errno.EIO,
    "read-only": errno.EROFS,
    "short write": errno.ENOSPC,
}
SAVERS = (
    (derta.training.checkpoints.checkpoint, "save_file"),
    (derta.training.checkpoints.saving, "save_file"),
    (transformers.modeling_utils, "safe_save_file"),
)


os_mkdir = os.mkdir


class FaultyWrites(ExitStack):
    """Within the block, writing call number `fail_at` (from 1) fails; later ones work. `calls` counts them."""

    def __init__(self, fail_at, kind):
        super().__init__()
        self.fail_at, self.kind, self.calls = fail_at, kind, 0

    def __enter__(self):
        super().__enter__()
        # what counts here is that a failing fsync is noticed; a real one per file would take minutes
        self.enter_context(mock.patch.object(os, "fsync", self.guarded(lambda descriptor: None)))
        for name in ("replace", "rename", "mkdir"):
            self.enter_context(mock.patch.object(os, name, self.guarded(getattr(os, name))))
        plain_open = io.open
        for module in (io, builtins):
            self.enter_context(mock.patch.object(module, "open", self.guarded_open(plain_open)))
        for module, name in SAVERS:
            self.enter_context(mock.patch.object(module, name, self.guarded_save))
        return self

    @property
    def happened(self):
        return self.calls >= self.fail_at

    def due(self):
        self.calls += 1
        return self.calls == self.fail_at

    def fail(self, path=None):
        number = NUMBERS[self.kind]
        raise OSError(number, os.strerror(number), None if path is None else str(path))

    def guarded(self, plain):
        def call(first, *rest, **more):
            is_there = plain is os_mkdir and os.path.isdir(first)  # nothing is written then
            if not is_there and self.due():
                self.fail(first if isinstance(first, str | os.PathLike) else None)
            return plain(first, *rest, **more)

        return call

    def guarded_open(self, plain):
        def call(path, mode="r", *rest, **more):
            if not set(mode) & set("wax+"):
                return plain(path, mode, *rest, **more)
            if self.due():
                self.fail(path)
            handle = plain(path, mode, *rest, **more)
            return _Handle(handle, self)

        return call

    def guarded_save(self, tensors, path, *rest, **more):
        if self.due():
            safetensors.torch.save_file(tensors, path, *rest, **more)
            if self.kind == "short write":
                os.truncate(path, os.path.getsize(path) // 2)
            else:
                os.unlink(path)
            number = NUMBERS[self.kind]
            raise SafetensorError(f"I/O error: {os.strerror(number)} (os error {number})")
        safetensors.torch.save_file(tensors, path, *rest, **more)


class _Handle:
    """An open file whose writes count."""

    def __init__(self, handle, faults):
        self.handle, self.faults = handle, faults

    def write(self, data):
        if self.faults.due():
            if self.faults.kind == "short write":
                self.handle.write(data[: len(data) // 2])
            self.faults.fail(self.handle.name)
        return self.handle.write(data)

    def __getattr__(self, name):
        return getattr(self.handle, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.handle.close()
