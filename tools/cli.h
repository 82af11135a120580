/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The command line: one table of commands (tools/commands.c) drives parsing, --help and `kappa
 * help`. A command is a function over parsed arguments that returns an exit code of interface.md.
 * Data goes to stdout, everything else to stderr. One thread: main's.
 */
#include "log/base/base.h"
#include <stdio.h>

/* interface.md "exit codes"; when two apply: 2, 5, 3, 4, 6, 7, 1 in this order. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3,
	EXIT_REFUSED = 4,
	EXIT_CONNECT = 5,
	EXIT_CORRUPT = 6,
	EXIT_PARTLY = 7,
	EXIT_DIFFERS = 8,
	EXIT_INTERRUPTED = 130,
};
enum exit_code exit_of(enum err e);

struct cli_option {
	const char *name;  /* without dashes; NULL ends a list */
	char letter;       /* 0 = none */
	const char *value; /* name of its value in help; NULL = a flag */
	const char *help;
};

struct cli;
struct command {
	const char *noun;                 /* "topic"; NULL ends the table */
	const char *verb;                 /* "create"; NULL = the noun is the whole command */
	const char *args;                 /* "TOPIC [FILE]", for help */
	int min_args, max_args;           /* max -1 = any number */
	const struct cli_option *options; /* besides the global ones */
	enum exit_code (*run)(struct cli *cli);
	const char *help; /* one line */
};
extern const struct command command_table[];

enum { CLI_OPTIONS_MAX = 64, CLI_ARGS_MAX = 256 };
struct cli {
	const struct command *command;
	const char *args[CLI_ARGS_MAX];
	int arg_count;
	struct {
		const char *name, *value;
	} given[CLI_OPTIONS_MAX];
	int given_count;
	bool json, csv;
	bool colour, tty; /* of stdout */
};

/* Parses argv, finds the command and runs it; prints usage errors and help itself. */
enum exit_code cli_main(int argc, char **argv);

/* The last value given for an option, else the fallback. A flag's value is "". */
const char *cli_get(const struct cli *cli, const char *name, const char *fallback);
bool cli_has(const struct cli *cli, const char *name);
/* The nth value of a repeated option, NULL past the last. */
const char *cli_nth(const struct cli *cli, const char *name, int n);
/* A whole number >= min, with an optional k, M, G (powers of 1000) or Ki, Mi, Gi; false after a
 * usage message. */
bool cli_number(const struct cli *cli, const char *name, int64_t min, int64_t *value);
/* A duration such as 500ms, 30s, 10m, 2h, 7d, into ns; false after a usage message. */
bool cli_duration(const struct cli *cli, const char *name, int64_t *ret_ns);

/*
 * "kappa: WHAT: WHY. DO. (CODE)" on stderr with --json as one object; returns the exit code that
 * belongs to the error. what and todo may be NULL; why comes from this thread's error chain, else
 * the code's text.
 */
enum exit_code cli_fail(enum err e, const char *todo, const char *fmt, ...) PRINTF(3, 4);
/* A usage error: message and the command's usage line; EXIT_USAGE. */
enum exit_code cli_usage(const struct cli *cli, const char *fmt, ...) PRINTF(2, 3);
/* "next: ..." on stderr when stdout is a terminal. */
void cli_next(const struct cli *cli, const char *fmt, ...) PRINTF(2, 3);
/* Writes w's bytes to stdout and clears it; false when stdout failed (closed pipe). */
bool cli_flush(struct writer *w);
/* Stdout is a pipe whose reader has seen enough, as `head` does: no failure. */
bool cli_reader_gone(void);

/* Connection settings from flags, environment and defaults. */
const char *cli_bootstrap(const struct cli *cli); /* "127.0.0.1:9092" */
const char *cli_http(const struct cli *cli);      /* "http://127.0.0.1:9644" */

/* Progress: a bar on a TTY after 1 s, else one logfmt line per 10 s; --progress=never|auto|json. */
struct progress {
	const struct cli *cli;
	const char *op;
	char what[300]; /* logfmt pairs between op and done: "view=V version=2" */
	int64_t start_ns, shown_ns;
	bool shown;
};
void progress_begin(struct progress *p, const struct cli *cli, const char *op, const char *fmt, ...)
    PRINTF(4, 5);
void progress_update(
    struct progress *p, uint64_t done, uint64_t total, double rate, uint64_t position);
int64_t progress_elapsed_ns(const struct progress *p); /* since progress_begin */
void progress_end(struct progress *p);                 /* clears the bar */
