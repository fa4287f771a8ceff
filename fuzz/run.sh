#!/bin/sh
# Runs fuzz targets one after the other from their seeds: each a fixed number of inputs, the same every
# time (FUZZ_RUNS: another number), or for FUZZ_SECONDS. What is found is kept in BUILD/fuzz/found.
set -eu
cd "$(dirname "$0")/.."
: "${BUILD:=build}" "${FUZZ_RUNS:=}" "${FUZZ_SECONDS:=}"

# About four seconds of one core each.
runs_of() {
	case $1 in
	signature | selector) echo 1000 ;;
	wire) echo 2500 ;;
	layer) echo 4000 ;;
	record | manifest) echo 8000 ;;
	types) echo 40000 ;;
	*) echo 12000 ;;
	esac
}

# What a run finds must not hang on the machine that it runs on. Lua's hash seed is made of addresses, one
# of which lies below environment and arguments on the stack; a directory has its files in any order.
start() {
	seeds=$(printf '%s,' "fuzz/corpus/$1"/*)
	# Leaks are looked for at the end only: Lua frees late.
	env -i PATH="$PATH" LUA_PATH="lua/?.lua;lua/?/init.lua;?.lua;;" LUA_CPATH=";;" \
		ASAN_OPTIONS=allocator_may_return_null=1:quarantine_size_mb=8:malloc_context_size=10 \
		UBSAN_OPTIONS=print_stacktrace=1 \
		setarch -R "$BUILD/fuzz/$1" $budget -detect_leaks=0 -timeout=25 -rss_limit_mb=2048 -print_funcs=0 \
		-reload=0 -print_final_stats=1 -artifact_prefix="$found/$1-" -seed_inputs="${seeds%,}" "$corpus" >"$log" 2>&1
}

tell() {
	awk -v target="$1" '
		/ ft: / { for (i = 1; i < NF; i++) { if ($i == "cov:") edges = $(i + 1); if ($i == "ft:") features = $(i + 1) } }
		/^stat::number_of_executed_units/ { runs = $2 }
		/^Done / { seconds = $(NF - 1) }
		END { printf "fuzz %-10s %8d inputs in %4d s, %5d edges, %6d features; nothing found\n", target, runs,
			seconds, edges, features }' "$log"
}

found=$BUILD/fuzz/found
mkdir -p "$found"
status=0
for target in "$@"; do
	log=$BUILD/fuzz/$target.log
	corpus=$BUILD/fuzz/corpus/$target
	budget="-max_total_time=$FUZZ_SECONDS"
	if [ -z "$FUZZ_SECONDS" ]; then # a longer run goes on where the last one has ended
		budget="-runs=${FUZZ_RUNS:-$(runs_of "$target")} -seed=1"
		corpus=$BUILD/fuzz/corpus.fixed/$target
		rm -rf "$corpus"
	fi
	mkdir -p "$corpus"
	ln -f "$BUILD/fuzz/fuzzer" "$BUILD/fuzz/$target"
	if start "$target"; then
		tell "$target"
	else
		status=1
		echo "fuzz $target: a finding, kept in $found; $log ends with" >&2
		tail -40 "$log" >&2
	fi
done
exit $status
