/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing, help and errors of the command line; the table itself is in commands.c. */
#include "tools/cli.h"
#include "log/base/offsetspec.h"
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static const struct cli_option global_options[] = {
    {"bootstrap-server", 'b', "HOST:PORT",
        "Kafka address (KAPPA_BOOTSTRAP_SERVERS; default 127.0.0.1:9092)"},
    {"brokers", 0, "HOST:PORT", "the same"},
    {"property", 'X', "KEY=VALUE", "librdkafka property; may be repeated"},
    {"properties-file", 'F', "FILE", "librdkafka properties, one key=value per line"},
    {"http", 0, "URL", "HTTP address (KAPPA_HTTP; default http://127.0.0.1:9644)"},
    {"data", 0, "DIR", "data directory of the server"},
    {"json", 0, NULL, "machine output: one JSON object per line"},
    {"csv", 0, NULL, "machine output: CSV with a header"},
    {"progress", 0, "never|auto|json", "progress of long work on stderr"},
    {"no-input", 0, NULL, "never ask"},
    {"help", 'h', NULL, "this help"},
    {NULL, 0, NULL, NULL},
};

/* ---- errors ---------------------------------------------------------------------------------- */

enum exit_code exit_of(enum err e)
{
	if (e == ERR_OK)
		return EXIT_OK;
	if (e == ERR_CONNECT || e == ERR_TIMEOUT || e == ERR_CLOSED)
		return EXIT_CONNECT;
	if (e == ERR_NOT_FOUND || e == ERR_RESOURCE_NOT_FOUND || e == ERR_UNKNOWN_TOPIC ||
	    e == ERR_UNKNOWN_TOPIC_ID || e == ERR_GROUP_NOT_FOUND)
		return EXIT_NOT_FOUND;
	if (e == ERR_REFUSED || e == ERR_EXISTS || e == ERR_TOPIC_EXISTS || e == ERR_LOCKED ||
	    e == ERR_NON_EMPTY_GROUP || e == ERR_DIFFERENT_INPUT)
		return EXIT_REFUSED;
	if (e == ERR_CORRUPT || e == ERR_DAMAGED || e == ERR_LOST_SUFFIX || e == ERR_NO_JOURNAL ||
	    e == ERR_OVERLAP || e == ERR_MISSING_SEGMENT)
		return EXIT_CORRUPT;
	if (e == ERR_INVALID)
		return EXIT_USAGE;
	return EXIT_FAILED;
}

static bool json_errors;

static void write_json_text(const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(stderr, "\\%c", *s);
		else if ((unsigned char)*s < 32)
			fprintf(stderr, "\\u%04x", (unsigned)*s);
		else
			fputc(*s, stderr);
	}
}

enum exit_code cli_fail(enum err e, const char *todo, const char *fmt, ...)
{
	char what[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	const char *why = err_chain()[0] ? err_chain() : err_text(e);
	if (json_errors) {
		fprintf(stderr, "{\"error\":\"");
		write_json_text(what);
		fprintf(stderr, "\",\"why\":\"");
		write_json_text(why);
		fprintf(stderr, "\",\"todo\":\"");
		write_json_text(todo ? todo : "");
		fprintf(stderr, "\",\"code\":\"%s\"}\n", err_name(e));
	} else {
		fprintf(stderr, "kappa: %s: %s%s%s (%s)\n", what, why, todo ? "; " : "",
		    todo ? todo : "", err_name(e));
	}
	err_clear();
	return exit_of(e);
}

static void print_usage_line(const struct command *c, FILE *out)
{
	fprintf(out, "usage: kappa %s%s%s%s%s%s\n", c->noun, c->verb ? " " : "",
	    c->verb ? c->verb : "", c->options ? " [OPTIONS]" : "", c->args[0] ? " " : "", c->args);
}

enum exit_code cli_usage(const struct cli *cli, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("kappa: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	if (cli->command)
		print_usage_line(cli->command, stderr);
	return EXIT_USAGE;
}

void cli_next(const struct cli *cli, const char *fmt, ...)
{
	if (!cli->tty)
		return;
	va_list ap;
	va_start(ap, fmt);
	fputs("next: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

bool cli_flush(struct writer *w)
{
	bool ok = w->len == 0 || fwrite(w->ptr, 1, w->len, stdout) == w->len;
	writer_clear(w);
	return ok && fflush(stdout) == 0;
}

bool cli_reader_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};
	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

/* A command that could not write all of its data has failed, whatever it thinks. */
static enum exit_code end_output(enum exit_code exit)
{
	bool written = fflush(stdout) == 0 && !ferror(stdout);
	if (written || exit != EXIT_OK || cli_reader_gone())
		return exit;
	return cli_fail(ERR_IO, NULL, "standard output was not written completely");
}

/* ---- values ---------------------------------------------------------------------------------- */

const char *cli_nth(const struct cli *cli, const char *name, int n)
{
	for (int i = 0; i < cli->given_count; i++)
		if (strcmp(cli->given[i].name, name) == 0 && n-- == 0)
			return cli->given[i].value;
	return NULL;
}

const char *cli_get(const struct cli *cli, const char *name, const char *fallback)
{
	for (int i = cli->given_count - 1; i >= 0; i--)
		if (strcmp(cli->given[i].name, name) == 0)
			return cli->given[i].value;
	return fallback;
}

bool cli_has(const struct cli *cli, const char *name)
{
	return cli_get(cli, name, NULL) != NULL;
}

static bool split_number(const char *text, int64_t *ret_value, const char **ret_suffix)
{
	const char *end = text + (*text == '-');
	while (*end >= '0' && *end <= '9')
		end++;
	*ret_suffix = end;
	return str_to_i64(str_from(text, (size_t)(end - text)), ret_value);
}

static int64_t unit_of(const char *suffix, const char *const *names, const int64_t *sizes)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(suffix, names[i]) == 0)
			return sizes[i];
	return 0;
}

bool cli_number(const struct cli *cli, const char *name, int64_t min, int64_t *value)
{
	static const char *const names[] = {"", "k", "K", "M", "G", "Ki", "Mi", "Gi", NULL};
	static const int64_t sizes[] = {
	    1, 1000, 1000, 1000000, 1000000000, 1 << 10, 1 << 20, 1 << 30};
	const char *text = cli_get(cli, name, NULL), *suffix;
	if (!text)
		return true;
	int64_t n, unit, product;
	if (!split_number(text, &n, &suffix) || !(unit = unit_of(suffix, names, sizes)) ||
	    __builtin_mul_overflow(n, unit, &product) || product < min) {
		cli_usage(cli,
		    "--%s %s: a whole number of at least %lld is expected (k, M, G, Ki, Mi, Gi may "
		    "follow)",
		    name, text, (long long)min);
		return false;
	}
	*value = product;
	return true;
}

bool cli_duration(const struct cli *cli, const char *name, int64_t *ret_ns)
{
	const char *text = cli_get(cli, name, NULL);
	if (!text || duration_parse(str_of(text), ret_ns) == ERR_OK)
		return true;
	cli_usage(cli, "--%s %s: %s", name, text, err_chain());
	err_clear();
	return false;
}

const char *cli_bootstrap(const struct cli *cli)
{
	const char *env = getenv("KAPPA_BOOTSTRAP_SERVERS");
	return cli_get(
	    cli, "bootstrap-server", cli_get(cli, "brokers", env && *env ? env : "127.0.0.1:9092"));
}

const char *cli_http(const struct cli *cli)
{
	const char *env = getenv("KAPPA_HTTP");
	return cli_get(cli, "http", env && *env ? env : "http://127.0.0.1:9644");
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_options(const struct cli_option *options, FILE *out)
{
	for (const struct cli_option *o = options; o && o->name; o++) {
		char left[80];
		snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
		    o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
		    o->value ? " " : "", o->value ? o->value : "");
		fprintf(out, "  %-36s %s\n", left, o->help);
	}
}

static enum exit_code help_command(const struct command *c)
{
	print_usage_line(c, stdout);
	printf("%s\n", c->help);
	if (c->options) {
		printf("\noptions:\n");
		print_options(c->options, stdout);
	}
	printf("\neverywhere:\n");
	print_options(global_options, stdout);
	return EXIT_OK;
}

static enum exit_code help_all(FILE *out, const char *noun)
{
	fprintf(out,
	    "kappa " KAPPA_VERSION
	    ": an event log you can rewind\nusage: kappa NOUN [VERB] [OPTIONS] [ARGS]\n\n");
	for (const struct command *c = command_table; c->noun; c++) {
		if (noun && strcmp(noun, c->noun) != 0)
			continue;
		char left[80];
		snprintf(left, sizeof left, "%s%s%s %s", c->noun, c->verb ? " " : "",
		    c->verb ? c->verb : "", c->args);
		fprintf(out, "  %-40s %s\n", left, c->help);
	}
	fprintf(out, "\n`kappa NOUN VERB --help` tells the rest. Exit codes: 0 ok, 1 failed, 2 "
	             "usage, 3 not found, 4 refused,\n"
	             "5 cannot connect or timed out, 6 corrupt, 7 partly done, 8 differs, 130 "
	             "interrupted.\n");
	return out == stdout ? EXIT_OK : EXIT_USAGE;
}

/* ---- finding the command --------------------------------------------------------------------- */

/* Levenshtein distance, bounded by the short words it is used on. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], n = strlen(b);
	if (n >= 63 || strlen(a) >= 63)
		return 64;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];
		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t cost = diagonal + (a[i] != b[j]);
			diagonal = row[j + 1];
			size_t shift = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
			row[j + 1] = cost < shift ? cost : shift;
		}
	}
	return row[n];
}

static enum exit_code unknown(const char *noun, const char *word)
{
	const char *best = NULL;
	size_t best_distance = 3;
	for (const struct command *c = command_table; c->noun; c++) {
		const char *known = noun ? c->verb : c->noun;
		if (noun && strcmp(noun, c->noun) != 0)
			continue;
		size_t d = known && word ? distance(word, known) : 64;
		if (d < best_distance) {
			best = known;
			best_distance = d;
		}
	}
	if (!word)
		fprintf(stderr, "kappa: %s needs a verb\n\n", noun);
	else
		fprintf(stderr, "kappa: there is no %s '%s%s%s'%s%s%s\n\n",
		    noun ? "command" : "noun", noun ? noun : "", noun ? " " : "", word,
		    best ? "; did you mean '" : "", best ? best : "", best ? "'?" : "");
	return help_all(stderr, noun);
}

static bool noun_exists(const char *noun)
{
	for (const struct command *c = command_table; c->noun; c++)
		if (strcmp(c->noun, noun) == 0)
			return true;
	return false;
}

static const struct command *find_command(const char *noun, const char *verb, int *ret_words)
{
	for (const struct command *c = command_table; c->noun; c++) {
		if (strcmp(c->noun, noun) != 0)
			continue;
		if (!c->verb || (verb && strcmp(c->verb, verb) == 0)) {
			*ret_words = c->verb ? 2 : 1;
			return c;
		}
	}
	return NULL;
}

/* ---- parsing --------------------------------------------------------------------------------- */

static const struct cli_option *find_option(
    const struct command *c, const char *name, size_t len, char letter)
{
	const struct cli_option *lists[] = {c->options, global_options};
	for (size_t i = 0; i < 2; i++)
		for (const struct cli_option *o = lists[i]; o && o->name; o++)
			if (letter ? o->letter == letter
			           : strlen(o->name) == len && memcmp(o->name, name, len) == 0)
				return o;
	return NULL;
}

static bool add_option(struct cli *cli, const struct cli_option *o, const char *value)
{
	if (cli->given_count == CLI_OPTIONS_MAX) {
		cli_usage(cli, "more than %d options", CLI_OPTIONS_MAX);
		return false;
	}
	cli->given[cli->given_count].name = o->name;
	cli->given[cli->given_count++].value = value;
	return true;
}

/* One argument that starts with a dash; *at moves over a separate value. */
static bool parse_option(struct cli *cli, int argc, char **argv, int *at)
{
	const char *arg = argv[*at], *value = NULL;
	const struct cli_option *o;
	if (arg[1] == '-') {
		const char *equals = strchr(arg, '=');
		size_t len = equals ? (size_t)(equals - arg - 2) : strlen(arg + 2);
		o = find_option(cli->command, arg + 2, len, 0);
		value = equals ? equals + 1 : NULL;
	} else {
		o = find_option(cli->command, NULL, 0, arg[1]);
		value = arg[2] ? arg + 2 : NULL;
	}
	if (!o) {
		cli_usage(cli, "unknown option %s", arg);
		return false;
	}
	if (!o->value && value) {
		cli_usage(cli, "option --%s takes no value", o->name);
		return false;
	}
	if (o->value && !value) {
		if (*at + 1 >= argc) {
			cli_usage(cli, "option --%s needs %s", o->name, o->value);
			return false;
		}
		value = argv[++*at];
	}
	return add_option(cli, o, value ? value : "");
}

/* A word that is data although it starts with a dash: "-" (stdin) and relative offsets such as -10.
 */
static bool is_plain(const char *arg)
{
	return arg[0] != '-' || arg[1] == 0 || (arg[1] >= '0' && arg[1] <= '9');
}

static bool parse_arguments(struct cli *cli, int argc, char **argv, int at)
{
	bool options = true;
	for (; at < argc; at++) {
		if (options && strcmp(argv[at], "--") == 0) {
			options = false;
		} else if (options && !is_plain(argv[at])) {
			if (!parse_option(cli, argc, argv, &at))
				return false;
		} else if (cli->arg_count == CLI_ARGS_MAX) {
			cli_usage(cli, "more than %d arguments", CLI_ARGS_MAX);
			return false;
		} else {
			cli->args[cli->arg_count++] = argv[at];
		}
	}
	return true;
}

enum exit_code cli_main(int argc, char **argv)
{
	struct cli cli = {.tty = isatty(STDOUT_FILENO)};
	if (argc < 2)
		return help_all(stderr, NULL);
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
	    strcmp(argv[1], "-h") == 0)
		return help_all(stdout, argc > 2 ? argv[2] : NULL);
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = (char[]){"version"};
	if (!noun_exists(argv[1]))
		return unknown(NULL, argv[1]);
	int words = 1;
	cli.command = find_command(argv[1], argc > 2 ? argv[2] : NULL, &words);
	if (!cli.command) {
		if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
			return help_all(stdout, argv[1]);
		return unknown(argv[1], argc > 2 ? argv[2] : NULL);
	}
	if (!parse_arguments(&cli, argc, argv, 1 + words))
		return EXIT_USAGE;
	if (cli_has(&cli, "help"))
		return help_command(cli.command);
	cli.json = json_errors = cli_has(&cli, "json");
	cli.csv = cli_has(&cli, "csv");
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	cli.colour = cli.tty && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
	if (cli.arg_count < cli.command->min_args)
		return cli_usage(&cli, "too few arguments");
	if (cli.command->max_args >= 0 && cli.arg_count > cli.command->max_args)
		return cli_usage(&cli, "unexpected argument '%s'", cli.args[cli.command->max_args]);
	return end_output(cli.command->run(&cli));
}
