/* SPDX-License-Identifier: Apache-2.0 */
/* kappa export and kappa import: whole partitions as Kafka keeps them on disk. Offline: --data DIR.
 */
#include "log/log.h"
#include "tools/commands.h"

static void print_line(void *ctx, struct str line)
{
	(void)ctx;
	printf(STR_FMT "\n", STR_ARG(line));
}

/* "orders-3" names a partition, "orders" a topic; with --partition always a topic. */
static bool take_partition(const struct cli *cli, char *topic, size_t len, int32_t *ret_partition)
{
	int64_t partition = -1;
	snprintf(topic, len, "%s", cli->args[0]);
	if (!cli_number(cli, "partition", 0, &partition))
		return false;
	if (partition > INT32_MAX)
		partition = INT32_MAX;
	*ret_partition = (int32_t)partition;
	return true;
}

enum exit_code cmd_export(struct cli *cli)
{
	char topic[300];
	struct log_export_options options = {.json = cli->json};
	struct io *io;
	const char *data = cli_get(cli, "data", NULL), *out = cli_get(cli, "out", NULL);
	const char *format = cli_get(cli, "format", NULL);
	if (!format || !out)
		return cli_usage(cli, "--format kafka-segments and --out DIR are needed");
	if (strcmp(format, "kafka-segments") != 0)
		return cli_fail(ERR_NOT_YET,
		    "--format kafka-segments is there; `kappa consume "
		    "--json` prints records",
		    "export --format %s", format);
	if (!data)
		return cli_usage(cli, "--data DIR is needed: segments are read from the directory");
	if (!take_partition(cli, topic, sizeof(topic), &options.partition))
		return EXIT_USAGE;
	enum err e = io_new("threads", &io);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "export %s", topic);
	e = log_export(io, data, topic, out, &options, print_line, NULL);
	io_free(io);
	if (e == ERR_LOCKED)
		return cli_fail(e, "stop the server, or export from a copy", "export %s", topic);
	if (e == ERR_CORRUPT)
		return cli_fail(e, "`kappa fsck --salvage OUT` first", "export %s", topic);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "export %s to %s", topic, out);
}

enum { IMPORT_CONFIGS_MAX = CLI_OPTIONS_MAX };

/* "KEY=VALUE" options into pairs; -1 after a usage message. */
static int take_configs(const struct cli *cli, struct str (*configs)[2])
{
	const char *text;
	int n = 0;
	for (; (text = cli_nth(cli, "config", n)) != NULL; n++) {
		const char *equals = strchr(text, '=');
		if (!equals || equals == text) {
			(void)cli_usage(cli, "-c %s: KEY=VALUE is needed", text);
			return -1;
		}
		configs[n][0] = str_from(text, (size_t)(equals - text));
		configs[n][1] = str_of(equals + 1);
	}
	return n;
}

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct progress *p = ctx;
	int64_t now = progress_elapsed_ns(p);
	double rate = now > 0 ? (double)done * (double)S_NS / (double)now : 0;
	progress_update(p, done, total, rate, done);
}

enum exit_code cmd_import(struct cli *cli)
{
	struct progress progress;
	struct str configs[IMPORT_CONFIGS_MAX][2];
	struct io *io;
	const char *data = cli_get(cli, "data", NULL), *path = cli->args[0];
	if (!data)
		return cli_usage(cli, "--data DIR is needed; no server may run on it");
	int count = take_configs(cli, configs);
	if (count < 0)
		return EXIT_USAGE;
	const struct log_import_options options = {
	    .topic = cli_get(cli, "topic", NULL),
	    .as = cli_get(cli, "as", NULL),
	    .configs = (const struct str(*)[2])configs,
	    .config_count = (size_t)count,
	    .json = cli->json,
	    .progress = show_progress,
	    .progress_ctx = &progress,
	};
	enum err e = io_new("threads", &io);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "import %s", path);
	progress_begin(&progress, cli, "import", "path=%s", path);
	e = log_import(io, path, data, &options, print_line, NULL);
	progress_end(&progress);
	io_free(io);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "import %s into %s", path, data);
	cli_next(cli, "kappa serve --data %s", data);
	return EXIT_OK;
}
