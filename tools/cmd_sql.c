/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa sql: statements from the command line, a file or standard input. The script is split here,
 * each statement is sent on its own, so that rows go to stdout and messages to stderr in order;
 * blanks in front keep line and column true.
 */
#include "processor/processor.h"
#include "tools/commands.h"
#include "tools/rows_out.h"
#include "tools/text_file.h"

static enum err send(struct cli *cli, struct str script, const struct sql_statement *s)
{
	struct http_call call = {
	    .method = "POST", .content_type = STR("application/sql"), .timeout_ms = -1};
	struct rows_out rows;
	struct writer body;
	bool has_rows = s->kind == SQL_QUERY || s->kind == SQL_DIFF || s->kind == SQL_EXPLAIN ||
	                s->kind == SQL_SHOW_TABLES;
	rows_out_init(&rows, cli);
	writer_init(&body, script.len + s->text.len + 1);
	for (int32_t i = 0; i < s->start; i++)
		write_u8(&body, (uint8_t)(script.ptr[i] == '\n' ? '\n' : ' '));
	write_str(&body, s->text);
	call.body = writer_bytes(&body);
	snprintf(call.path, sizeof call.path, "/v1/sql?format=%s%s", rows_out_format(&rows),
	    cli_has(cli, "execute") ? "&execute=1" : "");
	struct writer text;
	writer_init(&text, 16 * MIB);
	call.on_body = has_rows ? rows_out_piece : text_piece;
	call.ctx = has_rows ? (void *)&rows : (void *)&text;
	enum err e = body.err ? body.err : http_do(cli, &call);
	if (e == ERR_OK && has_rows)
		e = rows_out_end(&rows);
	if (text.len)
		fprintf(stderr, "%.*s", (int)text.len, (const char *)text.ptr);
	writer_release(&text);
	writer_release(&body);
	rows_out_release(&rows);
	return e;
}

static enum exit_code fail_parse(struct cli *cli, enum err e, const struct sql_error *error)
{
	(void)cli;
	err_clear();
	err_note(e, "line %d:%d: %s%s%s", error->line, error->column, error->message,
	    error->hint[0] ? "; " : "", error->hint);
	return cli_fail(e, NULL, "sql");
}

enum exit_code cmd_sql(struct cli *cli)
{
	const char *file = cli_get(cli, "file", NULL);
	if ((file != NULL) == (cli->arg_count > 0))
		return cli_usage(
		    cli, "one of -f FILE (- is standard input) and a statement is needed");
	struct bytes content = {0};
	struct sql_script script;
	struct sql_error error = {0};
	enum err e = file ? text_file_read(file, &content) : ERR_OK;
	if (e != ERR_OK)
		return cli_fail(e, NULL, "sql -f %s", file);
	struct str text = file ? bytes_str(content) : str_of(cli->args[0]);
	enum exit_code exit = EXIT_OK;
	e = sql_parse(text, &script, &error);
	if (e != ERR_OK) {
		exit = fail_parse(cli, e, &error);
	} else {
		for (uint32_t i = 0; exit == EXIT_OK && i < script.count; i++) {
			e = send(cli, text, &script.statements[i]);
			if (e != ERR_OK)
				exit = cli_fail(e, NULL, "sql");
		}
		sql_script_release(&script);
	}
	text_file_release(&content);
	return exit;
}
