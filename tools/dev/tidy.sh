#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The house rules that a machine can check. Prints one line per finding; exit 1 when there is any.
#   include DAG, file and function sizes, columns, parameters, nesting, banned calls, threads outside log/base,
#   SPDX lines, README per folder, and that each `path:function` a document names exists.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1
findings=$(mktemp) || exit 1
trap 'rm -f "$findings"' EXIT
say() { printf '%s\n' "$*" >>"$findings"; }

mapfile -t sources < <(git ls-files -co --exclude-standard '*.c' '*.h' | grep -v '^build/')
mapfile -t product < <(printf '%s\n' "${sources[@]}" | grep -v '^test/')

# ---- include DAG: who may include whom ---------------------------------------------------------------
allowed() { # FOLDER -> pattern of include paths
	case $1 in
	log/base) echo '^(log/base/)' ;;
	log) echo '^(log/)' ;;
	broker) echo '^(log/|broker/)' ;;
	processor) echo '^(log/|processor/)' ;;
	replay) echo '^(log/|processor/|replay/)' ;;
	tools) echo '^(log/|broker/|processor/|replay/|tools/)' ;;
	test) echo '.' ;;
	esac
}
folder() {
	case $1 in log/base/*) echo log/base ;; *) echo "${1%%/*}" ;; esac
}
for f in "${product[@]}"; do
	ok=$(allowed "$(folder "$f")")
	[ -n "$ok" ] || { say "$f: stands in no known folder"; continue; }
	while IFS=: read -r line inc; do
		case $inc in
		*/*) [[ $inc =~ $ok ]] || say "$f:$line: may not include $inc" ;;
		*) [ -e "$(dirname "$f")/$inc" ] || [[ $inc == kafka_*.h || $inc == messages* || $inc == err.def || $inc == metrics.def ]] || say "$f:$line: include of unknown $inc" ;;
		esac
	done < <(grep -nE '^#include "' "$f" | sed -E 's/^([0-9]+):#include "([^"]+)".*/\1:\2/')
done
# broker and processor show the others one public face each
for f in "${product[@]}"; do
	case $f in tools/* | broker/* ) ;; *) continue ;; esac
	case $f in tools/*)
		grep -nE '^#include "broker/' "$f" | grep -vE '"broker/(broker|http)\.h"' | sed "s|^|$f:|;s|\$| (only broker/broker.h and broker/http.h)|" >>"$findings" ;;
	esac
done

# ---- sizes ----------------------------------------------------------------------------------------------
for f in "${sources[@]}"; do
	n=$(wc -l <"$f")
	[ "$n" -le 1000 ] || say "$f: $n lines, at most 1000"
	head -3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || say "$f:1: no SPDX line"
	case $f in *.h) grep -q '^#pragma once' "$f" || say "$f: no #pragma once" ;; esac
done
awk '
	function width(s,  i, w) {
		w = 0
		for (i = 1; i <= length(s); i++) w += substr(s, i, 1) == "\t" ? 8 - w % 8 : 1
		return w
	}
	FNR == 1 { start = 0; head = ""; in_function = 0 }
	{ w = width($0); if (w > 100 && $0 !~ /[\200-\377]/) print FILENAME ":" FNR ": " w " columns, at most 100" }
	/^[A-Za-z_]/ && !/;$/ && !/^(enum|struct|union|typedef|extern|#)[^(]*$/ { head = $0; head_line = FNR; next_head = 1 }
	/^[ \t]/ && !in_function && head != "" { head = head $0 }
	/^\{/ { in_function = 1; start = FNR; if (head ~ /\(/) {
			args = head; sub(/^[^(]*\(/, "", args); depth = 0; commas = 0
			for (i = 1; i <= length(args); i++) { c = substr(args, i, 1)
				if (c == "(") depth++; else if (c == ")") { if (depth-- == 0) break } else if (c == "," && depth == 0) commas++ }
			if (commas > 6 && head !~ /struct MHD_Connection \*/) print FILENAME ":" head_line ": " commas + 1 " parameters, at most 7"
		} head = "" }
	in_function && /^\t\t\t\t+[^\t ].*\{$/ && !/^\t*(\{|\.|\[)/ && !/= \{$/ { print FILENAME ":" FNR ": nested deeper than 3" }
	/^\}/ { if (in_function && FNR - start > 70) print FILENAME ":" start ": function of " FNR - start " lines, at most 70"
		in_function = 0; head = "" }
' "${product[@]}" >>"$findings"

# ---- banned calls and threads -----------------------------------------------------------------------------
grep -nE '\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|rand|srand|system|popen|alloca|tmpnam|mktemp)\(' "${product[@]}" |
	grep -vE '^[^:]+:[0-9]+:[ \t]*(\*|/\*|//)' | sed 's/$/  (banned call)/' >>"$findings"
for f in "${product[@]}"; do
	case $f in log/base/*) continue ;; esac
	grep -nE '\bpthread_|__atomic_|\batomic_|<stdatomic\.h>|<pthread\.h>' "$f" | sed "s|^|$f:|;s|\$|  (threads and atomics only in log/base)|" >>"$findings"
	grep -nE '[^_a-z](malloc|calloc|realloc)\(' "$f" | grep -v '\*' | sed "s|^|$f:|;s|\$|  (allocate through mem_)|" >>"$findings"
done

# ---- documents --------------------------------------------------------------------------------------------------
for d in log log/base broker processor replay tools test; do
	[ -f "$d/README.md" ] || say "$d: no README.md"
done
while IFS=: read -r doc path name; do
	if [ ! -f "$path" ]; then
		say "$doc: names $path, which does not exist"
	elif [ -n "$name" ] && ! grep -qE "\b$name\b" "$path"; then
		say "$doc: names $path:$name, which is not there"
	fi
done < <(git ls-files -co --exclude-standard '*.md' | while read -r doc; do
	[ -f "$doc" ] || continue
	grep -oE '`[a-z_]+(/[A-Za-z0-9_.-]+)+\.(c|h|def|sh|py|md)(:[a-z_0-9]+)?`' "$doc" | tr -d '`' | while read -r ref; do
		case $ref in *:*) echo "$doc:${ref%%:*}:${ref#*:}" ;; *) echo "$doc:$ref:" ;; esac
	done
done)

if [ -s "$findings" ]; then
	sort -u "$findings"
	echo "tidy: $(sort -u "$findings" | wc -l) findings" >&2
	exit 1
fi
echo "tidy: ${#sources[@]} files are clean"
