#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy and cppcheck over the product's sources; the compiler's flags are the arguments. Silent and 0 when there is nothing
# to say. Some ten minutes on two cores.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
for t in clang-tidy cppcheck; do
	command -v $t >/dev/null || { echo "lint: $t is missing; make deps-dev installs it" >&2; exit 1; }
done
mapfile -t files < <(git ls-files 'log/*.c' 'broker/*.c' 'processor/*.c' 'replay/*.c' 'tools/*.c')
flags=()
for f; do
	case $f in -fstack* | -fcf* | -W* | -O* | -g* | -fsanitize*) ;; *) flags+=("$f") ;; esac
done

# ---- clang-tidy: what is left out, and why ----------------------------------------------------------------
checks='-*,bugprone-*,clang-analyzer-*,cert-err34-c,misc-redundant-expression'
# gcc's -Wconversion and -Wsign-conversion are on; these repeat it and see widenings of constants
checks+=',-bugprone-narrowing-conversions,-bugprone-implicit-widening-of-multiplication-result,-bugprone-misplaced-widening-cast'
# every function of two integers or two strings
checks+=',-bugprone-easily-swappable-parameters'
# _GNU_SOURCE; `if ((p = next()))`; arms of a chain that stand apart because their reasons do
checks+=',-bugprone-reserved-identifier,-bugprone-assignment-in-if-condition,-bugprone-branch-clone'
# macros that declare things cannot wrap their arguments; arrays of pointers are meant
checks+=',-bugprone-macro-parentheses,-bugprone-sizeof-expression'
# the analyzer sees one file at a time: to it a function of another may return ERR_OK and leave its ret_ unset, or an array may
# be empty whose count is not. The findings that were read were all of that kind. gcc's -Wmaybe-uninitialized and
# -Wnull-dereference at -O2, cppcheck and the sanitizers look for the same
checks+=',-clang-analyzer-core.uninitialized.*,-clang-analyzer-core.UndefinedBinaryOperatorResult'
checks+=',-clang-analyzer-core.NullDereference,-clang-analyzer-core.NonNullParamChecker,-clang-analyzer-core.CallAndMessage'
# strings here are counted (struct str), not terminated
checks+=',-bugprone-not-null-terminated-result'
# wants memcpy_s, which glibc has not; wants fields ordered by size, not by meaning
checks+=',-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-optin.performance.Padding'
rc=0
# shellcheck disable=SC2016
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c '
	f=${!#} checks=$1 model=(-include tools/dev/lint_model.h)
	[ "$f" != log/base/err.c ] || model=()
	case $f in *_avx2.c) model+=(-mavx2) ;; esac
	clang-tidy --quiet --checks="$checks" --warnings-as-errors="*" "$f" -- "${@:2:$#-2}" "${model[@]}" 2>/dev/null' \
	lint "$checks" "${flags[@]}" || rc=1

# ---- cppcheck -----------------------------------------------------------------------------------------------
suppress=(missingIncludeSystem
	varFuncNullUB                                   # NULL is a pointer in every libc this builds on
	'incorrectLogicOperator:processor/op/*'         # 2.10 misreads hexadecimal floats: v >= -0x1p63
	internalAstError:log/scan.c                     # 2.10 cannot parse a conditional in a macro's argument
	# guarded by an error code that it does not follow; clang's analyzer does
	nullPointer:broker/groups/handle_membership.c ctunullpointer:broker/groups/handle_membership.c
	nullPointer:tools/cli.c ctunullpointer:log/base/bytes.c ctuuninitvar:log/base/json.c
	uninitStructMember:log/recovery_scan.c)
cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 -j "$(nproc)" -I. \
	"${suppress[@]/#/--suppress=}" "${files[@]}" || rc=1
exit $rc
