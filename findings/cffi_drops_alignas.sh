#!/usr/bin/env bash
# cffi 2.1.1 (with pycparser 3.12): cdef() reads `_Alignas` in a struct and drops it without an error or a warning.
#
# Valid C11; gcc lays the member out at offset 16, cffi at offset 4. In ABI mode (dlopen) nothing compares the two: the
# caller writes the member where the library does not look for it, and a struct of 32 bytes is given 8. `#pragma pack` at
# least warns, and `__attribute__((aligned))` is a syntax error; `_Alignas` is the only one of the three that is silent.
#
# Seen on Linux x86-64, Python 3.11:
#     gcc: size 32, offset of b 16      cffi: size 8, offset of b 4, warnings: none      b as the library reads it: 0
# Needs: gcc, python3 with venv, PyPI. Exit status 0 while it is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check cffi==2.1.1 pycparser==3.12

cat >lib.c <<'C'
#include <stddef.h>
struct pair { char a; _Alignas(16) int b; };
unsigned long size(void) { return sizeof(struct pair); }
unsigned long offset(void) { return offsetof(struct pair, b); }
int read_b(const struct pair *p) { return p->b; }
C
gcc -std=c11 -Wall -Wextra -Werror -shared -fPIC -o lib.so lib.c

cat >seen.py <<'PYTHON'
import warnings

import cffi

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    ffi = cffi.FFI()
    ffi.cdef(
        "struct pair { char a; _Alignas(16) int b; };"
        "unsigned long size(void); unsigned long offset(void); int read_b(const struct pair *);"
    )
    lib = ffi.dlopen("./lib.so")
room = ffi.new("char[64]")  # large enough for either layout, so that reading stays inside
pair = ffi.cast("struct pair *", (int(ffi.cast("uintptr_t", room)) + 15) // 16 * 16)
pair.b = 7
print(
    f"cffi {cffi.__version__}. gcc: size {lib.size()}, offset of b {lib.offset()};"
    f" cffi: size {ffi.sizeof('struct pair')}, offset of b {ffi.offsetof('struct pair', 'b')},"
    f" warnings: {len(said) or 'none'}; b as the library reads it: {lib.read_b(pair)}"
)
PYTHON
seen=$(env/bin/python seen.py)
echo "$seen"
[ "$seen" = "cffi 2.1.1. gcc: size 32, offset of b 16; cffi: size 8, offset of b 4, warnings: none; b as the library reads it: 0" ] ||
    { echo "changed: the line above is not the one that this file tells of" >&2; exit 1; }
