/* SPDX-License-Identifier: Apache-2.0 */
/* kappa fsck: what a data directory holds, and what can be done when it does not hold. Offline. */
#include "log/log.h"
#include "tools/commands.h"
#include "tools/config.h"

static void print_line(void *ctx, struct str line)
{
	(void)ctx;
	printf(STR_FMT "\n", STR_ARG(line));
}

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct progress *p = ctx;
	int64_t now = progress_elapsed_ns(p);
	double rate = now > 0 ? (double)done * (double)S_NS / (double)now : 0;
	progress_update(p, done, total, rate, done);
}

/* What went wrong, and what then is to be done. */
static enum exit_code fail(enum err e, const char *data)
{
	const char *todo = NULL;
	if (e == ERR_NO_JOURNAL)
		todo = "`kappa fsck --rebuild-journal` makes a new one";
	else if (e == ERR_CORRUPT)
		todo = "`kappa fsck --salvage OUT` copies what is good";
	return cli_fail(e, todo, "fsck %s", data);
}

static enum exit_code salvage(
    struct cli *cli, struct io *io, const char *data, const struct log_fsck_options *options)
{
	const char *out = cli_get(cli, "salvage", "");
	struct log_salvage_result r;
	enum err e = log_salvage(io, data, out, options, print_line, NULL, &r);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "salvage %s into %s", data, out);
	if (r.holes > 0 || r.skipped > 0) {
		fprintf(stderr,
		    "kappa: salvage %s: %llu frames are in %s, %llu ranges with %lld offsets are "
		    "lost, %llu frames were left out\n",
		    data, (unsigned long long)r.frames, out, (unsigned long long)r.holes,
		    (long long)r.lost_offsets, (unsigned long long)r.skipped);
		return EXIT_PARTLY;
	}
	cli_next(cli, "kappa serve --data %s", out);
	return EXIT_OK;
}

/* Each name given; the first that fails ends it. */
static enum exit_code adopt(
    struct cli *cli, struct io *io, const char *data, const struct log_fsck_options *options)
{
	const char *dir;
	for (int n = 0; (dir = cli_nth(cli, "adopt", n)) != NULL; n++) {
		enum err e = log_adopt(io, data, dir, options, print_line, NULL);
		if (e != ERR_OK)
			return cli_fail(e, NULL, "adopt %s in %s", dir, data);
	}
	return EXIT_OK;
}

static enum exit_code run(struct cli *cli, struct io *io, const char *data, const char *journal_dir)
{
	struct progress progress;
	const struct log_fsck_options options = {
	    .repair_caches = cli_has(cli, "repair-caches"),
	    .json = cli->json,
	    .journal_dir = journal_dir,
	    .progress = show_progress,
	    .progress_ctx = &progress,
	};
	enum exit_code code;
	progress_begin(&progress, cli, "fsck", "data=%s", data);
	if (cli_has(cli, "salvage")) {
		code = salvage(cli, io, data, &options);
	} else if (cli_has(cli, "rebuild-journal")) {
		enum err e = log_rebuild_journal(io, data, &options, print_line, NULL);
		code = e == ERR_OK ? EXIT_OK : fail(e, data);
	} else if (cli_has(cli, "adopt")) {
		code = adopt(cli, io, data, &options);
	} else {
		enum err e = log_fsck(io, data, &options, print_line, NULL);
		code = e == ERR_OK ? EXIT_OK : fail(e, data);
	}
	progress_end(&progress);
	return code;
}

enum exit_code cmd_fsck(struct cli *cli)
{
	static const char *const modes[] = {"repair-caches", "salvage", "rebuild-journal", "adopt"};
	struct io *io;
	int given = 0;
	const char *data = cli_get(cli, "data", NULL);
	if (!data)
		return cli_usage(cli, "--data DIR is needed");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		given += cli_has(cli, modes[i]) ? 1 : 0;
	if (given > 1)
		return cli_usage(cli, "one of --repair-caches, --salvage, --rebuild-journal and "
		                      "--adopt at a time");
	struct config config;
	char journal_dir[4096];
	enum err e = config_load(&config, cli);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "fsck %s", data);
	e = io_new("threads", &io);
	enum exit_code code =
	    e == ERR_OK
	        ? run(cli, io, data, config_journal_dir(&config, journal_dir, sizeof journal_dir))
	        : cli_fail(e, NULL, "fsck %s", data);
	if (e == ERR_OK)
		io_free(io);
	config_release(&config);
	return code;
}
