/* SPDX-License-Identifier: Apache-2.0 */
/* Small commands: version, errors, dump, and the honest answer for what does not exist yet.
 */
#include "log/base/json_write.h"
#include "log/log.h"
#include "tools/commands.h"

enum exit_code cmd_not_yet(struct cli *cli)
{
	const struct command *c = cli->command;
	return cli_fail(
	    ERR_NOT_YET, NULL, "%s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
}

enum exit_code cmd_version(struct cli *cli)
{
	if (cli->json)
		printf("{\"version\":\"" KAPPA_VERSION "\"}\n");
	else
		printf("kappa " KAPPA_VERSION "\n");
	return EXIT_OK;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void print_error(const struct cli *cli, enum err e)
{
	if (cli->json) {
		struct writer w;
		struct json_writer j;
		writer_init(&w, 64 * KIB);
		json_write_init(&j, &w);
		json_object_begin(&j);
		json_key_str(&j, "code", str_of(err_name(e)));
		json_key_str(&j, "text", str_of(err_text(e)));
		json_key_i64(&j, "kafka", err_kafka(e));
		json_key_i64(&j, "http", err_http(e));
		json_key_bool(&j, "retriable", err_retriable(e));
		json_key_i64(&j, "exit", exit_of(e));
		json_object_end(&j);
		write_u8(&w, '\n');
		if (!cli_flush(&w))
			fputs("kappa: standard output is gone\n", stderr);
		writer_release(&w);
	} else {
		printf("%-30s kafka %4d  http %3d  exit %d  %s%s\n", err_name(e), err_kafka(e),
		    err_http(e), (int)exit_of(e), err_text(e),
		    err_retriable(e) ? " (retry may help)" : "");
	}
}

enum exit_code cmd_errors(struct cli *cli)
{
	enum err e;
	if (cli->arg_count == 0) {
		for (int i = 1; i < ERR_COUNT; i++)
			print_error(cli, (enum err)i);
		return EXIT_OK;
	}
	if (!err_by_name(cli->args[0], &e))
		return cli_fail(
		    ERR_NOT_FOUND, "`kappa errors` lists all codes", "error code %s", cli->args[0]);
	print_error(cli, e);
	return EXIT_OK;
}

/* ---- dump ------------------------------------------------------------------------------------ */

static void print_line(void *ctx, struct str line)
{
	(void)ctx;
	printf(STR_FMT "\n", STR_ARG(line));
}

enum exit_code cmd_dump(struct cli *cli)
{
	struct io *io;
	struct log_dump_options options = {.deep = cli_has(cli, "deep"), .json = cli->json};
	enum err e = io_new("threads", &io);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "dump %s", cli->args[0]);
	e = log_dump_file(io, cli->args[0], &options, print_line, NULL);
	io_free(io);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "dump %s", cli->args[0]);
}
