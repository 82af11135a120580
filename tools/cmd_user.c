/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa user create | alter | delete | list: who can log in by SASL, over the HTTP door with its
 * token, so that whoever runs the server can make the first user. A password is never an argument:
 * others could see it.
 */
#include "tools/commands.h"
#include "tools/rows_out.h"
#include "tools/text_file.h"
#include <termios.h>
#include <unistd.h>

enum { PASSWORD_MAX = 1024, NAME_MAX_ENCODED = 800 };

/* ---- the password ---------------------------------------------------------------------------- */

static void strip_line_end(char *text)
{
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = 0;
}

/* One line without echo. */
static enum err ask(const char *prompt, char *buf, size_t len)
{
	struct termios before, quiet;
	fprintf(stderr, "%s", prompt);
	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return err_sys("terminal");
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0)
		return err_sys("terminal");
	bool got = fgets(buf, (int)len, stdin) != NULL;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	if (!got)
		return err_note(ERR_INVALID, "no password");
	strip_line_end(buf);
	return ERR_OK;
}

static enum err read_password(char *buf, size_t len)
{
	char again[PASSWORD_MAX + 2];
	if (!isatty(STDIN_FILENO)) {
		if (!fgets(buf, (int)len, stdin))
			return err_note(ERR_INVALID, "no password on standard input");
		strip_line_end(buf);
	} else {
		TRY(ask("Password: ", buf, len));
		TRY(ask("Again: ", again, sizeof again));
		bool same = strcmp(buf, again) == 0;
		explicit_bzero(again, sizeof again);
		if (!same)
			return err_note(ERR_INVALID, "the two differ");
	}
	if (!*buf || strlen(buf) > PASSWORD_MAX)
		return err_note(ERR_INVALID, "a password has 1 to %d bytes", PASSWORD_MAX);
	return ERR_OK;
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static enum err write_body(
    const struct cli *cli, const char *password, int64_t iterations, struct writer *w)
{
	struct json_writer j;
	const char *mechanism;
	char list[256] = "";
	size_t len = 0;
	for (int i = 0; (mechanism = cli_nth(cli, "mechanism", i)) && len < sizeof list; i++)
		len += (size_t)snprintf(
		    list + len, sizeof list - len, "%s%s", i ? "," : "", mechanism);
	json_write_init(&j, w);
	json_object_begin(&j);
	json_key_str(&j, "user", str_of(cli->args[0]));
	json_key_str(&j, "password", str_of(password));
	json_key_i64(&j, "iterations", iterations);
	if (*list)
		json_key_str(&j, "mechanisms", str_of(list));
	json_object_end(&j);
	return w->err;
}

/* POST /v1/users makes one, PUT and DELETE /v1/users/NAME change one. */
static enum err call(const struct cli *cli, const char *method, struct bytes body)
{
	char name[NAME_MAX_ENCODED];
	struct http_call c = {.method = method, .body = body};
	TRY(http_encode(name, sizeof name, str_of(cli->args[0])));
	if (strcmp(method, "POST") == 0)
		snprintf(c.path, sizeof c.path, "/v1/users");
	else
		snprintf(c.path, sizeof c.path, "/v1/users/%s", name);
	struct writer answer;
	writer_init(&answer, 64 * KIB);
	c.on_body = text_piece;
	c.ctx = &answer;
	enum err e = http_do(cli, &c);
	writer_release(&answer);
	return e;
}

static enum exit_code set_password(struct cli *cli, const char *method, const char *what)
{
	char password[PASSWORD_MAX + 2];
	int64_t iterations = 4096;
	struct writer w;
	if (cli_has(cli, "iterations") && !cli_number(cli, "iterations", 1, &iterations))
		return EXIT_USAGE;
	enum err e = read_password(password, sizeof password);
	writer_init(&w, 64 * KIB);
	if (e == ERR_OK)
		e = write_body(cli, password, iterations, &w);
	explicit_bzero(password, sizeof password);
	if (e == ERR_OK)
		e = call(cli, method, writer_bytes(&w));
	if (w.ptr)
		explicit_bzero(w.ptr, w.len);
	writer_release(&w);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "%s %s", what, cli->args[0]);
	cli_next(cli, "kappa acl add --allow User:%s --operation read --topic TOPIC", cli->args[0]);
	return EXIT_OK;
}

enum exit_code cmd_user_create(struct cli *cli)
{
	return set_password(cli, "POST", "create user");
}

enum exit_code cmd_user_alter(struct cli *cli)
{
	return set_password(cli, "PUT", "alter user");
}

enum exit_code cmd_user_delete(struct cli *cli)
{
	if (!cli_has(cli, "execute")) {
		fprintf(stderr,
		    "user %s could no longer log in; connections that are open stay. --execute "
		    "does it\n",
		    cli->args[0]);
		return EXIT_REFUSED;
	}
	enum err e = call(cli, "DELETE", bytes_of(NULL, 0));
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "delete user %s", cli->args[0]);
}

enum exit_code cmd_user_list(struct cli *cli)
{
	struct rows_out out;
	rows_out_init(&out, cli);
	enum err e = rows_out_get(&out, "/v1/users?format=%s", rows_out_format(&out));
	rows_out_release(&out);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "list users at %s", cli_http(cli));
}
